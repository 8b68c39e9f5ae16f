"""When exports run, and which time an export of usage covers: in UTC, weeks from Monday (source: reference 2.11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice, pairwise

from cronsim import CronSim, CronSimError

from tallystick.core.period import Instant, Period

SHORTEST = timedelta(minutes=15)  # from one run of a cron expression to the next
_LOOKED_AT = 400  # runs: four days of the shortest steps, and more than a year of daily ones
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)  # of a leap year, so that every day of the calendar comes up
_EPOCH = Instant.parse("1970-01-01")


class ScheduleType(StrEnum):
    """What the period of a schedule counts."""

    HOUR = "HOUR"
    DAY = "DAY"
    MINUTE = "MINUTE"

    @property
    def minutes(self) -> int:
        return {"HOUR": 60, "DAY": 1_440, "MINUTE": 1}[self.value]

    @property
    def offsets(self) -> int:
        """How many offsets there are: minutes of an hour, hours of a day."""
        return {"HOUR": 60, "DAY": 24, "MINUTE": 0}[self.value]

    @property
    def offset_minutes(self) -> int:
        """What an offset counts, in minutes."""
        return 60 if self is ScheduleType.DAY else 1


class TimePeriod(StrEnum):
    """Which usage a scheduled export has, as of when it runs."""

    TODAY = "TODAY"
    YESTERDAY = "YESTERDAY"
    WEEK_TO_DATE = "WEEK_TO_DATE"
    MONTH_TO_DATE = "MONTH_TO_DATE"
    YEAR_TO_DATE = "YEAR_TO_DATE"
    PREVIOUS_WEEK = "PREVIOUS_WEEK"
    PREVIOUS_MONTH = "PREVIOUS_MONTH"
    PREVIOUS_QUARTER = "PREVIOUS_QUARTER"
    PREVIOUS_YEAR = "PREVIOUS_YEAR"
    LAST_12_HOURS = "LAST_12_HOURS"
    LAST_7_DAYS = "LAST_7_DAYS"
    LAST_30_DAYS = "LAST_30_DAYS"
    LAST_35_DAYS = "LAST_35_DAYS"
    LAST_90_DAYS = "LAST_90_DAYS"
    LAST_120_DAYS = "LAST_120_DAYS"
    LAST_YEAR = "LAST_YEAR"


def covered(period: TimePeriod, at: Instant) -> Period:
    """The usage that an export has that is due at an instant."""
    today = at.astimezone(UTC).date()
    match period.value.split("_"):
        case ["TODAY"]:
            return Period(Instant.midnight(today), at)
        case ["YESTERDAY"]:
            return _days(today - timedelta(days=1), today)
        case [unit, "TO", "DATE"]:
            return Period(Instant.midnight(_first_day(unit, today)), at)
        case ["PREVIOUS", unit]:
            first = _first_day(unit, today)
            return _days(_first_day(unit, first - timedelta(days=1)), first)
        case ["LAST", "12", "HOURS"]:
            hour = Instant.of(at.replace(minute=0, second=0, microsecond=0))
            return Period(Instant.of(hour - timedelta(hours=12)), hour)
        case ["LAST", count, "DAYS"]:
            return _days(today - timedelta(days=int(count)), today)
        case ["LAST", "YEAR"]:
            return _days(_year_before(today), today)
        case _:
            raise AssertionError(f"{period} is a time period")


@lru_cache(maxsize=1_024)
def require_cron(expression: str) -> None:
    """ValueError unless this is a cron expression of five fields that runs at most every 15 minutes. What passed is
    remembered: it takes milliseconds, and schedules are read again and again."""
    if len(expression.split()) != 5:
        raise ValueError("cronExpression: must have five fields: minute, hour, day of month, month, day of week")
    try:
        runs = list(islice(CronSim(expression, _SOME_DAY), _LOOKED_AT))
    except CronSimError as error:
        raise ValueError(f"cronExpression: {error}, got {expression!r}") from None
    if any(later - sooner < SHORTEST for sooner, later in pairwise(runs)):
        raise ValueError("cronExpression: an export runs at most every 15 minutes")


def latest_due(
    kind: ScheduleType, period: int, offset: int, cron: str | None, *, after: Instant, now: Instant
) -> Instant | None:
    """The last moment after `after` and by `now` at which a schedule is due; None if there was none. What was missed
    while the server was away is made up for by that one."""
    if cron is not None:
        latest = next(CronSim(cron, now + timedelta(minutes=1), reverse=True), None)
        # The search looks at whole minutes before its start: one that has just begun counts.
        while latest is not None and latest > now:
            latest = next(CronSim(cron, latest, reverse=True), None)
        return Instant.of(latest) if latest is not None and latest > after else None
    step = timedelta(minutes=period * kind.minutes)
    start = _EPOCH + timedelta(minutes=offset * kind.offset_minutes)
    latest = start + step * ((now - start) // step)
    return Instant.of(latest) if latest > after else None


def due_without_gap(
    period: TimePeriod,
    covered_to: Instant,
    due_by: Callable[[Instant], Instant | None],
    *,
    after: Instant,
    latest: Instant,
) -> Instant:
    """Which of the moments after `after` and by `latest` an export of usage is made for, when others have the usage up
    to `covered_to`: the last whose usage begins by then, so that nothing is missing; the first, where all begin later.

    `due_by` gives the last moment after `after` and by another at which the schedule is due, and `latest` is one; it is
    due at most once in a minute.
    """
    if covered(period, latest).start <= covered_to:
        return latest
    sooner, later = after, latest  # what is due by the one leaves no gap; what is due by the other does
    while later - sooner > timedelta(minutes=1):
        middle = Instant.of(sooner + (later - sooner) / 2)
        due = due_by(middle)
        if due is None or covered(period, due).start <= covered_to:
            sooner = middle
        else:
            later = middle
    found = due_by(sooner) or due_by(later)
    assert found is not None, "something is due by the latest moment"
    return found


def next_due(kind: ScheduleType, period: int, offset: int, cron: str | None, *, now: Instant) -> Instant | None:
    """The first moment after `now` at which a schedule is due; None for an expression that is never again."""
    if cron is not None:
        found = next(CronSim(cron, now), None)
        return None if found is None else Instant.of(found)
    step = timedelta(minutes=period * kind.minutes)
    start = _EPOCH + timedelta(minutes=offset * kind.offset_minutes)
    return Instant.of(start + step * ((now - start) // step + 1))


def _days(first: date, end: date) -> Period:
    return Period(Instant.midnight(first), Instant.midnight(end))


def _first_day(unit: str, day: date) -> date:
    match unit:
        case "WEEK":
            return day - timedelta(days=day.weekday())
        case "MONTH":
            return day.replace(day=1)
        case "QUARTER":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case _:
            return day.replace(month=1, day=1)


def _year_before(day: date) -> date:
    """The same day of the year before; of 29 February, the first of March."""
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return date(day.year - 1, 3, 1)
