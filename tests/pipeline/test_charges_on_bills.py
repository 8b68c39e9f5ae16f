"""Single charges: each on exactly one bill, whichever bills are run, locked or deleted, and in which order."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from billing_desk import NOVEMBER, Desk, calls_world
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import World, at, id_of
from effort import drawing
from tallystick.core.bill import Bill, BillRecord, approve, lock
from tallystick.core.charge import ChargeEntityType, ChargeLineItemType
from tallystick.core.credit_types import Balance
from tallystick.core.explain import explain_bill
from tallystick.core.organization import BillConfig, CurrencyConversion
from tallystick.core.period import Frequency
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]
DECEMBER = {"last_date_in_billing_period": date(2023, 12, 31)}
JANUARY = {"last_date_in_billing_period": date(2024, 1, 31)}
FEBRUARY = {"last_date_in_billing_period": date(2024, 2, 29)}


def charges_on(bill: Bill) -> list[tuple[str, str]]:
    return [(line.description, str(line.subtotal)) for line in bill.line_items if line.charge_id]


def billed(desk: Desk) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(frequency, first day, charges) of every stored bill."""
    return [(str(bill.billing_frequency), str(bill.start_date), charges_on(bill)) for bill in desk.bills()]


def verified(desk: Desk) -> bool:
    return all(verify_bill(desk.records, desk.usage, each).verified for each in desk.bill_records())


def close(desk: Desk, record: BillRecord) -> None:
    """Approve a stored bill and lock it."""
    bill = lock(approve(record.bill, by="ada", at=at("2024-01-01")), by="ada", at=at("2024-01-01"))
    desk.put(BillRecord(bill=bill, workings=record.workings, evidence=record.evidence))


def test_a_charge_is_a_line_of_the_bill_that_covers_its_day(open_desk: Opener) -> None:
    world = calls_world()
    accounting = world.product("Services")
    charge = world.charge("Set-up", 99, description="Set-up of the account", accounting_product_id=accounting.id)
    world.charge("Goodwill", "-9.999", bill_date=date(2023, 11, 30))
    world.charge("Training", units=Decimal("2.5"), unit_price=Decimal(40), bill_date=date(2023, 12, 1))
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    desk.run(**DECEMBER)
    november, december = desk.bill_records()
    assert charges_on(november.bill) == [("Set-up of the account", "99.00"), ("Goodwill", "-10.00")]
    assert charges_on(december.bill) == [("Training", "100.00")]
    line = november.bill.line_items[1]
    assert (line.line_item_type, line.charge_id, line.product_id) == ("AD_HOC", charge.id, None)
    assert (line.accounting_product_code, line.unit, line.units) == ("services", "", 1)
    training = december.bill.line_items[1]
    assert (training.units, training.average_unit_price) == (Decimal("2.5"), 40)
    sentences = [each.sentence for each in explain_bill(december)]
    assert "2.5 × 40.00 = 100.00 agreed for 2023-12-01" in sentences[1]
    assert verified(desk)


def test_a_changed_charge_changes_its_bill_and_not_the_replay(open_desk: Opener) -> None:
    world = calls_world()
    world.charge("Set-up", 99)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    world.charge("Set-up", 100)
    desk.save()
    assert verified(desk)
    desk.run(**NOVEMBER)
    assert billed(desk) == [("MONTHLY", "2023-11-01", [("Set-up", "100.00")])]
    assert verified(desk)


def test_a_charge_in_another_currency_is_converted_once(open_desk: Opener) -> None:
    world = calls_world()
    world.currency("EUR", 2)
    world.config(currency_conversions=(CurrencyConversion(from_="EUR", to="USD", multiplier=Decimal("1.1")),))
    world.charge("Set-up", "9.99", currency="EUR")
    world.charge("Yen", 1, currency="JPY", account="acme", day="2023-12-15")
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    (bill,) = desk.bills()
    assert (bill.line_items[1].subtotal, bill.line_items[1].converted_subtotal) == (Decimal("9.99"), Decimal("10.99"))
    assert [each.from_ for each in bill.currency_conversions] == ["EUR"]
    assert verified(desk)
    assert [each.code for each in desk.run(**DECEMBER).failures] == ["missing_conversion_rate"]


