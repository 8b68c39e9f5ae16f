"""Bill jobs as they are asked for, kept and shown; `pipeline.bill_run` runs them (source: reference 2.10, 3.11).

A job is created with its moment (`as_of`) and the journal position it reads up to, and keeps what it covers in chunks.
Bill ids and failures are with the chunks, so that progress costs the same whatever the size of the job.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill_job import (
    BillFailure,
    BillJob,
    BillJobRequest,
    BillJobStatus,
    BillJobType,
    BillRecalculateRequest,
)
from tallystick.core.bill_schedule import Slot
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.terms import AccountPeriod
from tallystick.errors import Refusal
from tallystick.pipeline.bill import read_bills
from tallystick.ports import (
    Actor,
    Document,
    DocumentWhere,
    Found,
    OrganizationRecords,
    Page,
    Transaction,
)

KIND = "billjob"
CHUNK_KIND = "billjobchunk"


class KeptJob(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A job as it is stored. Bill ids and failures are with the chunks, so that progress costs the same for any job."""

    job: BillJob
    chunks: int = 0
    done: int = 0
    recalculate: tuple[str, ...] = ()
    slot: Slot | None = None  # of a job that the clock started
    failures: tuple[BillFailure, ...] = ()  # found while initialising


class JobChunk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Some account periods of a job; once settled, what became of them instead."""

    job_id: str
    number: int
    periods: tuple[AccountPeriod, ...]
    settled: bool = False
    bill_ids: tuple[str, ...] = ()
    failures: tuple[BillFailure, ...] = ()


class _Outcome(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a settled chunk that says what became of it: whoever looks at a job reads those of all its chunks."""

    bill_ids: tuple[str, ...]
    failures: tuple[BillFailure, ...]


