"""Running answers: what an answer is made of, so that measurements can be added to it one by one (0237).

The answer of a `Running` is that of `Question` over all measurements that were added, exactly, for methods that need
not look at measurements in order of time across each other: all but gauges and correlated counts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from itertools import accumulate
from math import ceil
from typing import Protocol

import msgspec

from tallystick.core.aggregation import EventBounds, EventTally, Method, Question
from tallystick.core.quantity import EXACT, QUANTITY_DECIMALS, ZERO, add, plain, tidy

VALUE_BYTES = 16  # of a value or of the identity of one
MOST_ADDED = 50_000  # values that are kept besides the sorted ones; beyond that sorting anew is cheaper
_ADDED_BYTES = 120  # of such a value, about
OF_VALUES = frozenset({Method.UNIQUE, Method.PERCENTILE})  # methods that need the values themselves
Value = Decimal | str


class Collected(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the usage store gives of some measurements of an account and segment: to start with, or to be added.

    `total`, `count` and `tally` are as in Measured; for UNIQUE and PERCENTILE the total is 0. With LATEST `last` has
    the time and uid of the total. With UNIQUE `values` has the `identity` of each value once, with PERCENTILE each
    value once as `scaled` (little-endian, signed) and `counts` how often; both in rising order, 16 bytes each.
    """

    account_id: str
    segment: tuple[str, ...] = ()
    total: Decimal = ZERO
    count: int
    tally: EventTally | None = None
    last: tuple[int, str] = (0, "")
    values: bytes = b""
    counts: Sequence[int] = []


class Running(Protocol):
    """The answer about one account and segment so far."""

    count: int

    def one(self, value: Value, moment: int, uid: str) -> None:
        """Add a measurement: its value, its time in microseconds since 1970, its uid."""

    def more(self, found: Collected) -> None:
        """Add what the usage store gives."""

    @property
    def total(self) -> Decimal:
        """As in Measured, in canonical form."""

    @property
    def tally(self) -> EventTally | None:
        """As in Measured."""

    @property
    def size(self) -> int:
        """About how many bytes of values it keeps."""

    @property
    def full(self) -> bool:
        """Whether it should be collected anew, for too much was added."""


def can_run(question: Question) -> bool:
    """Whether measurements can be added to an answer of the question."""
    return not question.reaches_back and question.correlation is None and not question.method.time_weighted


def running(question: Question) -> Running:
    """The answer before there is any measurement."""
    assert can_run(question), "gauges and units depend on the order of measurements"
    if question.method is Method.UNIQUE:
        return _Distinct()
    if question.method is Method.PERCENTILE:
        assert question.percentile is not None, "PERCENTILE needs a rank"
        return _Ranked(question.percentile)
    return _Number(question.method, question.event_bounds)


def identity(value: Value) -> bytes:
    """What tells a value from every other: the beginning of a cryptographic digest, equal for equal values only."""
    text = f"t{value}" if isinstance(value, str) else f"n{plain(value)}"
    return sha256(text.encode(), usedforsecurity=False).digest()[:VALUE_BYTES]


def scaled(value: Decimal) -> int:
    """A quantity as a whole number of its smallest step."""
    return int(value.scaleb(QUANTITY_DECIMALS, EXACT))


def size_of_event(value: Decimal, bounds: EventBounds) -> tuple[int, bool, bool]:
    """Of a measurement: 1, or −1 below zero; whether it is small; whether it is large."""
    size = value.copy_abs()
    small, large = bounds.low is not None and size < bounds.low, bounds.high is not None and size > bounds.high
    return (-1 if value < 0 else 1), small, large


class _Number:
    """Answers that are one number: SUM, MEAN, COUNT, MIN, MAX and LATEST."""

    full, size = False, 0

    def __init__(self, method: Method, bounds: EventBounds | None) -> None:
        self._method, self._bounds = method, bounds
        self.count = 0
        self._total = ZERO
        self._last = (0, "")
        self.tally = None if bounds is None else _NO_EVENTS

    def one(self, value: Value, moment: int, uid: str) -> None:
        if self._method is Method.COUNT:
            self.count += 1
            return
        assert isinstance(value, Decimal), "only numbers are added up and compared"
        if self._bounds is not None and self.tally is not None:
            sign, small, large = size_of_event(value, self._bounds)
            self.tally = _both(self.tally, _event(value, sign, small=small, large=large))
        self._take(value, 1, (moment, uid))

    def more(self, found: Collected) -> None:
        if self.tally is not None and found.tally is not None:
            self.tally = _both(self.tally, found.tally)
        self._take(found.total, found.count, found.last)

    def _take(self, total: Decimal, count: int, last: tuple[int, str]) -> None:
        first = self.count == 0
        self.count += count
        match self._method:
            case Method.SUM | Method.MEAN:
                self._total = add(self._total, total)
            case Method.MIN:
                self._total = total if first else min(self._total, total)
            case Method.MAX:
                self._total = total if first else max(self._total, total)
            case Method.LATEST:
                if first or last > self._last:
                    self._total, self._last = total, last
            case _:
                assert self._method is Method.COUNT, f"{self._method} is not one number"

    @property
    def total(self) -> Decimal:
        return Decimal(self.count) if self._method is Method.COUNT else tidy(self._total)


