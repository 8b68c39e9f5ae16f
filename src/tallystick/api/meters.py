"""Meters over HTTP."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.meters import METERS
from tallystick.ports import Where


def _where(call: Call) -> Where:
    query = call.query
    return where_of(call, id=query.texts("ids"), code=query.texts("codes"), product_id=query.texts("productId"))


ROUTES = Crud(
    noun=METERS,
    path="/meters",
    tag="Meters",
    where=_where,
    filters={"ids": IDS, "codes": CODES, "productId": "Only meters of these products, comma-joined."},
).routes()
