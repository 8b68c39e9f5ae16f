"""When exports run and which usage they have, as tables; dates were counted on a calendar."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effort import drawing
from tallystick.core.export_clock import (
    ScheduleType,
    TimePeriod,
    covered,
    due_without_gap,
    latest_due,
    next_due,
    require_cron,
)
from tallystick.core.period import Instant

WEDNESDAY = Instant.parse("2024-06-12T10:20:30Z")


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (TimePeriod.TODAY, "2024-06-12", "2024-06-12T10:20:30Z"),
        (TimePeriod.YESTERDAY, "2024-06-11", "2024-06-12"),
        (TimePeriod.WEEK_TO_DATE, "2024-06-10", "2024-06-12T10:20:30Z"),
        (TimePeriod.MONTH_TO_DATE, "2024-06-01", "2024-06-12T10:20:30Z"),
        (TimePeriod.YEAR_TO_DATE, "2024-01-01", "2024-06-12T10:20:30Z"),
        (TimePeriod.PREVIOUS_WEEK, "2024-06-03", "2024-06-10"),
        (TimePeriod.PREVIOUS_MONTH, "2024-05-01", "2024-06-01"),
        (TimePeriod.PREVIOUS_QUARTER, "2024-01-01", "2024-04-01"),
        (TimePeriod.PREVIOUS_YEAR, "2023-01-01", "2024-01-01"),
        (TimePeriod.LAST_12_HOURS, "2024-06-11T22:00:00Z", "2024-06-12T10:00:00Z"),
        (TimePeriod.LAST_7_DAYS, "2024-06-05", "2024-06-12"),
        (TimePeriod.LAST_30_DAYS, "2024-05-13", "2024-06-12"),
        (TimePeriod.LAST_35_DAYS, "2024-05-08", "2024-06-12"),
        (TimePeriod.LAST_90_DAYS, "2024-03-14", "2024-06-12"),
        (TimePeriod.LAST_120_DAYS, "2024-02-13", "2024-06-12"),
        (TimePeriod.LAST_YEAR, "2023-06-12", "2024-06-12"),
    ],
)
def test_the_usage_that_a_scheduled_export_has(period: TimePeriod, start: str, end: str) -> None:
    assert covered(period, WEDNESDAY) == (Instant.parse(start), Instant.parse(end))


def test_every_time_period_has_its_days() -> None:
    leap_day = Instant.parse("2024-02-29T00:00:00Z")
    for period in TimePeriod:
        assert covered(period, leap_day).start <= covered(period, leap_day).end <= leap_day
    assert covered(TimePeriod.LAST_YEAR, leap_day).start == Instant.parse("2023-03-01")


@pytest.mark.parametrize(
    ("kind", "period", "offset", "cron", "latest", "following"),
    [
        (ScheduleType.DAY, 1, 0, None, "2024-06-12T00:00:00Z", "2024-06-13T00:00:00Z"),
        (ScheduleType.DAY, 1, 6, None, "2024-06-12T06:00:00Z", "2024-06-13T06:00:00Z"),
        (ScheduleType.DAY, 1, 11, None, "2024-06-11T11:00:00Z", "2024-06-12T11:00:00Z"),
        (ScheduleType.HOUR, 1, 15, None, "2024-06-12T10:15:00Z", "2024-06-12T11:15:00Z"),
        (ScheduleType.HOUR, 6, 0, None, "2024-06-12T06:00:00Z", "2024-06-12T12:00:00Z"),
        (ScheduleType.MINUTE, 15, 0, None, "2024-06-12T10:15:00Z", "2024-06-12T10:30:00Z"),
        (ScheduleType.DAY, 1, 0, "0 7 * * *", "2024-06-12T07:00:00Z", "2024-06-13T07:00:00Z"),
        (ScheduleType.DAY, 1, 0, "20 10 * * *", "2024-06-12T10:20:00Z", "2024-06-13T10:20:00Z"),
        (ScheduleType.DAY, 1, 0, "30 6 1 * *", "2024-06-01T06:30:00Z", "2024-07-01T06:30:00Z"),
        (ScheduleType.DAY, 1, 0, "0 8 * * MON", "2024-06-10T08:00:00Z", "2024-06-17T08:00:00Z"),
    ],
)
def test_what_is_due(
    kind: ScheduleType, period: int, offset: int, cron: str | None, latest: str, following: str
) -> None:
    long_ago = Instant.parse("2024-01-01")
    due = latest_due(kind, period, offset, cron, after=long_ago, now=WEDNESDAY)
    assert due == Instant.parse(latest)
    assert latest_due(kind, period, offset, cron, after=due, now=WEDNESDAY) is None, "it is due once"
    assert next_due(kind, period, offset, cron, now=WEDNESDAY) == Instant.parse(following)


@pytest.mark.parametrize("cron", [None, "*/15 * * * *", "0 3,9 * * 1-5", "45 23 L * *"])
@given(minutes=st.integers(min_value=0, max_value=2_000_000))
def test_what_is_due_next_is_what_was_due_last_once_it_has_come(cron: str | None, minutes: int) -> None:
    now = Instant.of(Instant.parse("2021-01-01") + timedelta(minutes=minutes, seconds=minutes % 60))
    following = next_due(ScheduleType.HOUR, 2, 5, cron, now=now)
    assert following is not None
    assert following > now
    assert latest_due(ScheduleType.HOUR, 2, 5, cron, after=now, now=following) == following
    assert (
        latest_due(ScheduleType.HOUR, 2, 5, cron, after=now, now=Instant.of(following - timedelta(seconds=1))) is None
    )


HOURLY, DAILY = (ScheduleType.HOUR, 1, 0), (ScheduleType.DAY, 1, 0)


def made_up_for(
    period: TimePeriod, timing: tuple[ScheduleType, int, int], cron: str | None, last: str, now: str
) -> list[str]:
    """The exports that are made one after the other, the last of them having been due at a moment."""
    found, due = list[str](), Instant.parse(last)
    while True:
        covered_to, after = covered(period, due).end, due

        def due_by(moment: Instant, after: Instant = after) -> Instant | None:
            return latest_due(*timing, cron, after=after, now=moment)

        latest = due_by(Instant.parse(now))
        if latest is None:
            return found
        due = due_without_gap(period, covered_to, due_by, after=after, latest=latest)
        assert after < due <= latest
        found.append(due.wire()[5:16])


@pytest.mark.parametrize(
    ("period", "timing", "cron", "now", "wanted"),
    [
        # Away from Tuesday to Friday, 5 January 2024: each day has its own export.
        ("YESTERDAY", DAILY, None, "2024-01-05T09:00:00Z", ["01-03T00:00", "01-04T00:00", "01-05T00:00"]),
        ("YESTERDAY", DAILY, None, "2024-01-02T09:00:00Z", []),
        ("YESTERDAY", DAILY, None, "2024-01-03T00:00:00Z", ["01-03T00:00"]),
        # All that was missed is in the last one.
        ("LAST_7_DAYS", DAILY, None, "2024-01-05T09:00:00Z", ["01-05T00:00"]),
        ("MONTH_TO_DATE", DAILY, None, "2024-01-30T09:00:00Z", ["01-30T00:00"]),
        # Seven days back from 9 January reach to the second, where the last one ended; the rest is another one.
        ("LAST_7_DAYS", DAILY, None, "2024-01-12T09:00:00Z", ["01-09T00:00", "01-12T00:00"]),
        ("PREVIOUS_MONTH", DAILY, None, "2024-03-12T09:00:00Z", ["02-29T00:00", "03-12T00:00"]),
        ("LAST_12_HOURS", HOURLY, None, "2024-01-03T03:30:00Z", ["01-02T12:00", "01-03T00:00", "01-03T03:00"]),
        # The schedule leaves gaps by itself: each of its exports is made.
        ("LAST_12_HOURS", DAILY, None, "2024-01-04T03:30:00Z", ["01-03T00:00", "01-04T00:00"]),
        (
            "YESTERDAY",
            DAILY,
            "30 6 * * MON-FRI",
            "2024-01-05T09:00:00Z",
            ["01-03T06:30", "01-04T06:30", "01-05T06:30"],
        ),
    ],
)
def test_what_was_missed_is_made_up_for_without_a_gap(
    period: str, timing: tuple[ScheduleType, int, int], cron: str | None, now: str, wanted: list[str]
) -> None:
    assert made_up_for(TimePeriod(period), timing, cron, "2024-01-02T00:00:00Z", now) == wanted


@settings(**drawing(40))
@given(
    st.sampled_from(TimePeriod),
    st.sampled_from([None, "*/15 * * * *", "0 3,9 * * 1-5"]),
    st.integers(0, 3_000),
    st.integers(1, 6 * 24 * 60),
)
def test_no_usage_is_missing_that_a_server_which_was_never_away_would_have_exported(
    period: TimePeriod, cron: str | None, start: int, away: int
) -> None:
    timing = (ScheduleType.HOUR, 6, 5)
    first = Instant.parse("2024-02-20") + timedelta(minutes=start)
    last = latest_due(*timing, cron, after=Instant.parse("2024-01-01"), now=Instant.of(first))
    assert last is not None
    now = Instant.of(last + timedelta(minutes=away))
    dues, at = list[Instant](), last
    while (at := next_due(*timing, cron, now=at) or now) <= now:
        dues.append(at)
    made = made_up_for(period, timing, cron, last.wire(), now.wire())
    by_name = {each.wire()[5:16]: each for each in dues}
    have = [covered(period, last), *(covered(period, by_name[each]) for each in made)]
    for due in dues:
        wanted = covered(period, due)
        at_ = wanted.start
        for each in sorted(have):
            if each.start <= at_ < each.end:
                at_ = each.end
        assert at_ >= wanted.end
    assert len(made) <= len(dues)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("* * * * *", "at most every 15 minutes"),
        ("*/10 * * * *", "at most every 15 minutes"),
        ("0,50 * * * *", "at most every 15 minutes"),
        ("0 0 0 1 1 *", "five fields"),
        ("0 25 * * *", "Bad hour"),
        ("every day", "five fields"),
        ("0 0 31 2 *", "Bad day-of-month"),
        ("", "five fields"),
    ],
)
def test_expressions_that_are_refused(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        require_cron(expression)


@pytest.mark.parametrize("expression", ["*/15 * * * *", "0 0 * * *", "7,22,37,52 9-17 * * MON-FRI", "0 0 29 2 *"])
def test_expressions_that_are_taken(expression: str) -> None:
    require_cron(expression)
