"""Plan templates over HTTP."""

from __future__ import annotations

from tallystick.api.crud import IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.plan_templates import PLAN_TEMPLATES
from tallystick.ports import Where


def _where(call: Call) -> Where:
    return where_of(call, id=call.query.texts("ids"), product_id=call.query.text("productId"))


ROUTES = Crud(
    noun=PLAN_TEMPLATES,
    path="/plantemplates",
    tag="Plan templates",
    where=_where,
    filters={"ids": IDS, "productId": "Only templates of this product."},
).routes()
