"""Integration runs over HTTP: how each hand-over went, and handing over again (source: reference 1, 2.12)."""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import Any

import msgspec

from tallystick.api.crud import IDS, PAGING
from tallystick.api.routing import Call, Paged, Route, Rows, struct_page
from tallystick.control.integration_runs import RunFilter, get_run, latest_runs, list_runs
from tallystick.core.integration import Destination, IntegrationRun, RunStatus
from tallystick.errors import Refusal
from tallystick.pipeline.handover import retry
from tallystick.ports import Page

_TAG = "Integrations"


class Order(StrEnum):
    """In which order runs are listed, by their events."""

    ASC = "ASC"
    DESC = "DESC"


class IntegrationRunLog(msgspec.Struct, frozen=True, kw_only=True):
    """What was said while something was handed over, as text in base64."""

    Payload: str


def _filter(call: Call, **fixed: Any) -> RunFilter:
    query = call.query
    given: dict[str, Any] = {
        "ids": query.texts("ids"),
        "config_id": query.text("integrationConfigId"),
        "destination": query.choice("destination", Destination),
        "event_id": query.text("eventId"),
        "status": query.choice("status", RunStatus),
        "start": query.instant("startDate"),
        "end": query.instant("endDate"),
    }
    return RunFilter(**{**given, **fixed})


def _page(call: Call) -> Page:
    page = call.query.page()
    rising = call.query.choice("order", Order) is Order.ASC
    return Page(size=page.size, token=page.token, oldest_first=rising)


def find(call: Call) -> dict[str, object]:
    """A page of all runs."""
    found = list_runs(call.records, _filter(call), _page(call))
    return struct_page(found.rows, found.next_token)


def of_entity(call: Call) -> dict[str, object]:
    """A page of the runs about an entity."""
    about = {"entity_type": call.path["entityType"], "entity_ids": (call.path["entityId"],)}
    found = list_runs(call.records, _filter(call, **about), _page(call))
    return struct_page(found.rows, found.next_token)


def of_destination(call: Call) -> dict[str, object]:
    """A page of the runs to a webhook."""
    found = list_runs(call.records, _filter(call, destination_id=call.path["destinationId"]), _page(call))
    return struct_page(found.rows, found.next_token)


def latest(call: Call) -> IntegrationRun:
    """The latest run about an entity."""
    id_ = call.path["id"]
    found = latest_runs(call.records, call.path["entityType"], (id_,))
    if id_ not in found:
        raise Refusal("not_found", f"id: nothing about {id_[:40]!r} was handed over", field="id")
    return found[id_]


def latest_of_each(call: Call) -> list[IntegrationRun]:
    """The latest run about each of some entities."""
    ids = call.query.texts("ids") or ()
    return list(latest_runs(call.records, call.path["entityType"], ids[:100]).values())


def retrieve(call: Call) -> IntegrationRun:
    """One run."""
    return get_run(call.records, call.path["id"])


def log(call: Call) -> IntegrationRunLog:
    """What was said on the way."""
    run = get_run(call.records, call.path["id"])
    lines = [f"status: {run.status}", f"attempts: {run.attempts}"]
    lines += [f"error: {run.error}"] if run.error else []
    lines += [run.log] if run.log else []
    return IntegrationRunLog(Payload=base64.b64encode("\n".join(lines).encode()).decode())


def again(call: Call) -> IntegrationRun:
    """Hand over again."""
    return retry(call.records, call.path["id"], now=call.now, by=call.actor)


def _route(path: str, run: Any, summary: str, reply: object, *, method: str = "GET", **more: Any) -> Route:
    scope = "config:update" if method == "POST" else "config:retrieve"
    whole = "/integrationruns" + path
    return Route(method=method, path=whole, run=run, summary=summary, tag=_TAG, scope=scope, reply=reply, **more)


_FILTERS = {
    **PAGING,
    "status": "Only runs that stand so, such as ERROR.",
    "startDate": "Only runs made at or after this time.",
    "endDate": "Only runs made before this time.",
    "order": "DESC: those of the latest events first, as by default; ASC: the other way round.",
}
_RUNS = Paged(IntegrationRun)

ROUTES = (
    _route(
        "",
        find,
        "List integration runs, those of the latest events first",
        _RUNS,
        query={
            "ids": IDS,
            "integrationConfigId": "Only runs of this integration configuration.",
            "destination": "Only runs to this destination, such as WEBHOOK.",
            "eventId": "Only runs of this event.",
            **_FILTERS,
        },
    ),
    _route("/logs/{id}", log, "Retrieve what was said during an integration run", IntegrationRunLog),
    _route(
        "/destinations/{destinationId}",
        of_destination,
        "List the integration runs to a webhook",
        _RUNS,
        query={"destination": "Only runs to this destination, such as WEBHOOK.", **_FILTERS},
    ),
    _route("/{entityType}/latest/{id}", latest, "Retrieve the latest integration run about an entity", IntegrationRun),
    _route(
        "/{entityType}/latest",
        latest_of_each,
        "List the latest integration run about each of some entities",
        Rows(IntegrationRun),
        query={"ids": "The entities, comma-joined; 100 at most."},
    ),
    _route("/{entityType}/{entityId}", of_entity, "List the integration runs about an entity", _RUNS, query=_FILTERS),
    _route("/{id}", retrieve, "Retrieve an integration run", IntegrationRun),
    _route("/{id}/retry", again, "Hand over again what an integration run is about", IntegrationRun, method="POST"),
)
