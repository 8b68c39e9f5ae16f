"""Disputes on bills over HTTP: an extension of ours."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from tallystick.api.crud import IDS, PAGING, Reply, desk_of, where_of
from tallystick.api.routing import Call, Envelope, Paged, Route, entity_reply, page_reply
from tallystick.control.disputes import DISPUTES, Resolution, move, open_dispute, resolve
from tallystick.core.dispute import Dispute, DisputeReason, DisputeState, Told, require_amount
from tallystick.core.entity import Entity, Id, Value
from tallystick.pipeline.memo import apply_memos

TAG = "Disputes"
PATH = "/disputes"


class DisputeRequest(Value, frozen=True, kw_only=True):
    """What is disputed and why: a bill, or a line of it by its id, and how much of it."""

    bill_id: Id
    reason: DisputeReason
    description: Told
    line_item_id: Id | None = None
    amount: Decimal | None = None

    def check(self) -> None:
        require_amount(self.amount)


class DisputeStateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands now: OPEN, UNDER_REVIEW or WITHDRAWN."""

    state: DisputeState


def create(call: Call, body: DisputeRequest) -> Reply:
    """Open a dispute."""
    given: dict[str, Any] = {name: getattr(body, name) for name in body.__struct_fields__}
    return entity_reply(open_dispute(desk_of(call), Dispute(account_id=body.bill_id, **given)))


def find(call: Call) -> Reply:
    """A page of disputes, newest first."""
    query = call.query
    where = where_of(
        call,
        id=query.texts("ids"),
        bill_id=query.text("billId"),
        account_id=query.text("accountId"),
        state=query.text("state"),
    )
    found = DISPUTES.find(call.records, where, query.page())
    return page_reply([entity_reply(each) for each in found.rows], found.next_token)


def retrieve(call: Call) -> Reply:
    """One dispute."""
    return entity_reply(DISPUTES.retrieve(call.records, call.path["id"]))


def set_state(call: Call, body: DisputeStateRequest) -> Reply:
    """Take it up, lay it down, withdraw it."""
    return entity_reply(move(desk_of(call), call.path["id"], body.state))


def settle(call: Call, body: Resolution) -> Reply:
    """Resolve it, and put what is given back on a bill."""
    return entity_reply(resolved(call, resolve(desk_of(call), call.path["id"], body)))


def resolved(call: Call, dispute: Entity[Dispute]) -> Entity[Dispute]:
    """A resolved dispute, once the bill shows its credit."""
    if dispute.value.memo_bill_id is not None:
        apply_memos(call.records, dispute.value.memo_bill_id, actor=call.actor, now=call.now)
    return dispute


def delete(call: Call) -> Reply:
    """Delete one that was opened by mistake."""
    return entity_reply(DISPUTES.delete(desk_of(call), call.path["id"]))


ROUTES = (
    Route(
        method="POST",
        path=PATH,
        run=create,
        summary="Open a dispute on a bill or a line of it",
        tag=TAG,
        scope="config:create",
        body=DisputeRequest,
        reply=Envelope(Dispute),
    ),
    Route(
        method="GET",
        path=PATH,
        run=find,
        summary="List disputes",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(Envelope(Dispute)),
        query={
            "ids": IDS,
            "billId": "Only disputes on this bill.",
            "accountId": "Only disputes of this account.",
            "state": "Only OPEN, UNDER_REVIEW, RESOLVED or WITHDRAWN.",
            **PAGING,
        },
    ),
    Route(
        method="GET",
        path=PATH + "/{id}",
        run=retrieve,
        summary="Retrieve a dispute",
        tag=TAG,
        scope="config:retrieve",
        reply=Envelope(Dispute),
    ),
    Route(
        method="POST",
        path=PATH + "/{id}/state",
        run=set_state,
        summary="Take up a dispute, lay it down again, or withdraw it",
        tag=TAG,
        scope="config:update",
        body=DisputeStateRequest,
        reply=Envelope(Dispute),
    ),
    Route(
        method="POST",
        path=PATH + "/{id}/resolution",
        run=settle,
        summary="Resolve a dispute, with a credit where something is given back",
        tag=TAG,
        scope="config:update",
        body=Resolution,
        reply=Envelope(Dispute),
    ),
    Route(
        method="DELETE",
        path=PATH + "/{id}",
        run=delete,
        summary="Delete a dispute that was opened by mistake",
        tag=TAG,
        scope="config:delete",
        reply=Envelope(Dispute),
    ),
)
