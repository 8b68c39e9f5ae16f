"""Time groups of the data explorer: hours, days, weeks, months and quarters of a time zone (source: reference 2.11).

Groups tile time: an instant belongs to the group that started last, and a group is named by its first instant. Days
are those of `core.period`, so a chart and a bill agree about which day a measurement is in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from enum import StrEnum
from typing import assert_never

from tallystick.core.period import Instant, day_start, local_day, require_zone


class TimeFrequency(StrEnum):
    """How wide a time group is. Weeks start on Monday, quarters in January, April, July and October."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"


# No time zone changes its clocks twice within a quarter of an hour, nor has days shorter than some hours: stepping
# so, no group is passed over.
_STEP = {frequency: timedelta(hours=1) for frequency in TimeFrequency} | {TimeFrequency.HOUR: timedelta(minutes=15)}


def group_start(instant: Instant, frequency: TimeFrequency, zone: str) -> Instant:
    """The first instant of the time group that an instant is in; ValueError for an unknown zone."""
    if frequency is TimeFrequency.HOUR:
        return _hour_start(instant, zone)
    return day_start(_first_day(local_day(instant, zone), frequency), zone)


def group_starts(days: Iterable[date], frequency: TimeFrequency, zone: str) -> list[Instant]:
    """The starts of all groups that have an instant in one of the UTC days, in order."""
    step = _STEP[frequency]
    starts = set()
    for day in days:
        midnight = Instant.midnight(day)
        starts |= {group_start(midnight + index * step, frequency, zone) for index in range(timedelta(days=1) // step)}
    return sorted(starts)


def _first_day(day: date, frequency: TimeFrequency) -> date:
    match frequency:
        case TimeFrequency.DAY | TimeFrequency.HOUR:
            return day
        case TimeFrequency.WEEK:
            return day - timedelta(days=day.weekday())
        case TimeFrequency.MONTH:
            return day.replace(day=1)
        case TimeFrequency.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case _:
            assert_never(frequency)


def _hour_start(instant: Instant, zone: str) -> Instant:
    """The full hour on the zone's clock, or the moment at which the clocks were changed since."""
    tz = require_zone(zone)
    local = instant.astimezone(tz)
    start = instant - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    offset = local.utcoffset()
    if start.astimezone(tz).utcoffset() == offset:
        return Instant.of(start)
    low, high = 0, 3600  # seconds after `start`: the old offset holds at `low`, the new one at `high` or the instant
    while high - low > 1:
        middle = (low + high) // 2
        probe = start + timedelta(seconds=middle)
        if probe >= instant or probe.astimezone(tz).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return Instant.of(start + timedelta(seconds=high))
