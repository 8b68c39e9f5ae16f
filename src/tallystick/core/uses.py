"""Which configured things a bill was made of, so that it can be made again of the very same (promise 7)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from tallystick.core.ad_hoc import accounting_product
from tallystick.core.counter import levels_used
from tallystick.core.discounting import discounts_on
from tallystick.core.entity import Entity, Used, used
from tallystick.core.period import Instant, Period, intersect, stretch
from tallystick.core.plan_terms import PlanTerms
from tallystick.core.terms import AccountPlanTerms, Terms


def uses_of(terms: Terms) -> tuple[Used, ...]:
    """Every entity version that the bill of these terms depends on, each once, in a fixed order."""
    found: set[Used] = set()

    def note(*entities: Entity[Any] | None) -> None:
        found.update(used(*entities))

    note(terms.config, terms.account)
    for credit in (*terms.credits, *(each.credit for each in terms.commitments)):
        note(credit.entity, *credit.products.values())
    for commitment in terms.commitments:
        note(*commitment.credit.billing)
    note(*(terms.currencies[code] for code in terms.all_currencies if code in terms.currencies))
    for each in terms.account_plans:
        note(*_of_account_plan(terms, each))
        found |= uses_of_plans(each)
    for discount in discounts_on(terms):
        note(discount, terms.agreements.products.get(discount.value.accounting_product_id or ""))
    agreements = terms.agreements
    for charge in agreements.charges:
        contract = agreements.contract(charge.value.contract_id)
        note(charge, contract, agreements.grouping_key(contract), accounting_product(terms, charge.value))
        note(agreements.balances.get(charge.value.entity_id or ""))
    for memo in agreements.memos:
        value = memo.value
        note(memo, agreements.products.get(value.product_id), agreements.products.get(value.accounting_product_id))
    return tuple(sorted(found))


def _of_account_plan(terms: Terms, each: AccountPlanTerms) -> list[Entity[Any] | None]:
    found: list[Entity[Any] | None] = [each.account_plan, each.contract, terms.agreements.grouping_key(each.contract)]
    found += each.considered
    if each.group:
        value, products = each.group.value, terms.agreements.products
        found += [each.group, *terms.agreements.links.get(each.group.id, ())]
        found.append(products.get(value.standing_charge_accounting_product_id or ""))
        found.append(products.get(value.minimum_spend_accounting_product_id or ""))
    return [*found, *levels_used(terms, each)]


def uses_of_plans(each: AccountPlanTerms) -> frozenset[Used]:
    """What the plan of an account plan, and its siblings, are made of: the same for all accounts that have them."""
    horizon = stretch(each.life.start, each.grid.next(each.period).end)
    kept: dict[Hashable, frozenset[Used]] = each.plan.worked_out
    key = ("uses", horizon, tuple(one.plan.id for one in each.siblings))
    if key not in kept:
        found = _of_plan(each.plan, each.siblings, horizon)
        kept[key] = used(*found)
    return kept[key]


def prices_ended(each: AccountPlanTerms) -> list[Instant]:
    """When prices of the plan ended that bills of the period are made of only where the account plan was there before:
    in order, each once."""
    ends = {price.pricing.value.end_date for price in each.plan.prices}
    return sorted(end for end in ends if end is not None and end <= each.period.start)


def _of_plan(plan: PlanTerms, siblings: tuple[PlanTerms, ...], horizon: Period) -> list[Entity[Any]]:
    found: list[Entity[Any]] = []
    for one in (plan, *siblings):
        found += [one.plan, one.template, one.product, one.standing_charge_product, one.minimum_spend_product]
    for counter_price in plan.counter_prices:
        found += [counter_price.pricing, counter_price.counter, counter_price.accounting_product]
    for price in plan.prices:
        if intersect(stretch(price.pricing.value.start_date, price.pricing.value.end_date), horizon):
            inputs = (*price.inputs, *(price.condition.inputs if price.condition else ()))
            found += [price.pricing, price.priced, price.accounting_product]
            found += [price.defaults] if price.defaults else []
            found += [used for each in inputs for used in (each.aggregation, each.meter)]
            found += [used for of_table in price.tables.entities.values() for used in of_table]
    return found
