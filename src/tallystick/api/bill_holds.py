"""Held bills and what holds them over HTTP: an extension of ours."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.crud import IDS, PAGING, Crud, desk_of, where_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.anomalies import ANOMALY_POLICIES, AnomaliesWanted, get_anomaly, list_anomalies, policy_in_force
from tallystick.control.bill_holds import get_hold, hold_bill, list_holds, release_bill
from tallystick.core.anomaly import Anomaly, AnomalyKind, AnomalyPolicy
from tallystick.core.bill_hold import BillHold, HoldState, ReleaseReason
from tallystick.ports import Where

Note = Annotated[str, msgspec.Meta(max_length=500)]


class HoldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why somebody wants a bill to be held."""

    note: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was behind what looked unusual, and what else there is to say of it."""

    reason: ReleaseReason
    note: Note = ""


class AnomalyReply(Anomaly, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An anomaly, with the sentence that says what is unusual."""

    message: str


def holds(call: Call) -> dict[str, object]:
    """A page of holds."""
    state, account_id = call.query.choice("state", HoldState), call.query.text("accountId")
    found = list_holds(call.records, call.query.page(), state=state, account_id=account_id)
    return struct_page(found.rows, found.next_token)


def hold(call: Call) -> BillHold:
    """The hold of a bill."""
    return get_hold(call.records, call.path["id"])


def place(call: Call, body: HoldRequest) -> BillHold:
    """Hold a bill."""
    return hold_bill(desk_of(call), call.path["id"], body.note)


def release(call: Call, body: ReleaseRequest) -> BillHold:
    """Release a bill."""
    return release_bill(desk_of(call), call.path["id"], body.reason, body.note)


def anomalies(call: Call) -> dict[str, object]:
    """A page of anomalies."""
    wanted = AnomaliesWanted(
        kind=call.query.choice("kind", AnomalyKind),
        account_id=call.query.text("accountId"),
        meter_id=call.query.text("meterId"),
        days=(call.query.day("dayStart"), call.query.day("dayEnd")),
    )
    found = list_anomalies(call.records, wanted, call.query.page())
    return struct_page([_shown(each) for each in found.rows], found.next_token)


def anomaly(call: Call) -> AnomalyReply:
    """One anomaly."""
    return _shown(get_anomaly(call.records, call.path["id"]))


def _shown(anomaly: Anomaly) -> AnomalyReply:
    return AnomalyReply(**msgspec.structs.asdict(anomaly), message=anomaly.sentence)


def in_force(call: Call) -> AnomalyPolicy:
    """The policy that holds for an account, or for the organisation where none is named."""
    return policy_in_force(call.records, call.query.text("accountId"))


def _where(call: Call) -> Where:
    return where_of(call, id=call.query.texts("ids"), account_id=call.query.text("accountId"))


_TAG = "Anomalies"
_READ, _WRITE = "config:retrieve", "config:update"
_ACCOUNT = "Only of this account."

ROUTES = (
    Route(
        method="GET",
        path="/billholds",
        run=holds,
        summary="List held bills, and those that were released, the latest held first",
        tag=_TAG,
        scope=_READ,
        reply=Paged(BillHold),
        query={**PAGING, "state": "HELD or RELEASED.", "accountId": _ACCOUNT},
    ),
    Route(
        method="GET",
        path="/bills/{id}/hold",
        run=hold,
        summary="Retrieve what holds a bill, or held it",
        tag=_TAG,
        scope=_READ,
        reply=BillHold,
    ),
    Route(
        method="POST",
        path="/bills/{id}/hold",
        run=place,
        summary="Hold a bill, so that it is not approved before it is released",
        tag=_TAG,
        scope=_WRITE,
        body=HoldRequest,
        reply=BillHold,
    ),
    Route(
        method="POST",
        path="/bills/{id}/release",
        run=release,
        summary="Release a held bill with a reason",
        tag=_TAG,
        scope=_WRITE,
        body=ReleaseRequest,
        reply=BillHold,
    ),
    Route(
        method="GET",
        path="/anomalies",
        run=anomalies,
        summary="List usage out of the ordinary, the latest day first",
        tag=_TAG,
        scope=_READ,
        reply=Paged(AnomalyReply),
        query={
            **PAGING,
            "kind": f"One of {', '.join(AnomalyKind)}.",
            "accountId": _ACCOUNT,
            "meterId": "Only of this meter.",
            "dayStart": "Only of this day and later ones.",
            "dayEnd": "Only of this day and earlier ones.",
        },
    ),
    Route(
        method="GET",
        path="/anomalies/{id}",
        run=anomaly,
        summary="Retrieve an anomaly",
        tag=_TAG,
        scope=_READ,
        reply=AnomalyReply,
    ),
    Route(
        method="GET",
        path="/anomalypolicies/inforce",
        run=in_force,
        summary="Retrieve what holds for an account where it has no policy of its own",
        tag=_TAG,
        scope=_READ,
        reply=AnomalyPolicy,
        query={"accountId": "The account; the organisation's own where none is named."},
    ),
    *Crud(
        noun=ANOMALY_POLICIES,
        path="/anomalypolicies",
        tag=_TAG,
        where=_where,
        filters={"ids": IDS, "accountId": _ACCOUNT},
    ).routes(),
)
