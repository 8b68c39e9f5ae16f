"""Start the bill jobs that are due by the clock, each slot once (docs/decisions/0151-scheduled-bills.md)."""

from __future__ import annotations

from datetime import datetime

from tallystick.core import wire
from tallystick.core.bill_job import BillJobType
from tallystick.core.bill_schedule import Slot, due_slot, job_id_of
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.pipeline.bill_job import KIND, KeptJob, new_job, put_new
from tallystick.ports import Actor, Document, DocumentWhere, OrganizationRecords, Page

SLOT_KIND = "billslot"
SCHEDULER = Actor(id="scheduler", kind="SCHEDULER")


def start_due_job(records: OrganizationRecords, *, now: datetime, up_to: int) -> str | None:
    """Keep the bill job of the slot that is due, PENDING, and return its id; None when nothing is due.

    The id is made from the slot: two workers, or one that was killed and started again, start it once. Its bills read
    the journal up to `up_to`.
    """
    config = records.get(OrganizationConfig, records.organization_id)
    if config is None or due_slot(config.value, None, Instant.of(now)) is None:
        return None
    with records.transaction() as write:
        slot = due_slot(config.value, last_slot(write), Instant.of(now))
        if slot is None:
            return None
        id_ = job_id_of(records.organization_id, slot)
        document = Document(id=id_, sort=slot.at.wire(), keys={"job_id": id_}, body=wire.encode(slot))
        write.put_documents(SLOT_KIND, [document])
        if write.document(KIND, id_) is not None:
            return None
        job = new_job(id_, BillJobType.CREATE, SCHEDULER, now, up_to)
        put_new(write, KeptJob(job=job, slot=slot))
        return id_


def last_slot(records: OrganizationRecords) -> Instant | None:
    """The latest slot that was started."""
    found = records.documents(SLOT_KIND, DocumentWhere(), Page(size=1)).rows
    return wire.decode(Slot, found[0].body).at if found else None
