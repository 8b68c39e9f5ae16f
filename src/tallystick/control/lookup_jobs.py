"""Jobs on lookup table revisions as they are stored: document kind `lookupjob`."""

from __future__ import annotations

import msgspec

from tallystick.control.desk import Desk
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.lookup_job import JobStatus, JobType, LookupJob, Snapshot
from tallystick.core.lookup_types import LookupData, LookupTableRevision
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction

KIND = "lookupjob"


def snapshot(revision: Entity[LookupTableRevision], data: Entity[LookupData] | None) -> Snapshot:
    """The rows of a revision as they stand."""
    if data is None:
        return Snapshot(revision_version=revision.version)
    return Snapshot(revision_version=revision.version, data_id=data.id, data_version=data.version)


def new_job(
    desk: Desk, revision: Entity[LookupTableRevision], type: JobType, status: JobStatus, **given: object
) -> LookupJob:
    """A job on a revision, which nobody has kept yet."""
    job = LookupJob(
        id=desk.new_id(),
        version=1,
        type=type,
        status=status,
        lookup_table_id=revision.value.lookup_table_id,
        lookup_table_revision_id=revision.id,
        job_date=desk.now,
        created_by=desk.actor.id,
    )
    return msgspec.structs.replace(job, **given)


def keep(write: Transaction, job: LookupJob) -> LookupJob:
    """Keep a new job, or what became of one."""
    keys = {"revision_id": job.lookup_table_revision_id, "type": job.type.value}
    body = wire.encode(job)
    write.put_documents(KIND, [Document(id=job.id, sort=job.job_date.wire(), keys=keys, body=body)])
    return job


def move_on(write: Transaction, job: LookupJob, **changes: object) -> LookupJob:
    """Keep a job with changes, as its next version."""
    return keep(write, msgspec.structs.replace(job, version=job.version + 1, **changes))


def read_job(records: OrganizationRecords, id: str, revision_id: str | None = None) -> LookupJob:
    """One job, of a certain revision if that is given; Refusal `not_found`."""
    document = records.document(KIND, id)
    job = wire.decode(LookupJob, document.body) if document else None
    if job is None or revision_id not in {None, job.lookup_table_revision_id}:
        message = f"id: there is no job {id[:40]!r} on the rows of this lookup table revision"
        raise Refusal("not_found", message, field="id")
    return job


def list_jobs(
    records: OrganizationRecords, revision_id: str, page: Page, type: JobType | None = None
) -> Found[LookupJob]:
    """One page of the jobs on a revision, newest first."""
    equal = {"revision_id": [revision_id]} | ({"type": [type.value]} if type else {})
    found = records.documents(KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(LookupJob, each.body) for each in found.rows), found.next_token)


def delete_job(desk: Desk, id: str, revision_id: str) -> LookupJob:
    """Forget a job; what it has done stays. An upload that waits can no longer be made. Refusal `not_found`."""
    with desk.records.transaction() as write:
        job = read_job(write, id, revision_id)
        write.remove_document(KIND, job.id)
        return job
