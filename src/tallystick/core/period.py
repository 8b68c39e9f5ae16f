"""Time as billing sees it: UTC instants, half-open periods, calendar days of a time zone, and the billing grid."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec


class Frequency(StrEnum):
    """How often a bill is made. AD_HOC and MIXED have no grid of their own."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    ANNUALLY = "ANNUALLY"
    AD_HOC = "AD_HOC"
    MIXED = "MIXED"

    @property
    def has_periods(self) -> bool:
        """Whether there is a grid of billing periods."""
        return self not in _WITHOUT_PERIODS


_WITHOUT_PERIODS = frozenset({Frequency.AD_HOC, Frequency.MIXED})


# How ISO 8601 is written. Python's own reader takes more: 10:00:020 for two seconds past ten, any sign before the time
# and the offset, anything behind a NUL or a sixth decimal; and each of its versions something else.
_DATE = r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2}|[0-9]{4}|-?W[0-9]{2}(?:-?[0-9])?)"
_OFFSET = r"Z|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?"
_TIME = rf"(?:[01][0-9]|2[0-3])(?::?[0-9]{{2}}(?::?[0-9]{{2}}(?:[.,][0-9]{{1,30}})?)?)?(?: ?(?:{_OFFSET}))?"
_ISO_8601 = re.compile(rf"{_DATE}(?:[Tt ]{_TIME})?")


def require_iso_8601(text: str) -> None:
    """Raises ValueError for what is not written as a date, or a date and time with or without an offset."""
    if not _ISO_8601.fullmatch(text):
        raise ValueError(f"must be an ISO 8601 date and time, got {text[:40]!r}")


class Instant(datetime):
    """A point in time, always UTC. On the wire: ISO 8601 text, read leniently, written with a `Z`."""

    @classmethod
    def parse(cls, text: str) -> Instant:
        """Read `2025-01-01T00:00:00Z`, any offset, no offset (taken as UTC) or a bare date (its midnight, UTC)."""
        return _parse(text)

    @classmethod
    def of(cls, moment: datetime) -> Instant:
        """The same point in time as an Instant; a naive one is taken as UTC."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        try:
            utc = moment.astimezone(UTC)
        except OverflowError:
            raise ValueError("must lie between the years 1 and 9999 in UTC") from None
        return cls.combine(utc.date(), utc.time(), UTC)

    @classmethod
    def midnight(cls, day: date) -> Instant:
        """The start of a calendar day in UTC."""
        return cls.of(datetime.combine(day, time(), tzinfo=UTC))

    def wire(self) -> str:
        """ISO 8601 with milliseconds and `Z`; microseconds only where there are any."""
        return _wire(self)

    def stamp(self) -> str:
        """ISO 8601 of fixed width: sorts as text in the order of time."""
        return self.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


@lru_cache(maxsize=16_384)
def _parse(text: str) -> Instant:
    """Kept for the same reason as `_wire`."""
    require_iso_8601(text)
    try:
        moment = Instant.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be an ISO 8601 date and time, got {text[:40]!r}") from None
    return moment if moment.tzinfo is UTC else Instant.of(moment)


@lru_cache(maxsize=16_384)
def _wire(moment: Instant) -> str:
    """Kept, because bills share their instants: those of a run say the same few over and over."""
    digits = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.isoformat(timespec=digits).removesuffix("+00:00") + "Z"


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


FIRST_YEAR, LAST_YEAR = 1970, 2261  # where there can be measurements, and so bills


def require_billed_year(field: str, day: date) -> None:
    """ValueError, naming the field, for a day that no bill can be made for."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"{field}: must be a day of the years {FIRST_YEAR} to {LAST_YEAR}")


BEGINNING = Instant(1, 1, 1, tzinfo=UTC)
FOREVER = Instant(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)
_DAYS = {Frequency.DAILY: 1, Frequency.WEEKLY: 7}
_MONTHS = {Frequency.MONTHLY: 1, Frequency.ANNUALLY: 12}


def stretch(start: Instant | None, end: Instant | None) -> Period:
    """The period between two ends, either of which may be open (None): from the BEGINNING, or FOREVER."""
    return Period(start or BEGINNING, end or FOREVER)


def intersect(first: Period, second: Period) -> Period | None:
    """What two periods have in common; None when that is nothing, also when one only begins where the other ends."""
    start, end = max(first.start, second.start), min(first.end, second.end)
    return Period(start, end) if start < end else None


def microseconds(period: Period) -> int:
    """How long a period is."""
    return (period.end - period.start) // _MOMENT


@lru_cache(maxsize=8192)
def day_start(day: date, zone: str) -> Instant:
    """The first instant of a calendar day in a time zone.

    Where the clocks go back over midnight the day starts at the first of the two midnights; where they skip it, at the
    first instant after the gap (a day skipped whole starts, and ends, where the next one starts). Raises ValueError for
    a day whose start lies outside the years 1 to 9999 in UTC.
    """
    tz = require_zone(zone)
    midnight = datetime.combine(day, time(), tzinfo=tz)
    try:
        # With fold=0 a skipped local time is read on the clock from before the gap, so it lies after the gap.
        after = midnight.astimezone(UTC)
        if after.astimezone(tz).replace(tzinfo=None) == midnight.replace(tzinfo=None):
            return Instant.of(after)
        before = midnight.replace(fold=1).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{day} in {zone} lies outside the years 1 to 9999 in UTC") from None
    return Instant.of(_end_of_gap(before, after, tz))


