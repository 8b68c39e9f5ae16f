"""Aggregations: the numbers that are priced, with a preview of what they would count for each account."""

from __future__ import annotations

from typing import Any

from tallystick.console.counted import changed, period_of, place_in, shown
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.aggregations import AGGREGATIONS, require_countable
from tallystick.control.desk import require_references
from tallystick.control.meters import METERS
from tallystick.core.aggregation import Aggregation, Method, TimeUnit, UnitRounding
from tallystick.core.definition import aggregation_sentence
from tallystick.core.entity import Entity
from tallystick.core.meter import Category, Meter
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.sample import preview_aggregation
from tallystick.ports import Where

SIZE = 25
ROWS = 12
TEXTS = ("code", "targetField", "quantityPerUnit", "unit", "rounding", "defaultValue", "filter", "percentile")
MORE = ("timeUnit", "gaugeField", "correlationField", "successFilter")


def _aggregations(visit: Visit) -> Html:
    found = visit.records.find(Aggregation, Where(), visit.query.page(highest=SIZE))
    meters = visit.records.get_many(Meter, {each.value.meter_id for each in found.rows}) if found.rows else {}
    rows = [
        (each, meters[each.value.meter_id], aggregation_sentence(each.value, meters[each.value.meter_id].value))
        for each in found.rows
    ]
    return Html("aggregations.html", {"rows": rows, "next_token": found.next_token})


def _aggregation(visit: Visit) -> Html:
    kept = AGGREGATIONS.retrieve(visit.records, visit.path["id"])
    meter = METERS.retrieve(visit.records, kept.value.meter_id)
    values = {
        "aggregation": kept,
        "meter": meter,
        "sentence": aggregation_sentence(kept.value, meter.value),
        "preview": _preview(visit, kept.value),
        "users": visit.records.users_of(kept.id),
    }
    return Html("aggregation.html", values)


def _preview(visit: Visit, aggregation: Aggregation) -> object:
    period = period_of(visit, [aggregation.meter_id])
    found = preview_aggregation(visit.records, visit.usage, aggregation, period, visit.app.usage.mark, ROWS)
    return shown(visit, found, aggregation.segmented_fields or ())


def _new(visit: Visit) -> Html:
    id_ = visit.form.text("meterId") or visit.query.text("meter")
    if id_ is None:
        found = visit.records.find(Meter, Where(), visit.query.page(highest=100))
        return Html("aggregation_meter.html", {"meters": found.rows, "next_token": found.next_token})
    return _form(visit, None, METERS.retrieve(visit.records, id_), None)


def _edit(visit: Visit) -> Html:
    before = AGGREGATIONS.retrieve(visit.records, visit.path["id"])
    return _form(visit, before, METERS.retrieve(visit.records, before.value.meter_id), None)


def _form(
    visit: Visit, before: Entity[Aggregation] | None, meter: Entity[Meter], preview: dict[str, Any] | None
) -> Html:
    texts = [each for each in meter.value.fields if not each.category.numeric]
    segmentable = [each for each in texts if each.category is not Category.METADATA]
    if visit.form.values:
        segmented: tuple[str, ...] = visit.form.texts("segmentedFields")
    else:
        segmented = (before.value.segmented_fields or ()) if before else ()
    values = {
        "before": before,
        "meter": meter,
        "text_options": [("", "–"), *((each.code, each.name) for each in texts)],
        "segmentable": segmentable,
        "segmented": segmented,
        "segments": _segment_lines(before),
        "methods": tuple(Method),
        "roundings": tuple(UnitRounding),
        "time_units": tuple(TimeUnit),
        "preview": preview,
        "place_in": place_in,
        "action": f"/aggregations/{before.id}/edit" if before else "/aggregations/new",
    }
    return Html("aggregation_form.html", values)


def _save(visit: Visit) -> Html | Redirect:
    before = AGGREGATIONS.retrieve(visit.records, visit.path["id"]) if "id" in visit.path else None
    meter = METERS.retrieve(visit.records, before.value.meter_id if before else visit.form.required("meterId"))
    value = _value(visit, before, meter)
    if visit.form.flag("preview"):
        require_references(visit.records, value)
        require_countable(value, meter.value)
        told = {"sentence": aggregation_sentence(value, meter.value), "shown": _preview(visit, value)}
        return _form(visit, before, meter, told)
    version = visit.form.number("version", lowest=1, highest=10**9)
    desk = visit.desk
    kept = AGGREGATIONS.update(desk, before.id, value, version) if before else AGGREGATIONS.create(desk, value)
    return Redirect(f"/aggregations/{kept.id}", notice=f"The aggregation {kept.value.name} is saved.")


def _value(visit: Visit, before: Entity[Aggregation] | None, meter: Entity[Meter]) -> Aggregation:
    form = visit.form
    fields = form.texts("segmentedFields")
    typed: dict[str, Any] = {
        "name": form.required("name"),
        "meterId": meter.id,
        "aggregation": form.required("aggregation"),
        **{name: form.text(name) for name in (*TEXTS, *MORE)},
        "carryForward": form.flag("carryForward") or None,
        "windowSeconds": form.number("windowSeconds", lowest=1, highest=10**9),
        "segmentedFields": list(fields) or None,
        "segments": _segments(form.text("segments"), fields),
    }
    for name in ("quantityPerUnit", "defaultValue", "percentile"):
        typed[name] = form.decimal(name)
    return changed(Aggregation, before, typed)


def _segments(text: str | None, fields: tuple[str, ...]) -> list[dict[str, str]] | None:
    """One segment a line, its values in the order of the fields, between slashes; * stands for any value."""
    segments = []
    for number, line in enumerate((text or "").splitlines(), 1):
        if not line.strip():
            continue
        values = [each.strip() for each in line.split("/")] if len(fields) > 1 else [line.strip()]
        if len(values) != len(fields):
            message = f"segments: line {number} has {len(values)} values for {len(fields)} segmented fields"
            raise Refusal("invalid_request", message, field="segments")
        segments.append(dict(zip(fields, values, strict=True)))
    return segments or None


def _segment_lines(before: Entity[Aggregation] | None) -> str:
    if before is None:
        return ""
    fields = before.value.segmented_fields or ()
    return "\n".join(" / ".join(each[field] for field in fields) for each in before.value.segments or ())


PAGES = (
    Page(method="GET", path="/aggregations", run=_aggregations, title="Aggregations", section="meters"),
    Page(
        method="GET",
        path="/aggregations/new",
        run=_new,
        title="Make an aggregation",
        may=May.CONFIGURE,
        section="meters",
    ),
    Page(
        method="POST",
        path="/aggregations/new",
        run=_save,
        title="Preview or keep a new aggregation",
        may=May.CONFIGURE,
        section="meters",
        again=_new,
    ),
    Page(method="GET", path="/aggregations/{id}", run=_aggregation, title="One aggregation", section="meters"),
    Page(
        method="GET",
        path="/aggregations/{id}/edit",
        run=_edit,
        title="Edit an aggregation",
        may=May.CONFIGURE,
        section="meters",
    ),
    Page(
        method="POST",
        path="/aggregations/{id}/edit",
        run=_save,
        title="Preview or keep an aggregation",
        may=May.CONFIGURE,
        section="meters",
        again=_edit,
    ),
)
