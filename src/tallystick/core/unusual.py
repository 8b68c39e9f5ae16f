"""What day is out of the ordinary: held against the days before it, and against its own weekday among them, because
usage has the rhythm of the week. The one rule for alerts, for bills that are held and for the home page.

The usual value is the median, which one wild day does not move (docs/decisions/0420-what-is-unusual.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallystick.core.quantity import ZERO, add, multiply

TRAILING = 30  # days that a day is held against
TIMES = Decimal(3)  # so many times the usual is a spike, if nothing else is agreed
LEAST = 50  # measurements that are too few to tell anything from
WEEK = 7
_LEAST_DAYS = WEEK  # of usage before a day: without a week nothing is usual yet
_HALF = Decimal("0.5")


class Turn(StrEnum):
    """How a day is out of the ordinary."""

    SPIKE = "SPIKE"
    DROP_TO_ZERO = "DROP_TO_ZERO"


class Day(msgspec.Struct, frozen=True, gc=False):
    """What was measured on a day: the value, and of how many measurements."""

    value: Decimal
    count: int


NOTHING = Day(ZERO, 0)


class Unusual(msgspec.Struct, frozen=True, kw_only=True):
    """A day out of the ordinary: how, what was measured, and what is usual for such a day."""

    turn: Turn
    measured: Decimal
    usual: Decimal


def unusual(
    day: Day, before: Sequence[Day], *, times: Decimal = TIMES, least: int = LEAST, over: bool = True
) -> Unusual | None:
    """Whether a day is out of the ordinary. `before` are the days just before it, the latest last; of these, the ones
    before the first usage tell nothing. Of a day that is not `over` yet, only a spike can be told.

    A spike has `times` the usual value and more than any of the days before; where it comes from more measurements
    rather than larger ones, from at least `least` of them. A drop to zero is a day without any where each of the same
    weekdays had some: usually at least `least`, or few but as regular as the week.
    """
    known = _since_first_usage(before[-TRAILING:])
    if len(known) < _LEAST_DAYS:
        return None
    if day.count:
        return _spike(day, known, times, least)
    same = _same_weekday(known)
    if not over or len(same) < 2 or not all(each.count for each in same):
        return None
    usual = _median(same)
    if usual.count < least and not _regular(known):
        return None
    return Unusual(turn=Turn.DROP_TO_ZERO, measured=ZERO, usual=usual.value)


def jump(count: int, before: Sequence[int], *, times: Decimal = TIMES, least: int = LEAST) -> int | None:
    """Whether there were far more of something that had better be none (duplicates, failures): at least `least`,
    `times` the usual and more than on any day before. Gives the usual number, which may well be 0; else None."""
    known = before[-TRAILING:]
    same = sorted(known[-WEEK::-WEEK])
    usual = same[len(same) // 2] if same else 0
    enough = count >= least and Decimal(count) >= multiply(times, Decimal(usual))
    return usual if enough and count > max(known, default=0) else None


def _since_first_usage(days: Sequence[Day]) -> Sequence[Day]:
    first = next((place for place, each in enumerate(days) if each.count), len(days))
    return days[first:]


def _same_weekday(before: Sequence[Day]) -> Sequence[Day]:
    return before[-WEEK::-WEEK]


def _usual(same: Sequence[Day], known: Sequence[Day]) -> Day:
    """What is usual on that weekday; on one without usage, on days that have any."""
    usual = _median(same)
    return usual if usual.value > 0 else _median([each for each in known if each.count])


def _spike(day: Day, known: Sequence[Day], times: Decimal, least: int) -> Unusual | None:
    if day.value <= max(each.value for each in known):
        return None  # first, because it says so of almost every day
    usual = _usual(_same_weekday(known), known)
    if usual.value <= 0 or day.value < multiply(times, usual.value):
        return None
    larger = multiply(day.value, Decimal(usual.count)) >= multiply(multiply(times, usual.value), Decimal(day.count))
    if day.count < least and not larger:
        return None
    return Unusual(turn=Turn.SPIKE, measured=day.value, usual=usual.value)


def _regular(known: Sequence[Day]) -> bool:
    """Whether each weekday had usage in every week or in none, but for one day, over two weeks at least, until it
    ceased."""
    last = max(place for place, each in enumerate(known) if each.count)
    known = known[: last + 1]
    if len(known) < 2 * WEEK:
        return False
    used = [[bool(each.count) for each in known[place::WEEK]] for place in range(WEEK)]
    return sum(min(sum(each), len(each) - sum(each)) for each in used) <= 1


def _median(days: Sequence[Day]) -> Day:
    """The middle value and the middle count; of an even number, half way between the two in the middle."""
    values, counts = sorted(each.value for each in days), sorted(each.count for each in days)
    middle, odd = divmod(len(days), 2)
    if odd:
        return Day(values[middle], counts[middle])
    return Day(multiply(add(values[middle - 1], values[middle]), _HALF), (counts[middle - 1] + counts[middle]) // 2)
