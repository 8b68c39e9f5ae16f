"""Groups of failed measurements over HTTP, and jobs that replay or discard all of a group."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.crud import PAGING, desk_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.failed_measurements import get_group, list_groups
from tallystick.control.replay_jobs import cancel_job, create_job, list_jobs, read_job
from tallystick.core.correction import Correction
from tallystick.core.failed_group import FailedGroup
from tallystick.core.replay_job import ReplayAction, ReplayJob


class ReplayJobRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which group, and what is done to all of it that is open: replayed, corrected alike or as it was, or discarded
    for a reason."""

    group_id: str
    action: ReplayAction
    correction: Correction | None = None
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None


def groups(call: Call) -> dict[str, object]:
    """A page of groups."""
    found = list_groups(call.records, call.query.page(), closed=call.query.flag("includeClosed") is True)
    return struct_page(found.rows, found.next_token)


def group(call: Call) -> FailedGroup:
    """One group."""
    return get_group(call.records, call.path["id"])


def jobs(call: Call) -> dict[str, object]:
    """A page of jobs."""
    query = call.query
    found = list_jobs(call.records, query.page(), group_id=query.text("groupId"), active=query.flag("active") is True)
    return struct_page(found.rows, found.next_token)


def job(call: Call) -> ReplayJob:
    """One job."""
    return read_job(call.records, call.path["id"])


def create(call: Call, body: ReplayJobRequest) -> ReplayJob:
    """Ask for a job."""
    return create_job(desk_of(call), body.group_id, body.action, correction=body.correction, reason=body.reason)


def cancel(call: Call) -> ReplayJob:
    """Stop a job."""
    return cancel_job(desk_of(call), call.path["id"])


_TAG = "Measurements"
_READ, _WRITE = "measurements:retrieve", "measurements:upload"

ROUTES = (
    Route(
        method="GET",
        path="/failedmeasurementgroups",
        run=groups,
        summary="List failed measurements by what is wrong with them, most open ones first",
        tag=_TAG,
        scope=_READ,
        reply=Paged(FailedGroup),
        query={**PAGING, "includeClosed": "true lists groups of which nothing is open as well."},
    ),
    Route(
        method="GET",
        path="/failedmeasurementgroups/{id}",
        run=group,
        summary="Retrieve a group of failed measurements",
        tag=_TAG,
        scope=_READ,
        reply=FailedGroup,
    ),
    Route(
        method="GET",
        path="/replayjobs",
        run=jobs,
        summary="List replay jobs, newest first",
        tag=_TAG,
        scope=_READ,
        reply=Paged(ReplayJob),
        query={**PAGING, "groupId": "Only jobs on this group.", "active": "true: only those that are at work."},
    ),
    Route(
        method="POST",
        path="/replayjobs",
        run=create,
        summary="Replay or discard all open failed measurements of a group",
        tag=_TAG,
        scope=_WRITE,
        body=ReplayJobRequest,
        reply=ReplayJob,
    ),
    Route(
        method="GET",
        path="/replayjobs/{id}",
        run=job,
        summary="Retrieve a replay job: how far it is",
        tag=_TAG,
        scope=_READ,
        reply=ReplayJob,
    ),
    Route(
        method="POST",
        path="/replayjobs/{id}/cancel",
        run=cancel,
        summary="Stop a replay job; what it has closed stays closed",
        tag=_TAG,
        scope=_WRITE,
        reply=ReplayJob,
    ),
)
