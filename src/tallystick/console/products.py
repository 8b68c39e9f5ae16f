"""Products, and the templates that plans are made from."""

from __future__ import annotations

from typing import Any

from tallystick.console.agreed import changed, new, version
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


def _edit(visit: Visit) -> Html:
    return Html("product.html", {"product": PRODUCTS.retrieve(visit.records, visit.path["id"])})


def _update(visit: Visit) -> Redirect:
    product = PRODUCTS.retrieve(visit.records, visit.path["id"])
    typed = {"name": visit.form.required("name"), "code": visit.form.required("code")}
    PRODUCTS.update(visit.desk, product.id, changed(product.value, typed), version(visit))
    return Redirect("/products", notice="The product is changed.")


def _delete(visit: Visit) -> Redirect:
    gone = PRODUCTS.delete(visit.desk, visit.path["id"])
    return Redirect("/products", notice=f"The product {gone.value.name} is deleted.")


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
        "template": PLAN_TEMPLATES.retrieve(visit.records, visit.path["id"]) if "id" in visit.path else None,
    }
    return Html("plan_template_form.html", values)


def _typed_template(visit: Visit) -> dict[str, object]:
    form = visit.form
    return {
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


def _create_template(visit: Visit) -> Redirect:
    template = PLAN_TEMPLATES.create(visit.desk, new(PlanTemplate, _typed_template(visit)))
    return Redirect(f"/plans/new?planTemplateId={template.id}", notice=f"The template {template.value.name} is there.")


def _update_template(visit: Visit) -> Redirect:
    template = PLAN_TEMPLATES.retrieve(visit.records, visit.path["id"])
    value = changed(template.value, _typed_template(visit))
    PLAN_TEMPLATES.update(visit.desk, template.id, value, version(visit))
    return Redirect("/plantemplates", notice="The template is changed. Open bills follow when they are run again.")


def _delete_template(visit: Visit) -> Redirect:
    gone = PLAN_TEMPLATES.delete(visit.desk, visit.path["id"])
    return Redirect("/plantemplates", notice=f"The template {gone.value.name} is deleted.")


def _change(method: str, path: str, run: Any, title: str, **more: Any) -> Page:
    return Page(method=method, path=path, run=run, title=title, may=May.CONFIGURE, section="plans", **more)


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
    _change("GET", "/products/{id}", _edit, "Edit a product"),
    _change("POST", "/products/{id}", _update, "Change a product", again=_edit),
    _change("POST", "/products/{id}/delete", _delete, "Delete a product", again=_edit),
    _change("GET", "/plantemplates/{id}", _template_form, "Edit a plan template"),
    _change("POST", "/plantemplates/{id}", _update_template, "Change a plan template", again=_template_form),
    _change("POST", "/plantemplates/{id}/delete", _delete_template, "Delete a plan template", again=_template_form),
)
