"""Memos of corrections: what a bill that stays as it is should have come to, line by line, as a document of its own.

The difference is reckoned as late usage is, by the same `rate` from what the bill recorded, and kept as an adjustment
of the bill. So nothing is charged twice: the next bill finds it adjusted (docs/decisions/0402-memos-of-corrections.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.adjustment import NAMED, Adjustment, elsewhere
from tallystick.core.bill import Answer, BillRecord, LineItem
from tallystick.core.charge import Charge, ChargeEntityType, ChargeLineItemType
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.late_levels import levels_now
from tallystick.core.period import Instant, local_day
from tallystick.core.quantity import ZERO, add, subtract, tidy, total
from tallystick.core.rating import questions
from tallystick.core.terms import Terms, period_of
from tallystick.core.usage_correction import CorrectionMemo, MemoLine, MemoMark, MemoStatus, UsageCorrection
from tallystick.errors import Refusal
from tallystick.pipeline.late_usage import adjustment_document, adjustments_about, earlier_of, stays
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.lookback import following, look_again, read_earlier
from tallystick.pipeline.meter import measure
from tallystick.pipeline.placing import stored_bills
from tallystick.pipeline.rate import load_terms
from tallystick.pipeline.replay import then_and_now
from tallystick.ports import (
    Actor,
    Document,
    DocumentWhere,
    Found,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    Transaction,
)
from tallystick.ports.founded import config_of

KIND = "correctionmemo"
ADJUSTMENT = "billadjustment"
DESCRIPTION = 200  # characters that a charge's description may have at most


class Reckoned(msgspec.Struct, frozen=True, kw_only=True):
    """A bill that stays, and what its lines should be: `seen` is what was adjusted of it when this was reckoned."""

    record: BillRecord
    lines: tuple[MemoLine, ...]
    items: dict[str, LineItem]  # as they would be now, or were, by id
    seen: tuple[Adjustment, ...]


def reckon(
    records: OrganizationRecords, usage: OrganizationUsage, staying: Sequence[BillRecord], *, up_to: int
) -> list[Reckoned]:
    """What the lines of bills that stay come to with the usage up to a position, all of them, also those that differ in
    nothing. Refusals as `terms_of_earlier` and `rate`."""
    seen = adjustments_about(records, {each.bill.id for each in staying})
    return [_reckoned(records, usage, each, seen.get(each.bill.id, []), up_to) for each in staying]


def _reckoned(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    record: BillRecord,
    seen: Sequence[Adjustment],
    up_to: int,
) -> Reckoned:
    config = config_of(records)
    around = [each for each in (record, *following(records, [record], ())) if stays(config.value, each.bill)]
    others = elsewhere(seen, record.bill.id, "")
    earlier, terms = earlier_of(records, record, others, around)
    (present,) = load_terms(records, [period_of(record)])
    levels = levels_now(terms, present.agreements) if isinstance(present, Terms) else None
    wanted = questions(terms, up_to)
    measured = measure(usage, {record.bill.account_id: dict.fromkeys(wanted)})[record.bill.account_id]
    now = tuple(Answer(question=one, rows=measured[one]) for one in wanted)
    then_lines, now_lines = then_and_now(
        records, msgspec.structs.replace(earlier, now=now, levels=levels), terms, up_to
    )
    billed, present_items = (
        {each.item.id: each.item for each in then_lines},
        {each.item.id: each.item for each in now_lines},
    )
    items = billed | present_items
    lines = tuple(
        _line(id_, items.get(id_), billed.get(id_), present_items.get(id_), others.get(id_, ZERO))
        for id_ in dict.fromkeys((*present_items, *billed, *sorted(others)))
    )
    return Reckoned(record=record, lines=lines, items=items, seen=tuple(seen))


def _line(
    id: str, item: LineItem | None, billed: LineItem | None, present: LineItem | None, elsewhere: Decimal
) -> MemoLine:
    was = billed.converted_subtotal if billed else ZERO
    is_ = present.converted_subtotal if present else ZERO
    return MemoLine(
        line_item_id=id,
        description=item.description if item else "Usage",
        billed=was,
        elsewhere=elsewhere,
        now=is_,
        amount=tidy(subtract(subtract(is_, was), elsewhere)),
    )


# ------------------------------------------------------------------------------------------------------ drafting


def draft_memos(
    write: Transaction,
    correction: UsageCorrection,
    reckoned: Iterable[Reckoned],
    *,
    actor: Actor,
    now: Instant,
    up_to: int,
) -> list[CorrectionMemo]:
    """Keep a memo for each of these bills whose lines differ, and set the difference aside for it."""
    memos: list[CorrectionMemo] = []
    adjustments: list[Adjustment] = []
    for each in reckoned:
        id_ = named_id(correction.id, f"memo/{each.record.bill.id}")
        lines = tuple(_marked(id_, each, line) for line in each.lines if line.amount)
        if not lines:
            continue
        memo = _memo(correction, each, id_, lines, actor, now, up_to)
        memos.append(memo)
        adjustments.append(
            Adjustment(
                id=_adjustment_id(memo),
                account_id=memo.account_id,
                bill_id=memo.id,
                adjusted_bill_id=memo.bill_id,
                amounts={line.line_item_id: line.amount for line in lines},
                memo=True,
            )
        )
    write.put_documents(KIND, [_document(each) for each in memos])
    write.put_documents(ADJUSTMENT, [adjustment_document(each) for each in adjustments])
    return memos


def was_overtaken(write: Transaction, reckoned: Sequence[Reckoned]) -> bool:
    """Whether a bill, or what is adjusted of it, is not what it was when this was reckoned."""
    ids = {each.record.bill.id for each in reckoned}
    seen = adjustments_about(write, ids)
    if any(tuple(seen.get(each.record.bill.id, ())) != each.seen for each in reckoned):
        return True
    versions = {each.record.bill.id: each.record.bill.version for each in reckoned}
    return {each.bill.id: each.bill.version for each in read_earlier(write, versions)} != versions


def _marked(memo_id: str, of: Reckoned, line: MemoLine) -> MemoLine:
    item = of.items.get(line.line_item_id)
    named = {name: getattr(item, name) for name in NAMED if name != "segment"} if item else {}
    mark = MemoMark(
        memo_id=memo_id,
        bill_id=of.record.bill.id,
        line_item_id=line.line_item_id,
        counts_as=item.line_item_type.value if item else None,
        named={name: value for name, value in named.items() if value is not None} or None,
        segment=item.segment if item else None,
    )
    return msgspec.structs.replace(line, mark=mark)


def _memo(
    correction: UsageCorrection,
    of: Reckoned,
    id: str,
    lines: tuple[MemoLine, ...],
    actor: Actor,
    now: Instant,
    up_to: int,
) -> CorrectionMemo:
    bill = of.record.bill
    amount = total(line.amount for line in lines)
    memos = total(sum(each.amounts.values(), ZERO) for each in of.seen)
    return CorrectionMemo(
        id=id,
        version=1,
        correction_id=correction.id,
        account_id=bill.account_id,
        account_code=bill.account_code,
        bill_id=bill.id,
        line_item_type=("CREDIT_MEMO" if amount < 0 else "DEBIT_MEMO"),
        status=MemoStatus.DRAFT,
        currency=bill.currency,
        total=amount,
        bill_total=bill.bill_total,
        corrected_total=add(add(bill.bill_total, memos), amount),
        up_to=up_to,
        lines=lines,
        dt_created=now,
        created_by=actor.id,
        dt_last_modified=now,
        last_modified_by=actor.id,
        reason=correction.reason,
    )


# ------------------------------------------------------------------------------------------------------ deciding


def issue_memo(
    records: OrganizationRecords, id: str, *, actor: Actor, now: Instant, bill_date: date | None = None
) -> CorrectionMemo:
    """Make the lines of a draft charges, due on a day (today where none is named): they stand on the account's bill of
    that day, or the next one that is open. Refusals: `not_found`, `correction_state`."""
    with records.transaction() as write:
        memo = read_memo(write, id)
        _require(memo, MemoStatus.DRAFT)
        record = read_earlier(write, [memo.bill_id])[0]
        day = bill_date or local_day(now, config_of(write).value.timezone)
        lines = []
        for number, line in enumerate(memo.lines, 1):
            charge = _charge(memo, record, line, number, day)
            charge_id = named_id(memo.id, f"charge/{line.line_item_id}")
            write.insert(
                Entity(
                    id=charge_id,
                    version=1,
                    value=charge,
                    created=now,
                    created_by=actor.id,
                    modified=now,
                    modified_by=actor.id,
                )
            )
            lines.append(msgspec.structs.replace(line, charge_id=charge_id))
        memo = _moved(memo, now, actor, status=MemoStatus.ISSUED, lines=tuple(lines), dt_issued=now, issued_by=actor.id)
        write.put_documents(KIND, [_document(memo)])
    return memo


def discard_memo(records: OrganizationRecords, id: str, *, actor: Actor, now: Instant) -> CorrectionMemo:
    """Drop a memo: the next bill of the account takes the difference up as late usage. One that is issued can be
    dropped while none of its charges is on a locked bill. Refusals: `not_found`, `correction_state`, `bill_locked`."""
    with records.transaction() as write:
        memo = read_memo(write, id)
        _require(memo, MemoStatus.DRAFT, MemoStatus.ISSUED)
        _take_off(write, memo, actor, now)
        write.remove_documents(ADJUSTMENT, [_adjustment_id(memo)])
        look_again(write, read_earlier(write, [memo.bill_id]))
        lines = tuple(msgspec.structs.replace(line, charge_id=None) for line in memo.lines)
        memo = _moved(memo, now, actor, status=MemoStatus.DISCARDED, lines=lines)
        write.put_documents(KIND, [_document(memo)])
    return memo


def _take_off(write: Transaction, memo: CorrectionMemo, actor: Actor, now: Instant) -> None:
    ids = [line.charge_id for line in memo.lines if line.charge_id is not None]
    charges = write.get_many(Charge, ids)
    places = every_document(write, "billedcharge", DocumentWhere(equal={"id": ids})) if ids else []
    for bill_id, bill in stored_bills(write, [each.keys["bill_id"] for each in places]).items():
        if bill.keys["locked"] == "true":
            message = f"id: the memo {memo.id} is on the locked bill {bill_id} and stays; make another correction"
            raise Refusal("bill_locked", message, field="id")
    for charge in charges.values():
        write.remove(charge, at=now, by=actor.id)


def _charge(memo: CorrectionMemo, record: BillRecord, line: MemoLine, number: int, day: date) -> Charge:
    bill = record.bill
    last = bill.end_date - timedelta(days=1)
    credit = line.amount < 0
    return Charge(
        account_id=memo.account_id,
        code=f"memo-{memo.id[:8]}-{number}",
        name=f"{'Credit' if credit else 'Debit'} memo {memo.id[:8]}",
        currency=memo.currency,
        entity_type=ChargeEntityType.AD_HOC,
        line_item_type=ChargeLineItemType.CREDIT_MEMO if credit else ChargeLineItemType.DEBIT_MEMO,
        service_period_start_date=bill.start_date_time_utc,
        service_period_end_date=bill.end_date_time_utc,
        bill_date=day,
        amount=line.amount,
        description=f"{line.description}, correction for {bill.start_date} to {last}"[:DESCRIPTION],
        memo=line.mark,
    )


# ------------------------------------------------------------------------------------------------------ reading


def read_memo(records: OrganizationRecords, id: str) -> CorrectionMemo:
    """One memo; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no memo {id[:40]!r} in this organization", field="id")
    return wire.decode(CorrectionMemo, document.body)


