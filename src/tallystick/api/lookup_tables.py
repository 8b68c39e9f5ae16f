"""Lookup tables and their revisions over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tallystick.api.crud import CODES, IDS, Crud, Parent, Reply, by_ids_and_codes, desk_of
from tallystick.api.routing import Call, Envelope, Route, entity_reply
from tallystick.control.lookup_tables import (
    LOOKUP_TABLE_REVISIONS,
    LOOKUP_TABLES,
    active_revision,
    data_of,
    set_status,
)
from tallystick.core.entity import Entity, Value
from tallystick.core.lookup_types import LookupTable, LookupTableRevision, RevisionStatus
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords

TAG = "Lookup tables"
_ACTIVE = "activeRevision"
_ADDITIONAL = {"additional": f"What to show besides: {_ACTIVE}."}


class RevisionStatusRequest(Value, frozen=True, kw_only=True):
    """The status that a revision shall have."""

    status: RevisionStatus
    version: int | None = None


def _shown(records: OrganizationRecords, revisions: Sequence[Entity[LookupTableRevision]]) -> list[Reply]:
    """Revisions with the number of their rows."""
    counts = ((each, data_of(records, each.id)) for each in revisions)
    return [{**entity_reply(each), "itemCount": len(data.value.rows) if data else 0} for each, data in counts]


_TABLES = Crud(
    noun=LOOKUP_TABLES,
    path="/lookuptables",
    tag=TAG,
    where=by_ids_and_codes,
    filters={"ids": IDS, "codes": CODES, **_ADDITIONAL},
)
_REVISIONS = Crud(
    noun=LOOKUP_TABLE_REVISIONS,
    path=f"{_TABLES.path}/{{lookupTableId}}/revisions",
    tag=TAG,
    show=_shown,
    parent=Parent(noun=LOOKUP_TABLES, field="lookup_table_id", path="lookupTableId"),
)


def _crud(call: Call) -> Crud[LookupTable]:
    """The tables, shown with what the query asks for besides."""
    wanted = call.query.texts("additional") or ()
    if any(each != _ACTIVE for each in wanted):
        raise Refusal("invalid_request", f"additional: must be {_ACTIVE}, got {wanted[0][:40]!r}", field="additional")
    return replace(_TABLES, show=_with_active) if wanted else _TABLES


def _with_active(records: OrganizationRecords, tables: Sequence[Entity[LookupTable]]) -> list[Reply]:
    found = []
    for each in tables:
        active = active_revision(records, each.id)
        more = {_ACTIVE: _shown(records, (active,))[0]} if active else {}
        found.append({**entity_reply(each), **more})
    return found


def _list(call: Call) -> Reply:
    crud = _crud(call)
    return crud.page(call.records, LOOKUP_TABLES.find(call.records, by_ids_and_codes(call), call.query.page()))


def _retrieve(call: Call) -> Reply:
    return _crud(call).show(call.records, (LOOKUP_TABLES.retrieve(call.records, call.path["id"]),))[0]


def _set_status(call: Call, body: RevisionStatusRequest) -> Reply:
    path = call.path
    changed = set_status(desk_of(call), path["lookupTableId"], path["id"], body.status, body.version)
    return _shown(call.records, (changed,))[0]


def _table_route(route: Route) -> Route:
    if route.method != "GET":
        return route
    if route.path == _TABLES.path:
        return replace(route, run=_list)
    return replace(route, run=_retrieve, query=_ADDITIONAL)


ROUTES = (
    *(_table_route(route) for route in _TABLES.routes()),
    *_REVISIONS.routes(),
    Route(
        method="PUT",
        path=f"{_REVISIONS.path}/{{id}}/status",
        run=_set_status,
        summary="Publish or archive a lookup table revision",
        tag=TAG,
        scope="config:update",
        body=RevisionStatusRequest,
        reply=Envelope(LookupTableRevision),
    ),
)
