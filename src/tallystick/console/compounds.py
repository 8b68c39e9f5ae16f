"""Compound aggregations: numbers made of aggregations by a formula, with a preview."""

from __future__ import annotations

from typing import Any

from tallystick.console.counted import Shown, changed, period_of, place_in, products, shown
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.compound_aggregations import COMPOUND_AGGREGATIONS, require_computable
from tallystick.control.compound_inputs import aggregations_of
from tallystick.control.desk import require_references
from tallystick.core.aggregation import Aggregation, UnitRounding
from tallystick.core.compound import CompoundAggregation
from tallystick.core.definition import compound_sentence
from tallystick.core.entity import Entity
from tallystick.core.user import May
from tallystick.pipeline.sample import preview_compound
from tallystick.ports import Page as Part
from tallystick.ports import Where

SIZE = 25
ROWS = 12
CODES = 100  # codes of aggregations that a form tells of


def _compounds(visit: Visit) -> Html:
    found = visit.records.find(CompoundAggregation, Where(), visit.query.page(highest=SIZE))
    rows = [(each, compound_sentence(each.value)) for each in found.rows]
    return Html("compounds.html", {"rows": rows, "next_token": found.next_token})


def _compound(visit: Visit) -> Html:
    kept = COMPOUND_AGGREGATIONS.retrieve(visit.records, visit.path["id"])
    values = {
        "compound": kept,
        "sentence": compound_sentence(kept.value),
        "inputs": aggregations_of(visit.records, kept.value),
        "preview": _preview(visit, kept.value),
        "users": visit.records.users_of(kept.id),
    }
    return Html("compound.html", values)


def _preview(visit: Visit, compound: CompoundAggregation) -> Shown:
    meters = sorted({each.value.meter_id for each in aggregations_of(visit.records, compound).values()})
    period = period_of(visit, meters)
    found = preview_compound(visit.records, visit.usage, compound, period, visit.app.usage.mark, ROWS)
    return shown(visit, found, ())


def _new(visit: Visit) -> Html:
    return _form(visit, None, None)


def _edit(visit: Visit) -> Html:
    return _form(visit, COMPOUND_AGGREGATIONS.retrieve(visit.records, visit.path["id"]), None)


def _form(visit: Visit, before: Entity[CompoundAggregation] | None, preview: dict[str, Any] | None) -> Html:
    known = visit.records.find(Aggregation, Where(), Part(size=CODES)).rows
    values = {
        "before": before,
        "codes": [each.value.code for each in known if each.value.code],
        "roundings": tuple(UnitRounding),
        "products": products(visit),
        "preview": preview,
        "place_in": place_in,
        "action": f"/compounds/{before.id}/edit" if before else "/compounds/new",
    }
    return Html("compound_form.html", values)


def _save(visit: Visit) -> Html | Redirect:
    before = COMPOUND_AGGREGATIONS.retrieve(visit.records, visit.path["id"]) if "id" in visit.path else None
    form = visit.form
    typed = {
        "name": form.required("name"),
        **{name: form.text(name) for name in ("code", "unit", "rounding", "productId")},
        "calculation": form.required("calculation"),
        "quantityPerUnit": form.decimal("quantityPerUnit"),
        "evaluateNullAggregations": form.flag("evaluateNullAggregations"),
    }
    value = changed(CompoundAggregation, before, typed)
    if form.flag("preview"):
        require_references(visit.records, value)
        require_computable(visit.records, value)
        return _form(visit, before, {"sentence": compound_sentence(value), "shown": _preview(visit, value)})
    version = form.number("version", lowest=1, highest=10**9)
    desk, noun = visit.desk, COMPOUND_AGGREGATIONS
    kept = noun.update(desk, before.id, value, version) if before else noun.create(desk, value)
    return Redirect(f"/compounds/{kept.id}", notice=f"The compound aggregation {kept.value.name} is saved.")


PAGES = (
    Page(method="GET", path="/compounds", run=_compounds, title="Compound aggregations", section="meters"),
    Page(
        method="GET",
        path="/compounds/new",
        run=_new,
        title="Make a compound aggregation",
        may=May.CONFIGURE,
        section="meters",
    ),
    Page(
        method="POST",
        path="/compounds/new",
        run=_save,
        title="Preview or keep a new compound aggregation",
        may=May.CONFIGURE,
        section="meters",
        again=_new,
    ),
    Page(method="GET", path="/compounds/{id}", run=_compound, title="One compound aggregation", section="meters"),
    Page(
        method="GET",
        path="/compounds/{id}/edit",
        run=_edit,
        title="Edit a compound aggregation",
        may=May.CONFIGURE,
        section="meters",
    ),
    Page(
        method="POST",
        path="/compounds/{id}/edit",
        run=_save,
        title="Preview or keep a compound aggregation",
        may=May.CONFIGURE,
        section="meters",
        again=_edit,
    ),
)
