"""Account plans: which plan is in force for which account, and when.

An account has one plan of a product at a time, unless the organisation allows overlaps (source: reference 2.5).
"""

from __future__ import annotations

from collections.abc import Collection

from tallystick.control.desk import Draft, Noun, rule_broken, the
from tallystick.control.organization_config import current
from tallystick.control.plans import product_of, products_of
from tallystick.core.account import AccountPlan
from tallystick.core.catalog import Plan
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Where


def products_of_account_plans(
    read: OrganizationRecords, account_plans: Collection[Entity[AccountPlan]]
) -> dict[str, str]:
    """Account plan ids to the products that they sell, for many at once."""
    plans = read.get_many(Plan, {each.value.plan_id for each in account_plans if each.value.plan_id is not None})
    products = products_of(read, plans.values())
    return {each.id: products[each.value.plan_id] for each in account_plans if each.value.plan_id is not None}


def overlap(start: Instant, end: Instant | None, other_start: Instant, other_end: Instant | None) -> bool:
    """Whether two half-open stretches of time share an instant; None is no end."""
    return (other_end is None or start < other_end) and (end is None or other_start < end)


def in_words(start: Instant, end: Instant | None) -> str:
    """A stretch of time for a message."""
    return f"from {start.wire()} " + ("without end" if end is None else f"to {end.wire()}")


def _check(draft: Draft[AccountPlan]) -> AccountPlan:
    value = draft.value
    assert value.plan_id is not None, "there are no plan groups, and the value has one of the two"
    plan = the(draft.read, Plan, value.plan_id)
    if plan.account_id is not None and plan.account_id != value.account_id:
        message = f"the plan {value.plan_id} is bespoke: it was made for the account {plan.account_id} only"
        raise rule_broken("planId", message)
    if not current(draft.read).value.allow_overlapping_plans:
        _require_no_overlap(draft, product_of(draft.read, plan))
    return value


def _require_no_overlap(draft: Draft[AccountPlan], product_id: str) -> None:
    value = draft.value
    others = [
        each
        for each in draft.read.every(AccountPlan, Where(equal={"account_id": (value.account_id,)}))
        if each.id != draft.id and overlap(value.start_date, value.end_date, each.value.start_date, each.value.end_date)
    ]
    products = products_of_account_plans(draft.read, others)
    for other in others:
        if products[other.id] == product_id:
            when = in_words(other.value.start_date, other.value.end_date)
            raise Refusal(
                "overlapping_plan",
                f"startDate: the account {value.account_id} already has a plan of the product {product_id} in that "
                f"time: the account plan {other.id}, {when}",
                field="startDate",
            )


ACCOUNT_PLANS = Noun(of=AccountPlan, check=_check)
