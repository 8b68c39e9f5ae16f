"""Bill jobs over HTTP: ask for bills, watch a run, stop it, make bills again."""

from __future__ import annotations

from tallystick.api.crud import PAGING
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.app import JobToRun
from tallystick.control.desk import new_id
from tallystick.core.bill_job import BillJob, BillJobRequest, BillJobStatus, BillRecalculateRequest
from tallystick.errors import Refusal
from tallystick.pipeline.bill_job import cancel_job, create_job, create_recalculation, list_jobs, read_job

TAG = "Bill jobs"


def create(call: Call, body: BillJobRequest) -> BillJob:
    """Start a run. It reads the usage that is in the journal now."""
    up_to = call.app.journal.last
    job = create_job(call.records, body, id=new_id(), actor=call.actor, now=call.now, up_to=up_to)
    return _handed_over(call, job)


def recalculate(call: Call, body: BillRecalculateRequest) -> BillJob:
    """Start a run that makes bills again with the present prices and usage."""
    up_to = call.app.journal.last
    job = create_recalculation(call.records, body, id=new_id(), actor=call.actor, now=call.now, up_to=up_to)
    return _handed_over(call, job)


def _handed_over(call: Call, job: BillJob) -> BillJob:
    call.app.jobs.put(JobToRun(call.organization_id, job.id))
    return job


def retrieve(call: Call) -> BillJob:
    """One run, how far it has come, its bills and what could not be billed."""
    return read_job(call.records, call.path["id"])


def find(call: Call) -> dict[str, object]:
    """A page of runs, newest first."""
    status = call.query.text("status")
    if status is not None and status not in BillJobStatus.__members__:
        message = f"status: must be one of {', '.join(BillJobStatus)}, got {status[:40]!r}"
        raise Refusal("invalid_request", message, field="status")
    found = list_jobs(
        call.records,
        call.query.page(highest=200),
        status=None if status is None else BillJobStatus(status),
        active=call.query.flag("active") is True,
    )
    return struct_page(found.rows, found.next_token)


def cancel(call: Call) -> BillJob:
    """Stop a run; the bills it has made stay."""
    return cancel_job(call.records, call.path["id"], actor=call.actor, now=call.now)


ROUTES = (
    Route(
        method="POST",
        path="/billjobs",
        run=create,
        summary="Start a run of bills",
        tag=TAG,
        scope="config:create",
        body=BillJobRequest,
        reply=BillJob,
    ),
    Route(
        method="GET",
        path="/billjobs",
        run=find,
        summary="List runs",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(BillJob),
        query={"active": "true: only runs with something left to do.", "status": "Only this status.", **PAGING},
    ),
    Route(
        method="POST",
        path="/billjobs/recalculate",
        run=recalculate,
        summary="Make bills again",
        tag=TAG,
        scope="config:create",
        body=BillRecalculateRequest,
        reply=BillJob,
    ),
    Route(
        method="GET",
        path="/billjobs/{id}",
        run=retrieve,
        summary="Read a run",
        tag=TAG,
        scope="config:retrieve",
        reply=BillJob,
    ),
    Route(
        method="POST",
        path="/billjobs/{id}/cancel",
        run=cancel,
        summary="Stop a run",
        tag=TAG,
        scope="config:update",
        reply=BillJob,
    ),
)
