"""Discounts over HTTP: an extension of ours."""

from __future__ import annotations

from dataclasses import replace

from tallystick.api.crud import CODES, IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.discounts import DISCOUNTS
from tallystick.ports import Where


def _where(call: Call) -> Where:
    query = call.query
    where = where_of(
        call,
        id=query.texts("ids"),
        code=query.texts("codes"),
        account_id=query.text("accountId"),
        product_id=query.text("productId"),
        plan_id=query.text("planId"),
    )
    return replace(where, active_on=query.instant("date"))


ROUTES = Crud(
    noun=DISCOUNTS,
    path="/discounts",
    tag="Discounts",
    where=_where,
    filters={
        "ids": IDS,
        "codes": CODES,
        "accountId": "Only discounts of this account.",
        "productId": "Only discounts on this product.",
        "planId": "Only discounts on this plan.",
        "date": "Only discounts in force at this date (its midnight, UTC) or date and time.",
    },
).routes()