class _Sorted:
    """Values of 16 bytes each, one after the other."""

    def __init__(self, values: bytes = b"") -> None:
        self._values = values
        self.places = range(len(values) // VALUE_BYTES)

    def __getitem__(self, place: int) -> bytes:
        return self._values[place * VALUE_BYTES : (place + 1) * VALUE_BYTES]

    def number(self, place: int) -> int:
        """A value that is `scaled`."""
        return int.from_bytes(self[place], "little", signed=True)


class _Distinct:
    """UNIQUE: the identities of the values; those that were added are beside those that were there."""

    tally = None

    def __init__(self) -> None:
        self.count = 0
        self._there = _Sorted()
        self._added: set[bytes] = set()

    def one(self, value: Value, moment: int, uid: str) -> None:
        self.count += 1
        self._see(identity(value))

    def more(self, found: Collected) -> None:
        values = _Sorted(found.values)
        if not self.count:
            self._there = values
        else:
            for place in values.places:
                self._see(values[place])
        self.count += found.count

    def _see(self, value: bytes) -> None:
        place = bisect_left(self._there.places, value, key=self._there.__getitem__)
        if self._there[place] != value:
            self._added.add(value)

    @property
    def total(self) -> Decimal:
        return Decimal(len(self._there.places) + len(self._added))

    @property
    def size(self) -> int:
        return VALUE_BYTES * len(self._there.places) + _ADDED_BYTES * len(self._added)

    @property
    def full(self) -> bool:
        return len(self._added) > MOST_ADDED


class _Ranked:
    """PERCENTILE: each value with how many are not above it; those that were added are beside, in order."""

    tally = None

    def __init__(self, percentile: Decimal) -> None:
        self.count = 0
        self._there = _Sorted()
        self._share = Fraction(percentile) / 100
        self._up_to = array("Q")
        self._added: list[int] = []

    def one(self, value: Value, moment: int, uid: str) -> None:
        assert isinstance(value, Decimal), "only numbers have an order"
        self.count += 1
        insort(self._added, scaled(value))

    def more(self, found: Collected) -> None:
        if not self.count:
            self._there, self._up_to = _Sorted(found.values), array("Q", accumulate(found.counts))
        else:
            self._added += _repeated(found)
            self._added.sort()
        self.count += found.count

    @property
    def total(self) -> Decimal:
        return tidy(Decimal(self._nth(ceil(self._share * self.count))).scaleb(-QUANTITY_DECIMALS, EXACT))

    def _nth(self, rank: int) -> int:
        """The least value that so many are not above, among both."""
        there, added = self._there, self._added
        here = bisect_left(there.places, rank, key=lambda at: self._up_to[at] + bisect_right(added, there.number(at)))
        beside = bisect_left(range(len(added)), rank, key=lambda at: self._not_above(added[at]))
        found = [there.number(here)] if here < len(there.places) else []
        return min(found + added[beside : beside + 1])

    def _not_above(self, value: int) -> int:
        there = bisect_right(self._there.places, value, key=self._there.number)
        return (self._up_to[there - 1] if there else 0) + bisect_right(self._added, value)

    @property
    def size(self) -> int:
        return (VALUE_BYTES + 8) * len(self._up_to) + _ADDED_BYTES * len(self._added)

    @property
    def full(self) -> bool:
        return len(self._added) > MOST_ADDED


def _repeated(found: Collected) -> Iterator[int]:
    """Each value as often as it came."""
    values = _Sorted(found.values)
    for place, count in zip(values.places, found.counts, strict=True):
        yield from [values.number(place)] * count


_NO_EVENTS = EventTally(events=0, small=0, small_total=ZERO, large=0, large_total=ZERO)


def _event(value: Decimal, sign: int, *, small: bool, large: bool) -> EventTally:
    return EventTally(
        events=sign,
        small=sign if small else 0,
        small_total=value if small else ZERO,
        large=sign if large else 0,
        large_total=value if large else ZERO,
    )


def _both(one: EventTally, other: EventTally) -> EventTally:
    return EventTally(
        events=one.events + other.events,
        small=one.small + other.small,
        small_total=tidy(add(one.small_total, other.small_total)),
        large=one.large + other.large,
        large_total=tidy(add(one.large_total, other.large_total)),
    )