def test_a_balance_fee_has_the_accounting_product_of_its_balance(open_desk: Opener) -> None:
    world = calls_world()
    fees = world.product("Fees")
    balance = world.add(
        Balance(
            account_id=id_of("account", "acme"),
            code="wallet",
            name="Wallet",
            currency="USD",
            start_date=at("2023-01-01"),
            end_date=at("2024-01-01"),
            fees_accounting_product_id=fees.id,
        ),
        "wallet",
    )
    kind: dict[str, Any] = {"entity_type": ChargeEntityType.BALANCE, "line_item_type": ChargeLineItemType.BALANCE_FEE}
    world.charge("Fee", 12, entity_id=balance.id, **kind)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    (line,) = (line for line in desk.bills()[0].line_items if line.charge_id)
    assert (line.line_item_type, line.balance_id, line.accounting_product_code) == ("BALANCE_FEE", balance.id, "fees")
    assert verified(desk)


def test_without_a_plan_in_force_the_day_gets_a_bill(open_desk: Opener) -> None:
    world = calls_world(start="2024-01-01")
    world.charge("Early bird", 50)
    desk = open_desk(world)
    assert desk.run(**NOVEMBER).total == 0  # it is not the day
    job = desk.run(last_date_in_billing_period=date(2023, 11, 15), billing_frequency=Frequency.AD_HOC)
    assert (job.total, job.failures) == (1, ())
    (bill,) = desk.bills()
    assert billed(desk) == [("AD_HOC", "2023-11-15", [("Early bird", "50.00")])]
    assert (bill.bill_date, bill.end_date, bill.bill_total) == (date(2023, 11, 15), date(2023, 11, 16), 50)
    assert verified(desk)


def test_a_run_without_a_date_catches_up_with_days_that_have_no_bill(open_desk: Opener) -> None:
    world = calls_world(start="2024-01-01")
    world.charge("One", 1)
    world.charge("Two", 2, day="2023-11-20")
    world.charge("Later", 3, day="2023-12-24")
    desk = open_desk(world)
    desk.run()
    desk.run(now="2023-12-02T06:00:00Z")
    assert billed(desk) == [("AD_HOC", "2023-11-15", [("One", "1.00")]), ("AD_HOC", "2023-11-20", [("Two", "2.00")])]


def test_of_several_bills_the_one_with_the_shortest_period_takes_it(open_desk: Opener) -> None:
    world = calls_world()
    storage = world.product("Storage")
    daily = world.template("daily", storage, bill_frequency=Frequency.DAILY, standing_charge=Decimal(1))
    world.account_plan(world.plan("daily", daily))
    world.charge("Set-up", 99)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    desk.run(last_date_in_billing_period=date(2023, 11, 15))
    assert [(each[0], each[2]) for each in billed(desk)] == [
        ("MONTHLY", []),
        ("DAILY", [("Set-up", "99.00")]),
        ("DAILY", []),
    ]


def test_a_contract_takes_its_charges_to_its_own_bill(open_desk: Opener) -> None:
    world = calls_world()
    key = world.grouping_key(exclusive=True)
    contract = world.contract(bill_grouping_key_id=key.id, purchase_order_number="PO-9")
    world.charge("Project", 500, contract_id=contract.id)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    desk.run()
    assert sorted(billed(desk)) == [
        ("AD_HOC", "2023-11-15", [("Project", "500.00")]),
        ("MONTHLY", "2023-11-01", []),
    ]
    (bill,) = (bill for bill in desk.bills() if bill.billing_frequency is Frequency.AD_HOC)
    assert (bill.purchase_order_number, bill.line_items[0].contract_id) == ("PO-9", contract.id)
    assert verified(desk)


def test_a_charge_for_a_locked_bill_goes_on_the_next_one(open_desk: Opener) -> None:
    world = calls_world()
    world.charge("In time", 1)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    close(desk, desk.bill_records()[0])
    world.charge("Too late", 2)
    desk.save()
    for month in (NOVEMBER, DECEMBER, JANUARY, DECEMBER):
        desk.run(**month)
    assert [each[2] for each in billed(desk)] == [[("In time", "1.00")], [("Too late", "2.00")], []]
    assert verified(desk)


