"""Meters: what is counted from, with a preview of derived fields on recent measurements."""

from __future__ import annotations

from typing import Any

from tallystick.console.counted import changed, place_in, products
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.desk import require_references
from tallystick.control.meters import METERS, require_calculable
from tallystick.control.usage_query import query_usage
from tallystick.core.aggregation import Aggregation
from tallystick.core.definition import aggregation_sentence, meter_sentence
from tallystick.core.entity import Entity
from tallystick.core.meter import Category, Meter
from tallystick.core.usage_request import UsageRequest
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.meter_health import Window, health_of, whole_health_of, window_of
from tallystick.pipeline.sample import preview_meter
from tallystick.ports import Page as Part
from tallystick.ports import Where

SIZE = 25
SAMPLE = 8
BLANK = 2  # empty rows of fields at the end of a form
Row = dict[str, str]


def _meters(visit: Visit) -> Html:
    found = visit.records.find(Meter, Where(), visit.query.page(highest=SIZE))
    rows = [(each, meter_sentence(each.value)) for each in found.rows]
    return Html("meters.html", {"rows": rows, "next_token": found.next_token})


def _meter(visit: Visit) -> Html:
    meter = METERS.retrieve(visit.records, visit.path["id"])
    of_it = visit.records.find(Aggregation, Where(equal={"meter_id": (meter.id,)}), Part(size=50)).rows
    recent = query_usage(visit.records, visit.usage, UsageRequest(meter_ids=(meter.id,), limit=SAMPLE)).rows
    values = {
        "meter": meter,
        "sentence": meter_sentence(meter.value),
        "aggregations": [(each, aggregation_sentence(each.value, meter.value)) for each in of_it],
        "recent": recent,
    }
    return Html("meter.html", values)


def _health(visit: Visit) -> Html:
    """How one meter is."""
    meter = METERS.retrieve(visit.records, visit.path["id"])
    texts = [each for each in meter.value.fields if not each.category.numeric]
    source = visit.query.text("sourceField")
    if source is not None and source not in {each.code for each in texts}:
        message = f"sourceField: the meter has no text field {source[:40]!r}"
        raise Refusal("invalid_request", message, field="sourceField")
    health = whole_health_of(visit.records, visit.usage, meter, _window(visit), source)
    options = [("", "No field"), *((each.code, each.name) for each in texts)]
    return Html("meter_health.html", {"meter": meter, "health": health, "options": options, "source": source})


def _every_health(visit: Visit) -> Html:
    """How all meters are."""
    found = visit.records.find(Meter, Where(), visit.query.page(highest=SIZE))
    rows = health_of(visit.records, visit.usage, found.rows, _window(visit))
    return Html("meters_health.html", {"rows": rows, "next_token": found.next_token})


def _window(visit: Visit) -> Window:
    return window_of(visit.now, visit.config.timezone, visit.app.usage.mark)


def _new(visit: Visit) -> Html:
    return _form(visit, None, None)


def _edit(visit: Visit) -> Html:
    return _form(visit, METERS.retrieve(visit.records, visit.path["id"]), None)


def _form(visit: Visit, before: Entity[Meter] | None, preview: dict[str, Any] | None) -> Html:
    if visit.form.values:
        fields, derived = _typed(visit, "field"), _typed(visit, "derived")
    else:
        fields = [_row(each) for each in before.value.data_fields] if before else []
        derived = [_row(each) for each in before.value.derived_fields] if before else []
    blank: list[Row] = [{}] * BLANK
    values = {
        "before": before,
        "fields": fields + (blank if fields else blank * 2),
        "derived": derived + blank,
        "categories": tuple(Category),
        "products": products(visit),
        "preview": preview,
        "place_in": place_in,
        "action": f"/meters/{before.id}/edit" if before else "/meters/new",
    }
    return Html("meter_form.html", values)


def _save(visit: Visit) -> Html | Redirect:
    before = METERS.retrieve(visit.records, visit.path["id"]) if "id" in visit.path else None
    meter = _value(visit, before)
    if visit.form.flag("preview"):
        require_references(visit.records, meter)
        require_calculable(visit.records, meter)
        found = preview_meter(visit.records, visit.usage, meter, before, visit.now, SAMPLE)
        return _form(visit, before, {"sentence": meter_sentence(meter), "found": found, "meter": meter})
    version = visit.form.number("version", lowest=1, highest=10**9)
    kept = METERS.update(visit.desk, before.id, meter, version) if before else METERS.create(visit.desk, meter)
    return Redirect(f"/meters/{kept.id}", notice=f"The meter {kept.value.name} is saved.")


def _value(visit: Visit, before: Entity[Meter] | None) -> Meter:
    form = visit.form
    typed = {
        "name": form.required("name"),
        "code": form.required("code"),
        "productId": form.text("productId"),
        "dataFields": [_field(each) for each in _typed(visit, "field")],
        "derivedFields": [_field(each) for each in _typed(visit, "derived")],
        "excludeFilter": form.text("excludeFilter"),
    }
    return changed(Meter, before, typed)


def _typed(visit: Visit, kind: str) -> list[Row]:
    """The rows of a table of fields of which anything was typed but a category."""
    names = ("Code", "Name", "Category", "Unit", *(("Calculation",) if kind == "derived" else ()))
    columns = [visit.form.texts(kind + name) for name in names]
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=False)]
    return [row for row in rows if any(text for name, text in row.items() if name != "Category")]


def _field(row: Row) -> Row:
    return {name.lower(): text for name, text in row.items() if text}


def _row(field: Any) -> Row:
    row = {"Code": field.code, "Name": field.name, "Category": str(field.category), "Unit": field.unit or ""}
    return {**row, "Calculation": getattr(field, "calculation", "")}


PAGES = (
    Page(method="GET", path="/meters", run=_meters, title="Meters", section="meters"),
    Page(method="GET", path="/meters/new", run=_new, title="Make a meter", may=May.CONFIGURE, section="meters"),
    Page(
        method="POST",
        path="/meters/new",
        run=_save,
        title="Preview or keep a new meter",
        may=May.CONFIGURE,
        section="meters",
        again=_new,
    ),
    Page(method="GET", path="/meters/health", run=_every_health, title="How the meters are", section="meters"),
    Page(method="GET", path="/meters/{id}/health", run=_health, title="How a meter is", section="meters"),
    Page(method="GET", path="/meters/{id}", run=_meter, title="One meter", section="meters"),
    Page(method="GET", path="/meters/{id}/edit", run=_edit, title="Edit a meter", may=May.CONFIGURE, section="meters"),
    Page(
        method="POST",
        path="/meters/{id}/edit",
        run=_save,
        title="Preview or keep a meter",
        may=May.CONFIGURE,
        section="meters",
        again=_edit,
    ),
)
