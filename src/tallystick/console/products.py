"""Products, and the templates that plans are made from."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.plan_templates import PLAN_TEMPLATES
from tallystick.control.products import PRODUCTS
from tallystick.core import wire
from tallystick.core.catalog import PlanTemplate, Product
from tallystick.core.organization import Currency
from tallystick.core.period import Frequency
from tallystick.core.user import May
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

MOST_CHOICES = 200  # products, templates and so on that a list to choose from shows
GRID = [each for each in Frequency if each.has_periods]


def products(visit: Visit) -> list[tuple[str, str]]:
    """Products to choose from: id and name."""
    return [(each.id, each.value.name) for each in visit.records.every(Product)][-MOST_CHOICES:]


def _list(visit: Visit) -> Html:
    found = PRODUCTS.find(visit.records, Where(), visit.query.page(highest=50))
    return Html("products.html", {"rows": found.rows, "next_token": found.next_token})


def _create(visit: Visit) -> Redirect:
    typed = {"name": visit.form.required("name"), "code": visit.form.required("code")}
    product = PRODUCTS.create(visit.desk, wire.decode(Product, wire.encode(typed)))
    return Redirect("/products", notice=f"The product {product.value.name} is there.")


def _templates(visit: Visit) -> Html:
    found = PLAN_TEMPLATES.find(visit.records, Where(), visit.query.page(highest=50))
    named = visit.records.get_many(Product, {each.value.product_id for each in found.rows})
    return Html("plan_templates.html", {"rows": found.rows, "next_token": found.next_token, "products": named})


def _template_form(visit: Visit) -> Html:
    currencies = [(each.value.code, each.value.code) for each in visit.records.every(Currency)]
    values = {
        "products": products(visit),
        "currencies": currencies,
        "frequencies": [(each, each.capitalize()) for each in GRID],
        "currency": visit.config.currency,
    }
    return Html("plan_template_form.html", values)


def _create_template(visit: Visit) -> Redirect:
    form = visit.form
    typed = {
        "productId": form.required("productId"),
        "name": form.required("name"),
        "code": form.text("code"),
        "currency": form.required("currency"),
        "billFrequency": form.required("billFrequency"),
        "billFrequencyInterval": form.number("billFrequencyInterval", lowest=1, highest=365) or 1,
        "standingCharge": form.decimal("standingCharge") or 0,
        "standingChargeDescription": form.text("standingChargeDescription"),
        "standingChargeBillInAdvance": form.flag("standingChargeBillInAdvance") or None,
        "minimumSpend": form.decimal("minimumSpend"),
    }
    template = PLAN_TEMPLATES.create(visit.desk, wire.decode(PlanTemplate, wire.encode(typed)))
    return Redirect(f"/plans/new?planTemplateId={template.id}", notice=f"The template {template.value.name} is there.")


def templates(visit: Visit) -> list[tuple[str, str]]:
    """Templates to choose from, newest first: id and name with currency and frequency."""
    found = visit.records.find(PlanTemplate, Where(), ListPage(size=MOST_CHOICES))
    return [
        (each.id, f"{each.value.name} ({each.value.currency}, {each.value.bill_frequency.lower()})")
        for each in found.rows
    ]


PAGES = (
    Page(method="GET", path="/products", run=_list, title="Products", section="plans"),
    Page(method="POST", path="/products", run=_create, title="Add a product", may=May.CONFIGURE, again=_list),
    Page(method="GET", path="/plantemplates", run=_templates, title="Plan templates", section="plans"),
    Page(
        method="GET",
        path="/plantemplates/new",
        run=_template_form,
        title="A new plan template",
        may=May.CONFIGURE,
        section="plans",
    ),
    Page(
        method="POST",
        path="/plantemplates/new",
        run=_create_template,
        title="Add a plan template",
        may=May.CONFIGURE,
        again=_template_form,
    ),
)
