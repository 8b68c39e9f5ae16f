"""When schedules of a balance run, told as dates: worked out on a calendar by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core import wire
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency, Instant, intersect, stretch
from tallystick.core.schedule import (
    charge_periods,
    charge_run,
    run_id,
    scheduled_charge,
    scheduled_entry,
    transaction_runs,
)
from tallystick.core.schedule_types import ChargeSchedule, TransactionSchedule

ID = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
NOW = Instant.parse("2025-07-01T00:00:00Z")


def transactions(start: str, end: str, frequency: str = "MONTHLY", interval: int = 1) -> TransactionSchedule:
    return TransactionSchedule(
        balance_id=ID,
        name="Credit",
        code="credit",
        amount=Decimal(20),
        transaction_type_id=OTHER,
        transaction_description="Credit of the month",
        frequency=Frequency(frequency),
        frequency_interval=interval,
        start_date=Instant.parse(start),
        end_date=Instant.parse(end),
        paid=Decimal(18),
        currency_paid="EUR",
    )


def charges(start: str, end: str, frequency: str = "MONTHLY", interval: int = 1, **more: Any) -> ChargeSchedule:
    fields: dict[str, Any] = {"bill_in_advance": False, "units": Decimal(2), "unit_price": Decimal("1.5"), **more}
    return ChargeSchedule(
        balance_id=ID,
        name="Fee",
        code="fee",
        currency="USD",
        charge_description="For keeping it",
        bill_frequency=Frequency(frequency),
        bill_frequency_interval=interval,
        service_period_start_date=Instant.parse(start),
        service_period_end_date=Instant.parse(end),
        **fields,
    )


BALANCE = Entity(
    id=ID,
    version=1,
    value=Balance(
        account_id=OTHER,
        code="wallet",
        name="Wallet",
        currency="USD",
        start_date=Instant.parse("2025-01-01"),
        end_date=Instant.parse("2026-01-01"),
        fees_accounting_product_id=OTHER,
    ),
    created=NOW,
    created_by="someone",
    modified=NOW,
    modified_by="someone",
)


RUNS: tuple[tuple[str, TransactionSchedule, str, list[str]], ...] = (
    (
        "the last of short months",
        transactions("2024-01-31T00:00:00Z", "2024-05-01"),
        "UTC",
        ["2024-01-31T00:00", "2024-02-29T00:00", "2024-03-31T00:00", "2024-04-30T00:00"],
    ),
    (
        "the end is exclusive",
        transactions("2025-01-01T09:30:00Z", "2025-03-01T09:30:00Z"),
        "UTC",
        ["2025-01-01T09:30", "2025-02-01T09:30"],
    ),
    (
        "nine in the morning, summer and winter",
        transactions("2025-03-29T08:00:00Z", "2025-04-01", "DAILY"),
        "Europe/Berlin",
        ["2025-03-29T08:00", "2025-03-30T07:00", "2025-03-31T07:00"],
    ),
    (
        "half past two where the clocks skip it is half past three",
        transactions("2025-03-29T01:30:00Z", "2025-04-01", "DAILY"),
        "Europe/Berlin",
        ["2025-03-29T01:30", "2025-03-30T01:30", "2025-03-31T00:30"],
    ),
    (
        "every second week",
        transactions("2025-01-06T00:00:00Z", "2025-02-04", "WEEKLY", 2),
        "UTC",
        ["2025-01-06T00:00", "2025-01-20T00:00", "2025-02-03T00:00"],
    ),
    (
        "leap days",
        transactions("2024-02-29T00:00:00Z", "2028-03-01", "ANNUALLY"),
        "UTC",
        ["2024-02-29T00:00", "2025-02-28T00:00", "2026-02-28T00:00", "2027-02-28T00:00", "2028-02-29T00:00"],
    ),
    (
        "midnight UTC seen from New York is the evening before",
        transactions("2025-01-01T00:00:00Z", "2025-03-02", "MONTHLY"),
        "America/New_York",
        ["2025-01-01T00:00", "2025-02-01T00:00", "2025-03-01T00:00"],
    ),
)


@pytest.mark.parametrize(("schedule", "zone", "runs"), [row[1:] for row in RUNS], ids=[row[0] for row in RUNS])
def test_a_transaction_schedule_runs_at(schedule: TransactionSchedule, zone: str, runs: list[str]) -> None:
    found = list(transaction_runs(schedule, zone))
    assert [run.wire()[:16] for run in found] == runs
    for number, run in enumerate(found):
        assert list(transaction_runs(schedule, zone, after=run)) == found[number + 1 :]


SERVED: tuple[tuple[str, ChargeSchedule, list[tuple[str, str, str, date]]], ...] = (
    (
        "in arrears, first and last period cut",
        charges("2025-01-10", "2025-03-15", bill_epoch=date(2025, 1, 1)),
        [
            ("2025-01-10", "2025-02-01", "2025-02-01", date(2025, 1, 31)),
            ("2025-02-01", "2025-03-01", "2025-03-01", date(2025, 2, 28)),
            ("2025-03-01", "2025-03-15", "2025-03-15", date(2025, 3, 14)),
        ],
    ),
    (
        "in advance, by the organisation's quarter",
        charges("2025-02-01", "2025-08-01", "MONTHLY", 3, bill_in_advance=True),
        [
            ("2025-02-01", "2025-04-01", "2025-02-01", date(2025, 2, 1)),
            ("2025-04-01", "2025-07-01", "2025-04-01", date(2025, 4, 1)),
            ("2025-07-01", "2025-08-01", "2025-07-01", date(2025, 7, 1)),
        ],
    ),
    (
        "weeks from the organisation's Tuesday",
        charges("2025-01-07", "2025-01-21", "WEEKLY"),
        [
            ("2025-01-07", "2025-01-14", "2025-01-14", date(2025, 1, 13)),
            ("2025-01-14", "2025-01-21", "2025-01-21", date(2025, 1, 20)),
        ],
    ),
)


@pytest.mark.parametrize(("schedule", "served"), [row[1:] for row in SERVED], ids=[row[0] for row in SERVED])
def test_a_charge_schedule_charges_for(schedule: ChargeSchedule, served: list[tuple[str, str, str, date]]) -> None:
    config = OrganizationConfig()
    found = list(charge_periods(schedule, config))
    shown = [
        (
            period.start.wire()[:10],
            period.end.wire()[:10],
            charge_run(schedule, period).wire()[:10],
            scheduled_charge(ID, schedule, BALANCE, period, "UTC").bill_date,
        )
        for period in found
    ]
    assert shown == served
    for number, period in enumerate(found):
        assert list(charge_periods(schedule, config, after=charge_run(schedule, period))) == found[number + 1 :]


def test_what_a_run_makes_says_what_it_is_for() -> None:
    schedule = transactions("2025-01-01T00:00:00Z", "2025-12-01")
    run = Instant.parse("2025-03-01")
    entry = scheduled_entry(OTHER, schedule, BALANCE, run, NOW)
    assert entry.id == run_id(OTHER, run)
    assert (entry.credit_id, entry.account_id, entry.amount, entry.currency) == (ID, OTHER, Decimal(20), "USD")
    assert (entry.entity_type, entry.entity_id, entry.applied_date, entry.created) == ("SCHEDULER", OTHER, run, NOW)
    assert (entry.paid, entry.currency_paid, entry.description) == (Decimal(18), "EUR", "Credit of the month")
    period = next(charge_periods(charges("2025-01-01", "2025-02-01"), OrganizationConfig()))
    charge = scheduled_charge(OTHER, charges("2025-01-01", "2025-02-01"), BALANCE, period, "UTC")
    assert (charge.entity_type, charge.line_item_type, charge.entity_id) == ("BALANCE", "BALANCE_FEE", ID)
    assert (charge.units, charge.unit_price, charge.amount) == (Decimal(2), Decimal("1.5"), None)
    assert (charge.schedule_id, charge.accounting_product_id) == (OTHER, OTHER)


@settings(max_examples=60, deadline=None)
@given(
    start=st.datetimes(
        min_value=Instant(2020, 1, 1).replace(tzinfo=None), max_value=Instant(2030, 1, 1).replace(tzinfo=None)
    ),
    days=st.integers(1, 900),
    frequency=st.sampled_from(["WEEKLY", "MONTHLY", "ANNUALLY"]),
    interval=st.integers(1, 5),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "Asia/Kolkata"]),
)
def test_charges_cover_the_service_without_gap_or_overlap(
    start: Any, days: int, frequency: str, interval: int, zone: str
) -> None:
    begin = Instant.of(start)
    end = Instant.of(begin.fromtimestamp(begin.timestamp() + days * 86400, tz=begin.tzinfo))
    schedule = charges(begin.wire(), end.wire(), frequency, interval)
    found = list(charge_periods(schedule, OrganizationConfig(timezone=zone)))
    assert (found[0].start, found[-1].end) == (begin, end)
    assert all(one.end == other.start for one, other in pairwise(found))
    assert len({run_id(ID, period.start) for period in found}) == len(found)
    assert all(intersect(period, stretch(begin, end)) == period for period in found)


MALFORMED: tuple[tuple[type[Any], dict[str, object], str], ...] = (
    (TransactionSchedule, {"amount": -1}, "amount: must be 0 or more"),
    (TransactionSchedule, {"frequency": "AD_HOC"}, "frequency: must be DAILY, WEEKLY, MONTHLY or ANNUALLY"),
    (TransactionSchedule, {"frequency": "HOURLY"}, "$.frequency"),
    (TransactionSchedule, {"frequencyInterval": 0}, "$.frequencyInterval"),
    (TransactionSchedule, {"frequencyInterval": 366}, "$.frequencyInterval"),
    (TransactionSchedule, {"endDate": "2025-01-01T00:00:00Z"}, "endDate: must be after startDate"),
    (TransactionSchedule, {"endDate": "9000-01-01T00:00:00Z"}, "endDate: must be before the year 9000"),
    (TransactionSchedule, {"paid": None}, "paid: give it together with currencyPaid"),
    (TransactionSchedule, {"transactionDescription": ""}, "$.transactionDescription"),
    (ChargeSchedule, {"amount": 1}, "give either amount, or units with unitPrice"),
    (ChargeSchedule, {"units": None}, "units: give it together with unitPrice"),
    (ChargeSchedule, {"units": None, "unitPrice": None}, "amount: give either"),
    (ChargeSchedule, {"units": None, "unitPrice": None, "amount": -1}, "amount: must be 0 or more"),
    (ChargeSchedule, {"billFrequency": "MIXED"}, "billFrequency: must be DAILY"),
    (ChargeSchedule, {"servicePeriodEndDate": "2025-01-01T00:00:00Z"}, "must be after servicePeriodStartDate"),
    (ChargeSchedule, {"servicePeriodEndDate": "9999-01-01T00:00:00Z"}, "before the year 9000"),
)


@pytest.mark.parametrize(("of", "changes", "says"), MALFORMED)
def test_a_schedule_that_makes_no_sense_is_refused(of: type[Any], changes: dict[str, object], says: str) -> None:
    good = {
        TransactionSchedule: transactions("2025-01-01T00:00:00Z", "2026-01-01"),
        ChargeSchedule: charges("2025-01-01T00:00:00Z", "2026-01-01"),
    }[of]
    body = {**wire.decode(dict[str, Any], wire.encode(good)), **changes}
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the decoder's own type; the message is what counts
        wire.decode(of, wire.encode(body))
    assert says in str(caught.value)
