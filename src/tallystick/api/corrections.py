"""Corrections of usage over HTTP: drafted, looked at, then applied or discarded. An extension of ours."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from tallystick.api.bill_preview import POLL_SECONDS, WAIT_SECONDS, counted_up_to
from tallystick.api.crud import PAGING
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.desk import new_id
from tallystick.control.usage_query import checked_query
from tallystick.core.entity import Value
from tallystick.core.usage_correction import (
    MOST_AT_ONCE,
    MOST_CHANGES,
    Change,
    CorrectionSource,
    CorrectionStatus,
    Entry,
    Reason,
    UsageCorrection,
)
from tallystick.core.usage_request import UsageRequest
from tallystick.errors import Refusal
from tallystick.pipeline.correction_entries import Reach
from tallystick.pipeline.correction_run import (
    AT_ONCE,
    BillsOfAccount,
    apply_correction,
    carry_out,
    list_effects,
    preview_correction,
)
from tallystick.pipeline.corrections import (
    Drafting,
    add_changes,
    discard_correction,
    draft_correction,
    list_corrections,
    list_entries,
    read_correction,
)
from tallystick.ports import UsageRow

TAG = "Corrections"
Changes = Annotated[tuple[Change, ...], msgspec.Meta(max_length=MOST_AT_ONCE)]


class CorrectionRequest(Value, frozen=True, kw_only=True):
    """What to correct, and why: changes one by one, or all that a `filter` finds, which is withdrawn, or with a
    `measurement` replaced by it. The filter is a usage query without columns; it looks at all its measurements."""

    reason: Reason
    changes: Changes = ()
    filter: UsageRequest | None = None
    measurement: dict[str, Any] | None = None
    uploaded: bool = False

    def check(self) -> None:
        if (self.filter is None) == (not self.changes):
            raise ValueError("changes: name measurements, or give a filter; one of the two")
        if self.filter is not None and (self.filter.aggregations or self.filter.next_token):
            raise ValueError("filter: is a query of measurements; leave aggregations and nextToken out")
        if self.measurement is not None and self.filter is None:
            raise ValueError("measurement: is what replaces all that a filter finds; give it with the filter")

    @property
    def source(self) -> CorrectionSource:
        """Where the changes come from."""
        if self.filter is not None:
            return CorrectionSource.FILTER
        return CorrectionSource.UPLOAD if self.uploaded else CorrectionSource.CHANGES


class ChangesRequest(Value, frozen=True, kw_only=True):
    """More changes for a draft."""

    changes: Annotated[tuple[Change, ...], msgspec.Meta(min_length=1, max_length=MOST_AT_ONCE)]


class ApplyRequest(Value, frozen=True, kw_only=True):
    """With a `version`, the correction must be at it: nothing else is applied than what was looked at."""

    version: int | None = None


def create(call: Call, body: CorrectionRequest) -> UsageCorrection:
    """Draft a correction; a small one is looked at before the answer."""
    counted_up_to(call, call.app.journal.last)  # what was just accepted can be corrected
    reach = reach_of(call)
    drafting = Drafting(id=new_id(), reason=body.reason, source=body.source, actor=call.actor, now=call.now)
    found = () if body.filter is None else find_measurements(call, body.filter)
    if body.measurement is not None:
        changes = tuple(Change(uid=row.uid, measurement=body.measurement) for row in found)
        return _looked_at(call, draft_correction(reach, drafting, changes))
    return _looked_at(call, draft_correction(reach, drafting, body.changes, found))


def find_measurements(call: Call, asked: UsageRequest) -> list[UsageRow]:
    """All that a filter finds and that counts. Refusal `rule_broken` where that is more than a correction can have."""
    query, _ = checked_query(call.records, msgspec.structs.replace(asked, limit=MOST_CHANGES))
    found = call.usage.raw(query)
    if len(found) > MOST_CHANGES:
        message = f"filter: finds more than {MOST_CHANGES:,} measurements; correct a part of the time after the other"
        raise Refusal("rule_broken", message, field="filter")
    return found


def add(call: Call, body: ChangesRequest) -> UsageCorrection:
    """Put more changes into a draft."""
    counted_up_to(call, call.app.journal.last)
    more = add_changes(reach_of(call), call.path["id"], body.changes, actor=call.actor, now=call.now)
    return _looked_at(call, more)


def preview(call: Call) -> UsageCorrection:
    """Look at a draft again, with the usage there is now."""
    up_to = counted_up_to(call, call.app.journal.last)
    return preview_correction(reach_of(call), call.path["id"], up_to=up_to, now=call.now)


def find(call: Call) -> dict[str, object]:
    """A page of corrections."""
    status = call.query.text("status")
    if status is not None and status not in CorrectionStatus.__members__:
        message = f"status: must be one of {', '.join(CorrectionStatus)}, got {status[:40]!r}"
        raise Refusal("invalid_request", message, field="status")
    wanted = None if status is None else CorrectionStatus(status)
    found = list_corrections(call.records, call.query.page(), status=wanted)
    return struct_page(found.rows, found.next_token)


def retrieve(call: Call) -> UsageCorrection:
    """One correction."""
    return read_correction(call.records, call.path["id"])


def find_entries(call: Call) -> dict[str, object]:
    """A page of what a correction withdraws and adds."""
    made = read_correction(call.records, call.path["id"])
    found = list_entries(call.records, made.id, call.query.page())
    return struct_page(found.rows, found.next_token)


def find_effects(call: Call) -> dict[str, object]:
    """A page of the accounts whose bills it changes."""
    made = read_correction(call.records, call.path["id"])
    found = list_effects(call.records, made.id, call.query.page())
    return struct_page(found.rows, found.next_token)


def apply(call: Call, body: ApplyRequest) -> UsageCorrection:
    """Apply a draft; where its measurements are counted soon enough, it is APPLIED with the answer."""
    id_ = call.path["id"]
    apply_correction(call.records, id_, actor=call.actor, now=call.now, version=body.version)
    return applied(call, id_)


def applied(call: Call, id: str) -> UsageCorrection:
    """Carry a correction out as far as it goes while somebody waits; the server does the rest."""
    reach, deadline = reach_of(call), time.monotonic() + WAIT_SECONDS
    made = carry_out(reach, id, now=call.now)
    while made.status is CorrectionStatus.APPLYING and time.monotonic() < deadline:
        made = carry_out(reach, id, now=call.now)
        if made.status is CorrectionStatus.APPLYING:
            time.sleep(POLL_SECONDS)
    return made


def discard(call: Call) -> UsageCorrection:
    """Discard a draft."""
    return discard_correction(call.records, call.path["id"], actor=call.actor, now=call.now)


def reach_of(call: Call) -> Reach:
    """What a correction of the organisation looks at."""
    return Reach(call.app, call.organization_id)


def _looked_at(call: Call, made: UsageCorrection) -> UsageCorrection:
    if made.accounts > AT_ONCE:
        return made
    return preview_correction(reach_of(call), made.id, up_to=call.app.usage.mark, now=call.now)


_READ, _DRAFT, _DECIDE = "measurements:retrieve", "measurements:upload", "config:update"

ROUTES = (
    Route(
        method="POST",
        path="/corrections",
        run=create,
        summary="Draft a correction of usage, and see what it does to the bills",
        tag=TAG,
        scope=_DRAFT,
        body=CorrectionRequest,
        reply=UsageCorrection,
    ),
    Route(
        method="GET",
        path="/corrections",
        run=find,
        summary="List corrections, newest first",
        tag=TAG,
        scope=_READ,
        reply=Paged(UsageCorrection),
        query={"status": "Only DRAFT, APPLYING, APPLIED or DISCARDED ones.", **PAGING},
    ),
    Route(
        method="GET",
        path="/corrections/{id}",
        run=retrieve,
        summary="Read a correction and what it comes to",
        tag=TAG,
        scope=_READ,
        reply=UsageCorrection,
    ),
    Route(
        method="GET",
        path="/corrections/{id}/entries",
        run=find_entries,
        summary="List what a correction withdraws and adds",
        tag=TAG,
        scope=_READ,
        reply=Paged(Entry),
        query=PAGING,
    ),
    Route(
        method="GET",
        path="/corrections/{id}/effects",
        run=find_effects,
        summary="List what a correction does to bills, account by account, the greatest changes first",
        tag=TAG,
        scope=_READ,
        reply=Paged(BillsOfAccount),
        query=PAGING,
    ),
    Route(
        method="POST",
        path="/corrections/{id}/changes",
        run=add,
        summary="Put more changes into a draft",
        tag=TAG,
        scope=_DRAFT,
        body=ChangesRequest,
        reply=UsageCorrection,
    ),
    Route(
        method="POST",
        path="/corrections/{id}/preview",
        run=preview,
        summary="Look at a draft again, with the usage there is now",
        tag=TAG,
        scope=_DRAFT,
        reply=UsageCorrection,
    ),
    Route(
        method="POST",
        path="/corrections/{id}/apply",
        run=apply,
        summary="Apply a draft: the journal takes it in, and bills that stay get memos",
        tag=TAG,
        scope=_DECIDE,
        body=ApplyRequest,
        reply=UsageCorrection,
    ),
    Route(
        method="POST",
        path="/corrections/{id}/discard",
        run=discard,
        summary="Discard a draft",
        tag=TAG,
        scope=_DECIDE,
        reply=UsageCorrection,
    ),
)
