"""Discounts become lines: what is taken off the charges of a bill (docs/decisions/0133-discounts.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from tallystick.core.bill import LineItemType
from tallystick.core.discount import Discount, DiscountType
from tallystick.core.entity import Entity
from tallystick.core.lines import Draft, product_fields
from tallystick.core.period import Period, day_share, intersect, stretch
from tallystick.core.quantity import ONE, ZERO, divide, multiply, negate, subtract, tidy, total
from tallystick.core.terms import Terms
from tallystick.core.working import Discounted

# What a discount is taken off: what is charged for a time. Single charges, memos and what buys credit stay whole, and
# usage credits come after it.
_DISCOUNTED = frozenset(
    {
        LineItemType.STANDING_CHARGE,
        LineItemType.USAGE,
        LineItemType.MINIMUM_SPEND,
        LineItemType.MINIMUM_SPEND_REFUND,
        LineItemType.COUNTER_RUNNING_TOTAL_CHARGE,
        LineItemType.COUNTER_ADJUSTMENT_DEBIT,
        LineItemType.COUNTER_ADJUSTMENT_CREDIT,
        LineItemType.CREDIT_DEDUCTION,
    }
)


def discount_drafts(terms: Terms, drafts: Sequence[Draft]) -> Iterator[Draft]:
    """What each of the account's discounts takes off these lines, one line for each.

    Percentages go first, then amounts; within each by start, then name. Each is of what those before it left, and takes
    no more than that.
    """
    lines = [draft for draft in drafts if draft.type in _DISCOUNTED]
    left = [draft.conversion.converted(draft.exact) for draft in lines]
    for discount in discounts_on(terms):
        shares = [_share(terms, discount.value, draft) for draft in lines]
        base = [divide(multiply(each, share[0]), share[1]) for each, share in zip(left, shares, strict=True)]
        step = _step(terms, discount.value, total(base))
        taken = terms.billed(step.amount)
        if taken <= 0:
            continue
        part = divide(taken, step.base)
        left = [subtract(each, multiply(part, of)) for each, of in zip(left, base, strict=True)]
        first = next(draft for draft, share in zip(lines, shares, strict=True) if share[0])
        yield _draft(terms, discount, first, step)


def discounts_on(terms: Terms) -> list[Entity[Discount]]:
    """The account's discounts in force during the billing period, in the order in which they are taken."""
    found = terms.agreements.discounts_on(terms.account.id, terms.period)

    def order(each: Entity[Discount]) -> tuple[bool, str, str, str]:
        return each.value.type is DiscountType.AMOUNT, each.value.start_date.wire(), each.value.name, each.id

    return sorted(found, key=order)


def _life(discount: Discount) -> Period:
    return stretch(discount.start_date, discount.end_date)


def _share(terms: Terms, discount: Discount, draft: Draft) -> tuple[Decimal, Decimal]:
    """How much of a line the discount is for: all of it within its dates, by the days of the line's service."""
    if discount.product_id is not None and (draft.product is None or draft.product.id != discount.product_id):
        return ZERO, ONE
    if discount.plan_id is not None and (
        draft.account_plan is None or draft.account_plan.plan.plan.id != discount.plan_id
    ):
        return ZERO, ONE
    if discount.type is DiscountType.AMOUNT:
        return ONE, ONE  # its own days decide
    part = intersect(draft.service, _life(discount))
    if part is None:
        return ZERO, ONE
    days, of_days = day_share(part, draft.service, terms.zone)
    return (Decimal(days), Decimal(of_days)) if of_days else (ONE, ONE)


def _step(terms: Terms, discount: Discount, base: Decimal) -> Discounted:
    """What the discount comes to, of the charges that it is for, in the currency of the bill."""
    if discount.type is DiscountType.PERCENT:
        assert discount.percent is not None, "a discount of type PERCENT has a percentage"
        amount = divide(multiply(base, discount.percent), Decimal(100))
        return Discounted(base=tidy(base), percent=tidy(discount.percent), amount=max(amount, ZERO))
    assert discount.amount is not None, "a discount of type AMOUNT has an amount"
    assert discount.currency is not None, "a discount of type AMOUNT has a currency"
    part = intersect(terms.period, _life(discount))
    assert part is not None, "a discount in force shares time with the billing period"
    days, of_days = day_share(part, terms.period, terms.zone)
    full = tidy(multiply(discount.amount, terms.conversion(discount.currency).rate))
    amount = divide(multiply(full, Decimal(days)), Decimal(of_days)) if of_days else ZERO
    return Discounted(base=tidy(base), full=full, days=days, of_days=of_days, amount=max(min(amount, base), ZERO))


def _draft(terms: Terms, discount: Entity[Discount], first: Draft, step: Discounted) -> Draft:
    value = discount.value
    service = intersect(terms.period, _life(value))
    assert service is not None, "a discount in force shares time with the billing period"
    fields: dict[str, Any] = {}
    if value.product_id is not None:
        fields |= product_fields(first.product)
    if value.plan_id is not None:
        fields |= product_fields(first.product) | {"plan_id": value.plan_id}
    own = terms.agreements.products.get(value.accounting_product_id or "")
    return Draft(
        conversion=terms.conversion(terms.currency),
        type=LineItemType.CREDIT_DEDUCTION,
        description=value.description or value.name,
        service=service,
        exact=negate(step.amount),
        working=(step,),
        accounting_product=own or (first.product if fields else None),
        of=f"discount/{discount.id}",
        fields=fields,
    )
