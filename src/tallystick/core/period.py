"""Time as billing sees it: UTC instants, half-open periods, and the grid of billing periods.

(The grid, proration and time zones are added here.)
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Frequency(StrEnum):
    """How often a bill is made. AD_HOC and MIXED have no grid of their own."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    ANNUALLY = "ANNUALLY"
    AD_HOC = "AD_HOC"
    MIXED = "MIXED"


class Instant(datetime):
    """A point in time, always UTC. On the wire: ISO 8601 text, read leniently, written with a `Z`."""

    @classmethod
    def parse(cls, text: str) -> Instant:
        """Read `2025-01-01T00:00:00Z`, any offset, no offset (taken as UTC) or a bare date (its midnight, UTC)."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"must be an ISO 8601 date and time, got {text[:40]!r}") from None
        return cls.of(moment)

    @classmethod
    def of(cls, moment: datetime) -> Instant:
        """The same point in time as an Instant; a naive one is taken as UTC."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        try:
            utc = moment.astimezone(UTC)
        except OverflowError:
            raise ValueError("must lie between the years 1 and 9999 in UTC") from None
        return cls(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=UTC)

    @classmethod
    def midnight(cls, day: date) -> Instant:
        """The start of a calendar day in UTC."""
        return cls.of(datetime.combine(day, time(), tzinfo=UTC))

    def wire(self) -> str:
        """ISO 8601 with milliseconds and `Z`; microseconds only where there are any."""
        digits = "microseconds" if self.microsecond % 1000 else "milliseconds"
        return self.replace(tzinfo=None).isoformat(timespec=digits) + "Z"


class Period(NamedTuple):
    """A half-open stretch of time in UTC: `start` belongs to it, `end` does not."""

    start: Instant
    end: Instant


def require_zone(name: str) -> ZoneInfo:
    """The time zone of this name; raises ValueError for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"timezone: unknown time zone {name!r}, give a name such as Europe/Berlin") from None
