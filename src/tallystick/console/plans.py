"""Plans: what is offered, with the prices of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tallystick.console.counter_prices import counter_prices_of
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.console.price_lists import chart_of, in_words
from tallystick.console.products import products, templates
from tallystick.control.plans import PLANS
from tallystick.core import wire
from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, Product
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.user import May
from tallystick.ports import OrganizationRecords, Where
from tallystick.ports import Page as ListPage

MOST_PRICES = 200
SHOWN_ACCOUNTS = 10


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A pricing as pages show it."""

    id: str
    version: int
    value: Pricing
    counts: str  # the name of what it prices
    unit: str
    segment: str
    form: str
    state: str  # ACTIVE, FUTURE or ENDED
    of_template: bool


def priced(records: OrganizationRecords, pricings: Sequence[Entity[Pricing]], now: Instant) -> list[Price]:
    """Pricings with the names of what they price, those in force first."""
    simple = {each.value.aggregation_id for each in pricings if each.value.aggregation_id}
    compound = {each.value.compound_aggregation_id for each in pricings if each.value.compound_aggregation_id}
    counted: Mapping[str, Any] = {
        **records.get_many(Aggregation, simple),
        **records.get_many(CompoundAggregation, compound),
    }
    shown = [_price(each, counted, now) for each in pricings]
    order = {"ACTIVE": 0, "FUTURE": 1, "ENDED": 2}
    return sorted(shown, key=lambda each: (order[each.state], each.counts, each.segment, each.value.start_date))


def _price(pricing: Entity[Pricing], counted: Mapping[str, Any], now: Instant) -> Price:
    value = pricing.value
    what = counted[value.aggregation_id or value.compound_aggregation_id or ""].value
    ended = value.end_date is not None and value.end_date <= now
    return Price(
        id=pricing.id,
        version=pricing.version,
        value=value,
        counts=what.name,
        unit=what.unit,
        segment=", ".join(f"{field} {text}" for field, text in (value.segment or {}).items()),
        form=in_words(value),
        state="ENDED" if ended else "FUTURE" if value.start_date > now else "ACTIVE",
        of_template=value.plan_template_id is not None,
    )


def _list(visit: Visit) -> Html:
    found = PLANS.find(visit.records, Where(), visit.query.page(highest=50))
    made_from = visit.records.get_many(PlanTemplate, {each.value.plan_template_id for each in found.rows})
    sold = visit.records.get_many(Product, {each.value.product_id for each in made_from.values()})
    values = {
        "rows": found.rows,
        "next_token": found.next_token,
        "templates": made_from,
        "products": sold,
        "can_make": bool(templates(visit)),
        "has_products": bool(products(visit)),
    }
    return Html("plans.html", values)


def _form(visit: Visit) -> Html:
    return Html("plan_form.html", {"templates": templates(visit), "plan": None})


def _typed(visit: Visit) -> dict[str, object]:
    form = visit.form
    return {
        "name": form.required("name"),
        "code": form.required("code"),
        "standingCharge": form.decimal("standingCharge"),
        "standingChargeDescription": form.text("standingChargeDescription"),
        "minimumSpend": form.decimal("minimumSpend"),
        "minimumSpendDescription": form.text("minimumSpendDescription"),
        "maximumSpend": form.decimal("maximumSpend"),
    }


def _create(visit: Visit) -> Redirect:
    typed = {"planTemplateId": visit.form.required("planTemplateId"), **_typed(visit)}
    plan = PLANS.create(visit.desk, wire.decode(Plan, wire.encode(typed)))
    return Redirect(f"/plans/{plan.id}", notice=f"The plan {plan.value.name} is there. Now give it prices.")


def _show(visit: Visit) -> Html:
    plan = PLANS.retrieve(visit.records, visit.path["id"])
    template = visit.records.get(PlanTemplate, plan.value.plan_template_id)
    assert template is not None, "a plan has its template"
    own = visit.records.find(Pricing, Where(equal={"plan_id": (plan.id,)}), ListPage(size=MOST_PRICES))
    inherited = visit.records.find(
        Pricing, Where(equal={"plan_template_id": (template.id,)}), ListPage(size=MOST_PRICES)
    )
    prices = priced(visit.records, (*own.rows, *inherited.rows), visit.now)
    on_it = visit.records.find(AccountPlan, Where(equal={"plan_id": (plan.id,)}), ListPage(size=SHOWN_ACCOUNTS))
    accounts = visit.records.get_many(Account, {each.value.account_id for each in on_it.rows if each.value.account_id})
    currency = template.value.currency
    charts = {
        each.id: chart
        for each in prices
        if each.state == "ACTIVE" and (chart := chart_of(f"price-{each.id}", each.value, currency)) is not None
    }
    values = {
        "plan": plan,
        "template": template.value,
        "product": visit.records.get(Product, template.value.product_id),
        "prices": prices,
        "charts": charts,
        "counter_prices": counter_prices_of(visit, plan),
        "accounts": list(accounts.values()),
        "more_accounts": on_it.next_token is not None,
    }
    return Html("plan.html", values)


def _edit(visit: Visit) -> Html:
    plan = PLANS.retrieve(visit.records, visit.path["id"])
    return Html("plan_form.html", {"plan": plan, "templates": templates(visit)})


def _update(visit: Visit) -> Redirect:
    plan = PLANS.retrieve(visit.records, visit.path["id"])
    version = visit.form.number("version", lowest=1, highest=10**9)
    body = {**wire.decode(dict[str, Any], wire.encode(plan.value)), **_typed(visit)}
    PLANS.update(visit.desk, plan.id, wire.decode(Plan, wire.encode(body)), version)
    return Redirect(f"/plans/{plan.id}", notice="The plan is changed.")


def _delete(visit: Visit) -> Redirect:
    plan = PLANS.delete(visit.desk, visit.path["id"])
    return Redirect("/plans", notice=f"The plan {plan.value.name} is deleted.")


PAGES = (
    Page(method="GET", path="/plans", run=_list, title="Plans", section="plans"),
    Page(method="GET", path="/plans/new", run=_form, title="A new plan", may=May.CONFIGURE, section="plans"),
    Page(method="POST", path="/plans/new", run=_create, title="Add a plan", may=May.CONFIGURE, again=_form),
    Page(method="GET", path="/plans/{id}", run=_show, title="A plan and its prices", section="plans"),
    Page(method="GET", path="/plans/{id}/edit", run=_edit, title="Edit a plan", may=May.CONFIGURE, section="plans"),
    Page(method="POST", path="/plans/{id}/edit", run=_update, title="Change a plan", may=May.CONFIGURE, again=_edit),
    Page(method="POST", path="/plans/{id}/delete", run=_delete, title="Delete a plan", may=May.CONFIGURE, again=_show),
)
