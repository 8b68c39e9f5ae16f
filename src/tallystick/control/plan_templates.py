"""Plan templates: the billing frequency, the pricing currency and the defaults that plans share."""

from __future__ import annotations

from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, in_use
from tallystick.core.catalog import PlanTemplate


def _check(draft: Draft[PlanTemplate]) -> PlanTemplate:
    require_currency(draft.read, draft.value.currency)
    if draft.before is not None and draft.before.value.product_id != draft.value.product_id:
        # Its plans and pricings, and the account plans on them, are sold as the old product.
        users = draft.read.users_of(draft.id)
        if users:
            raise in_use("plan template", draft.id, users, field="productId")
    return draft.value


PLAN_TEMPLATES = Noun(of=PlanTemplate, check=_check)
