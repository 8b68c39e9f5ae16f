"""Which bills are alike but for the account and what was measured, so that they can be written from one mould.

Only bills of one plain plan are: whatever a bill depends on besides (contracts, groups, hierarchies, charges,
conditions, minimums …) makes it one that is written by itself. To leave a kind out here costs time, nothing else.

Plain credit makes no difference here: it changes nothing of what is rated, and adds lines of its own (`core.mould`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import msgspec

from tallystick.core.bill import BillBefore
from tallystick.core.catalog import PricingType
from tallystick.core.credit import Credit, cuts_of
from tallystick.core.period import Frequency, Period
from tallystick.core.plan_terms import PlanTerms, PriceTerms
from tallystick.core.terms import AccountPlanTerms, Terms
from tallystick.core.uses import uses_of_plans
from tallystick.core.wire import encode


def likeness(terms: Terms) -> Hashable | None:
    """Terms with the same likeness give bills that differ in nothing but the account and what was measured; None for
    bills that are written by themselves."""
    if len(terms.account_plans) != 1 or terms.commitments or terms.of.grouping:
        return None
    (plan,) = terms.account_plans
    if terms.of.frequency is Frequency.MIXED or not _stands_alone(plan) or _has_agreements(terms):
        return None
    if not is_plain(plan.plan) or not all(_only_pays(each, terms) for each in terms.credits):
        return None
    if len(terms.agreements.before) > 1 or any(each.of is not None for each in terms.agreements.before):
        return None
    account = terms.account.value
    return (
        _of_plan(plan),
        terms.parameters,
        terms.currency,
        account.days_before_bill_due,
        account.purchase_order_number,
        _paid_before(terms.agreements.before),
    )


def _of_plan(plan: AccountPlanTerms) -> Hashable:
    """The likeness of an account plan. Account plans have few different ones, so each is told by where it is kept."""
    kept: dict[Hashable, Hashable] = plan.plan.worked_out
    key = ("likeness", plan.grid, plan.period, plan.life)
    if key not in kept:
        own = plan.plan.plan.id, plan.grid, plan.period, _life(plan), uses_of_plans(plan)
        kept[key] = kept.setdefault(own, own)
    return kept[key]


def _only_pays(credit: Credit, terms: Terms) -> bool:
    """Whether credit does nothing but pay for lines: it is the account's own, in the currency of the bill, neither
    begins nor ends within the period, and has no rules for usage beyond it and no products to be booked on."""
    value, (plan,) = credit.entity.value, terms.account_plans
    separate = credit.commitment is not None and credit.commitment.separate_overage_usage
    return (
        value.account_id == terms.account.id
        and credit.currency == terms.currency
        and not (credit.surcharge or separate or credit.products)
        and not any(each.pricing.value.overage_pricing_bands for each in plan.plan.prices)
        and not cuts_of((credit,), plan.period)
        and not cuts_of((credit,), terms.period)
    )


def _stands_alone(plan: AccountPlanTerms) -> bool:
    """Whether nobody else's account or plan has to do with an account plan."""
    return not (plan.contract or plan.group or plan.siblings or plan.inherited or plan.pool or plan.considered)


def _has_agreements(terms: Terms) -> bool:
    """Whether there is more to the bill than plans."""
    agreed = terms.agreements
    own = agreed.charges or agreed.memos or agreed.levels
    return bool(own or agreed.discounts.get(terms.account.id))


def _paid_before(before: Sequence[BillBefore]) -> bytes | None:
    """What a closed bill of the period before has charged in advance, if there is such a bill: whatever its id and
    those of its lines."""
    if not before:
        return None
    return encode([msgspec.structs.replace(line, id="") for each in before for line in each.lines])


def _life(plan: AccountPlanTerms) -> Period:
    """As much of the life of an account plan as bills of the period can tell: whether it was there a period before and
    is a period after; and since when, where the standing charge is for several periods."""
    life = plan.life
    if lives_count(plan):
        return life
    before, after = plan.grid.previous(plan.period), plan.grid.next(plan.period)
    return Period(max(life.start, before.start), min(life.end, after.end))


def lives_count(plan: AccountPlanTerms) -> bool:
    """Whether bills of a plan depend on all of its life: where the standing charge is for several periods."""
    template = plan.plan.template.value
    return template.standing_charge_interval != 1 or bool(template.standing_charge_offset)


def is_plain(plan: PlanTerms) -> bool:
    """Whether a plan has a standing charge and plain prices, and nothing else. Found out once for a plan."""
    kept = plan.worked_out
    if "plain" not in kept:
        others = plan.minimum_spend or plan.maximum_spend is not None or plan.counter_prices
        kept["plain"] = not others and all(_is_plain(each) for each in plan.prices)
    found: bool = kept["plain"]
    return found


def _is_plain(price: PriceTerms) -> bool:
    """Whether units are priced by bands and that is all."""
    pricing = price.pricing.value
    forms = pricing.percent, pricing.package, pricing.rates, pricing.free_units
    limits = pricing.minimum_spend, pricing.maximum_spend
    return (
        price.compound is None
        and not price.condition
        and not price.segmented_fields
        and pricing.segment is None
        and pricing.type is PricingType.DEBIT
        and not pricing.per_event
        and not pricing.tiers_span_plan
        and not any(each is not None for each in (*forms, *limits))
    )
