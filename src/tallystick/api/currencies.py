"""Currencies over HTTP: a pick-list."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.currencies import CURRENCIES
from tallystick.ports import Where


def _where(call: Call) -> Where:
    query = call.query
    archived = query.flag("archived")
    wanted = None if archived is None else ("true" if archived else "false")
    return where_of(call, id=query.texts("ids"), code=query.texts("codes"), archived=wanted)


ROUTES = Crud(
    noun=CURRENCIES,
    path="/picklists/currency",
    tag="Currencies",
    where=_where,
    filters={"ids": IDS, "codes": CODES, "archived": "true: only archived ones; false: only the others."},
).routes()
