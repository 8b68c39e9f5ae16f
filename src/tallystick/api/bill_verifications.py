"""Verifications of all bills over HTTP: asked for, watched, stopped. An extension of ours."""

from __future__ import annotations

from tallystick.api.crud import PAGING
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.desk import new_id
from tallystick.core.verify_job import VerificationJob
from tallystick.pipeline.verify_job import cancel_job, create_job, list_jobs, read_job

TAG = "Bills"


def create(call: Call) -> VerificationJob:
    """Have all bills verified."""
    return create_job(call.records, id=new_id(), actor=call.actor, now=call.now)


def find(call: Call) -> dict[str, object]:
    """A page of verifications."""
    found = list_jobs(call.records, call.query.page(), active=call.query.flag("active") is True)
    return struct_page(found.rows, found.next_token)


def retrieve(call: Call) -> VerificationJob:
    """One verification."""
    return read_job(call.records, call.path["id"])


def cancel(call: Call) -> VerificationJob:
    """Stop a verification."""
    return cancel_job(call.records, call.path["id"], now=call.now)


ROUTES = (
    Route(
        method="POST",
        path="/billverifications",
        run=create,
        summary="Verify all bills: each is calculated again and compared with what is stored",
        tag=TAG,
        scope="config:retrieve",
        reply=VerificationJob,
    ),
    Route(
        method="GET",
        path="/billverifications",
        run=find,
        summary="List verifications of all bills",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(VerificationJob),
        query={"active": "true: only verifications with something left to do.", **PAGING},
    ),
    Route(
        method="GET",
        path="/billverifications/{id}",
        run=retrieve,
        summary="Read a verification of all bills, how far it is and which bills do not stand up",
        tag=TAG,
        scope="config:retrieve",
        reply=VerificationJob,
    ),
    Route(
        method="POST",
        path="/billverifications/{id}/cancel",
        run=cancel,
        summary="Stop a verification of all bills",
        tag=TAG,
        scope="config:retrieve",
        reply=VerificationJob,
    ),
)
