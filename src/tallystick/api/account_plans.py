"""Account plans over HTTP, and replacing one by another. A reply also says which product a plan sells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tallystick.api.crud import IDS, Crud, Reply, desk_of, request_type, value_of, where_of
from tallystick.api.routing import Call, Route, entity_reply
from tallystick.control.account_plans import ACCOUNT_PLANS, products_of_account_plans
from tallystick.control.account_plans import replace as replace_plan
from tallystick.core.account import AccountPlan
from tallystick.core.entity import Entity
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Where


def _where(call: Call) -> Where:
    """By account, plan or contract only what is active now is listed, unless `includeall` or `date` is given."""
    query = call.query
    account, plan, contract = query.text("account"), query.text("plan"), query.text("contract")
    ids, product = query.texts("ids"), query.text("product")
    if product is not None:
        if account is None:
            raise Refusal("invalid_request", "product: give it together with account", field="product")
        selling = _selling(call, account, product)
        ids = selling if ids is None else tuple(each for each in ids if each in selling)
    where = where_of(call, id=ids, account_id=account, plan_id=plan, contract_id=contract)
    narrowed = account is not None or plan is not None or contract is not None
    active_on = query.instant("date")
    if active_on is None and narrowed and not query.flag("includeall"):
        active_on = call.now
    return replace(where, active_on=active_on)


def _selling(call: Call, account_id: str, product_id: str) -> tuple[str, ...]:
    """The account plans of an account that sell a product, by a plan or by a group."""
    account_plans = list(call.records.every(AccountPlan, where_of(call, account_id=account_id)))
    products = products_of_account_plans(call.records, account_plans)
    return tuple(each for each, sold in products.items() if product_id in sold)


def _show(records: OrganizationRecords, account_plans: Sequence[Entity[AccountPlan]]) -> list[Reply]:
    """An account plan of a plan sells one product, which is told; that of a group may sell several."""
    products = products_of_account_plans(records, account_plans)
    return [
        {**entity_reply(each), **({"productId": products[each.id][0]} if each.value.plan_id else {})}
        for each in account_plans
    ]


class ReplaceReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Both account plans, the old one with the end that it has now."""

    original_account_plan: AccountPlan
    new_account_plan: AccountPlan


def _replace(call: Call, body: Any) -> Reply:
    value = value_of(AccountPlan, body)
    original, new = _show(call.records, replace_plan(desk_of(call), call.path["id"], value, body.version))
    return {"originalAccountPlan": original, "newAccountPlan": new}


_CRUD = Crud(
    noun=ACCOUNT_PLANS,
    path="/accountplans",
    tag="Account plans",
    where=_where,
    show=_show,
    filters={
        "ids": IDS,
        "account": "Only those of this account.",
        "plan": "Only those of this plan.",
        "product": "Only those of this product; together with account.",
        "contract": "Only those linked to this contract.",
        "date": "Only those in force at this date (its midnight, UTC) or date and time.",
        "includeall": "true: past and future ones too, where account, plan or contract is given.",
    },
)

ROUTES = (
    *_CRUD.routes(),
    Route(
        method="POST",
        path="/accountplans/{id}/replace",
        run=_replace,
        summary="End an account plan where another starts",
        tag="Account plans",
        scope="config:update",
        body=request_type(AccountPlan),
        reply=ReplaceReply,
    ),
)
