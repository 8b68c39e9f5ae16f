"""Put the memos of people on their bill at once, with nothing else of it made anew.

The bill is rated again from the terms and the answers that it recorded, with its present memos
(docs/decisions/0146-memos-at-once.md).
"""

from __future__ import annotations

from datetime import datetime

from tallystick.core.memo import BillMemo
from tallystick.core.period import Instant
from tallystick.core.rating import ENGINE_VERSION
from tallystick.pipeline.bill import KIND, Drawing, Run, bill_of, document_of, read_bills, renewed
from tallystick.pipeline.replay import rated_then
from tallystick.ports import Actor, OrganizationRecords, Where


def apply_memos(records: OrganizationRecords, bill_id: str, *, actor: Actor, now: datetime) -> None:
    """Bring a stored bill to its present memos: changed, it is PENDING again.

    A bill that is locked, or was made by another version of the engine, stays as it is until it is run again. Refusals
    as `rated_then`.
    """
    with records.transaction() as write:
        record = read_bills(write, [bill_id]).get(bill_id)
        if record is None or record.bill.locked or record.evidence.engine_version != ENGINE_VERSION:
            return
        memos = tuple(write.every(BillMemo, Where(equal={"bill_id": (bill_id,)})))
        rated = rated_then(write, record, memos)
        run = Run(
            job_id=record.bill.bill_job_id,
            as_of=Instant.of(now),
            up_to=record.evidence.up_to,
            actor_id=actor.id,
            reopen=True,
        )
        drawing = Drawing(write, [credit.id for credit in rated.terms.credits], run)
        drawn = drawing.draw(rated)
        fresh = bill_of(drawn, run)
        if fresh.evidence.digest == record.evidence.digest:
            return
        after = renewed(record, fresh, run)
        write.put_documents(KIND, [document_of(after)])
        drawing.book(after, drawn)
        drawing.finish()
