"""Price protection: what a contract says the charges of a billing period may come to at most.

An extension of ours: at most a percentage above a baseline, between two days (docs/decisions/0132-price-protection.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from tallystick.core.bill import LineItemType
from tallystick.core.contract import Contract, PriceProtection
from tallystick.core.entity import Entity
from tallystick.core.lines import Draft
from tallystick.core.period import Period, day_share, day_start, intersect
from tallystick.core.plan_group_terms import group_charges
from tallystick.core.quantity import ZERO, add, divide, multiply, negate, subtract, tidy, total
from tallystick.core.terms import AccountPlanTerms, Terms
from tallystick.core.working import Protected


def protection_drafts(terms: Terms, charged: Mapping[str, Decimal]) -> Iterator[Draft]:
    """What each contract's price protection takes off the bill, one line for each.

    `charged` has, by the id of each account plan's terms, what it is charged for the very period in its currency,
    minimums included, whichever bills that stands on.
    """
    for contract in _contracts(terms):
        protection = contract.value.price_protection
        plans = [each for each in terms.account_plans if each.contract and each.contract.id == contract.id]
        whole, served = plans[0].period, _served(plans)
        window = _window(protection, terms.zone) if protection else None
        protected = intersect(served, window) if served and window else None
        if protection is None or served is None or protected is None:
            continue
        charges = _charges(terms, contract, plans, charged)
        step = _step(terms, protection, charges, (protected, served, whole))
        if step.amount < 0:
            yield _draft(terms, contract, protection, plans, protected, step)


def _contracts(terms: Terms) -> list[Entity[Contract]]:
    found = {each.contract.id: each.contract for each in terms.account_plans if each.contract}
    return [found[id_] for id_ in sorted(found)]


def _window(protection: PriceProtection, zone: str) -> Period:
    return Period(day_start(protection.start_date, zone), day_start(protection.end_date, zone))


def _served(plans: Sequence[AccountPlanTerms]) -> Period | None:
    """The part of the billing period from the start of the contract's first plan to the end of its last."""
    start, end = min(each.life.start for each in plans), max(each.life.end for each in plans)
    return intersect(plans[0].period, Period(start, end))


def _charges(
    terms: Terms,
    contract: Entity[Contract],
    plans: Sequence[AccountPlanTerms],
    charged: Mapping[str, Decimal],
) -> Decimal:
    """What is charged for the period under the contract, as money of the bill."""
    of_plans = (terms.conversion(each.plan.template.value.currency).converted(charged[each.id]) for each in plans)
    return total((*of_plans, *group_charges(terms, charged, contract.id)))


def _step(
    terms: Terms, protection: PriceProtection, charges: Decimal, windows: tuple[Period, Period, Period]
) -> Protected:
    protected, served, whole = windows
    days, of_days = day_share(protected, whole, terms.zone)
    served_days = day_share(served, whole, terms.zone)[0]
    currency = protection.currency or terms.currency
    most = divide(multiply(protection.baseline, add(protection.maximum_increase_percent, Decimal(100))), Decimal(100))
    limit = tidy(multiply(most, terms.conversion(currency).rate))
    if days != of_days:
        limit = divide(multiply(limit, Decimal(days)), Decimal(of_days)) if of_days else ZERO
    own = charges if days == served_days else divide(multiply(charges, Decimal(days)), Decimal(served_days))
    over = subtract(own, limit) if days else ZERO
    return Protected(
        baseline=tidy(protection.baseline),
        percent=tidy(protection.maximum_increase_percent),
        currency=currency,
        limit=limit,
        charges=charges,
        own=tidy(own),
        days=days,
        served_days=served_days,
        of_days=of_days,
        amount=negate(tidy(over)) if over > 0 else ZERO,
    )


def _draft(
    terms: Terms,
    contract: Entity[Contract],
    protection: PriceProtection,
    plans: Sequence[AccountPlanTerms],
    protected: Period,
    step: Protected,
) -> Draft:
    products = {each.plan.product.id: each.plan.product for each in plans}
    return Draft(
        conversion=terms.conversion(terms.currency),
        type=LineItemType.CREDIT_DEDUCTION,
        description=protection.description or "Price Protection",
        service=protected,
        exact=step.amount,
        working=(step,),
        accounting_product=next(iter(products.values())) if len(products) == 1 else None,
        of=f"protection/{contract.id}",
        fields={"contract_id": contract.id},
    )
