"""Plan groups: bundles of plans under one standing charge and one minimum spend (source: reference 2.3).

Where the reference is silent: docs/decisions/0101-plans-of-a-group.md.
"""

from __future__ import annotations

from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, in_use
from tallystick.control.plan_group_links import require_plan_fits
from tallystick.control.plans import plans_in_groups
from tallystick.core.account import AccountPlan
from tallystick.core.plan_group import PlanGroup
from tallystick.ports import Where


def _check(draft: Draft[PlanGroup]) -> PlanGroup:
    value = draft.value
    require_currency(draft.read, value.currency)
    if draft.before is not None:
        for plan_id in plans_in_groups(draft.read, (draft.id,))[draft.id]:
            require_plan_fits(draft.read, value, plan_id, ("currency", "accountId"))
        _require_same_accounts(draft)
    return value


def _require_same_accounts(draft: Draft[PlanGroup]) -> None:
    """A group is made for an account only while no other has it."""
    if draft.value.account_id is None:
        return
    attached = draft.read.every(AccountPlan, Where(equal={"plan_group_id": (draft.id,)}))
    others = [(AccountPlan.kind, each.id) for each in attached if each.value.account_id != draft.value.account_id]
    if others:
        raise in_use("plan group", draft.id, others[:10], field="accountId")


PLAN_GROUPS = Noun(of=PlanGroup, check=_check)
