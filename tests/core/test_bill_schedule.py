"""What the clock makes due: slots of bill runs, the periods they bill, and the end of grace periods."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import at
from tallystick.core.bill import Bill, BillStatus
from tallystick.core.bill_schedule import Slot, approved_from, due_slot, job_id_of, periods_of
from tallystick.core.organization import BILL_INTERVALS, GracePeriodUnit, OrganizationConfig
from tallystick.core.period import Frequency, Grid, Instant


def config(hours: str | None, offset: int | None = None, zone: str = "UTC") -> OrganizationConfig:
    interval = None if hours is None else Decimal(hours)
    return OrganizationConfig(scheduled_bill_interval=interval, scheduled_bill_offset=offset, timezone=zone)


@pytest.mark.parametrize(
    ("hours", "offset", "zone", "now", "slot"),
    [
        (None, None, "UTC", "2025-03-10T10:07:00Z", None),
        ("0", None, "UTC", "2025-03-10T10:07:00Z", None),
        ("0.25", None, "UTC", "2025-03-10T10:07:00Z", "2025-03-10T10:00:00Z"),
        ("0.25", None, "UTC", "2025-03-10T10:15:00Z", "2025-03-10T10:15:00Z"),
        ("6", None, "UTC", "2025-03-10T10:07:00Z", "2025-03-10T06:00:00Z"),
        ("24", None, "UTC", "2025-03-10T10:07:00Z", "2025-03-10T00:00:00Z"),
        ("24", 5, "UTC", "2025-03-10T04:59:00Z", "2025-03-09T05:00:00Z"),
        ("24", 5, "UTC", "2025-03-10T05:00:00Z", "2025-03-10T05:00:00Z"),
        ("24", 5, "America/New_York", "2025-03-10T10:07:00Z", "2025-03-10T09:00:00Z"),  # summer time since the 9th
        ("24", 5, "America/New_York", "2025-03-08T10:07:00Z", "2025-03-08T10:00:00Z"),
        ("12", None, "Asia/Kolkata", "2025-03-10T10:07:00Z", "2025-03-10T06:30:00Z"),
    ],
)
def test_the_latest_slot_that_has_begun_is_due(
    hours: str | None, offset: int | None, zone: str, now: str, slot: str | None
) -> None:
    found = due_slot(config(hours, offset, zone), None, at(now))
    assert (found and found.at) == (slot and at(slot))


def test_a_slot_is_due_once_and_missed_ones_are_made_up_for_by_one() -> None:
    every_hour = config("1")
    assert due_slot(every_hour, at("2025-03-10T10:00:00Z"), at("2025-03-10T10:59:00Z")) is None
    found = due_slot(every_hour, at("2025-03-10T07:00:00Z"), at("2025-03-10T10:59:00Z"))
    assert found == Slot(at=at("2025-03-10T10:00:00Z"), after=at("2025-03-10T07:00:00Z"))


def test_the_job_of_a_slot_has_the_same_id_for_everyone() -> None:
    slot = Slot(at=at("2025-03-10"), after=at("2025-03-09"))
    assert job_id_of("a", slot) == job_id_of("a", msgspec.structs.replace(slot, after=at("2025-03-01")))
    assert job_id_of("a", slot) != job_id_of("b", slot)


@pytest.mark.parametrize(
    ("slot", "after", "ends"),
    [
        ("2025-11-01T00:00:00Z", "2025-10-31T00:00:00Z", ["2025-11-01"]),
        ("2025-11-02T00:00:00Z", "2025-11-01T00:00:00Z", ["2025-11-01"]),  # what arrived until the end of 1 November
        ("2025-11-03T00:00:00Z", "2025-11-02T00:00:00Z", []),
        ("2025-11-02T05:00:00Z", "2025-11-01T05:00:00Z", ["2025-11-01"]),
        ("2025-11-20T00:00:00Z", "2025-08-20T00:00:00Z", ["2025-11-01", "2025-10-01", "2025-09-01"]),
    ],
)
def test_a_slot_bills_what_has_ended_and_refreshes_it_for_a_day(slot: str, after: str, ends: list[str]) -> None:
    grid = Grid(frequency=Frequency.MONTHLY, epoch=date(2025, 1, 1))
    found = periods_of(grid, Slot(at=at(slot), after=at(after)))
    assert [period.end for period in found] == [at(end) for end in ends]


@given(
    hours=st.sampled_from(BILL_INTERVALS[1:]),
    offset=st.integers(0, 23),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]),
    start=st.datetimes(at("2024-01-01").replace(tzinfo=None), at("2025-12-01").replace(tzinfo=None)),
    steps=st.lists(st.integers(1, 3000), min_size=2, max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_however_the_clock_is_looked_at_every_period_is_billed_and_refreshed(
    hours: Decimal, offset: int, zone: str, start: Instant, steps: list[int]
) -> None:
    """Whatever minutes pass between two looks: no period that ends in between is left out, and each is made again at
    the first run that is 24 hours or more after its end."""
    scheduled = config(str(hours), offset if hours == 24 else None, zone)
    grid = Grid(frequency=Frequency.DAILY, epoch=date(2024, 1, 1), zone=zone)
    now, last = Instant.of(start), None
    runs: list[Slot] = []
    for minutes in steps:
        now = Instant.of(now + timedelta(minutes=minutes))
        slot = due_slot(scheduled, last, now)
        if slot is not None:
            assert slot.after < slot.at <= now
            runs.append(slot)
            last = slot.at
    for earlier, later in pairwise(runs):
        assert later.after == earlier.at
    for run in runs[1:]:
        for period in grid.between(runs[0].at, run.at):
            if runs[0].at < period.end <= run.at:
                having = [each for each in runs if period in periods_of(grid, each)]
                assert having, "a period was left out"
                late = [each for each in runs if each.at >= period.end + timedelta(hours=24)]
                assert not late or late[0] in having, "a period was not refreshed"


def a_bill(**changes: object) -> Bill:
    moment = at("2025-11-01T00:05:00Z")
    bill = Bill(
        id="b",
        version=1,
        account_id="a",
        account_code="a",
        status=BillStatus.PENDING,
        locked=False,
        start_date=date(2025, 10, 1),
        end_date=date(2025, 11, 1),
        start_date_time_utc=at("2025-10-01"),
        end_date_time_utc=at("2025-11-01"),
        bill_date=date(2025, 11, 1),
        due_date=date(2025, 12, 1),
        external_invoice_date=date(2025, 11, 1),
        billing_frequency=Frequency.MONTHLY,
        bill_frequency_interval=1,
        timezone="Europe/Berlin",
        currency="EUR",
        currency_conversions=(),
        bill_total=Decimal(0),
        line_items=(),
        bill_job_id="",
        json_statement_generated=False,
        csv_statement_generated=False,
        statement_stale=False,
        created_date=moment,
        last_calculated_date=moment,
        dt_created=moment,
        dt_last_modified=moment,
        created_by="x",
        last_modified_by="x",
    )
    return msgspec.structs.replace(bill, **changes)


@pytest.mark.parametrize(
    ("grace", "unit", "changes", "moment"),
    [
        (30, GracePeriodUnit.MINUTES, {}, "2025-10-31T23:30:00Z"),
        (36, GracePeriodUnit.HOURS, {}, "2025-11-02T11:00:00Z"),
        (2, GracePeriodUnit.DAYS, {}, "2025-11-02T23:00:00Z"),
        (2, GracePeriodUnit.DAYS, {"bill_date": date(2026, 3, 28)}, "2026-03-29T22:00:00Z"),  # a day of 23 hours
        (1, GracePeriodUnit.HOURS, {"dt_last_modified": at("2025-11-09T12:00:00Z")}, "2025-11-09T13:00:00Z"),
        (1, GracePeriodUnit.DAYS, {"dt_last_modified": at("2025-11-09T12:00:00Z")}, "2025-11-09T23:00:00Z"),
        (1, GracePeriodUnit.DAYS, {"status": BillStatus.APPROVED}, None),
        (1, GracePeriodUnit.DAYS, {"status": BillStatus.APPROVED, "locked": True}, None),
        (None, None, {}, None),
    ],
)
def test_the_grace_period_counts_from_the_bill_date(
    grace: int | None, unit: GracePeriodUnit | None, changes: dict[str, object], moment: str | None
) -> None:
    approving = OrganizationConfig(auto_approve_bills_grace_period=grace, auto_approve_bills_grace_period_unit=unit)
    assert approved_from(approving, a_bill(**changes)) == (moment and at(moment))
