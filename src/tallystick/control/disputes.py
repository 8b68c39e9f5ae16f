"""Disputes on bills: opened, looked into, resolved with a note and maybe a credit, or withdrawn.

What is given back is a credit line item for the disputed line, on the bill itself while it is not locked, or else on an
open bill of the account; the disputed bill stays as it is (docs/decisions/0455-disputes.md).
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tallystick.control import bill_memos
from tallystick.control.bills import get_bill, get_line_item
from tallystick.control.desk import Desk, Draft, Noun, rule_broken
from tallystick.core.bill import Bill, LineItem
from tallystick.core.dispute import Dispute, DisputeOutcome, DisputeState
from tallystick.core.entity import Entity
from tallystick.core.memo import BillMemo, MemoType
from tallystick.ports import Transaction


class Resolution(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a dispute is resolved. `credit` is what is given back, in the bill's currency, on the bill `memo_bill_id`
    (the disputed one if absent); none with REJECTED."""

    outcome: DisputeOutcome
    note: str
    credit: Decimal | None = None
    memo_bill_id: str | None = None


def open_dispute(desk: Desk, value: Dispute) -> Entity[Dispute]:
    """Open a dispute. Refusals: `not_found` for an unknown bill or line, and those of every create."""
    bill = get_bill(desk.records, value.bill_id).bill
    opened = msgspec.structs.replace(value, account_id=bill.account_id)
    return DISPUTES.create(desk, opened)


def move(desk: Desk, id: str, state: DisputeState) -> Entity[Dispute]:
    """Take up a dispute, lay it down again, or withdraw it. Refusal `rule_broken` for one that is closed, and for
    RESOLVED, which wants an outcome."""
    if state is DisputeState.RESOLVED:
        raise rule_broken("state", "a dispute is resolved with an outcome and a note")
    with desk.records.transaction() as write:
        before = DISPUTES.retrieve(write, id)
        _require_open(before)
        return DISPUTES.update_within(desk, write, before, msgspec.structs.replace(before.value, state=state), None)


def resolve(desk: Desk, id: str, how: Resolution) -> Entity[Dispute]:
    """Resolve a dispute, and put what is given back on a bill as a credit, in one act.

    Refusals: `rule_broken` for one that is closed, or a credit that does not fit the outcome; `bill_locked` where the
    bill of the credit is locked; `not_found`.
    """
    if (how.credit is not None) and how.outcome is DisputeOutcome.REJECTED:
        raise rule_broken("credit", "nothing is given back for a dispute that is rejected")
    before = DISPUTES.retrieve(desk.records, id)
    _require_open(before)
    memo = None if how.credit is None else _credit(desk, before.value, how.credit, how.memo_bill_id)
    after = msgspec.structs.replace(
        before.value,
        state=DisputeState.RESOLVED,
        outcome=how.outcome,
        outcome_note=how.note,
        memo_id=memo.id if memo else None,
        memo_bill_id=memo.value.bill_id if memo else None,
        credited=memo.value.amount if memo else None,
    )
    return DISPUTES.update(desk, id, after, before.version)


def _credit(desk: Desk, dispute: Dispute, amount: Decimal, bill_id: str | None) -> Entity[BillMemo]:
    """The credit line item of what is given back."""
    disputed = get_bill(desk.records, dispute.bill_id)
    target = get_bill(desk.records, bill_id or dispute.bill_id).bill
    if target.account_id != dispute.account_id:
        raise rule_broken("memoBillId", "it is a bill of another account")
    if target.currency != disputed.bill.currency:
        raise rule_broken("memoBillId", f"it is in {target.currency}, the disputed bill in {disputed.bill.currency}")
    line = _line(disputed.bill, dispute)
    product = line.accounting_product_id or line.product_id
    if product is None:
        raise rule_broken("lineItemId", "the line is of no product, and a credit needs one")
    memo = BillMemo(
        bill_id=target.id,
        line_item_type=MemoType.CREDIT_MEMO,
        product_id=line.product_id or product,
        accounting_product_id=product,
        amount=amount,
        description=f"Dispute of {line.description}"[:200],
        referenced_bill_id=disputed.bill.id,
        referenced_line_item_id=line.id,
        service_period_start_date=line.service_period_start_date or disputed.bill.start_date_time_utc,
        service_period_end_date=line.service_period_end_date or disputed.bill.end_date_time_utc,
    )
    return bill_memos.create(desk, memo)


def _line(bill: Bill, dispute: Dispute) -> LineItem:
    """The disputed line; of a whole bill its greatest that is of a product."""
    if dispute.line_item_id is not None:
        return next(each for each in bill.line_items if each.id == dispute.line_item_id)
    charged = [each for each in bill.line_items if each.accounting_product_id or each.product_id]
    if not charged:
        raise rule_broken("credit", "no line of the bill is of a product, and a credit needs one")
    return max(charged, key=lambda each: each.converted_subtotal)


def _require_open(dispute: Entity[Dispute]) -> None:
    if dispute.value.state.closed:
        raise rule_broken("state", f"the dispute is {dispute.value.state} already")


def _check(draft: Draft[Dispute]) -> Dispute:
    value = draft.value
    if draft.before is not None and draft.before.value.bill_id != value.bill_id:
        raise rule_broken("billId", "a dispute stays with its bill")
    record = get_bill(draft.read, value.bill_id)
    if value.line_item_id is not None:
        get_line_item(record, value.line_item_id)
    return value


def _check_removal(_: Transaction, dispute: Entity[Dispute]) -> None:
    if dispute.value.state.closed:
        raise rule_broken("state", "what was closed is kept: it counts in the scorecard")


DISPUTES = Noun(of=Dispute, check=_check, check_removal=_check_removal)