def _end_of_gap(before: datetime, after: datetime, tz: ZoneInfo) -> datetime:
    """The instant at which the clocks jumped, in (before, after]: gaps need not begin at midnight."""
    offset = after.astimezone(tz).utcoffset()
    low, high = 0, round((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(tz).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return before + timedelta(seconds=high)


@lru_cache(maxsize=8192)
def local_day(instant: Instant, zone: str) -> date:
    """The calendar day an instant belongs to in a time zone: day_start(day) <= instant < day_start(day + 1).

    That is the date on the clock, except in an hour that the clocks repeat across midnight: once a day has started, its
    instants are never given back to the day before.
    """
    try:
        day = instant.astimezone(require_zone(zone)).date()
        if instant < day_start(day, zone):
            return day - timedelta(days=1)
        if day < date.max and instant >= day_start(day + timedelta(days=1), zone):
            return day + timedelta(days=1)
    except OverflowError:
        raise ValueError(f"{instant.wire()} has no date in {zone}") from None
    return day


def local_days(period: Period, zone: str) -> tuple[date, date]:
    """The first and the last calendar day that a period has an instant of. The period must not be empty."""
    assert period.start < period.end, f"{period} is empty"
    return local_day(period.start, zone), local_day(Instant.of(period.end - _MOMENT), zone)


def day_share(part: Period, whole: Period, zone: str) -> tuple[int, int]:
    """How many of the days of `whole` are in `part`, exactly: (days, of_days), for prorating (source: reference 3.4).

    Both ends count as the calendar day they belong to in the zone: a part that starts in the middle of a day has all of
    that day, one that ends in the middle of a day has nothing of it. So the shares of any split add up to the whole.
    `part` must lie inside `whole`.
    """
    assert whole.start <= part.start <= part.end <= whole.end, f"{part} is not inside {whole}"
    return _days(part, zone), _days(whole, zone)


def _days(period: Period, zone: str) -> int:
    return (local_day(period.end, zone) - local_day(period.start, zone)).days


class Grid(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """The billing periods of one frequency: every `interval` days, weeks, months or years from the epoch, in both
    directions (source: reference 3.5).

    Periods start at the beginning of a calendar day in the time zone. Period 0 starts on the epoch; period n is always
    computed from there, so that a monthly grid from 31 January goes on to the last of February and to 31 March. Methods
    raise ValueError outside the years 1 to 9999. A period is empty where a time zone skipped its only day; such a one
    has its number, but nothing but `period` and the days' own methods ever answers with it.
    """

    frequency: Frequency
    interval: int = 1
    epoch: date
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.frequency not in _DAYS and self.frequency not in _MONTHS:
            raise ValueError(f"frequency: {self.frequency} has no grid of billing periods")
        if self.interval < 1:
            raise ValueError(f"interval: must be 1 or more, got {self.interval}")
        require_zone(self.zone)

    def first_day(self, number: int) -> date:
        """The calendar day on which period `number` (any integer) starts."""
        steps = number * self.interval
        try:
            if self.frequency in _DAYS:
                return self.epoch + timedelta(days=steps * _DAYS[self.frequency])
            return _plus_months(self.epoch, steps * _MONTHS[self.frequency])
        except (OverflowError, ValueError):
            raise ValueError(f"period {number} of the billing grid lies outside the years 1 to 9999") from None

    def period(self, number: int) -> Period:
        """Period `number`, any integer: 0 starts on the epoch."""
        return _period(self, number)

    def index_of_day(self, day: date) -> int:
        """The number of the period that a calendar day is in."""
        if self.frequency in _DAYS:
            return (day - self.epoch).days // (self.interval * _DAYS[self.frequency])
        months = (day.year - self.epoch.year) * 12 + day.month - self.epoch.month
        number = months // (self.interval * _MONTHS[self.frequency])
        return number if self.first_day(number) <= day else number - 1

    def index_of(self, instant: Instant) -> int:
        """The number of the period that holds an instant."""
        return _index_of(self, instant)

    def period_at(self, instant: Instant) -> Period:
        """The period that holds an instant."""
        return self.period(self.index_of(instant))

    def period_of_day(self, day: date) -> Period:
        """The period that a calendar day is in."""
        return self.period(self.index_of_day(day))

    def period_ending_on(self, last_day: date) -> Period | None:
        """The period whose last calendar day this is; None when no period ends with it."""
        number = self.index_of_day(last_day)
        return self.period(number) if self.first_day(number + 1) - last_day == timedelta(days=1) else None

    def next(self, period: Period) -> Period:
        """The period that starts where this one ends; it must be one of the grid."""
        number = self._index(period) + 1
        while (following := self.period(number)).start == following.end:
            number += 1
        return following

    def previous(self, period: Period) -> Period:
        """The period that ends where this one starts; it must be one of the grid."""
        number = self._index(period) - 1
        while (preceding := self.period(number)).start == preceding.end:
            number -= 1
        return preceding

    def between(self, start: Instant, end: Instant) -> Iterator[Period]:
        """The periods that have an instant in [start, end), in order; the first and the last may reach outside."""
        if start >= end:
            return
        number = self.index_of(start)
        while (period := self.period(number)).start < end:
            if period.start < period.end:
                yield period
            number += 1

    def _index(self, period: Period) -> int:
        number = self.index_of(period.start)
        assert self.period(number) == period, f"{period} is not a period of {self}"
        return number


# Accounts share billing grids: a run asks for the same few periods for each of them.


@lru_cache(maxsize=8192)
def _period(grid: Grid, number: int) -> Period:
    return Period(day_start(grid.first_day(number), grid.zone), day_start(grid.first_day(number + 1), grid.zone))


@lru_cache(maxsize=8192)
def _index_of(grid: Grid, instant: Instant) -> int:
    return grid.index_of_day(local_day(instant, grid.zone))


def _plus_months(day: date, months: int) -> date:
    """The same day of the month some months on, or the last of that month where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not MINYEAR <= year <= MAXYEAR:
        raise ValueError("outside the calendar")
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
