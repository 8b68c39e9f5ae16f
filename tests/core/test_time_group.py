"""Time groups tile time: every instant is in one group, which starts at or before it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.period import Instant
from tallystick.core.time_group import TimeFrequency, group_start, group_starts

at = Instant.parse
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Africa/Monrovia"]
LONGEST = {
    TimeFrequency.HOUR: timedelta(hours=1),
    TimeFrequency.DAY: timedelta(days=2),
    TimeFrequency.WEEK: timedelta(days=8),
    TimeFrequency.MONTH: timedelta(days=32),
    TimeFrequency.QUARTER: timedelta(days=93),
}
instants = st.one_of(
    st.datetimes(min_value=at("1970-01-02").replace(tzinfo=None), max_value=at("2262-04-01").replace(tzinfo=None)),
    # Around changes of the clocks, where mistakes live.
    st.builds(
        lambda day, minute: day.replace(tzinfo=None) + timedelta(minutes=minute, microseconds=minute % 2),
        st.sampled_from([at(day) for day in ("2025-03-30", "2025-10-26", "1987-10-25", "2025-04-05", "1972-01-07")]),
        st.integers(-180, 1700),
    ),
).map(Instant.of)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", "2025-03-30", 24),
        ("Europe/Berlin", "2025-03-30", 23),
        ("Europe/Berlin", "2025-10-26", 25),
        ("Asia/Kathmandu", "2025-03-30", 24),
        ("Australia/Lord_Howe", "2025-04-06", 25),  # 24.5 hours: the repeated half hour is a group
        ("Australia/Lord_Howe", "2025-10-05", 24),  # 23.5 hours: one group has half an hour
    ],
)
def test_the_hours_of_a_day(zone: str, day: str, hours: int) -> None:
    days = [date.fromisoformat(day) + timedelta(days=shift) for shift in (-1, 0, 1)]
    starts = group_starts(days, TimeFrequency.HOUR, zone)
    of_day = [start for start in starts if group_start(start, TimeFrequency.DAY, zone) == _midnight(day, zone)]
    assert len(of_day) == hours


def _midnight(day: str, zone: str) -> Instant:
    return group_start(Instant.of(at(f"{day}T12:00:00Z") - timedelta(hours=11 if "Lord" in zone else 0)), DAY, zone)


DAY = TimeFrequency.DAY


def test_a_day_that_was_begun_is_not_given_back() -> None:
    # St. John's set its clocks back at one past midnight: 00:01 on the 25th became 23:01 on the 24th.
    before, after = at("1987-10-25T02:30:30Z"), at("1987-10-25T02:45:00Z")
    assert group_start(before, DAY, "America/St_Johns") == at("1987-10-25T02:30:00Z")
    assert group_start(after, DAY, "America/St_Johns") == at("1987-10-25T02:30:00Z")
    assert group_start(after, TimeFrequency.HOUR, "America/St_Johns") == at("1987-10-25T02:31:00Z")


@settings(max_examples=100, deadline=None)
@given(instant=instants, zone=st.sampled_from(ZONES), frequency=st.sampled_from(TimeFrequency))
def test_groups_tile_time(instant: Instant, zone: str, frequency: TimeFrequency) -> None:
    start = group_start(instant, frequency, zone)
    assert instant - LONGEST[frequency] < start <= instant
    assert group_start(start, frequency, zone) == start, "a group holds its start"
    middle = Instant.of(start + (instant - start) / 2)
    assert group_start(middle, frequency, zone) == start, "a group is in one piece"
    if start > at("1970-01-03"):
        assert group_start(Instant.of(start - Instant.resolution), frequency, zone) < start
    nearest = max(each for each in group_starts([instant.date()], frequency, zone) if each <= instant)
    assert nearest == start, "the starts of a day's groups are all there"


def test_an_unknown_zone() -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        group_start(at("2025-01-01"), TimeFrequency.HOUR, "Mars/Olympus")
