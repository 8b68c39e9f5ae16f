"""Account plans over HTTP. A reply also says which product the plan sells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tallystick.api.crud import IDS, Crud, Reply, where_of
from tallystick.api.routing import Call, entity_reply
from tallystick.control.account_plans import ACCOUNT_PLANS, products_of_account_plans
from tallystick.control.plans import plans_of
from tallystick.core.account import AccountPlan
from tallystick.core.entity import Entity
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Where


def _where(call: Call) -> Where:
    """By account, plan or contract only what is active now is listed, unless `includeall` or `date` is given."""
    query = call.query
    account, plan, contract = query.text("account"), query.text("plan"), query.text("contract")
    plans = None if plan is None else [plan]
    product = query.text("product")
    if product is not None:
        if account is None:
            raise Refusal("invalid_request", "product: give it together with account", field="product")
        sold = plans_of(call.records, product)
        plans = sold if plan is None else [each for each in sold if each == plan]
    where = where_of(call, id=query.texts("ids"), account_id=account, plan_id=plans, contract_id=contract)
    narrowed = account is not None or plan is not None or contract is not None
    active_on = query.instant("date")
    if active_on is None and narrowed and not query.flag("includeall"):
        active_on = call.now
    return replace(where, active_on=active_on)


def _show(records: OrganizationRecords, account_plans: Sequence[Entity[AccountPlan]]) -> list[Reply]:
    products = products_of_account_plans(records, account_plans)
    return [{**entity_reply(each), "productId": products[each.id]} for each in account_plans]


ROUTES = Crud(
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
).routes()
