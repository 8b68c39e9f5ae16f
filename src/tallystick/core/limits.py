"""Maximum spend: what a pricing or a plan is charged for in a billing period comes to no more.

See docs/decisions/0131-forms-of-price.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallystick.core.bill import LineItemType
from tallystick.core.charges import prorated, share_of
from tallystick.core.conversion import Conversion
from tallystick.core.lines import Draft
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.quantity import ZERO, add, subtract, tidy, total
from tallystick.core.scope import clip
from tallystick.core.terms import AccountPlanTerms
from tallystick.core.working import Steps
from tallystick.core.working_forms import Limited, OverMaximum


def limited(account_plan: AccountPlanTerms, usage: Sequence[Draft]) -> list[Draft]:
    """The usage lines of an account plan, with each pricing's lines within its maximum spend.

    Earlier lines take first. What lines give back makes room for the others, wherever they stand. It is counted in
    money, so that rounding cannot carry the sum above the maximum. The maximum is prorated by days, as a minimum is.
    """
    if not account_plan.plan.limits:
        return list(usage)
    spent: dict[str, Decimal] = {}
    result = []
    for draft in usage:
        price = draft.price
        maximum = _maximum(account_plan, price) if price else None
        if price is None or maximum is None:
            result.append(draft)
            continue
        most, steps = maximum
        if price.pricing.id not in spent:
            back = (_money(each) for each in usage if each.price is price and each.exact < 0)
            spent[price.pricing.id] = total(back)
        within = draft
        if draft.exact > 0:
            within = _within(draft, most, spent[price.pricing.id], steps)
            spent[price.pricing.id] = add(spent[price.pricing.id], _money(within))
        result.append(within)
    return result


def plan_limit(account_plan: AccountPlanTerms, charged: Decimal, conversion: Conversion) -> Draft | None:
    """What the maximum spend of a plan takes off: what it is charged for the very period, in money of its currency and
    whichever bills that stands on, beyond the maximum. None where it is within."""
    plan = account_plan.plan
    share = share_of(account_plan.period, [account_plan.life], account_plan.grid.zone)
    if plan.maximum_spend is None or share is None:
        return None
    most, steps = prorated(plan.maximum_spend, share)
    most = conversion.money(most)
    if charged <= most:
        return None
    step = OverMaximum(maximum=most, charges=charged, amount=tidy(subtract(most, charged)))
    return Draft(
        account_plan=account_plan,
        conversion=conversion,
        type=LineItemType.CREDIT_DEDUCTION,
        description=plan.maximum_spend_description or f"{plan.product.value.name} Maximum Spend Adjustment",
        service=share.service,
        exact=step.amount,
        working=(*(() if share.days == share.of_days else steps), step),
        accounting_product=plan.minimum_spend_product,
    )


def _maximum(account_plan: AccountPlanTerms, price: PriceTerms) -> tuple[Decimal, tuple[Steps, ...]] | None:
    """The maximum spend of a pricing in the billing period, and how it was prorated where it was."""
    full = price.pricing.value.maximum_spend
    if full is None:
        return None
    life = tuple(piece.window for piece in clip(price.pieces, account_plan.life))
    share = share_of(account_plan.period, life, account_plan.grid.zone)
    assert share is not None, "a pricing that is charged holds in the period"
    amount, steps = prorated(full, share)
    return amount, () if share.days == share.of_days else steps


def _within(draft: Draft, most: Decimal, spent: Decimal, steps: tuple[Steps, ...]) -> Draft:
    most = draft.conversion.money(most)
    room = max(subtract(most, spent), ZERO)
    if draft.exact <= room:
        return draft
    amount = tidy(room)
    step = Limited(maximum=most, before=tidy(spent), exact=draft.exact, amount=amount)
    return msgspec.structs.replace(draft, exact=amount, working=(*draft.working, *steps, step))


def _money(draft: Draft) -> Decimal:
    return draft.conversion.money(draft.exact)
