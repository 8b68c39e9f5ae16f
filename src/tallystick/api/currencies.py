"""Currencies over HTTP: a pick-list."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, Crud, archived_of, where_of
from tallystick.api.routing import Call
from tallystick.control.currencies import CURRENCIES
from tallystick.ports import Where


def _where(call: Call) -> Where:
    return where_of(call, id=call.query.texts("ids"), code=call.query.texts("codes"), archived=archived_of(call))


ROUTES = Crud(
    noun=CURRENCIES,
    path="/picklists/currency",
    tag="Currencies",
    where=_where,
    filters={"ids": IDS, "codes": CODES, "archived": "true: only archived ones; false: only the others."},
).routes()
