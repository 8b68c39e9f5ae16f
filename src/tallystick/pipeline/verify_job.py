"""Verify all bills, chunk by chunk: each is calculated again from what it recorded. Nothing but the job is written."""

from __future__ import annotations

import msgspec

from tallystick.core import wire
from tallystick.core.bill import BillRecord
from tallystick.core.period import Instant
from tallystick.core.verify_job import NAMED, BillThatFails, VerificationJob, VerificationStatus
from tallystick.errors import Refusal
from tallystick.pipeline.verify import verify_bill
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

KIND = "verificationjob"
CHUNK = 50
AT_ONCE = 20


def create_job(records: OrganizationRecords, *, id: str, actor: Actor, now: Instant) -> VerificationJob:
    """Keep a new verification of all bills, PENDING."""
    job = VerificationJob(
        id=id,
        version=1,
        status=VerificationStatus.PENDING,
        done=0,
        verified=0,
        sealed=0,
        failed=0,
        failures=(),
        dt_created=now,
        created_by=actor.id,
        dt_last_modified=now,
    )
    with records.transaction() as write:
        _put(write, job)
        write.note("VERIFY", KIND, id, at=now, by=actor)
    return job


def read_job(records: OrganizationRecords, id: str) -> VerificationJob:
    """One verification; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no verification {id[:40]!r} in this organization", field="id")
    return wire.decode(VerificationJob, document.body)


def list_jobs(records: OrganizationRecords, page: Page, *, active: bool = False) -> Found[VerificationJob]:
    """A page of verifications, newest first; with `active` only those that have something left to do."""
    found = records.documents(KIND, DocumentWhere(equal={"active": ["true"]} if active else {}), page)
    return Found(tuple(wire.decode(VerificationJob, each.body) for each in found.rows), found.next_token)


def jobs_to_run(records: OrganizationRecords) -> list[VerificationJob]:
    """Some verifications that have something to do, oldest first."""
    return list(list_jobs(records, Page(size=AT_ONCE), active=True).rows)[::-1]


def cancel_job(records: OrganizationRecords, id: str, *, now: Instant) -> VerificationJob:
    """Stop a verification after the chunk it is at; a finished one stays as it is."""
    with records.transaction() as write:
        job = read_job(write, id)
        if job.active:
            job = _moved(job, now, status=VerificationStatus.CANCELLED)
            _put(write, job)
    return job


def run_chunk(
    records: OrganizationRecords, usage: OrganizationUsage, id: str, *, mark: int, now: Instant
) -> VerificationJob:
    """Verify the next bills, latest first, and note how far it is; returns the job as it then is. `mark` is how far the
    usage store has come: a bill that read further fails with that reason."""
    job = read_job(records, id)
    if not job.active:
        return job
    found = records.documents("bill", DocumentWhere(), Page(size=CHUNK, token=job.next_token))
    verified = sealed = 0
    failures: list[BillThatFails] = []
    for document in found.rows:
        record = wire.decode(BillRecord, document.body)
        result = verify_bill(records, usage, record)
        verified += result.verified
        sealed += result.verified and result.sealed
        difference = result.difference
        if record.evidence.up_to > mark:
            difference = f"the usage store has the journal up to {mark}, the bill read up to {record.evidence.up_to}"
        if not result.verified:
            bill = record.bill
            failures.append(
                BillThatFails(bill_id=bill.id, account_code=bill.account_code, difference=difference or "it differs")
            )
    with records.transaction() as write:
        standing = read_job(write, id)
        if not standing.active or standing.version != job.version:
            return standing
        job = _moved(
            standing,
            now,
            status=VerificationStatus.RUNNING if found.next_token else VerificationStatus.COMPLETE,
            done=standing.done + len(found.rows),
            verified=standing.verified + verified,
            sealed=standing.sealed + sealed,
            failed=standing.failed + len(failures),
            failures=(*standing.failures, *failures)[:NAMED],
            next_token=found.next_token,
        )
        _put(write, job)
    return job


def _moved(job: VerificationJob, now: Instant, **changes: object) -> VerificationJob:
    return msgspec.structs.replace(job, version=job.version + 1, dt_last_modified=now, **changes)


def _put(write: Transaction, job: VerificationJob) -> None:
    keys = {"active": "true" if job.active else "false"}
    write.put_documents(KIND, [Document(id=job.id, sort=job.dt_created.stamp(), keys=keys, body=wire.encode(job))])
