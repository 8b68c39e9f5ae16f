"""The grid of billing periods: anchored at its epoch, laid in a time zone, without gap or overlap."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.period import Frequency, Grid, Instant, Period, day_share, day_start, local_day, local_days

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Havana",
    "Pacific/Apia", "Pacific/Kwajalein", "Asia/Kathmandu", "Asia/Beirut", "Africa/Cairo", "Australia/Lord_Howe",
]  # fmt: skip
DAILY, WEEKLY, MONTHLY, ANNUALLY = Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY, Frequency.ANNUALLY
at = Instant.parse


def grid(frequency: Frequency, epoch: str, *, interval: int = 1, zone: str = "UTC") -> Grid:
    return Grid(frequency=frequency, interval=interval, epoch=date.fromisoformat(epoch), zone=zone)


@pytest.mark.parametrize(
    ("laid", "first", "starts"),
    [
        (grid(DAILY, "2022-01-01"), -1, "2021-12-31 2022-01-01 2022-01-02"),
        (grid(DAILY, "2024-02-27", interval=2), 0, "2024-02-27 2024-02-29 2024-03-02"),
        (grid(WEEKLY, "2022-01-04"), -1, "2021-12-28 2022-01-04 2022-01-11"),
        (grid(WEEKLY, "2022-01-04", interval=2), 1, "2022-01-18 2022-02-01"),
        (grid(MONTHLY, "2022-02-15"), 0, "2022-02-15 2022-03-15 2022-04-15"),
        # The 31st: each month is counted from the epoch, so that a short one does not pull the later ones along.
        (grid(MONTHLY, "2023-01-31"), 0, "2023-01-31 2023-02-28 2023-03-31 2023-04-30 2023-05-31"),
        (grid(MONTHLY, "2024-01-31"), 0, "2024-01-31 2024-02-29 2024-03-31"),
        (grid(MONTHLY, "2024-01-30"), 1, "2024-02-29 2024-03-30"),
        (grid(MONTHLY, "2024-03-31"), -3, "2023-12-31 2024-01-31 2024-02-29 2024-03-31"),
        (grid(MONTHLY, "2022-01-01", interval=3), -1, "2021-10-01 2022-01-01 2022-04-01 2022-07-01"),
        (grid(MONTHLY, "2023-11-30", interval=3), 0, "2023-11-30 2024-02-29 2024-05-30"),
        (grid(ANNUALLY, "2024-02-29"), 0, "2024-02-29 2025-02-28 2026-02-28 2027-02-28 2028-02-29"),
        (grid(ANNUALLY, "2022-07-01", interval=2), -1, "2020-07-01 2022-07-01 2024-07-01"),
    ],
)
def test_periods_start_on_these_days(laid: Grid, first: int, starts: str) -> None:
    days = [date.fromisoformat(day) for day in starts.split()]
    assert [laid.first_day(number) for number in range(first, first + len(days))] == days
    for number, (day, following) in enumerate(pairwise(days), start=first):
        period = laid.period(number)
        assert local_days(period, "UTC") == (day, following - timedelta(days=1))
        assert laid.period_of_day(day) == laid.period_of_day(following - timedelta(days=1)) == period
        assert laid.period_ending_on(following - timedelta(days=1)) == period
        assert laid.index_of(period.start) == laid.index_of(Instant.of(period.end - timedelta.resolution)) == number


@pytest.mark.parametrize(
    ("laid", "instant", "start", "end"),
    [
        (grid(MONTHLY, "2022-01-01", zone="Europe/Berlin"), "2025-03-31T21:59:59Z", "2025-02-28T23", "2025-03-31T22"),
        (grid(MONTHLY, "2022-01-01", zone="Europe/Berlin"), "2025-03-31T22:00:00Z", "2025-03-31T22", "2025-04-30T22"),
        # A day of 23 hours, one of 25, and one whose midnight was skipped.
        (grid(DAILY, "2022-01-01", zone="Europe/Berlin"), "2025-03-30T12:00:00Z", "2025-03-29T23", "2025-03-30T22"),
        (grid(DAILY, "2022-01-01", zone="Europe/Berlin"), "2025-10-26T12:00:00Z", "2025-10-25T22", "2025-10-26T23"),
        (grid(DAILY, "2022-01-01", zone="Asia/Beirut"), "2021-03-28T12:00:00Z", "2021-03-27T22", "2021-03-28T21"),
        (grid(WEEKLY, "2011-12-27", zone="Pacific/Apia"), "2011-12-30T11:00:00Z", "2011-12-27T10", "2012-01-02T10"),
    ],
)
def test_periods_are_laid_in_the_time_zone(laid: Grid, instant: str, start: str, end: str) -> None:
    assert laid.period_at(at(instant)) == Period(at(start), at(end))


def test_no_period_ends_in_the_middle_of_one() -> None:
    months = grid(MONTHLY, "2022-01-01")
    assert months.period_ending_on(date(2025, 1, 30)) is None
    assert months.period_ending_on(date(2025, 1, 31)) == Period(at("2025-01-01"), at("2025-02-01"))


def test_the_neighbours_of_a_period() -> None:
    months = grid(MONTHLY, "2024-01-31")
    february = Period(at("2024-02-29"), at("2024-03-31"))
    assert months.next(february) == Period(at("2024-03-31"), at("2024-04-30"))
    assert months.previous(february) == Period(at("2024-01-31"), at("2024-02-29"))
    with pytest.raises(AssertionError, match="is not a period of"):
        months.next(Period(at("2024-02-28"), at("2024-03-31")))


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2025-01-01", "2025-03-01", "2025-01 2025-02"),
        ("2025-01-31T23:59:59.999999Z", "2025-03-01T00:00:00.000001Z", "2025-01 2025-02 2025-03"),
        ("2025-01-10", "2025-01-11", "2025-01"),
        ("2025-01-10", "2025-01-10", ""),
        ("2025-01-11", "2025-01-10", ""),
        ("2021-12-31", "2022-01-02", "2021-12 2022-01"),
    ],
)
def test_the_periods_between_two_instants(start: str, end: str, months: str) -> None:
    periods = grid(MONTHLY, "2022-01-01").between(at(start), at(end))
    assert " ".join(period.start.strftime("%Y-%m") for period in periods) == months


def test_a_day_that_a_zone_skipped_is_an_empty_period_that_nothing_answers_with() -> None:
    days = grid(DAILY, "2022-01-01", zone="Pacific/Apia")
    skipped = days.period_of_day(date(2011, 12, 30))
    assert skipped.start == skipped.end
    before, after = days.period_of_day(date(2011, 12, 29)), days.period_of_day(date(2011, 12, 31))
    assert (days.next(before), days.previous(after)) == (after, before)
    assert list(days.between(before.start, after.end)) == [before, after]
    assert days.period_at(skipped.start) == after


@pytest.mark.parametrize("frequency", [Frequency.AD_HOC, Frequency.MIXED])
def test_some_frequencies_have_no_grid(frequency: Frequency) -> None:
    with pytest.raises(ValueError, match="has no grid of billing periods"):
        grid(frequency, "2022-01-01")


def test_a_grid_wants_an_interval_and_a_zone() -> None:
    with pytest.raises(ValueError, match="interval: must be 1 or more"):
        grid(DAILY, "2022-01-01", interval=0)
    with pytest.raises(ValueError, match="unknown time zone"):
        grid(DAILY, "2022-01-01", zone="Nowhere")


@pytest.mark.parametrize("number", [-(10**9), -30_000, 100_000, 10**9, 10**30])
@pytest.mark.parametrize("frequency", [DAILY, WEEKLY, MONTHLY, ANNUALLY])
def test_the_grid_ends_with_the_calendar(frequency: Frequency, number: int) -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        grid(frequency, "2022-01-01", interval=365).period(number)


GRIDS = st.builds(
    Grid,
    frequency=st.sampled_from([DAILY, WEEKLY, MONTHLY, ANNUALLY]),
    interval=st.integers(1, 13),
    epoch=st.dates(date(1990, 1, 1), date(2030, 12, 31)),
    zone=st.sampled_from(ZONES),
)
INSTANTS = st.integers(-10 * 366 * 86_400, 110 * 365 * 86_400).map(
    lambda seconds: Instant.of(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
)


@given(laid=GRIDS, number=st.integers(-60, 60))
@settings(max_examples=100, deadline=None)
def test_periods_tile_time(laid: Grid, number: int) -> None:
    periods = [laid.period(index) for index in range(number, number + 8)]
    assert all(left.end == right.start for left, right in pairwise(periods))
    assert all(period.start <= period.end for period in periods)
    real = [period for period in periods if period.start < period.end]
    assert list(laid.between(periods[0].start, periods[-1].end)) == real
    assert [laid.next(left) for left, _ in pairwise(real)] == real[1:]
    assert [laid.previous(right) for _, right in pairwise(real)] == real[:-1]


@given(laid=GRIDS, instant=INSTANTS)
@settings(max_examples=100, deadline=None)
def test_the_period_at_an_instant_contains_it(laid: Grid, instant: Instant) -> None:
    period = laid.period_at(instant)
    assert period.start <= instant < period.end
    assert laid.period(laid.index_of(instant)) == period
    assert laid.period_of_day(local_day(instant, laid.zone)) == period
    assert laid.index_of_day(laid.first_day(laid.index_of(instant))) == laid.index_of(instant)


@given(laid=GRIDS, instant=INSTANTS)
@settings(max_examples=60, deadline=None)
def test_a_period_ends_on_the_day_before_the_next_starts(laid: Grid, instant: Instant) -> None:
    number = laid.index_of(instant)
    last_day = laid.first_day(number + 1) - timedelta(days=1)
    assert laid.period_ending_on(last_day) == laid.period(number)
    assert laid.period(number).end == day_start(last_day + timedelta(days=1), laid.zone)


@given(laid=GRIDS, instants=st.tuples(INSTANTS, INSTANTS))
@settings(max_examples=60, deadline=None)
def test_the_days_of_the_periods_of_a_plan_add_up_to_the_days_of_the_plan(
    laid: Grid, instants: tuple[Instant, Instant]
) -> None:
    start = min(instants)
    end = min(max(instants), Instant.of(start + timedelta(days=4000)))
    if start == end:
        return
    plan = Period(start, end)
    parts = [Period(max(period.start, start), min(period.end, end)) for period in laid.between(start, end)]
    days = [day_share(part, laid.period_at(part.start), laid.zone)[0] for part in parts]
    assert sum(days) == day_share(plan, plan, laid.zone)[0]
