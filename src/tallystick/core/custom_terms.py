"""Custom fields as terms of an account: what compound aggregations are computed from besides aggregations."""

from __future__ import annotations

from tallystick.core.attributes import custom_in, custom_values
from tallystick.core.expression import Scalar
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.terms import AccountPlanTerms


def custom_of(price: PriceTerms, of: AccountPlanTerms) -> dict[str, Scalar]:
    """The custom fields that the calculation refers to, by their whole names, as they are for the billed account.

    Those of meters are the organisation's defaults: a calculation may use several meters (reference 2.2).
    """
    if price.compound is None or price.defaults is None:
        return {}
    own = {
        "account": of.account.value.custom_fields,
        "accountPlan": of.account_plan.value.custom_fields,
        "plan": of.plan.plan.value.custom_fields,
        "planTemplate": of.plan.template.value.custom_fields,
        "product": of.plan.product.value.custom_fields,
    }
    return custom_values(custom_in(price.compound.calculation), price.defaults.value, own)