class _Whose(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    account_id: str


class _Covered(msgspec.Struct, frozen=True):
    """Whose periods a chunk is about, until they have served."""

    periods: tuple[_Whose, ...]


# ------------------------------------------------------------------------------------------------------ asking


def create_job(
    records: OrganizationRecords, request: BillJobRequest, *, id: str, actor: Actor, now: datetime, up_to: int
) -> BillJob:
    """Keep a new job, PENDING. `up_to` is the journal position its bills will read up to.

    Refusal `unknown_reference` for an account that does not exist.
    """
    wanted = request.account_ids or ()
    missing = sorted(set(wanted) - records.get_many(Account, wanted).keys()) if wanted else []
    if missing:
        raise Refusal("unknown_reference", f"accountIds: there is no account {missing[0]}", field="accountIds")
    asked = {name: getattr(request, name) for name in BillJobRequest.__struct_fields__}
    job = new_job(id, BillJobType.CREATE, actor, now, up_to)
    return _keep_new(records, KeptJob(job=msgspec.structs.replace(job, **asked)))


def create_recalculation(
    records: OrganizationRecords, request: BillRecalculateRequest, *, id: str, actor: Actor, now: datetime, up_to: int
) -> BillJob:
    """Keep a new job, PENDING, that makes these bills again with the present prices and usage.

    Refusals: `unknown_reference` for a bill that does not exist, `bill_locked` for one that is final.
    """
    wanted = tuple(dict.fromkeys(request.bill_ids))
    stored = read_bills(records, wanted)
    for each in wanted:
        if each not in stored:
            raise Refusal("unknown_reference", f"billIds: there is no bill {each}", field="billIds")
        if stored[each].bill.locked:
            raise Refusal("bill_locked", f"billIds: the bill {each} is locked and stays as it is", field="billIds")
    job = new_job(id, BillJobType.RECALCULATE, actor, now, up_to)
    return _keep_new(records, KeptJob(job=job, recalculate=wanted))


def cancel_job(records: OrganizationRecords, id: str, *, actor: Actor, now: datetime) -> BillJob:
    """Stop a job after the chunk it is at; the bills it has made stay. A finished job stays as it is."""
    with records.transaction() as write:
        kept = read_kept(write, id)
        if kept.job.status.active:
            put_job(write, kept, status=BillJobStatus.CANCELLED, now=Instant.of(now), by=actor.id)
    return read_job(records, id)


def fail_job(records: OrganizationRecords, id: str, *, reason: str, now: datetime, by: str) -> None:
    """Give a job up that cannot go on, and say why among its failures; the bills it has made stay."""
    with records.transaction() as write:
        kept = read_kept(write, id)
        if kept.job.status.active:
            failure = BillFailure(account_id="", code="job_failed", message=reason, period_key="")
            kept = msgspec.structs.replace(kept, failures=(*kept.failures, failure))
            put_job(write, kept, status=BillJobStatus.FAILED, now=Instant.of(now), by=by)


def read_job(records: OrganizationRecords, id: str) -> BillJob:
    """A job with the bills it has made so far and what it could not bill. Refusal `not_found`."""
    return whole_job(records, read_kept(records, id))


def list_jobs(
    records: OrganizationRecords, page: Page, *, status: BillJobStatus | None = None, active: bool = False
) -> Found[BillJob]:
    """One page of jobs, newest first; with `active` only those that have something left to do."""
    equal = {"status": [status.value]} if status else {}
    found = records.documents(KIND, DocumentWhere(equal=equal | ({"active": ["true"]} if active else {})), page)
    jobs = (whole_job(records, wire.decode(KeptJob, each.body)) for each in found.rows)
    return Found(tuple(jobs), found.next_token)


def list_job_states(records: OrganizationRecords, page: Page) -> Found[BillJob]:
    """One page of jobs, newest first, each without its bills and failures: as quick for a job of any size."""
    found = records.documents(KIND, DocumentWhere(), page)
    return Found(tuple(wire.decode(KeptJob, each.body).job for each in found.rows), found.next_token)


def list_running_jobs(records: OrganizationRecords, most: int = 5) -> list[BillJob]:
    """The newest jobs that are not at their end, each without its bills and failures."""
    found = records.documents(KIND, DocumentWhere(equal={"active": ["true"]}), Page(size=most))
    return [wire.decode(KeptJob, each.body).job for each in found.rows]


def unfinished_jobs(records: OrganizationRecords) -> list[str]:
    """The ids of the jobs that are to be run, or run on, oldest first."""
    ids: list[str] = []
    page: Page | None = Page(size=1_000)
    while page is not None:
        found = records.documents(KIND, DocumentWhere(equal={"active": ["true"]}), page)
        ids += [each.id for each in found.rows]
        page = Page(size=1_000, token=found.next_token) if found.next_token else None
    return ids[::-1]


# ------------------------------------------------------------------------------------------------------ keeping


def new_job(id: str, type_: BillJobType, actor: Actor, now: datetime, up_to: int) -> BillJob:
    """A job that has not begun."""
    moment = Instant.of(now)
    return BillJob(
        id=id,
        version=1,
        type=type_,
        status=BillJobStatus.PENDING,
        total=0,
        pending=0,
        bill_ids=(),
        failures=(),
        dt_created=moment,
        dt_last_modified=moment,
        created_by=actor.id,
        last_modified_by=actor.id,
        as_of=moment,
        up_to=up_to,
    )


def _keep_new(records: OrganizationRecords, kept: KeptJob) -> BillJob:
    with records.transaction() as write:
        put_new(write, kept)
    return kept.job


def put_new(write: Transaction, kept: KeptJob) -> None:
    """Write the first version of a job."""
    write.put_documents(KIND, [_document(kept)])


def put_job(
    write: Transaction,
    kept: KeptJob,
    *,
    status: BillJobStatus,
    total: int | None = None,
    pending: int | None = None,
    now: Instant | None = None,
    by: str | None = None,
) -> KeptJob:
    """Write the next version of a job. Progress is dated by the job's own moment: a second run gives the same."""
    job = kept.job
    job = msgspec.structs.replace(
        job,
        version=job.version + 1,
        status=status,
        total=job.total if total is None else total,
        pending=job.pending if pending is None else pending,
        dt_last_modified=now or job.dt_last_modified,
        last_modified_by=by or job.last_modified_by,
    )
    kept = msgspec.structs.replace(kept, job=job)
    write.put_documents(KIND, [_document(kept)])
    return kept


def _document(kept: KeptJob) -> Document:
    job = kept.job
    keys = {"status": job.status.value, "active": "true" if job.status.active else "false"}
    return Document(id=job.id, sort=job.dt_created.stamp(), keys=keys, body=wire.encode(kept))


def read_kept(records: OrganizationRecords, id: str) -> KeptJob:
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no bill job {id[:40]!r} in this organization", field="id")
    return wire.decode(KeptJob, document.body)


def chunk_id(job_id: str, number: int) -> str:
    return named_id(job_id, f"chunk/{number}")


def chunk_document(chunk: JobChunk) -> Document:
    keys = {"job_id": chunk.job_id, "status": "SETTLED" if chunk.settled else "PENDING"}
    id_ = chunk_id(chunk.job_id, chunk.number)
    return Document(id=id_, sort=f"{chunk.number:09}", keys=keys, body=wire.encode(chunk))


def read_chunk(records: OrganizationRecords, job_id: str, number: int) -> JobChunk:
    document = records.document(CHUNK_KIND, chunk_id(job_id, number))
    assert document is not None, f"chunk {number} of bill job {job_id} was kept when the job was initialised"
    return wire.decode(JobChunk, document.body)


def accounts_in_hand(records: OrganizationRecords, job_id: str, number: int, most: int) -> set[str]:
    """The accounts of the chunks before one that are not settled yet, of as many chunks as there may be."""
    ids = [chunk_id(job_id, each) for each in range(max(0, number - most), number)]
    found = (wire.decode(_Covered, each.body) for id_ in ids if (each := records.document(CHUNK_KIND, id_)))
    return {each.account_id for chunk in found for each in chunk.periods}


def _outcomes(records: OrganizationRecords, kept: KeptJob) -> list[_Outcome]:
    """What became of the settled chunks of a job, in their order."""
    if not kept.done:
        return []
    where = DocumentWhere(equal={"job_id": [kept.job.id], "status": ["SETTLED"]})
    found = records.documents(CHUNK_KIND, where, Page(size=kept.chunks))
    return [wire.decode(_Outcome, each.body) for each in reversed(found.rows)]


def whole_job(records: OrganizationRecords, kept: KeptJob) -> BillJob:
    """A job with its bills and failures, in the order they were made."""
    bill_ids: list[str] = []
    failures = list(kept.failures)
    for chunk in _outcomes(records, kept):
        bill_ids += chunk.bill_ids
        failures += chunk.failures
    return msgspec.structs.replace(kept.job, bill_ids=tuple(bill_ids), failures=tuple(failures))