def list_memos(
    records: OrganizationRecords,
    page: Page,
    *,
    correction_id: str | None = None,
    account_id: str | None = None,
    bill_id: str | None = None,
    status: MemoStatus | None = None,
) -> Found[CorrectionMemo]:
    """A page of memos, newest first."""
    given: dict[str, Any] = {"correction_id": correction_id, "account_id": account_id, "bill_id": bill_id}
    given["status"] = None if status is None else status.value
    where = DocumentWhere(equal={name: [value] for name, value in given.items() if value is not None})
    found = records.documents(KIND, where, page)
    return Found(tuple(wire.decode(CorrectionMemo, each.body) for each in found.rows), found.next_token)


def _require(memo: CorrectionMemo, *allowed: MemoStatus) -> None:
    if memo.status not in allowed:
        message = f"the memo {memo.id} is {memo.status}; this is for one that is {allowed[0]}"
        raise Refusal("correction_state", message)


def _moved(memo: CorrectionMemo, now: Instant, actor: Actor, **changes: Any) -> CorrectionMemo:
    return msgspec.structs.replace(
        memo, version=memo.version + 1, dt_last_modified=now, last_modified_by=actor.id, **changes
    )


def _adjustment_id(memo: CorrectionMemo) -> str:
    return named_id(memo.id, f"adjustment/{memo.bill_id}")


def _document(memo: CorrectionMemo) -> Document:
    keys = {
        "correction_id": memo.correction_id,
        "account_id": memo.account_id,
        "bill_id": memo.bill_id,
        "status": memo.status.value,
    }
    return Document(id=memo.id, sort=memo.dt_created.stamp(), keys=keys, body=wire.encode(memo))
