"""Plan templates: the billing frequency, the pricing currency and the defaults that plans share."""

from __future__ import annotations

from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, in_use
from tallystick.control.plans import account_plans_of, billed_as, links_with
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.plan_group import PlanGroupLink
from tallystick.ports import Where


def _check(draft: Draft[PlanTemplate]) -> PlanTemplate:
    require_currency(draft.read, draft.value.currency)
    if draft.before is not None and draft.before.value.product_id != draft.value.product_id:
        # Its plans and pricings, and the account plans on them, are sold as the old product.
        users = draft.read.users_of(draft.id)
        if users:
            raise in_use("plan template", draft.id, users, field="productId")
    if draft.before is not None and billed_as(draft.before.value) != billed_as(draft.value):
        plans = [each.id for each in draft.read.every(Plan, Where(equal={"plan_template_id": (draft.id,)}))]
        links = [(PlanGroupLink.kind, each.id) for each in links_with(draft.read, plans)]
        if not draft.value.bill_frequency.has_periods:
            links = account_plans_of(draft.read, plans)  # no bill would show what they charge
        if links:  # the plans of a group are billed as one
            changed = "currency" if draft.before.value.currency != draft.value.currency else "billFrequency"
            raise in_use("plan template", draft.id, links[:10], field=changed)
    return draft.value


PLAN_TEMPLATES = Noun(of=PlanTemplate, check=_check)
