"""Days of a time zone, periods and their shares: tables of the days on which clocks do odd things."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core import wire
from tallystick.core.charge import Charge
from tallystick.core.entity import Value
from tallystick.core.organization import BillConfig
from tallystick.core.period import (
    BEGINNING,
    FOREVER,
    Instant,
    Period,
    day_share,
    day_start,
    intersect,
    local_day,
    local_days,
    require_zone,
    stretch,
)

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Havana",
    "America/Toronto", "Pacific/Apia", "Pacific/Kwajalein", "Asia/Kathmandu", "Asia/Beirut", "Africa/Cairo",
    "Australia/Lord_Howe",
]  # fmt: skip
at = Instant.parse
INSTANTS = st.integers(-70 * 366 * 86_400, 130 * 365 * 86_400).map(
    lambda seconds: Instant.of(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
)


def between(start: str, end: str) -> Period:
    return Period(at(start), at(end))


@pytest.mark.parametrize(
    ("day", "zone", "start"),
    [
        ("2025-01-01", "UTC", "2025-01-01T00:00:00.000Z"),
        ("2025-01-01", "Europe/Berlin", "2024-12-31T23:00:00.000Z"),
        ("2025-03-30", "Europe/Berlin", "2025-03-29T23:00:00.000Z"),
        ("2025-03-31", "Europe/Berlin", "2025-03-30T22:00:00.000Z"),
        ("2025-01-01", "Asia/Kathmandu", "2024-12-31T18:15:00.000Z"),
        # Midnight is skipped: the day starts at 01:00 on the clock.
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00.000Z"),
        ("2021-03-28", "Asia/Beirut", "2021-03-27T22:00:00.000Z"),
        ("2024-04-26", "Africa/Cairo", "2024-04-25T22:00:00.000Z"),
        # The gap begins before midnight: 23:30 is followed by 00:30.
        ("1919-03-31", "America/Toronto", "1919-03-31T04:30:00.000Z"),
        # The clocks go back to 23:00 when midnight comes: midnight is the later, only one.
        ("2018-02-18", "America/Sao_Paulo", "2018-02-18T03:00:00.000Z"),
        # 01:00 goes back to 00:00: of the two midnights the first.
        ("2024-11-03", "America/Havana", "2024-11-03T04:00:00.000Z"),
        # 00:01 goes back to 23:01: the day starts once, at the first midnight.
        ("2006-10-29", "America/St_Johns", "2006-10-29T02:30:00.000Z"),
        # A day that did not happen starts where the next one does.
        ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00.000Z"),
        ("2011-12-31", "Pacific/Apia", "2011-12-30T10:00:00.000Z"),
        ("1993-08-21", "Pacific/Kwajalein", "1993-08-21T12:00:00.000Z"),
    ],
)
def test_a_day_starts_at_its_first_instant(day: str, zone: str, start: str) -> None:
    assert day_start(date.fromisoformat(day), zone).wire() == start


@pytest.mark.parametrize(
    ("instant", "zone", "day"),
    [
        ("2025-01-01T00:00:00Z", "UTC", "2025-01-01"),
        ("2024-12-31T23:00:00Z", "Europe/Berlin", "2025-01-01"),
        ("2024-12-31T22:59:59.999999Z", "Europe/Berlin", "2024-12-31"),
        ("2011-12-30T09:59:59Z", "Pacific/Apia", "2011-12-29"),
        ("2011-12-30T10:00:00Z", "Pacific/Apia", "2011-12-31"),
        # The clock says 23:30 of the 28th again, half an hour after the 29th began: the 29th goes on.
        ("2006-10-29T03:00:00Z", "America/St_Johns", "2006-10-29"),
        ("2006-10-29T02:29:59Z", "America/St_Johns", "2006-10-28"),
        ("0001-01-01T00:00:00Z", "UTC", "0001-01-01"),
        ("9999-12-31T23:59:59.999999Z", "UTC", "9999-12-31"),
        ("9999-12-31T23:59:59.999999Z", "America/New_York", "9999-12-31"),
    ],
)
def test_an_instant_belongs_to_a_day(instant: str, zone: str, day: str) -> None:
    assert local_day(at(instant), zone) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("period", "zone", "first", "last"),
    [
        (between("2025-01-01", "2025-02-01"), "UTC", "2025-01-01", "2025-01-31"),
        (between("2025-01-01", "2025-02-01"), "Europe/Berlin", "2025-01-01", "2025-02-01"),
        (between("2024-12-31T23:00:00Z", "2025-01-31T23:00:00Z"), "Europe/Berlin", "2025-01-01", "2025-01-31"),
        (between("2025-01-01T10:00:00Z", "2025-01-01T11:00:00Z"), "UTC", "2025-01-01", "2025-01-01"),
        (between("2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z"), "Pacific/Apia", "2011-12-29", "2011-12-31"),
    ],
)
def test_a_period_has_a_first_and_a_last_day(period: Period, zone: str, first: str, last: str) -> None:
    assert local_days(period, zone) == (date.fromisoformat(first), date.fromisoformat(last))


JANUARY, APRIL = between("2025-01-01", "2025-02-01"), between("2025-04-01", "2025-05-01")


@pytest.mark.parametrize(
    ("part", "whole", "zone", "share"),
    [
        (between("2025-04-16", "2025-05-01"), APRIL, "UTC", (15, 30)),
        (between("2025-01-16", "2025-02-01"), JANUARY, "UTC", (16, 31)),
        (JANUARY, JANUARY, "UTC", (31, 31)),
        # A day counts for the part that it starts … and not for the one that it ends.
        (between("2025-01-16T15:00:00Z", "2025-02-01"), JANUARY, "UTC", (16, 31)),
        (between("2025-01-01", "2025-01-16T15:00:00Z"), JANUARY, "UTC", (15, 31)),
        (between("2025-01-16T09:00:00Z", "2025-01-16T15:00:00Z"), JANUARY, "UTC", (0, 31)),
        (between("2025-01-16T15:00:00Z", "2025-01-17T01:00:00Z"), JANUARY, "UTC", (1, 31)),
        # 29 days, not 28.96, in the month that the clocks go forward.
        (
            between("2025-03-02T23:00:00Z", "2025-03-31T22:00:00Z"),
            between("2025-02-28T23:00:00Z", "2025-03-31T22:00:00Z"),
            "Europe/Berlin",
            (29, 31),
        ),
    ],
)
def test_days_are_shared_by_the_calendar(part: Period, whole: Period, zone: str, share: tuple[int, int]) -> None:
    assert day_share(part, whole, zone) == share


def test_a_part_outside_the_whole_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="is not inside"):
        day_share(JANUARY, APRIL, "UTC")


@given(
    zone=st.sampled_from(ZONES),
    instants=st.lists(INSTANTS, min_size=2, max_size=8, unique=True),
)
@settings(max_examples=100, deadline=None)
def test_the_shares_of_any_split_add_up_to_the_whole(zone: str, instants: list[Instant]) -> None:
    cuts = sorted(instants)
    whole = Period(cuts[0], cuts[-1])
    shares = [day_share(Period(*ends), whole, zone) for ends in pairwise(cuts)]
    assert sum(days for days, _ in shares) == day_share(whole, whole, zone)[0]
    assert {of_days for _, of_days in shares} == {day_share(whole, whole, zone)[1]}
    assert all(days >= 0 for days, _ in shares)


@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(date(1900, 1, 1), date(2099, 1, 1)),
    seconds=st.integers(-90_000, 90_000),
)
@settings(max_examples=100, deadline=None)
def test_days_tile_time_and_each_instant_is_in_the_day_that_names_it(zone: str, day: date, seconds: int) -> None:
    start, end = day_start(day, zone), day_start(day + timedelta(days=1), zone)
    assert start <= end
    instant = Instant.of(start + timedelta(seconds=seconds))
    named = local_day(instant, zone)
    assert day_start(named, zone) <= instant < day_start(named + timedelta(days=1), zone)


@pytest.mark.parametrize("zone", ZONES)
def test_every_day_of_two_centuries_starts_at_the_first_instant_that_the_clock_shows_it(zone: str) -> None:
    """Every 97th day and every day near a change of offset, checked against the clock a second before and at."""
    clock = require_zone(zone)
    for number in range(0, 200 * 365, 97):
        for day in changes_near(date(1900, 1, 1) + timedelta(days=number), clock):
            start = day_start(day, zone)
            assert start.astimezone(clock).date() >= day
            assert Instant.of(start - timedelta(seconds=1)).astimezone(clock).date() < day


def changes_near(day: date, clock: ZoneInfo) -> list[date]:
    """The day, and the days within the next 97 in which the clock changes its offset."""
    noons = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(days=number) for number in range(98)]
    offsets = [noon.astimezone(clock).utcoffset() for noon in noons]
    changed = [noons[index].date() for index in range(1, 98) if offsets[index] != offsets[index - 1]]
    return [day, *changed]


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        (JANUARY, APRIL, None),
        (JANUARY, between("2025-02-01", "2025-03-01"), None),  # one begins where the other ends
        (JANUARY, between("2025-01-10", "2025-03-01"), between("2025-01-10", "2025-02-01")),
        (JANUARY, between("2025-01-10", "2025-01-12"), between("2025-01-10", "2025-01-12")),
        (JANUARY, stretch(None, None), JANUARY),
        (JANUARY, stretch(at("2025-01-20"), None), between("2025-01-20", "2025-02-01")),
        (JANUARY, stretch(None, at("2025-01-20")), between("2025-01-01", "2025-01-20")),
        (stretch(at("2025-01-20"), None), stretch(None, None), Period(at("2025-01-20"), FOREVER)),
    ],
)
def test_what_two_periods_have_in_common(first: Period, second: Period, common: Period | None) -> None:
    assert intersect(first, second) == common
    assert intersect(second, first) == common


def test_open_ends_reach_from_the_beginning_for_ever() -> None:
    assert stretch(None, None) == Period(BEGINNING, FOREVER)


def test_a_day_without_a_utc_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        day_start(date.min, "Asia/Kathmandu")
    with pytest.raises(ValueError, match="has no date in Asia/Kathmandu"):
        local_day(FOREVER, "Asia/Kathmandu")


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe", "/etc/localtime", "UTC\0"])
def test_unknown_zones_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="timezone: unknown time zone"):
        require_zone(name)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("2025-01-01", "2025-01-01T00:00:00.000Z"),
        ("2025-01-01T00:00:00", "2025-01-01T00:00:00.000Z"),
        ("2025-01-01T02:00:00+02:00", "2025-01-01T00:00:00.000Z"),
        ("2025-01-01T00:00:00.123456Z", "2025-01-01T00:00:00.123456Z"),
        ("2025-01-01T00:00:00.12Z", "2025-01-01T00:00:00.120Z"),
    ],
)
def test_instants_are_read_leniently_and_written_in_utc(text: str, wire: str) -> None:
    assert at(text).wire() == wire
    assert at(at(text).wire()) == at(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2025-13-01", "2025-02-30", "0001-01-01T00:00:00+14:00", "2025-01-01T24:00:00Z"),
        *("2025-01-01T00:00:020Z", "2025-01-01T00:00:00Z\0", "2025-01-01x00:00", "2025-01-01T00:00:00.123456１Z"),
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        at(text)


def test_stamps_sort_as_the_instants_do() -> None:
    texts = ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00.000001Z", "2025-01-01T00:00:00.001Z", "2025-01-01T00:00:01Z"]
    instants = [Instant.parse(text) for text in texts]
    assert sorted(each.stamp() for each in instants) == [each.stamp() for each in instants]
    assert instants[0].stamp() == "2025-01-01T00:00:00.000000Z"


CHARGE = (
    '"accountId":"00000000-0000-4000-8000-000000000000","code":"set_up","name":"Set-up","currency":"USD","entityType":"AD_HOC","lineItemType":"AD_HOC",'
    '"servicePeriodStartDate":"2025-01-01T00:00:00Z","servicePeriodEndDate":"9999-12-31T00:00:00Z","amount":1'
)


@pytest.mark.parametrize(
    ("of", "text", "says"),
    [
        (BillConfig, '{"billLockDate":"9999-12-31"}', "billLockDate: must be a day of the years up to 2261"),
        (BillConfig, '{"billLockDate":"2262-01-01"}', "billLockDate: must be a day of the years up to 2261"),
        (BillConfig, '{"billLockDate":"2261-12-31"}', None),
        (BillConfig, '{"billLockDate":"0001-01-01"}', None),
        (Charge, f'{{"billDate":"9999-12-31",{CHARGE}}}', "billDate: must be a day of the years 1970 to 2261"),
        (Charge, f"{{{CHARGE}}}", "servicePeriodEndDate: must be a day of the years 1970 to 2261"),
        (Charge, f'{{"billDate":"2261-12-31",{CHARGE}}}', None),
    ],
)
def test_a_day_that_no_bill_can_be_made_for_is_refused(of: type[Value], text: str, says: str | None) -> None:
    """One such charge or lock date made every bill of the organisation fail, after minutes."""
    if says is None:
        assert wire.decode(of, text)
    else:
        with pytest.raises(msgspec.ValidationError, match=says):
            wire.decode(of, text)
