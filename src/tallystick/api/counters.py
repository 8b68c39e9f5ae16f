"""Counters over HTTP."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.counters import COUNTERS
from tallystick.ports import Where


def _where(call: Call) -> Where:
    query = call.query
    return where_of(call, id=query.texts("ids"), code=query.texts("codes"), product_id=query.texts("productId"))


ROUTES = Crud(
    noun=COUNTERS,
    path="/counters",
    tag="Counters",
    where=_where,
    filters={"ids": IDS, "codes": CODES, "productId": "Only counters of these products, comma-joined."},
).routes()
