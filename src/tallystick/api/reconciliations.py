"""Reconciliations over HTTP: what is held against which source, the files that are sent for it, runs and findings."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from tallystick.api.bill_preview import counted_up_to
from tallystick.api.crud import IDS, PAGING, Crud, desk_of, where_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.desk import new_id
from tallystick.control.reconciliations import RECONCILIATIONS
from tallystick.control.source_uploads import append, create_upload, delete_upload, list_uploads, read_upload
from tallystick.core.entity import Value
from tallystick.core.reconciliation import AccuracyLevel, ReconciliationRequest
from tallystick.core.reconciliation_run import (
    Cause,
    FindingKind,
    ReconciliationFinding,
    ReconciliationGroup,
    ReconciliationRun,
)
from tallystick.core.source_upload import MAX_PART, SourceUpload
from tallystick.core.usage_correction import Reason, UsageCorrection
from tallystick.errors import Refusal
from tallystick.pipeline.correction_entries import Reach
from tallystick.pipeline.correction_run import AT_ONCE, preview_correction
from tallystick.pipeline.reconciliation_drafts import draft_from_run
from tallystick.pipeline.reconciliation_runs import (
    cancel_run,
    create_run,
    list_findings,
    list_groups,
    list_runs,
    read_run,
)
from tallystick.ports import Where

TAG = "Reconciliations"

E = TypeVar("E", bound=StrEnum)


class ReconciliationCorrectionRequest(Value, frozen=True, kw_only=True):
    """Why usage is corrected, and which causes: DUPLICATE and ONLY_HERE are withdrawn, LOST is added, all others are
    replaced by what the source says. Without causes, all of these but ONLY_HERE."""

    reason: Reason
    causes: tuple[Cause, ...] = ()


def _where(call: Call) -> Where:
    scheduled = call.query.flag("scheduled")
    return where_of(
        call,
        id=call.query.texts("ids"),
        scheduled=None if scheduled is None else ("true" if scheduled else "false"),
    )


def chosen(call: Call, name: str, of: type[E]) -> E | None:
    """A parameter that must be one of some words."""
    text = call.query.text(name)
    if text is None:
        return None
    if text not in of.__members__:
        message = f"{name}: must be one of {', '.join(of)}, got {text[:40]!r}"
        raise Refusal("invalid_request", message, field=name)
    return of(text)


def send(call: Call) -> SourceUpload:
    """Keep a file, or its first part."""
    return create_upload(desk_of(call), call.app.sources, call.query.text("name") or "", call.raw)


def add_part(call: Call) -> SourceUpload:
    """Add a part to a file."""
    upload = read_upload(call.records, call.path["id"])
    offset = call.query.number("offset", lowest=0, highest=2**40)
    if offset is None:
        raise Refusal("invalid_request", "offset: say at which byte of the file the part begins", field="offset")
    return append(desk_of(call), call.app.sources, upload.id, call.raw, offset)


def one_upload(call: Call) -> SourceUpload:
    """One file that was sent."""
    return read_upload(call.records, call.path["id"])


def uploads(call: Call) -> dict[str, object]:
    """A page of files that were sent."""
    found = list_uploads(call.records, call.query.page())
    return struct_page(found.rows, found.next_token)


def forget(call: Call) -> SourceUpload:
    """Forget a file."""
    return delete_upload(desk_of(call), call.app.sources, call.path["id"])


def start(call: Call, body: ReconciliationRequest) -> ReconciliationRun:
    """Ask for a run."""
    if body.upload_id is not None:
        read_upload(call.records, body.upload_id)
    up_to = call.app.journal.last
    return create_run(call.records, body, id=new_id(), actor=call.actor, now=call.now, up_to=up_to)


def runs(call: Call) -> dict[str, object]:
    """A page of runs."""
    query = call.query
    found = list_runs(
        call.records,
        query.page(),
        reconciliation_id=query.text("reconciliationId"),
        active=query.flag("active") is True,
    )
    return struct_page(found.rows, found.next_token)


def run(call: Call) -> ReconciliationRun:
    """One run."""
    return read_run(call.records, call.path["id"])


def cancel(call: Call) -> ReconciliationRun:
    """Stop a run."""
    return cancel_run(call.records, call.path["id"], now=call.now)


def groups(call: Call) -> dict[str, object]:
    """A page of accounts and measures."""
    made = read_run(call.records, call.path["id"])
    found = list_groups(call.records, made.id, call.query.page(), level=chosen(call, "level", AccuracyLevel))
    return struct_page(found.rows, found.next_token)


def findings(call: Call) -> dict[str, object]:
    """A page of what is amiss."""
    made = read_run(call.records, call.path["id"])
    found = list_findings(
        call.records,
        made.id,
        call.query.page(),
        kind=chosen(call, "kind", FindingKind),
        cause=chosen(call, "cause", Cause),
        account_id=call.query.text("accountId"),
    )
    return struct_page(found.rows, found.next_token)


def correct(call: Call, body: ReconciliationCorrectionRequest) -> UsageCorrection:
    """Draft the correction that makes usage agree with the source; a small one is looked at before the answer."""
    up_to = counted_up_to(call, call.app.journal.last)
    reach = Reach(call.app, call.organization_id)
    run_id, id_ = call.path["id"], new_id()
    made = draft_from_run(reach, run_id, body.causes, id=id_, reason=body.reason, actor=call.actor, now=call.now)
    return made if made.accounts > AT_ONCE else preview_correction(reach, made.id, up_to=up_to, now=call.now)


_UPLOADS, _RUNS = "/sourceuploads", "/reconciliationruns"
_OF_RUNS = {
    **PAGING,
    "reconciliationId": "Only runs of this reconciliation.",
    "active": "true: only those that are at work.",
}
_OF_FINDINGS = {
    **PAGING,
    "kind": "Only MISSING, EXTRA or DIFFERING.",
    "cause": "Only of this cause.",
    "accountId": "Only of this account.",
}

ROUTES = (
    *Crud(
        noun=RECONCILIATIONS,
        path="/reconciliations",
        tag=TAG,
        where=_where,
        filters={"ids": IDS, "scheduled": "true: only those that run every day; false: only the others."},
    ).routes(),
    Route(
        method="POST",
        path=_UPLOADS,
        run=send,
        summary="Send a file to hold against what is counted, or its first part",
        tag=TAG,
        scope="config:create",
        reply=SourceUpload,
        query={"name": "What the file is called; its ending tells its format, such as march.csv or march.ndjson.gz."},
        file_bytes=MAX_PART,
    ),
    Route(
        method="GET",
        path=_UPLOADS,
        run=uploads,
        summary="List the files that were sent, the latest first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(SourceUpload),
        query=PAGING,
    ),
    Route(
        method="GET",
        path=_UPLOADS + "/{id}",
        run=one_upload,
        summary="Retrieve how much of a file has come",
        tag=TAG,
        scope="config:retrieve",
        reply=SourceUpload,
    ),
    Route(
        method="POST",
        path=_UPLOADS + "/{id}/parts",
        run=add_part,
        summary="Send the next part of a file; sending one again changes nothing",
        tag=TAG,
        scope="config:create",
        reply=SourceUpload,
        query={"offset": "At which byte of the file the part begins."},
        file_bytes=MAX_PART,
    ),
    Route(
        method="DELETE",
        path=_UPLOADS + "/{id}",
        run=forget,
        summary="Forget a file that was sent",
        tag=TAG,
        scope="config:delete",
        reply=SourceUpload,
    ),
    Route(
        method="POST",
        path=_RUNS,
        run=start,
        summary="Run a reconciliation over some days",
        tag=TAG,
        scope="config:create",
        body=ReconciliationRequest,
        reply=ReconciliationRun,
    ),
    Route(
        method="GET",
        path=_RUNS,
        run=runs,
        summary="List reconciliation runs, newest first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(ReconciliationRun),
        query=_OF_RUNS,
    ),
    Route(
        method="GET",
        path=_RUNS + "/{id}",
        run=run,
        summary="Retrieve a reconciliation run: how far it is, how accurate, and why not wholly",
        tag=TAG,
        scope="config:retrieve",
        reply=ReconciliationRun,
    ),
    Route(
        method="POST",
        path=_RUNS + "/{id}/cancel",
        run=cancel,
        summary="Stop a reconciliation run; what it has found stays",
        tag=TAG,
        scope="config:update",
        reply=ReconciliationRun,
    ),
    Route(
        method="GET",
        path=_RUNS + "/{id}/groups",
        run=groups,
        summary="List the accounts and fields of a run, the least accurate first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(ReconciliationGroup),
        query={**PAGING, "level": "Only GOOD, WARNING or RED."},
    ),
    Route(
        method="GET",
        path=_RUNS + "/{id}/findings",
        run=findings,
        summary="List what is missing, extra or differs, the greatest quantities first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(ReconciliationFinding),
        query=_OF_FINDINGS,
    ),
    Route(
        method="POST",
        path=_RUNS + "/{id}/correction",
        run=correct,
        summary="Draft a correction that makes usage agree with the source; nothing changes before it is applied",
        tag=TAG,
        scope="measurements:upload",
        body=ReconciliationCorrectionRequest,
        reply=UsageCorrection,
    ),
)
