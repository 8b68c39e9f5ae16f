"""Prices of counters on a plan: the bands that seats and the like cost."""

from __future__ import annotations

from tallystick.console.agreed import changed, new, state, version
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.console.price_lists import bands_of, rows_of, typed_rows
from tallystick.control.counter_pricings import COUNTER_PRICINGS
from tallystick.control.plans import PLANS
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.counter_types import Counter, CounterPricing
from tallystick.core.entity import Entity
from tallystick.core.period import local_day
from tallystick.core.user import May
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

MOST = 200
Shown = tuple[Entity[CounterPricing], Entity[Counter], str]


def counter_prices_of(visit: Visit, plan: Entity[Plan]) -> list[Shown]:
    """The prices of counters on a plan and its template, each with its counter and how it stands to now."""
    own = visit.records.find(CounterPricing, Where(equal={"plan_id": (plan.id,)}), ListPage(size=MOST)).rows
    of_template = Where(equal={"plan_template_id": (plan.value.plan_template_id,)})
    found = (*own, *visit.records.find(CounterPricing, of_template, ListPage(size=MOST)).rows)
    counters = visit.records.get_many(Counter, {each.value.counter_id for each in found})
    return [
        (each, counters[each.value.counter_id], state(visit, each.value.start_date, each.value.end_date))
        for each in found
    ]


def _new(visit: Visit) -> Html:
    plan = PLANS.retrieve(visit.records, visit.path["id"])
    template = visit.records.get(PlanTemplate, plan.value.plan_template_id)
    assert template is not None, "a plan has its template"
    counters = [
        each for each in visit.records.every(Counter) if each.value.product_id in (None, template.value.product_id)
    ]
    values = {
        "plan": plan,
        "price": None,
        "currency": template.value.currency,
        "counters": [(each.id, f"{each.value.name} ({each.value.unit})") for each in counters][-MOST:],
        "rows": typed_rows(visit.form) if visit.form.values else rows_of(()),
        "start": local_day(visit.now, visit.config.timezone).replace(day=1).isoformat(),
    }
    return Html("counter_price.html", values)


def _typed(visit: Visit, before: CounterPricing | None = None) -> dict[str, object]:
    form = visit.form
    start = visit.moment("startDate", before.start_date if before else None)
    return {
        "pricingBands": bands_of(typed_rows(form)),
        "cumulative": form.text("cumulative") == "true",
        "startDate": start or form.required("startDate"),
        "endDate": visit.moment("endDate", before.end_date if before else None),
        "runningTotalBillInAdvance": form.flag("runningTotalBillInAdvance"),
        "proRateRunningTotal": form.flag("proRateRunningTotal"),
        "proRateAdjustmentDebit": form.flag("proRateAdjustmentDebit"),
        "proRateAdjustmentCredit": form.flag("proRateAdjustmentCredit"),
        "description": form.text("description"),
    }


def _create(visit: Visit) -> Redirect:
    plan = PLANS.retrieve(visit.records, visit.path["id"])
    typed = {"planId": plan.id, "counterId": visit.form.required("counterId"), **_typed(visit)}
    COUNTER_PRICINGS.create(visit.desk, new(CounterPricing, typed))
    return Redirect(f"/plans/{plan.id}", notice="The price of the counter is there.")


def _show(visit: Visit) -> Html:
    price = COUNTER_PRICINGS.retrieve(visit.records, visit.path["id"])
    value = price.value
    plan = value.plan_id and visit.records.get(Plan, value.plan_id)
    template_id = plan.value.plan_template_id if plan else value.plan_template_id
    template = template_id and visit.records.get(PlanTemplate, template_id)
    values = {
        "plan": plan or None,
        "price": price,
        "counter": visit.records.get(Counter, value.counter_id),
        "currency": template.value.currency if template else "",
        "rows": typed_rows(visit.form) if visit.form.values else rows_of(value.pricing_bands),
    }
    return Html("counter_price.html", values)


def _update(visit: Visit) -> Redirect:
    price = COUNTER_PRICINGS.retrieve(visit.records, visit.path["id"])
    COUNTER_PRICINGS.update(visit.desk, price.id, changed(price.value, _typed(visit, price.value)), version(visit))
    return Redirect(f"/counterpricings/{price.id}", notice="The price is changed. Open bills follow when run again.")


def _delete(visit: Visit) -> Redirect:
    gone = COUNTER_PRICINGS.delete(visit.desk, visit.path["id"])
    back = f"/plans/{gone.value.plan_id}" if gone.value.plan_id else "/plans"
    return Redirect(back, notice="The price of the counter is deleted.")


NEW, ONE = "/plans/{id}/counterpricings/new", "/counterpricings/{id}"
PAGES: tuple[Page, ...] = (
    Page(method="GET", path=NEW, run=_new, title="A new price of a counter", may=May.CONFIGURE, section="plans"),
    Page(method="POST", path=NEW, run=_create, title="Add a price of a counter", may=May.CONFIGURE, again=_new),
    Page(method="GET", path=ONE, run=_show, title="A price of a counter", may=May.CONFIGURE, section="plans"),
    Page(method="POST", path=ONE, run=_update, title="Change a price of a counter", may=May.CONFIGURE, again=_show),
    Page(
        method="POST",
        path=f"{ONE}/delete",
        run=_delete,
        title="Delete a price of a counter",
        may=May.CONFIGURE,
        again=_show,
    ),
)