def test_a_charge_of_a_plan_that_has_ended_goes_on_a_bill_of_a_day(open_desk: Opener) -> None:
    world = calls_world()
    world.account_plan(end_date="2023-12-01")
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    close(desk, desk.bill_records()[0])
    world.charge("Too late", 2)
    desk.save()
    desk.run()
    assert billed(desk)[1:] == [("AD_HOC", "2023-11-15", [("Too late", "2.00")])]


@pytest.mark.parametrize(
    ("ended", "asked", "lands_on"),
    [
        (False, date(2261, 11, 30), ("MONTHLY", "2261-11-01")),
        (True, date(2261, 11, 16), ("AD_HOC", "2261-11-16")),
    ],
)
def test_a_charge_in_closed_time_goes_beyond_it_however_long_that_is(
    open_desk: Opener, ended: bool, asked: date, lands_on: tuple[str, str]
) -> None:
    """The time is closed for centuries, by a slip: its periods and days are not looked for one by one."""
    world = calls_world()
    if ended:
        world.account_plan(end_date="2023-12-01")
    world.add(BillConfig(bill_lock_date=date(2261, 11, 15)), "billconfig")
    world.charge("Set-up", 99)
    desk = open_desk(world)
    began = time.process_time()
    desk.run(last_date_in_billing_period=asked)
    assert time.process_time() - began < 2
    assert billed(desk) == [(*lands_on, [("Set-up", "99.00")])]


def test_a_moved_charge_leaves_its_bill_before_it_stands_on_another(open_desk: Opener) -> None:
    world = calls_world()
    world.charge("Set-up", 99)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    world.charge("Set-up", 99, day="2023-12-15")
    desk.save()
    desk.run(**DECEMBER)  # November still has it
    assert [each[2] for each in billed(desk)] == [[("Set-up", "99.00")], []]
    desk.run(**NOVEMBER)
    desk.run(**DECEMBER)
    assert [each[2] for each in billed(desk)] == [[], [("Set-up", "99.00")]]


def test_a_deleted_bill_gives_its_charges_back(open_desk: Opener) -> None:
    world = calls_world()
    world.charge("Set-up", 99)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    with desk.records.transaction() as write:
        write.remove_document("bill", desk.bills()[0].id)
    world.charge("Set-up", 99, day="2023-12-15")
    desk.save()
    desk.run(**DECEMBER)
    assert [each[2] for each in billed(desk)] == [[("Set-up", "99.00")]]


@settings(**drawing(8))
@given(data=st.data())
def test_every_charge_stands_on_one_bill_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Charges and runs in any order, some bills locked in between: no charge is lost or billed twice."""
    world = calls_world(start="2023-11-10")
    desk = Desk(tmp_path_factory.mktemp("desk"), world)
    try:
        months = (NOVEMBER, DECEMBER, JANUARY)
        count = 0
        for _ in range(data.draw(st.integers(1, 8), label="steps")):
            step = data.draw(st.sampled_from(("charge", "run", "lock")), label="step")
            if step == "charge":
                count += 1
                day = data.draw(st.sampled_from(("2023-10-31", "2023-11-10", "2023-11-30", "2023-12-31")), label="day")
                world.charge(f"charge {count}", count, day=day)
                desk.save()
            elif step == "run":
                desk.run(**data.draw(st.sampled_from(months), label="month"))
            elif records := [each for each in desk.bill_records() if not each.bill.locked]:
                close(desk, data.draw(st.sampled_from(records), label="locked"))
        for month in (*months, FEBRUARY):  # which is never locked
            desk.run(**month)
        desk.run(now="2024-03-02T00:00:00Z")
        found = [line.description for bill in desk.bills() for line in bill.line_items if line.charge_id]
        assert sorted(found) == sorted(f"charge {number}" for number in range(1, count + 1))
        assert verified(desk)
    finally:
        desk.close()
