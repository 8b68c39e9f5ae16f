"""Statement jobs: ask for the statement of a bill, have it made, keep it (source: reference 2.11, 3.11).

A statement is kept under the id of its job, as it was made: when its bill is made again it is stale, not gone. Bills
that are approved or locked get one by themselves where the account or the organisation wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tallystick.control.desk import Desk, new_id
from tallystick.control.statements import make_statement
from tallystick.core import wire
from tallystick.core.account import Account, StatementMode
from tallystick.core.bill import Bill, BillRecord, document_keys
from tallystick.core.meter import Meter
from tallystick.core.organization import OrganizationConfig
from tallystick.core.statement import Statement
from tallystick.core.statement_types import (
    StatementFilters,
    StatementJob,
    StatementJobStatus,
    StatementStatus,
)
from tallystick.errors import Refusal
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

KIND = "statementjob"
CONTENT = "statement"
BILL = "bill"
STATEMENTS = Actor(id="statements", kind="SCHEDULER")  # who makes what nobody asked for
AT_ONCE = 100  # jobs of one organisation that are run before others have their turn


class DigestOfEvidence(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a bill's evidence that says what the bill says."""

    digest: str


class DigestOfBill(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a stored bill that a statement is held against: reading it skips all else."""

    evidence: DigestOfEvidence


def create_jobs(
    desk: Desk, bill_ids: Sequence[str], *, csv: bool, filters: StatementFilters | None, batch: bool
) -> list[StatementJob]:
    """Keep a job for each bill, PENDING. Refusal `unknown_reference` for a bill or a meter that does not exist."""
    with desk.records.transaction() as write:
        field = "billIds" if batch else "billId"
        for each in bill_ids:
            if write.document(BILL, each) is None:
                raise Refusal("unknown_reference", f"{field}: there is no bill {each[:40]!r}", field=field)
        named = filters.meter_ids if filters and filters.meter_ids else ()
        missing = sorted(set(named) - write.get_many(Meter, named).keys()) if named else []
        if missing:
            message = f"filters.meterIds: there is no meter {missing[0][:40]!r}"
            raise Refusal("unknown_reference", message, field="filters.meterIds")
        jobs = [_new(desk, each, csv=csv, filters=filters) for each in bill_ids]
        _put(write, jobs)
    return jobs


def order_statements(write: Transaction, desk: Desk, bills: Iterable[Bill]) -> None:
    """Keep jobs for bills that were just approved or locked, where their accounts want statements by themselves."""
    config = write.get(OrganizationConfig, write.organization_id)
    accounts = write.get_many(Account, {bill.account_id for bill in bills})
    jobs: list[StatementJob] = []
    for bill in bills:
        account = accounts.get(bill.account_id)
        mode = account.value.auto_generate_statement_mode if account else None
        mode = mode or (config.value.auto_generate_statement_mode if config else None)
        wanted = {StatementMode.JSON: (True, False), StatementMode.JSON_AND_CSV: (True, True)}
        json, csv = wanted.get(mode or StatementMode.NONE, (False, False))
        made = bill.json_statement_generated and (bill.csv_statement_generated or not csv) and not bill.statement_stale
        if json and not made:
            jobs.append(_new(desk, bill.id, csv=csv, filters=None))
    _put(write, jobs)


def read_job(records: OrganizationRecords, id: str) -> StatementJob:
    """One job; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        message = f"id: there is no statement job {id[:40]!r} in this organization"
        raise Refusal("not_found", message, field="id")
    return wire.decode(StatementJob, document.body)


def list_jobs(
    records: OrganizationRecords,
    page: Page,
    *,
    bill_id: str | None = None,
    status: StatementJobStatus | None = None,
    active: bool = False,
) -> Found[StatementJob]:
    """One page of jobs, newest first; with `active` only those that have something left to do."""
    equal = {"bill_id": [bill_id]} if bill_id else {}
    equal |= {"status": [status.value]} if status else {}
    equal |= {"active": ["true"]} if active else {}
    found = records.documents(KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(StatementJob, each.body) for each in found.rows), found.next_token)


def cancel_job(desk: Desk, id: str) -> StatementJob:
    """Stop a job before it is run; a finished one stays as it is."""
    with desk.records.transaction() as write:
        job = read_job(write, id)
        if not job.statement_job_status.active:
            return job
        return _move_on(write, job, desk, statement_job_status=StatementJobStatus.CANCELLED)


def jobs_to_run(records: OrganizationRecords) -> list[str]:
    """The ids of some jobs that have something to do, oldest first."""
    return [job.id for job in list_jobs(records, Page(size=AT_ONCE), active=True).rows][::-1]


