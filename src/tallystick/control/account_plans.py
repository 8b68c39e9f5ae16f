"""Account plans: which plan, or group of plans, is in force for which account, and when.

An account has one plan of a product at a time, unless the organisation allows overlaps (source: reference 2.5).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from tallystick.control.contracts import require_contract_of
from tallystick.control.desk import Desk, Draft, Noun, rule_broken, the
from tallystick.control.plans import plans_in_groups, products_of, require_billed
from tallystick.core.account import AccountPlan
from tallystick.core.catalog import Plan
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.plan_group import PlanGroup
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Transaction, Where
from tallystick.ports.founded import config_of


def products_of_account_plans(
    read: OrganizationRecords, account_plans: Collection[Entity[AccountPlan]]
) -> dict[str, tuple[str, ...]]:
    """Account plan ids to the products that they sell, for many at once: one for a plan, any number for a group."""
    group_ids = {each.value.plan_group_id for each in account_plans if each.value.plan_group_id is not None}
    grouped = plans_in_groups(read, group_ids)
    plan_ids = {
        each.id: [each.value.plan_id] if each.value.plan_id else grouped[each.value.plan_group_id or ""]
        for each in account_plans
    }
    products = _products(read, {plan_id for of_one in plan_ids.values() for plan_id in of_one})
    return {each: tuple(products[plan_id] for plan_id in of_one) for each, of_one in plan_ids.items()}


def overlap(start: Instant, end: Instant | None, other_start: Instant, other_end: Instant | None) -> bool:
    """Whether two half-open stretches of time share an instant; None is no end."""
    return (other_end is None or start < other_end) and (end is None or other_start < end)


def in_words(start: Instant, end: Instant | None) -> str:
    """A stretch of time for a message."""
    return f"from {start.wire()} " + ("without end" if end is None else f"to {end.wire()}")


def replace(
    desk: Desk, id: str, value: AccountPlan, version: int | None
) -> tuple[Entity[AccountPlan], Entity[AccountPlan]]:
    """End an account plan where another starts, in one transaction: (the old one, the new one).

    `version`, when given, must be that of the old one. Refusals: those of an update and a create, and `rule_broken`
    for another account, or a start outside the life of the old one.
    """
    with desk.records.transaction() as write:
        return replace_within(desk, write, id, value, version)


def replace_within(
    desk: Desk, write: Transaction, id: str, value: AccountPlan, version: int | None
) -> tuple[Entity[AccountPlan], Entity[AccountPlan]]:
    """The same as part of a larger transaction."""
    before = ACCOUNT_PLANS.retrieve(write, id)
    old = before.value
    if value.account_id != old.account_id:
        message = f"the account plan {id} is of the account {old.account_id}; its replacement must be too"
        raise rule_broken("accountId", message)
    if value.start_date <= old.start_date or (old.end_date is not None and value.start_date >= old.end_date):
        message = f"the account plan {id} is in force {in_words(old.start_date, old.end_date)}; its replacement"
        raise rule_broken("startDate", f"{message} must start after that start and before that end")
    ended = msgspec.structs.replace(old, end_date=value.start_date)
    original = ACCOUNT_PLANS.update_within(desk, write, before, ended, version)
    return original, ACCOUNT_PLANS.create_within(desk, write, value, desk.new_id())


def _check(draft: Draft[AccountPlan]) -> AccountPlan:
    value = draft.value
    require_contract_of(draft.read, value.contract_id, value.account_id)
    if value.plan_id is not None:
        _require_made_for(the(draft.read, Plan, value.plan_id), value, "plan", "planId")
        require_billed(draft.read, value.plan_id)
        plan_ids = [value.plan_id]
    else:
        assert value.plan_group_id is not None, "an account plan has a plan or a plan group"
        _require_made_for(the(draft.read, PlanGroup, value.plan_group_id), value, "plan group", "planGroupId")
        plan_ids = plans_in_groups(draft.read, (value.plan_group_id,))[value.plan_group_id]
    require_no_overlap(draft.read, draft.id, value, plan_ids, "startDate")
    return value


def _require_made_for(offer: Plan | PlanGroup, value: AccountPlan, what: str, field: str) -> None:
    if offer.account_id is not None and offer.account_id != value.account_id:
        named = value.plan_id or value.plan_group_id
        message = f"the {what} {named} is bespoke: it was made for the account {offer.account_id} only"
        raise rule_broken(field, message)


def require_no_overlap(
    read: OrganizationRecords, id: str, value: AccountPlan, plan_ids: Sequence[str], field: str
) -> None:
    """Refuse an account plan (with the id, selling these plans) of a product that the account has in that time."""
    if config_of(read).value.allow_overlapping_plans:
        return
    others = [
        each
        for each in read.every(AccountPlan, Where(equal={"account_id": (value.account_id,)}))
        if each.id != id and overlap(value.start_date, value.end_date, each.value.start_date, each.value.end_date)
    ]
    mine = set(_products(read, plan_ids).values())
    sold = products_of_account_plans(read, others)
    for other in others:
        for product_id in sold[other.id]:
            if product_id in mine:
                when = in_words(other.value.start_date, other.value.end_date)
                raise Refusal(
                    "overlapping_plan",
                    f"{field}: the account {value.account_id} already has a plan of the product {product_id} in that "
                    f"time: the account plan {other.id}, {when}",
                    field=field,
                )


def _products(read: OrganizationRecords, plan_ids: Collection[str]) -> dict[str, str]:
    return products_of(read, read.get_many(Plan, plan_ids).values())


ACCOUNT_PLANS = Noun(of=AccountPlan, check=_check)
