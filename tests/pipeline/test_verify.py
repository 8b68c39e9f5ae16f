"""A bill is replayed from what it recorded, whatever has been edited or has arrived since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk, calls_world
from msgspec.structs import replace

from billing_world import World, at, bands, id_of
from tallystick.core.account import AccountPlan
from tallystick.core.bill import BillRecord
from tallystick.core.organization import CurrencyConversion
from tallystick.pipeline.verify import Verification, verify_bill

Opener = Callable[[World], Desk]


def verified(desk: Desk, record: BillRecord | None = None) -> Verification:
    record = record or desk.bill_records()[0]
    return verify_bill(desk.records, desk.usage, record)


def november(open_desk: Opener) -> Desk:
    world = calls_world()
    world.currency("EUR", 2)
    world.config(currency_conversions=(CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal("0.9")),))
    world.account(currency="EUR")
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=100)
    desk.run(**NOVEMBER)
    return desk


def test_bill_replays_to_the_same_digest(open_desk: Opener) -> None:
    result = verified(november(open_desk))
    assert result.verified
    assert result.recorded_digest == result.replayed_digest
    assert (result.up_to, result.difference) == (1, None)


def test_bill_replays_after_everything_was_edited(open_desk: Opener) -> None:
    desk = november(open_desk)
    world = desk.world
    world.product("API")
    world.meter("requests", ("calls", "more"))
    world.aggregation("calls", quantity_per_unit=Decimal(7))
    world.template(standing_charge=Decimal(99))
    world.plan(standing_charge=Decimal(98))
    world.pricing("price", bands((0, "0.99")))
    world.pricing("another", bands((0, "5")), start_date=at("2023-11-10"))
    world.account(currency="USD", bill_epoch=date(2022, 1, 15))
    world.account_plan(end_date="2023-11-02")
    world.config(timezone="Asia/Kolkata")
    world.currency("EUR", 0)
    desk.save()
    assert verified(desk).verified


def test_bill_replays_after_late_usage_and_after_an_account_plan_was_deleted(open_desk: Opener) -> None:
    desk = november(open_desk)
    desk.use("acme", "2023-11-06", calls=1_000)
    (account_plan,) = desk.world.of(AccountPlan).values()
    with desk.records.transaction() as write:
        write.remove(account_plan, at=at("2023-12-02"), by="eve")
    assert verified(desk).verified


def test_bill_with_parameters_of_its_job_replays(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.run(last_date_in_billing_period=date(2023, 11, 14), month_epoch=date(2022, 1, 15), timezone="Asia/Tokyo")
    (record,) = desk.bill_records()
    assert (record.bill.timezone, record.bill.start_date) == ("Asia/Tokyo", date(2023, 10, 15))
    assert verified(desk).verified


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"bill_total": Decimal("15.01")}, "changed after calculation"),
        ({"due_date": date(2030, 1, 1)}, "changed after calculation"),
        ({"line_items": ()}, "changed after calculation"),
    ],
)
def test_bill_that_was_tampered_with_does_not_stand_up(
    open_desk: Opener, change: dict[str, Any], difference: str
) -> None:
    desk = november(open_desk)
    (record,) = desk.bill_records()
    result = verified(desk, msgspec.structs.replace(record, bill=msgspec.structs.replace(record.bill, **change)))
    assert not result.verified
    assert difference in (result.difference or "")


def test_state_may_change_and_the_bill_still_stands_up(open_desk: Opener) -> None:
    desk = november(open_desk)
    (record,) = desk.bill_records()
    bill = msgspec.structs.replace(record.bill, status="APPROVED", locked=True, sequential_invoice_number="I-1")
    assert verified(desk, msgspec.structs.replace(record, bill=bill)).verified


def test_difference_of_usage_names_the_question(open_desk: Opener) -> None:
    """The usage store lost a measurement, or gained one below the position."""
    desk = november(open_desk)
    (record,) = desk.bill_records()
    desk.use("acme", "2023-11-07", calls=5)
    later = msgspec.structs.replace(record, evidence=msgspec.structs.replace(record.evidence, up_to=2))
    result = verified(desk, later)
    assert not result.verified
    # The questions themselves name the position, so the first difference is the question asked with another one.
    assert "SUM of calls from 2023-11-01T00:00:00.000Z to 2023-12-01T00:00:00.000Z" in (result.difference or "")


def test_difference_of_a_line_names_line_and_field(open_desk: Opener) -> None:
    desk = november(open_desk)
    (record,) = desk.bill_records()
    first, *others = record.bill.line_items
    forged = msgspec.structs.replace(first, subtotal=Decimal("4.00"))
    bill = msgspec.structs.replace(record.bill, line_items=(forged, *others))
    evidence = msgspec.structs.replace(record.evidence, digest="0" * 64)
    result = verified(desk, BillRecord(bill=bill, workings=record.workings, evidence=evidence))
    assert result.difference == "line 1 (Standing Charge), subtotal: the bill says 4.00, the replay 5.00"


def test_missing_version_is_told(open_desk: Opener) -> None:
    desk = november(open_desk)
    (record,) = desk.bill_records()
    uses = tuple(with_unknown_plan(each) for each in record.evidence.uses)
    broken = msgspec.structs.replace(record, evidence=msgspec.structs.replace(record.evidence, uses=uses))
    result = verified(desk, broken)
    assert not result.verified
    assert result.replayed_digest is None
    assert f"version 99 of the plan {id_of('plan', 'plan')}" in (result.difference or "")


def with_unknown_plan(used: Any) -> Any:
    return replace(used, version=99) if used.kind == "plan" else used
