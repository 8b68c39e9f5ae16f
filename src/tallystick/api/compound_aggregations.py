"""Compound aggregations over HTTP."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.compound_aggregations import COMPOUND_AGGREGATIONS
from tallystick.ports import Where


def _where(call: Call) -> Where:
    query = call.query
    return where_of(call, id=query.texts("ids"), code=query.texts("codes"), product_id=query.texts("productId"))


ROUTES = Crud(
    noun=COMPOUND_AGGREGATIONS,
    path="/compoundaggregations",
    tag="Compound aggregations",
    where=_where,
    filters={"ids": IDS, "codes": CODES, "productId": "Only those of these products, comma-joined."},
).routes()
