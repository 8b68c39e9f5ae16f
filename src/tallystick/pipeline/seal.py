"""Seal bills, and hold what the usage store has now against their seals."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tallystick.core import wire
from tallystick.core.aggregation import Measured, Question
from tallystick.core.bill import BillRecord
from tallystick.core.period import Instant
from tallystick.core.seal import KIND, BillSeal, SealedAnswer
from tallystick.ports import Behind, Document, DocumentWhere, OrganizationRecords, OrganizationUsage, Page

AT_ONCE = 100


def read_seal(records: OrganizationRecords, record: BillRecord) -> BillSeal | None:
    """The seal of a bill as it stands; None while there is none, or only that of an earlier calculation."""
    document = records.document(KIND, record.bill.id)
    seal = None if document is None else wire.decode(BillSeal, document.body)
    fits = seal is not None and seal.dt_sealed is not None and seal.digest == record.evidence.digest
    return seal if fits else None


def seal_of(usage: OrganizationUsage, record: BillRecord, now: Instant) -> BillSeal:
    """The seal of a bill, made of what the usage store has up to the bill's journal position."""
    return BillSeal(
        bill_id=record.bill.id,
        digest=record.evidence.digest,
        sets=tuple(_sets(usage, record)),
        dt_sealed=now,
    )


def _sets(usage: OrganizationUsage, record: BillRecord) -> Iterator[SealedAnswer]:
    for number, answer in enumerate(record.evidence.answers):
        for row in answer.rows:
            found = usage.set_of(behind_row(answer.question, row))
            yield SealedAnswer(
                answer=number,
                account_id=row.account_id,
                segment=row.segment,
                measurements=found.measurements,
                hash=found.hash,
            )


def behind_row(question: Question, row: Measured) -> Behind:
    """What names the measurements behind one row of an answer: of a pool all of its accounts."""
    accounts = question.accounts if question.pooled else (row.account_id,)
    return Behind(question=msgspec.structs.replace(question, accounts=accounts), segment=row.segment)


def broken_set(usage: OrganizationUsage, record: BillRecord, seal: BillSeal) -> str | None:
    """The first set of measurements that is not the one that was sealed, in words; None where all are."""
    now = {(each.answer, each.account_id, each.segment): each for each in _sets(usage, record)}
    for each in seal.sets:
        found = now.get((each.answer, each.account_id, each.segment))
        if found == each:
            continue
        question = record.evidence.answers[each.answer].question
        what = f"{question.method} of {question.field} from {question.period.start.wire()}"
        what = f"the measurements behind the {what} to {question.period.end.wire()}"
        what += f" ({', '.join(each.segment)})" if each.segment else ""
        if found is None or found.measurements != each.measurements:
            return f"{what}: {each.measurements} were sealed, {found.measurements if found else 0} are there"
        return f"{what}: they are as many as were sealed, but not the same"
    return None


def seal_pending(records: OrganizationRecords, usage: OrganizationUsage, mark: int, now: Instant) -> tuple[int, bool]:
    """Seal some of the bills that were ordered to be; answers how many wait, and whether any was done."""
    waiting = records.documents(KIND, DocumentWhere(equal={"active": ["true"]}), Page(size=AT_ONCE)).rows
    made: list[Document] = []
    gone: list[str] = []
    for document in waiting:
        bill = records.document("bill", document.id)
        if bill is None:
            gone.append(document.id)
            continue
        record = wire.decode(BillRecord, bill.body)
        if record.evidence.up_to <= mark:
            seal = seal_of(usage, record, now)
            made.append(Document(id=document.id, sort=document.sort, keys={"active": "false"}, body=wire.encode(seal)))
    if made or gone:
        with records.transaction() as write:
            write.put_documents(KIND, made)
            write.remove_documents(KIND, gone)
    return len(waiting) - len(made) - len(gone), bool(made or gone)
