"""Pricings: the band editor, with the price against quantity beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.console.plans import MOST_PRICES, priced
from tallystick.console.price_lists import Row, bands_of, chart_of, rows_of, typed_rows
from tallystick.control.plans import PLANS
from tallystick.control.pricings import PRICINGS, succeed
from tallystick.core import wire
from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.core.meter import Meter
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

LOOK = "look"  # the name of the button that shows the chart and keeps nothing


def _new(visit: Visit, *, rows: Sequence[Row] = (), chart: object = None) -> Html:
    plan = PLANS.retrieve(visit.records, visit.path["id"])
    template = visit.records.get(PlanTemplate, plan.value.plan_template_id)
    assert template is not None, "a plan has its template"
    shown = list(rows) or (typed_rows(visit.form) if visit.form.values else rows_of(()))
    values = {
        "plan": plan,
        "currency": template.value.currency,
        "counted": _countable(visit, template.value.product_id),
        "rows": shown,
        "chart": chart,
        "today": visit.now.astimezone(visit.zone).date().replace(day=1).isoformat(),
    }
    return Html("pricing_new.html", values)


def _countable(visit: Visit, product_id: str) -> list[tuple[str, str]]:
    """What can be priced on a plan of this product: aggregations with their segments, and compound aggregations."""
    meters = {each.id for each in visit.records.every(Meter) if each.value.product_id in (None, product_id)}
    choices = []
    for each in visit.records.every(Aggregation):
        if each.value.meter_id in meters:
            choices.append((each.id, f"{each.value.name} ({each.value.unit})"))
            for segment in each.value.segments or ():
                named = ", ".join(f"{field} {text}" for field, text in segment.items())
                choices.append((f"{each.id}|{wire.encode(segment).decode()}", f"{each.value.name}: {named}"))
    compounds = [
        each for each in visit.records.every(CompoundAggregation) if each.value.product_id in (None, product_id)
    ]
    return choices + [(f"compound|{each.id}", f"{each.value.name} ({each.value.unit})") for each in compounds]


def _counts(choice: str) -> dict[str, object]:
    """What was chosen to be priced, as the wire says it."""
    kind, _, rest = choice.partition("|")
    if kind == "compound":
        return {"compoundAggregationId": rest}
    return {"aggregationId": kind, **({"segment": wire.decode(dict[str, str], rest)} if rest else {})}


def _typed(visit: Visit, before: Pricing | None = None) -> dict[str, object]:
    form = visit.form
    return {
        "pricingBands": bands_of(typed_rows(form)),
        "cumulative": form.text("cumulative") == "true",
        "tiersSpanPlan": form.flag("tiersSpanPlan"),
        "startDate": visit.moment("startDate", None if before is None else before.start_date),
        "endDate": visit.moment("endDate", None if before is None else before.end_date),
        "minimumSpend": form.decimal("minimumSpend"),
        "description": form.text("description"),
    }


def _other_form(visit: Visit) -> dict[str, object]:
    """A percentage or a price of packages, in place of bands."""
    form = visit.form
    size, price = form.decimal("packageSize"), form.decimal("packagePrice")
    package = None
    if size is not None or price is not None:
        package = {
            "size": size if size is not None else form.required("packageSize"),
            "price": price if price is not None else form.required("packagePrice"),
        }
    return {"percent": form.decimal("percent"), "package": package}


def _create(visit: Visit) -> Html | Redirect:
    plan = PLANS.retrieve(visit.records, visit.path["id"])
    typed = {"planId": plan.id, **_counts(visit.form.required("counts")), **_typed(visit), **_other_form(visit)}
    if typed["startDate"] is None:
        raise Refusal("invalid_request", "startDate: is needed", field="startDate")
    value = wire.decode(Pricing, wire.encode(typed))
    if visit.form.flag(LOOK):
        return _new(visit, rows=typed_rows(visit.form), chart=chart_of("looked-at", value, ""))
    PRICINGS.create(visit.desk, value)
    return Redirect(f"/plans/{plan.id}", notice="The price is there.")


def _show(visit: Visit, *, looked_at: Pricing | None = None) -> Html:
    pricing = PRICINGS.retrieve(visit.records, visit.path["id"])
    (price,) = priced(visit.records, (pricing,), visit.now)
    plan, currency = _home(visit, pricing.value)
    value = looked_at or pricing.value
    chart = chart_of("price", value, currency)
    values = {
        "price": price,
        "plan": plan,
        "currency": currency,
        "rows": typed_rows(visit.form) if visit.form.values else rows_of(pricing.value.pricing_bands),
        "chart": chart,
        "versions": visit.records.versions(Pricing, pricing.id)[::-1],
        "siblings": _siblings(visit, pricing),
        "looked_at": looked_at is not None,
    }
    return Html("pricing.html", values)


def _home(visit: Visit, pricing: Pricing) -> tuple[Entity[Plan] | None, str]:
    """The plan of a pricing (None for a template's), and the currency of its price list."""
    plan = None if pricing.plan_id is None else visit.records.get(Plan, pricing.plan_id)
    template_id = pricing.plan_template_id if plan is None else plan.value.plan_template_id
    template = None if template_id is None else visit.records.get(PlanTemplate, template_id)
    return plan, "" if template is None else template.value.currency


def _siblings(visit: Visit, pricing: Entity[Pricing]) -> list[Any]:
    """The prices of the same thing on the same plan, before and after this one."""
    value = pricing.value
    key = "plan_id" if value.plan_id is not None else "plan_template_id"
    of = getattr(value, key)
    found = visit.records.find(Pricing, Where(equal={key: (of,)}), ListPage(size=MOST_PRICES))
    same = [
        each
        for each in found.rows
        if each.id != pricing.id
        and (each.value.aggregation_id, each.value.compound_aggregation_id, each.value.segment)
        == (value.aggregation_id, value.compound_aggregation_id, value.segment)
    ]
    return sorted(priced(visit.records, same, visit.now), key=lambda each: each.value.start_date)


def _changed(visit: Visit, before: Pricing) -> Pricing:
    body = {**wire.decode(dict[str, Any], wire.encode(before)), **_typed(visit, before)}
    body["startDate"] = body["startDate"] or before.start_date
    return wire.decode(Pricing, wire.encode(body))


def _update(visit: Visit) -> Html | Redirect:
    pricing = PRICINGS.retrieve(visit.records, visit.path["id"])
    value = _changed(visit, pricing.value)
    if visit.form.flag(LOOK):
        return _show(visit, looked_at=value)
    version = visit.form.number("version", lowest=1, highest=10**9)
    PRICINGS.update(visit.desk, pricing.id, value, version)
    return Redirect(
        f"/pricings/{pricing.id}", notice="The price is changed. Open bills follow when they are run again."
    )


def _from_a_day(visit: Visit) -> Redirect:
    """End a price on a day and begin another one there: bills of earlier periods keep theirs."""
    start = visit.moment("startDate")
    if start is None:
        raise Refusal("invalid_request", "startDate: say from when the new price holds", field="startDate")
    bands = [
        {part: number for part, number in band.items() if part != "id"} for band in bands_of(typed_rows(visit.form))
    ]
    version = visit.form.number("version", lowest=1, highest=10**9)
    priced_by = wire.decode(tuple[PricingBand, ...], wire.encode(bands))
    made = succeed(visit.desk, visit.path["id"], start, priced_by, version)
    return Redirect(f"/pricings/{made.id}", notice=f"The new price holds from {visit.form.text('startDate')}.")


def _delete(visit: Visit) -> Redirect:
    pricing = PRICINGS.delete(visit.desk, visit.path["id"])
    back = f"/plans/{pricing.value.plan_id}" if pricing.value.plan_id else "/plans"
    return Redirect(back, notice="The price is deleted.")


def _page(method: str, path: str, run: Any, title: str, **more: Any) -> Page:
    return Page(method=method, path=path, run=run, title=title, may=May.CONFIGURE, section="plans", **more)


PAGES = (
    _page("GET", "/plans/{id}/pricings/new", _new, "A new price"),
    _page("POST", "/plans/{id}/pricings/new", _create, "Add a price, or look at it first", again=_new),
    Page(method="GET", path="/pricings/{id}", run=_show, title="A price and its bands", section="plans"),
    _page("POST", "/pricings/{id}", _update, "Change a price, or look at it first", again=_show),
    _page("POST", "/pricings/{id}/next", _from_a_day, "Another price from a day on", again=_show),
    _page("POST", "/pricings/{id}/delete", _delete, "Delete a price", again=_show),
)
