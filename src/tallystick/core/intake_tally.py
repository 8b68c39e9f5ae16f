"""What did not count, counted: for each day and meter how many measurements were sent again, conflicted or failed.

The numbers are kept in the transaction that writes down what did not count, so that they are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

import msgspec

KIND = "intaketally"
DUPLICATE, CONFLICT, UNKNOWN_ACCOUNT = "duplicate", "conflict", "unknown_account"
NO_METER = ""  # of measurements that name no meter there is

Cell = tuple[date, str]  # the day on which they came, in UTC, and the code of the meter


class IntakeTally(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What did not count of a meter on a day, in UTC: how many, by code (`duplicate`, `conflict`, or why it failed)."""

    day: date
    meter: str
    counts: Mapping[str, int]

    @property
    def id(self) -> str:
        """One for each day and meter."""
        return tally_id((self.day, self.meter))

    @property
    def keys(self) -> dict[str, str]:
        """What it can be looked up by."""
        return {"day": self.day.isoformat(), "meter": self.meter}

    @property
    def duplicates(self) -> int:
        """How many were counted before with the same content."""
        return self.counts.get(DUPLICATE, 0)

    @property
    def conflicts(self) -> int:
        """How many were counted before with other content."""
        return self.counts.get(CONFLICT, 0)

    @property
    def failures(self) -> int:
        """How many went to the queue of failed measurements."""
        return sum(self.counts.values()) - self.duplicates - self.conflicts


def tally_id(cell: Cell) -> str:
    """The id of what is kept of a day and a meter."""
    return f"{cell[0].isoformat()}/{cell[1]}"


def tallied(before: IntakeTally | None, cell: Cell, more: Iterable[tuple[str, int]]) -> IntakeTally:
    """What is kept after more came, by code."""
    counts = Counter(before.counts if before else {})
    for code, number in more:
        counts[code] += number
    return IntakeTally(day=cell[0], meter=cell[1], counts=dict(sorted(counts.items())))
