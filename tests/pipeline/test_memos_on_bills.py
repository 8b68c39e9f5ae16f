"""Memos of people are lines of the bill that they were made for, whenever it is made again."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from billing_desk import ADA, NOVEMBER, Desk, calls_world

from billing_world import World, at
from tallystick.core.bill import Bill, BillRecord, approve, lock
from tallystick.core.entity import Entity
from tallystick.core.explain import explain_bill
from tallystick.core.memo import BillMemo, MemoType
from tallystick.core.picklists import CreditReason
from tallystick.pipeline.memo import apply_memos
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]


def memo(desk: Desk, bill: Bill, name: str, type_: MemoType, amount: str, **given: Any) -> Entity[BillMemo]:
    """A memo for the first line of a bill, kept."""
    line = bill.line_items[0]
    product = desk.world.product("Goodwill")
    value = BillMemo(
        bill_id=bill.id,
        line_item_type=type_,
        product_id=line.product_id or "",
        accounting_product_id=product.id,
        amount=Decimal(amount),
        description=name,
        referenced_bill_id=bill.id,
        referenced_line_item_id=line.id,
        service_period_start_date=at("2023-11-01"),
        service_period_end_date=at("2023-12-01"),
        **given,
    )
    made: Entity[BillMemo] = desk.world.add(value, name)
    desk.save()
    return made


def run(open_desk: Opener) -> tuple[Desk, Bill]:
    desk = open_desk(calls_world(fee="50.00"))
    desk.run(**NOVEMBER)
    return desk, desk.bills()[0]


def verified(desk: Desk) -> bool:
    return all(verify_bill(desk.records, desk.usage, each).verified for each in desk.bill_records())


def test_credits_and_debits_are_lines_once_the_bill_is_made_again(open_desk: Opener) -> None:
    desk, bill = run(open_desk)
    reason = desk.world.add(CreditReason(name="Outage"), "outage")
    memo(desk, bill, "Outage", MemoType.CREDIT_MEMO, "20.00", credit_reason_id=reason.id)
    memo(desk, bill, "Late fee", MemoType.DEBIT_MEMO, "7.50")
    assert verified(desk)  # as it was made, without them
    desk.recalculate([bill.id])
    (record,) = desk.bill_records()
    found = {(str(line.line_item_type), str(line.subtotal)) for line in record.bill.line_items}
    assert found == {("STANDING_CHARGE", "50.00"), ("DEBIT_MEMO", "7.50"), ("CREDIT_MEMO", "-20.00")}
    assert record.bill.bill_total == Decimal("37.50")
    credit = next(line for line in record.bill.line_items if line.line_item_type == "CREDIT_MEMO")
    assert (credit.reason_id, credit.referenced_bill_id) == (reason.id, bill.id)
    assert (credit.referenced_line_item_id, credit.product_code) == (bill.line_items[0].id, "api")
    assert credit.accounting_product_code == "goodwill"
    assert verified(desk)
    told = {each.description: each.sentence for each in explain_bill(record)}
    assert told["Outage"] == "Outage: granted 20.00, which is -20.00 USD"
    assert told["Late fee"] == "Late fee: debited 7.50, which is 7.50 USD"


def test_only_the_part_that_applies_is_shown(open_desk: Opener) -> None:
    desk, bill = run(open_desk)
    memo(desk, bill, "Outage", MemoType.CREDIT_MEMO, "20.00", amount_to_apply_on_bill=Decimal("12.00"))
    desk.run(**NOVEMBER)
    (record,) = desk.bill_records()
    assert record.bill.bill_total == Decimal("38.00")
    assert "of which 12.00 on this bill" in explain_bill(record)[1].steps[0]


def test_a_memo_is_in_the_currency_of_the_bill(open_desk: Opener) -> None:
    world = calls_world(fee="50.00")
    world.currency("JPY", 0)
    world.config(currency="JPY", currency_conversions=())
    desk = open_desk(world)
    desk.run(**NOVEMBER, target_currency="USD")
    (bill,) = desk.bills()
    memo(desk, bill, "Outage", MemoType.CREDIT_MEMO, "20.00")
    desk.recalculate([bill.id])
    assert desk.bills()[0].line_items[1].currency == "USD"


def test_a_memo_is_there_again_after_its_bill_was_deleted(open_desk: Opener) -> None:
    desk, bill = run(open_desk)
    memo(desk, bill, "Outage", MemoType.CREDIT_MEMO, "20.00")
    with desk.records.transaction() as write:
        write.remove_document("bill", bill.id)
    desk.run(**NOVEMBER)
    assert desk.bills()[0].bill_total == 30


def test_a_memo_is_put_on_its_bill_at_once_with_nothing_else_made_anew(open_desk: Opener) -> None:
    desk, bill = run(open_desk)
    desk.use("acme", "2023-11-05", calls=10)  # came later: a run would bill it
    desk.world.template(standing_charge=Decimal(99))
    memo(desk, bill, "Outage", MemoType.CREDIT_MEMO, "20.00")
    apply_memos(desk.records, bill.id, actor=ADA, now=at("2023-12-03"))
    (record,) = desk.bill_records()
    assert [str(line.subtotal) for line in record.bill.line_items] == ["50.00", "-20.00"]
    assert (record.bill.bill_total, record.bill.version) == (30, 2)
    assert verified(desk)
    before = desk.bodies()
    apply_memos(desk.records, bill.id, actor=ADA, now=at("2023-12-04"))
    assert desk.bodies() == before


def test_an_approved_bill_is_pending_again_and_a_locked_one_stays(open_desk: Opener) -> None:
    desk, bill = run(open_desk)
    (record,) = desk.bill_records()
    approved = approve(record.bill, by="ada", at=at("2023-12-02"))
    desk.put(BillRecord(bill=approved, workings=record.workings, evidence=record.evidence))
    memo(desk, bill, "Outage", MemoType.CREDIT_MEMO, "20.00")
    apply_memos(desk.records, bill.id, actor=ADA, now=at("2023-12-03"))
    (record,) = desk.bill_records()
    assert (record.bill.status, record.bill.bill_total) == ("PENDING", 30)
    locked = lock(approve(record.bill, by="ada", at=at("2023-12-04")), by="ada", at=at("2023-12-04"))
    desk.put(BillRecord(bill=locked, workings=record.workings, evidence=record.evidence))
    memo(desk, bill, "Again", MemoType.CREDIT_MEMO, "1.00")
    apply_memos(desk.records, bill.id, actor=ADA, now=at("2023-12-05"))
    assert desk.bills()[0].bill_total == 30
