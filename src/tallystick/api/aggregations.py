"""Aggregations over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from tallystick.api.crud import CODES, IDS, Crud, request_type, where_of
from tallystick.api.routing import Call
from tallystick.control.aggregations import AGGREGATIONS
from tallystick.core.aggregation import Aggregation, Method
from tallystick.core.meter import Meter
from tallystick.errors import Refusal
from tallystick.ports import Where

CUSTOM_SQL = "CUSTOM_SQL"  # of m3ter's methods the one we lack: read, so that the refusal can say what to do instead
AggregationRequest = request_type(
    Aggregation,
    required={
        "aggregation": Literal[
            "SUM",
            "MIN",
            "MAX",
            "COUNT",
            "LATEST",
            "MEAN",
            "UNIQUE",
            "PERCENTILE",
            "TIME_WEIGHTED_SUM",
            "TIME_WEIGHTED_MEAN",
            "CORRELATED_COUNT",
            "CUSTOM_SQL",
        ]
    },
)


def _where(call: Call) -> Where:
    query = call.query
    products = query.texts("productId")
    meters = None
    if products is not None:
        meters = [meter.id for meter in call.records.every(Meter, where_of(call, product_id=products))]
    return where_of(call, id=query.texts("ids"), code=query.texts("codes"), meter_id=meters)


def read_aggregation(body: Any) -> Aggregation:
    """The aggregation in a body; Refusal `rule_broken` for the method that we lack."""
    if body.aggregation == CUSTOM_SQL:
        message = "aggregation: CUSTOM_SQL is not supported; use another method with a filter or a derived field"
        raise Refusal("rule_broken", message, field="aggregation")
    fields = {name: getattr(body, name) for name in Aggregation.__struct_fields__}
    return Aggregation(**{**fields, "aggregation": Method(body.aggregation)})


ROUTES = Crud(
    noun=AGGREGATIONS,
    path="/aggregations",
    tag="Aggregations",
    where=_where,
    read=read_aggregation,
    body=AggregationRequest,
    filters={"ids": IDS, "codes": CODES, "productId": "Only aggregations of these products' meters, comma-joined."},
).routes()
