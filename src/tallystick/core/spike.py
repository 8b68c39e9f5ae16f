"""Spikes: a day's usage held against the same weekday of the weeks before, because usage has the rhythm of the week."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

WEEKS = 4  # that a day is held against
TIMES = 2  # so many times the average, or an n-th of it, is worth a look
LEAST = 50  # measurements that are too few to tell anything from


class Spike(msgspec.Struct, frozen=True, kw_only=True):
    """A day that is out of the ordinary: its count, and the average (a whole number) of the days it is held against."""

    count: int
    usual: int

    @property
    def rose(self) -> bool:
        return self.count > self.usual


def spike(count: int, same_weekdays: Sequence[int]) -> Spike | None:
    """Whether a day is out of the ordinary. `same_weekdays` are the counts of that weekday in the weeks before; days
    before the first usage are not among them."""
    weeks, total = len(same_weekdays), sum(same_weekdays)
    if not weeks or max(count, total // weeks) < LEAST:
        return None
    if count * weeks >= TIMES * total or count * weeks * TIMES <= total:
        return Spike(count=count, usual=total // weeks)
    return None
