"""The rows of lookup table revisions over HTTP: all of them, or one by its key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec

from tallystick.api.crud import Reply, desk_of
from tallystick.api.lookup_tables import TAG
from tallystick.api.routing import Call, Route, entity_reply
from tallystick.control import lookup_tables as tables
from tallystick.core import wire
from tallystick.core.entity import Entity, Value
from tallystick.core.lookup_types import MAX_ROWS_AT_ONCE, LookupData, LookupTableRevision, Row
from tallystick.errors import Refusal

_KEY = "lookupKey"
_ADDITIONAL = {"additional": f"What to show with each row besides: {_KEY}."}
_LIMIT = {"limit": f"How many rows to show at most; at most and by default {MAX_ROWS_AT_ONCE}."}
BASE = "/lookuptables/{lookupTableId}/revisions/{lookupTableRevisionId}/data"
_ONE = BASE + "/{lookupKey}"


class LookupRows(Value, frozen=True, kw_only=True):
    """Rows to add, or to put in the place of those with the same keys."""

    items: Annotated[tuple[Row, ...], msgspec.Meta(min_length=1, max_length=MAX_ROWS_AT_ONCE)]
    version: int | None = None


class LookupRow(Value, frozen=True, kw_only=True):
    """One row."""

    item: Row
    version: int | None = None


class LookupVersion(Value, frozen=True, kw_only=True):
    """The version of the rows that a change is based on."""

    version: int | None = None


class LookupRowsReply(Value, frozen=True, kw_only=True):
    """Rows, with the version of all rows of the revision."""

    items: tuple[Row, ...]
    version: int | None = None


class ResultReply(Value, frozen=True, kw_only=True):
    """What became of a deletion."""

    result: str


def ids_in(call: Call) -> tuple[str, str]:
    """The ids of the table and of the revision that a path names."""
    return call.path["lookupTableId"], call.path["lookupTableRevisionId"]


def _revision(call: Call) -> Entity[LookupTableRevision]:
    return tables.revision_of(call.records, *ids_in(call))


def _reply(call: Call, rows: Iterable[Row], data: Entity[LookupData] | None) -> Reply:
    """Rows, with the version and the audit fields of all rows of the revision."""
    wanted = call.query.texts("additional") or ()
    if any(each != _KEY for each in wanted):
        raise Refusal("invalid_request", f"additional: must be {_KEY}, got {wanted[0][:40]!r}", field="additional")
    key_of = _revision(call).value.key_of if wanted else None
    items = [{**row, _KEY: key_of(row)} if key_of else row for row in rows]
    audit = {} if data is None else entity_reply(data)
    return {
        "items": items,
        **{name: audit[name] for name in audit if name not in {"id", "rows", "lookupTableRevisionId"}},
    }


def _retrieve(call: Call) -> Reply:
    revision = _revision(call)
    limit = call.query.number("limit", lowest=1, highest=MAX_ROWS_AT_ONCE) or MAX_ROWS_AT_ONCE
    data = tables.data_of(call.records, revision.id)
    return _reply(call, data.value.rows[:limit] if data else (), data)


def _update(call: Call, body: LookupRows) -> Reply:
    data = tables.upsert(desk_of(call), *ids_in(call), body.items, body.version)
    key_of = _revision(call).value.key_of
    given = {key_of(item) for item in body.items}
    return _reply(call, [row for row in data.value.rows if key_of(row) in given], data)


def _delete(call: Call) -> Reply:
    tables.delete_data(desk_of(call), *ids_in(call))
    return {"result": "every row was deleted"}


def _retrieve_key(call: Call) -> Reply:
    revision = _revision(call)
    row = tables.row_of(call.records, revision, call.path[_KEY])
    return _reply(call, (row,), tables.data_of(call.records, revision.id))


def _update_key(call: Call, body: LookupRow) -> Reply:
    data = tables.upsert_key(desk_of(call), *ids_in(call), call.path[_KEY], body.item, body.version)
    return _reply(call, (tables.row_of(call.records, _revision(call), call.path[_KEY]),), data)


def _delete_key(call: Call) -> Reply:
    version = wire.decode(LookupVersion, call.raw).version if call.raw.strip() else None
    row, data = tables.delete_key(desk_of(call), *ids_in(call), call.path[_KEY], version)
    return _reply(call, (row,), data)


def _route(
    method: str,
    path: str,
    run: Callable[..., object],
    summary: str,
    body: type | None = None,
    reply: object = LookupRowsReply,
    query: Mapping[str, str] | None = None,
) -> Route:
    verb = {"GET": "retrieve", "PUT": "update", "POST": "create", "DELETE": "delete"}[method]
    return Route(
        method=method,
        path=path,
        run=run,
        summary=summary,
        tag=TAG,
        scope=f"config:{verb}",
        body=body,
        reply=reply,
        query=query or {},
    )


ROUTES = (
    _route("GET", BASE, _retrieve, "Retrieve the rows of a revision", query={**_LIMIT, **_ADDITIONAL}),
    _route("PUT", BASE, _update, "Add or replace rows of a draft", LookupRows, query=_ADDITIONAL),
    _route("DELETE", BASE, _delete, "Delete every row of a draft", None, ResultReply),
    _route("GET", _ONE, _retrieve_key, "Retrieve the row with a key", query=_ADDITIONAL),
    _route("PUT", _ONE, _update_key, "Put the row with a key into a draft", LookupRow, query=_ADDITIONAL),
    _route("DELETE", _ONE, _delete_key, "Delete the row with a key from a draft"),
)