def run_job(desk: Desk, usage: OrganizationUsage, id: str, mark: int) -> StatementJob | None:
    """Make the statement of a job and mark its bill; None while the usage is not there yet: `mark` is the journal
    position up to which the usage store is complete.

    What cannot be made leaves the job FAILED with the reason. A job that was cancelled meanwhile stays so.
    """
    job = read_job(desk.records, id)
    if not job.statement_job_status.active:
        return job
    document = desk.records.document(BILL, job.bill_id)
    if document is None:
        return _finish(desk, job, None, f"the bill {job.bill_id} was deleted")
    record = wire.decode(BillRecord, document.body)
    if record.evidence.up_to > mark:
        return None
    try:
        statement = make_statement(desk.records, usage, record, job.filters)
    except Refusal as problem:
        return _finish(desk, job, None, problem.message)
    return _finish(desk, job, statement, None)


def _finish(desk: Desk, job: StatementJob, statement: Statement | None, failure: str | None) -> StatementJob:
    with desk.records.transaction() as write:
        job = read_job(write, job.id)
        if not job.statement_job_status.active:
            return job
        if statement is None:
            return _move_on(write, job, desk, statement_job_status=StatementJobStatus.FAILED, failure=failure)
        sort = desk.now.wire()
        content = Document(id=job.id, sort=sort, keys={"bill_id": job.bill_id}, body=wire.encode(statement))
        write.put_documents(CONTENT, [content])
        if job.filters is None:
            _mark_bill(write, job, statement, desk)
        status = StatementJobStatus.COMPLETE
        return _move_on(write, job, desk, statement_job_status=status, digest=statement.digest)


def _mark_bill(write: Transaction, job: StatementJob, statement: Statement, desk: Desk) -> None:
    """A bill says which statements of it there are, and whether they are of what it says now."""
    document = write.document(BILL, job.bill_id)
    if document is None:
        return
    record = wire.decode(BillRecord, document.body)
    bill = record.bill
    changed = msgspec.structs.replace(
        bill,
        json_statement_generated=True,
        csv_statement_generated=bill.csv_statement_generated or job.include_csv_format,
        statement_stale=record.evidence.digest != statement.digest,
    )
    if changed == bill:
        return
    changed = msgspec.structs.replace(
        changed, version=bill.version + 1, dt_last_modified=desk.now, last_modified_by=desk.actor.id
    )
    keys = document_keys(changed, record.evidence.grouping)
    body = wire.encode(msgspec.structs.replace(record, bill=changed))
    write.put_documents(BILL, [Document(id=bill.id, sort=document.sort, keys=keys, body=body)])


def status_of(records: OrganizationRecords, job: StatementJob) -> StatementStatus | None:
    """How the statement of a job stands to its bill; None while there is no statement."""
    if job.digest is None:
        return None
    document = records.document(BILL, job.bill_id)
    if document is None:
        return StatementStatus.INVALIDATED
    digest = wire.decode(DigestOfBill, document.body).evidence.digest
    return StatementStatus.LATEST if digest == job.digest else StatementStatus.STALE


def latest_complete(records: OrganizationRecords, bill_id: str, *, csv: bool) -> StatementJob | None:
    """The latest job that made the whole statement of a bill, with CSV if that is wanted."""
    page: Page | None = Page(size=AT_ONCE)
    while page is not None:
        found = list_jobs(records, page, bill_id=bill_id, status=StatementJobStatus.COMPLETE)
        for job in found.rows:
            if job.filters is None and (job.include_csv_format or not csv):
                return job
        page = Page(size=AT_ONCE, token=found.next_token) if found.next_token else None
    return None


def read_statement(records: OrganizationRecords, job_id: str) -> Statement:
    """The statement that a job made; Refusal `not_found`."""
    document = records.document(CONTENT, job_id)
    if document is None:
        raise Refusal("not_found", f"statement: there is no statement {job_id[:40]!r}", field="statement")
    return wire.decode(Statement, document.body)


def _new(desk: Desk, bill_id: str, *, csv: bool, filters: StatementFilters | None) -> StatementJob:
    return StatementJob(
        id=new_id(),
        version=1,
        bill_id=bill_id,
        statement_job_status=StatementJobStatus.PENDING,
        include_csv_format=csv,
        filters=filters if filters and filters.meter_ids else None,
        dt_created=desk.now,
        dt_last_modified=desk.now,
        created_by=desk.actor.id,
        last_modified_by=desk.actor.id,
    )


def _move_on(write: Transaction, job: StatementJob, desk: Desk, **changes: object) -> StatementJob:
    job = msgspec.structs.replace(
        job, version=job.version + 1, dt_last_modified=desk.now, last_modified_by=desk.actor.id, **changes
    )
    _put(write, [job])
    return job


def _put(write: Transaction, jobs: Sequence[StatementJob]) -> None:
    documents = [
        Document(
            id=job.id,
            sort=job.dt_created.wire(),
            keys={
                "bill_id": job.bill_id,
                "status": job.statement_job_status.value,
                "active": "true" if job.statement_job_status.active else "false",
            },
            body=wire.encode(job),
        )
        for job in jobs
    ]
    if documents:
        write.put_documents(KIND, documents)
