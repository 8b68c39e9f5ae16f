"""Rows of a CRM over HTTP, and what is told to a CRM. An extension of ours."""

from __future__ import annotations

from tallystick.api.crud import desk_of
from tallystick.api.routing import Call, Route
from tallystick.control import crm
from tallystick.core.crm import CrmPull, Pulled
from tallystick.core.event import Event

TAG = "CRM"


def pull(call: Call, body: CrmPull) -> Pulled:
    """Bring accounts or contracts to what rows of a CRM say."""
    return crm.pull(desk_of(call), body)


def tell(call: Call) -> Event:
    """Tell the CRM of an account once more."""
    return crm.tell_account(desk_of(call), call.path["id"])


ROUTES = (
    Route(
        method="POST",
        path="/crm/pull",
        run=pull,
        summary="Bring accounts or contracts to what rows of Salesforce or HubSpot say",
        tag=TAG,
        scope="config:update",
        body=CrmPull,
        reply=Pulled,
    ),
    Route(
        method="POST",
        path="/accounts/{id}/crmsummary",
        run=tell,
        summary="Tell the CRM of the account's latest approved bill, by an event",
        tag=TAG,
        scope="config:update",
        reply=Event,
    ),
)
