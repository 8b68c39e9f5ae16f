"""Statement jobs over HTTP. A reply also says how the statement stands to its bill, and links to it."""

from __future__ import annotations

import msgspec

from tallystick.api.crud import PAGING, desk_of
from tallystick.api.routing import Call, Paged, Route, Rows, struct_page
from tallystick.api.statements import CSV, JSON, link_to
from tallystick.control import statement_jobs
from tallystick.core.period import Instant
from tallystick.core.statement_types import (
    StatementFilters,
    StatementJob,
    StatementJobBatchRequest,
    StatementJobRequest,
    StatementJobStatus,
    StatementStatus,
)
from tallystick.errors import Refusal

TAG = "Statement jobs"


class StatementJobReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A job, and how its statement stands to its bill. The links open without a token for five minutes."""

    id: str
    org_id: str
    version: int
    bill_id: str
    statement_job_status: StatementJobStatus
    include_csv_format: bool
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    filters: StatementFilters | None = None
    failure: str | None = None
    json_statement_status: StatementStatus | None = None
    csv_statement_status: StatementStatus | None = None
    presigned_json_statement_url: str | None = None
    presigned_csv_statement_url: str | None = None


def create(call: Call, body: StatementJobRequest) -> StatementJobReply:
    """Ask for the statement of a bill."""
    (job,) = statement_jobs.create_jobs(
        desk_of(call), [body.bill_id], csv=body.include_csv_format, filters=body.filters, batch=False
    )
    return _reply(call, job)


def create_batch(call: Call, body: StatementJobBatchRequest) -> list[StatementJobReply]:
    """Ask for the statements of several bills."""
    jobs = statement_jobs.create_jobs(
        desk_of(call), body.bill_ids, csv=body.include_csv_format, filters=body.filters, batch=True
    )
    return [_reply(call, job) for job in jobs]


def retrieve(call: Call) -> StatementJobReply:
    """One job."""
    return _reply(call, statement_jobs.read_job(call.records, call.path["id"]))


def find(call: Call) -> dict[str, object]:
    """A page of jobs, newest first."""
    status = call.query.text("status")
    if status is not None and status not in StatementJobStatus.__members__:
        message = f"status: must be one of {', '.join(StatementJobStatus)}, got {status[:40]!r}"
        raise Refusal("invalid_request", message, field="status")
    found = statement_jobs.list_jobs(
        call.records,
        call.query.page(),
        bill_id=call.query.text("billId"),
        status=None if status is None else StatementJobStatus(status),
        active=call.query.flag("active") is True,
    )
    return struct_page([_reply(call, job) for job in found.rows], found.next_token)


def cancel(call: Call) -> StatementJobReply:
    """Stop a job that has not been run."""
    return _reply(call, statement_jobs.cancel_job(desk_of(call), call.path["id"]))


def _reply(call: Call, job: StatementJob) -> StatementJobReply:
    status = statement_jobs.status_of(call.records, job)
    there = status not in {None, StatementStatus.INVALIDATED}
    shown = {name: getattr(job, name) for name in StatementJob.__struct_fields__ if name != "digest"}
    return StatementJobReply(
        **shown,
        org_id=call.organization_id,
        json_statement_status=status,
        csv_statement_status=status if job.include_csv_format else None,
        presigned_json_statement_url=link_to(call, job.id, JSON) if there else None,
        presigned_csv_statement_url=link_to(call, job.id, CSV) if there and job.include_csv_format else None,
    )


ROUTES = (
    Route(
        method="POST",
        path="/statementjobs",
        run=create,
        summary="Ask for the statement of a bill",
        tag=TAG,
        scope="config:create",
        body=StatementJobRequest,
        reply=StatementJobReply,
    ),
    Route(
        method="GET",
        path="/statementjobs",
        run=find,
        summary="List statement jobs",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(StatementJobReply),
        query={
            "active": "true: only jobs with something left to do.",
            "billId": "Only jobs of this bill.",
            "status": "Only this status.",
            **PAGING,
        },
    ),
    Route(
        method="POST",
        path="/statementjobs/batch",
        run=create_batch,
        summary="Ask for the statements of up to ten bills",
        tag=TAG,
        scope="config:create",
        body=StatementJobBatchRequest,
        reply=Rows(StatementJobReply),
    ),
    Route(
        method="GET",
        path="/statementjobs/{id}",
        run=retrieve,
        summary="Read a statement job, with links to what it made",
        tag=TAG,
        scope="config:retrieve",
        reply=StatementJobReply,
    ),
    Route(
        method="POST",
        path="/statementjobs/{id}/cancel",
        run=cancel,
        summary="Stop a statement job",
        tag=TAG,
        scope="config:update",
        reply=StatementJobReply,
    ),
)
