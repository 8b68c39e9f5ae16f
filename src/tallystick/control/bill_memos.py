"""Credit and debit line items: memos that people put on a bill which is not locked (source: reference 2.10, 3.12).

A memo belongs to the bill's id: it is there again when the bill is made again, also after the bill was deleted
(docs/decisions/0102-memos-stay-with-their-bill.md).
"""

from __future__ import annotations

from tallystick.control.bills import get_bill
from tallystick.control.desk import ID, Desk, Draft, Noun, rule_broken
from tallystick.core.bill import BillRecord
from tallystick.core.entity import Entity
from tallystick.core.memo import BillMemo, MemoType
from tallystick.errors import Refusal
from tallystick.ports import Found, OrganizationRecords, Page, Transaction, Where


def find(records: OrganizationRecords, bill_id: str, of: MemoType, page: Page) -> Found[Entity[BillMemo]]:
    """One page of a bill's credits or debits, newest first; Refusal `not_found` for an unknown bill."""
    get_bill(records, bill_id)
    return records.find(BillMemo, Where(equal={"bill_id": (bill_id,), "line_item_type": (of.value,)}), page)


def retrieve(records: OrganizationRecords, bill_id: str, of: MemoType, id: str) -> Entity[BillMemo]:
    """A credit or debit of a bill; Refusal `not_found`, also for one of another bill."""
    memo = records.get(BillMemo, id) if ID.fullmatch(id) else None
    if memo is None or (memo.value.bill_id, memo.value.line_item_type) != (bill_id, of):
        message = f"id: there is no {label(of)} {id[:40]!r} on the bill {bill_id[:40]!r}"
        raise Refusal("not_found", message, field="id")
    return memo


def create(desk: Desk, value: BillMemo) -> Entity[BillMemo]:
    """Put a memo on a bill. Refusals: `not_found` for an unknown bill, `bill_locked`, and those of every create."""
    get_bill(desk.records, value.bill_id)
    return BILL_MEMOS.create(desk, value)


def update(desk: Desk, id: str, value: BillMemo, version: int | None) -> Entity[BillMemo]:
    """Replace a memo by another of the same bill and kind."""
    with desk.records.transaction() as write:
        before = retrieve(write, value.bill_id, value.line_item_type, id)
        return BILL_MEMOS.update_within(desk, write, before, value, version)


def delete(desk: Desk, bill_id: str, of: MemoType, id: str) -> Entity[BillMemo]:
    """Take a memo off its bill, and return it as it was."""
    retrieve(desk.records, bill_id, of, id)
    return BILL_MEMOS.delete(desk, id)


def label(of: MemoType) -> str:
    """How messages call a memo."""
    return "credit line item" if of is MemoType.CREDIT_MEMO else "debit line item"


def _check(draft: Draft[BillMemo]) -> BillMemo:
    value = draft.value
    _open_bill(draft.read, value)
    before = None if draft.before is None else draft.before.value
    named = (value.referenced_bill_id, value.referenced_line_item_id)
    if before is None or named != (before.referenced_bill_id, before.referenced_line_item_id):
        _require_line(draft.read, value)
    return value


def _open_bill(read: OrganizationRecords, memo: BillMemo) -> BillRecord:
    record = get_bill(read, memo.bill_id)
    if record.bill.locked:
        message = f"the bill {memo.bill_id} is locked; put the {label(memo.line_item_type)} on the next one"
        raise Refusal("bill_locked", message)
    return record


def _require_line(read: OrganizationRecords, memo: BillMemo) -> None:
    """What a memo refers to is there when it is written; a recalculation may take the line away later."""
    if read.document("bill", memo.referenced_bill_id) is None:
        message = f"referencedBillId: there is no bill {memo.referenced_bill_id!r} in this organisation"
        raise Refusal("unknown_reference", message, field="referencedBillId")
    lines = get_bill(read, memo.referenced_bill_id).bill.line_items
    if memo.referenced_line_item_id not in {line.id for line in lines}:
        message = f"the bill {memo.referenced_bill_id} has no line {memo.referenced_line_item_id!r}"
        raise rule_broken("referencedLineItemId", message)


def _check_removal(read: Transaction, memo: Entity[BillMemo]) -> None:
    if read.document("bill", memo.value.bill_id) is not None:
        _open_bill(read, memo.value)


BILL_MEMOS = Noun(of=BillMemo, check=_check, check_removal=_check_removal)
