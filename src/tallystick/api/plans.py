"""Plans over HTTP. A reply also says which product the plan sells."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.api.crud import IDS, Crud, Reply, where_of
from tallystick.api.routing import Call, entity_reply
from tallystick.control.plans import PLANS, products_of
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.entity import Entity
from tallystick.ports import OrganizationRecords, Where


def _where(call: Call) -> Where:
    query = call.query
    product = query.text("productId")
    templates = None
    if product is not None:
        templates = [each.id for each in call.records.every(PlanTemplate, where_of(call, product_id=product))]
    return where_of(call, id=query.texts("ids"), account_id=query.texts("accountId"), plan_template_id=templates)


def _show(records: OrganizationRecords, plans: Sequence[Entity[Plan]]) -> list[Reply]:
    products = products_of(records, plans)
    return [{**entity_reply(plan), "productId": products[plan.id]} for plan in plans]


ROUTES = Crud(
    noun=PLANS,
    path="/plans",
    tag="Plans",
    where=_where,
    show=_show,
    filters={
        "ids": IDS,
        "productId": "Only plans that sell this product.",
        "accountId": "Only bespoke plans of these accounts, comma-joined.",
    },
).routes()
