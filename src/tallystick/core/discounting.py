"""Discounts become lines: what is taken off the charges of a bill (docs/decisions/0133-discounts.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tallystick.core.bill import LineItemType
from tallystick.core.discount import Discount, DiscountType
from tallystick.core.entity import Entity
from tallystick.core.lines import Draft, product_fields, rising
from tallystick.core.period import Period, day_share, intersect, stretch
from tallystick.core.quantity import ZERO, divide, multiply, negate, subtract, tidy, total
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
    if not terms.agreements.discounts:
        return
    lines = [draft for draft in drafts if draft.type in _DISCOUNTED]
    discounts = discounts_on(terms)
    stretches = [each for draft in lines for each in _stretches(terms, draft, discounts)]
    for discount in discounts:
        mine = [each for each in stretches if _concerns(discount.value, each)]
        step = _step(terms, discount.value, total(each.left for each in mine))
        taken = terms.billed(step.amount)
        if not taken:
            continue
        part = divide(taken, step.base)
        for each in mine:
            each.left = subtract(each.left, multiply(part, each.left))
        yield _draft(terms, discount, mine[0].draft, step)


@dataclass(slots=True)
class _Stretch:
    """What is left, in the currency of the bill, of a line's charges for a time."""

    draft: Draft
    window: Period
    left: Decimal


def _stretches(terms: Terms, draft: Draft, discounts: Sequence[Entity[Discount]]) -> Iterator[_Stretch]:
    """A line in stretches of time, each of which is inside or outside of every percentage's dates: usage by when it
    happened, all else by days. They add up to the line."""
    amount, service = draft.conversion.converted(draft.exact), draft.service
    edges = {at for each in discounts for at in each.value.cuts if service.start < at < service.end}
    used = {part.until: part.exact for part in rising(draft.parts, draft.exact)}
    start, before = service.start, ZERO
    for edge in sorted(edges):
        if used and draft.exact:
            so_far = divide(multiply(amount, used[edge]), draft.exact)
        else:
            days, of_days = day_share(Period(service.start, edge), service, terms.zone)
            so_far = divide(multiply(amount, Decimal(days)), Decimal(of_days)) if of_days else ZERO
        yield _Stretch(draft, Period(start, edge), subtract(so_far, before))
        start, before = edge, so_far
    yield _Stretch(draft, Period(start, service.end), subtract(amount, before))


def discounts_on(terms: Terms) -> list[Entity[Discount]]:
    """The account's discounts on the bill, in the order in which they are taken: percentages in force at some time that
    its charges are for, amounts in force during the billing period."""
    found = [
        each
        for each in terms.agreements.discounts_on(terms.account.id, _served(terms))
        if each.value.type is DiscountType.PERCENT or intersect(_life(each.value), terms.period)
    ]

    def order(each: Entity[Discount]) -> tuple[bool, str, str, str]:
        return each.value.type is DiscountType.AMOUNT, each.value.start_date.wire(), each.value.name, each.id

    return sorted(found, key=order)


def _served(terms: Terms) -> Period:
    """The time that charges on the bill may be for: the billing period, and the next one, for which some are made in
    advance."""
    ahead = (each.grid.period_at(each.period.end).end for each in terms.account_plans)
    return Period(terms.period.start, max((terms.period.end, *ahead)))


def _life(discount: Discount) -> Period:
    return stretch(discount.start_date, discount.end_date)


def _concerns(discount: Discount, stretch: _Stretch) -> bool:
    """Whether a discount is for a stretch of a line."""
    draft = stretch.draft
    if discount.product_id is not None and (draft.product is None or draft.product.id != discount.product_id):
        return False
    if discount.plan_id is not None and (
        draft.account_plan is None or draft.account_plan.plan.plan.id != discount.plan_id
    ):
        return False
    return discount.type is DiscountType.AMOUNT or intersect(stretch.window, _life(discount)) is not None


def _step(terms: Terms, discount: Discount, base: Decimal) -> Discounted:
    """What the discount comes to, of the charges that it is for, in the currency of the bill."""
    if discount.type is DiscountType.PERCENT:
        assert discount.percent is not None, "a discount of type PERCENT has a percentage"
        amount = divide(multiply(base, discount.percent), Decimal(100))
        return Discounted(base=tidy(base), percent=tidy(discount.percent), amount=amount)
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
    service = intersect(terms.period, _life(value)) or intersect(_served(terms), _life(value))
    assert service is not None, "a discount on the bill shares time with its charges"
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
