"""Notification rules over HTTP (source: reference 2.12)."""

from __future__ import annotations

import msgspec

from tallystick.api.crud import IDS, Crud, where_of
from tallystick.api.routing import Call, Route
from tallystick.control.events import get_event
from tallystick.control.notifications import NOTIFICATIONS, formula_problem
from tallystick.core.entity import Value
from tallystick.core.expression import CalculationError
from tallystick.core.notification import MAX_CALCULATION, holds
from tallystick.errors import Refusal
from tallystick.ports import Where

_TAG = "Notifications"


class EvaluateRequest(Value, frozen=True, kw_only=True):
    """A formula to try: on an event that happened, or (by name alone) whether it could be saved."""

    calculation: str
    event_id: str | None = None
    event_name: str | None = None


class EvaluateReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether the formula holds; or why it cannot be computed."""

    success: bool
    error_message: str | None = None


def _where(call: Call) -> Where:
    active = call.query.flag("active")
    return where_of(
        call,
        id=call.query.texts("ids"),
        event_name=call.query.text("eventName"),
        active=None if active is None else ("true" if active else "false"),
    )


def evaluate(call: Call, body: EvaluateRequest) -> EvaluateReply:
    """Try a formula."""
    if len(body.calculation) > MAX_CALCULATION:
        raise Refusal("invalid_request", f"calculation: at most {MAX_CALCULATION} characters", field="calculation")
    event = get_event(call.records, body.event_id) if body.event_id is not None else None
    name = event.event_name if event is not None else body.event_name
    if name is None:
        raise Refusal("invalid_request", "eventId: say on which event, or give an eventName", field="eventId")
    problem = formula_problem(name, body.calculation)
    if problem is not None:
        return EvaluateReply(success=False, error_message=problem)
    if event is None:
        return EvaluateReply(success=True)
    try:
        return EvaluateReply(success=holds(body.calculation, event))
    except CalculationError as error:
        return EvaluateReply(success=False, error_message=str(error))


ROUTES = (
    *Crud(
        noun=NOTIFICATIONS,
        path="/notifications/configurations",
        tag=_TAG,
        where=_where,
        filters={
            "ids": IDS,
            "eventName": "Only rules over events of this name.",
            "active": "true: only rules that are at work; false: only the others.",
        },
    ).routes(),
    Route(
        method="POST",
        path="/notifications/evaluate",
        run=evaluate,
        summary="Try the formula of a notification rule",
        tag=_TAG,
        scope="config:retrieve",
        body=EvaluateRequest,
        reply=EvaluateReply,
    ),
)
