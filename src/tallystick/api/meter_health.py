"""How meters are over HTTP: what is missing, how fresh, how far behind, what changed, what did not count."""

from __future__ import annotations

from tallystick.api.crud import IDS, PAGING, by_ids_and_codes
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.meters import METERS
from tallystick.errors import Refusal
from tallystick.pipeline.meter_health import MeterHealth, Window, health_of, whole_health_of, window_of
from tallystick.ports.founded import config_of

METERS_A_PAGE = 100


def every(call: Call) -> dict[str, object]:
    """A page of meters."""
    found = METERS.find(call.records, by_ids_and_codes(call), call.query.page(highest=METERS_A_PAGE))
    return struct_page(health_of(call.records, call.usage, found.rows, _window(call)), found.next_token)


def one(call: Call) -> MeterHealth:
    """One meter."""
    meter = METERS.retrieve(call.records, call.path["id"])
    source = call.query.text("sourceField")
    field = None if source is None else meter.value.field(source)
    if source is not None and (field is None or field.category.numeric):
        message = f"sourceField: the meter {meter.value.code} has no text field {source[:40]!r}"
        raise Refusal("invalid_request", message, field="sourceField")
    return whole_health_of(call.records, call.usage, meter, _window(call), source)


def _window(call: Call) -> Window:
    return window_of(call.now, config_of(call.records).value.timezone, call.app.usage.mark)


ROUTES = (
    Route(
        method="GET",
        path="/meterhealth",
        run=every,
        summary="List how meters are: completeness, freshness, drift, changed fields, what did not count",
        tag="Meter health",
        scope="config:retrieve",
        reply=Paged(MeterHealth),
        query={**PAGING, "ids": IDS, "codes": "Only these codes, comma-joined."},
    ),
    Route(
        method="GET",
        path="/meters/{id}/health",
        run=one,
        summary="Retrieve how a meter is, also by source and of accounts without a plan",
        tag="Meter health",
        scope="config:retrieve",
        reply=MeterHealth,
        query={"sourceField": "A text field that says where measurements come from: each of its values by itself."},
    ),
)
