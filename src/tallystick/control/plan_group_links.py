"""Plan group links: which plans are in which group, at most one of each product (source: reference 2.3).

Where the reference is silent: docs/decisions/0101-plans-of-a-group.md.
"""

from __future__ import annotations

from tallystick.control.account_plans import require_no_overlap
from tallystick.control.desk import Draft, Noun, rule_broken, the
from tallystick.control.plans import billed_as, plans_in_groups, require_billed
from tallystick.core.account import AccountPlan
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.ports import OrganizationRecords, Where


def require_plan_fits(read: OrganizationRecords, group: PlanGroup, plan_id: str, fields: tuple[str, str]) -> None:
    """Refuse a plan that is priced in another currency than its group, or was made for another account.

    `fields` are those to name: for the currency, and for the account.
    """
    plan = the(read, Plan, plan_id)
    currency = the(read, PlanTemplate, plan.plan_template_id).currency
    if currency != group.currency:
        message = f"the plan {plan_id} is priced in {currency}, the plan group in {group.currency}"
        raise rule_broken(fields[0], f"{message}; a group has one currency")
    if plan.account_id is not None and plan.account_id != group.account_id:
        message = f"the plan {plan_id} is bespoke: it was made for the account {plan.account_id} only"
        raise rule_broken(fields[1], f"{message}; so must be its plan group")


def _check(draft: Draft[PlanGroupLink]) -> PlanGroupLink:
    value = draft.value
    require_plan_fits(draft.read, the(draft.read, PlanGroup, value.plan_group_id), value.plan_id, ("planId", "planId"))
    require_billed(draft.read, value.plan_id)
    _require_fits_others(draft)
    attached = draft.read.every(AccountPlan, Where(equal={"plan_group_id": (value.plan_group_id,)}))
    for each in attached:
        require_no_overlap(draft.read, each.id, each.value, [value.plan_id], "planId")
    return value


def _require_fits_others(draft: Draft[PlanGroupLink]) -> None:
    """One plan of each product, all of them billed equally often."""
    value, read = draft.value, draft.read
    replaced = None if draft.before is None else draft.before.value
    mine = _template(read, value.plan_id)
    for plan_id in plans_in_groups(read, (value.plan_group_id,))[value.plan_group_id]:
        if replaced is not None and (replaced.plan_group_id, replaced.plan_id) == (value.plan_group_id, plan_id):
            continue
        other = _template(read, plan_id)
        if other.product_id == mine.product_id:
            message = f"the plan group already has a plan of the product {mine.product_id}: {plan_id}"
            raise rule_broken("planId", f"{message}; it can have one of each product")
        if billed_as(other) != billed_as(mine):
            message = f"the plan {plan_id} of the group is billed {_often(other)}, this one {_often(mine)}"
            raise rule_broken("planId", f"{message}; a group is billed as one")


def _template(read: OrganizationRecords, plan_id: str) -> PlanTemplate:
    return the(read, PlanTemplate, the(read, Plan, plan_id).plan_template_id)


def _often(template: PlanTemplate) -> str:
    return f"{template.bill_frequency} every {template.bill_frequency_interval}"


PLAN_GROUP_LINKS = Noun(of=PlanGroupLink, check=_check)
