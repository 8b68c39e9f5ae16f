"""Usage and agreed terms become lines: the one calculation behind bills, previews and dashboards.

`questions` (in `core.usage`) says what must be measured, `rate` turns the answers into lines with their working. Both
are pure. An amount is exact until its line is finished; there it is rounded, once, in the plan's currency and,
converted, in that of the bill (source: reference 3.1 to 3.4, 3.12).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallystick.core.ad_hoc import charge_drafts, memo_drafts
from tallystick.core.attributes import written
from tallystick.core.bill import LineItemType
from tallystick.core.breakdown import lines_of
from tallystick.core.catalog import PricingType
from tallystick.core.charges import (
    Charge,
    minimum_ahead,
    minimum_charges,
    plan_minimum,
    price_minimum,
    standing_charge_ahead,
    standing_charges,
    standing_charges_now,
    topped_up,
)
from tallystick.core.conversion import Conversion
from tallystick.core.counter import counter_charges, counter_drafts, counters_ahead
from tallystick.core.custom_terms import custom_of
from tallystick.core.discounting import discount_drafts
from tallystick.core.held import fee_drafts
from tallystick.core.limits import limited, plan_limit
from tallystick.core.lines import Draft, RatedLine, UpTo
from tallystick.core.paid_ahead import differences
from tallystick.core.period import Period
from tallystick.core.plan_group_terms import group_drafts, groups_ahead
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.pool import portions
from tallystick.core.pricing import band_usage, cost_of
from tallystick.core.protection import protection_drafts
from tallystick.core.quantity import ZERO, add, divide, negate, tidy_setting, total
from tallystick.core.scope import named, segment_map
from tallystick.core.terms import AccountPlanTerms, Terms
from tallystick.core.usage import Answers, Counting, Window, countings, questions, windows
from tallystick.core.working import (
    Chosen,
    Computed,
    Counted,
    Credited,
    Divided,
    Steps,
)

# Changes whenever the same terms and answers would give other lines; a bill records the one that made it.
ENGINE_VERSION = "1"

__all__ = ["ENGINE_VERSION", "RatedLine", "questions", "rate"]


def rate(terms: Terms, answers: Answers, up_to: int) -> tuple[RatedLine, ...]:
    """The lines of the bill of these terms, in their order.

    `answers` has the rows of this account for each of `questions(terms, up_to)`. Refusals: `missing_conversion_rate`,
    `rounding_forbidden`.
    """
    by_plan: dict[str, list[Window]] = {}
    for window in windows(terms, up_to):
        by_plan.setdefault(window.account_plan.id, []).append(window)
    drafts: list[Draft] = []
    charged: dict[str, Decimal] = {}
    for account_plan in terms.account_plans:
        of_plan = by_plan.get(account_plan.id, [])
        own, charged[account_plan.id] = _drafts(terms, account_plan, of_plan, answers)
        drafts += own
    drafts += group_drafts(terms, charged)
    if terms.agreements.before:
        drafts += differences(terms, _due_ahead(terms))
    drafts += list(protection_drafts(terms, charged))
    drafts += list(discount_drafts(terms, drafts))
    drafts += charge_drafts(terms)
    drafts += fee_drafts(terms)
    return lines_of(terms.bill_id, [*_capped(drafts), *memo_drafts(terms)])


def _drafts(
    terms: Terms, account_plan: AccountPlanTerms, of_plan: Sequence[Window], answers: Answers
) -> tuple[list[Draft], Decimal]:
    """The lines of one account plan: standing charge, usage, minimums; and the money of its currency that it is charged
    for this very period, whichever bills that stands on. Credits are not capped yet."""
    conversion = terms.conversion(account_plan.plan.template.value.currency)
    found = [_recurring(account_plan, conversion, charge) for charge in standing_charges(terms, account_plan)]
    usage = [
        _shared(_cut(_usage(conversion, window, counting), window, counting, answers), window, answers)
        for window in of_plan
        for counting in countings(window, answers)
    ]
    usage = limited(account_plan, sorted(usage, key=_usage_order))
    found += usage
    found += counter_drafts(terms, account_plan, conversion)
    charges = [conversion.money(draft.exact) for draft in usage if not draft.credit]
    charges += counter_charges(terms, account_plan, conversion)
    charges += [conversion.money(charge.exact) for charge in standing_charges_now(account_plan)]
    for price in account_plan.plan.minimums:
        minimum = price_minimum(account_plan, price)
        assert minimum is not None, "a pricing of these has a minimum"
        own = total(conversion.money(draft.exact) for draft in usage if draft.price is price)
        charges.append(topped_up(minimum, account_plan.period, account_plan.grid, own, conversion))
        for charge in minimum_charges(minimum, account_plan.period, account_plan.grid, own, conversion):
            found.append(_recurring(account_plan, conversion, charge, price))
    minimum, charged = plan_minimum(terms, account_plan), total(charges)
    if minimum is not None:
        for charge in minimum_charges(minimum, account_plan.period, account_plan.grid, charged, conversion):
            found.append(_recurring(account_plan, conversion, charge))
    charged = add(charged, topped_up(minimum, account_plan.period, account_plan.grid, charged, conversion))
    limit = plan_limit(account_plan, charged, conversion)
    return (found, charged) if limit is None else ([*found, limit], add(charged, limit.exact))


def _due_ahead(terms: Terms) -> list[Draft]:
    """What is charged for this very period and belongs on the bill before."""
    found: list[Draft] = []
    for each in terms.account_plans:
        conversion = terms.conversion(each.plan.template.value.currency)
        minimum = plan_minimum(terms, each)
        standing = standing_charge_ahead(terms, each)
        ahead = minimum_ahead(minimum, each.period, each.grid) if minimum else None
        found += [_recurring(each, conversion, charge) for charge in (standing, ahead) if charge]
        for price in each.plan.prices:
            minimum = price_minimum(each, price)
            ahead = minimum_ahead(minimum, each.period, each.grid) if minimum else None
            found += [_recurring(each, conversion, ahead, price)] if ahead else []
        found += counters_ahead(terms, each, conversion)
    return [*found, *groups_ahead(terms)]


def _recurring(
    account_plan: AccountPlanTerms, conversion: Conversion, charge: Charge, price: PriceTerms | None = None
) -> Draft:
    return Draft(
        account_plan=account_plan,
        conversion=conversion,
        type=charge.type,
        description=charge.description,
        service=charge.service,
        exact=charge.exact,
        working=charge.working,
        accounting_product=charge.accounting_product,
        price=price,
    )


# ------------------------------------------------------------------------------------------------------ usage


def _usage(conversion: Conversion, window: Window, counting: Counting) -> Draft:
    price = window.price
    pricing = price.pricing.value
    cost = cost_of(window, counting)
    is_credit = pricing.type is not PricingType.DEBIT
    return Draft(
        account_plan=window.account_plan,
        conversion=conversion,
        type=LineItemType.USAGE_CREDIT if is_credit else LineItemType.USAGE,
        description=_description(price, counting.segment),
        service=window.now.piece.window,
        exact=negate(cost.priced.subtotal) if is_credit else cost.priced.subtotal,
        working=(_counted(window, counting), _divided(price, counting), *_chosen(window, counting), *cost.steps),
        accounting_product=price.accounting_product,
        quantity=counting.value,
        units=counting.units,
        unit=price.priced.value.unit,
        price=price,
        segment=counting.segment,
        bands=band_usage(price, cost, counting.value, is_credit=is_credit),
    )


def _cut(draft: Draft, window: Window, counting: Counting, answers: Answers) -> Draft:
    """The line with what it comes to up to each moment at which credit or a discount begins or ends.

    A default value, which stands in where nothing was measured, is not cut here: it has no moment.
    """
    if not window.cuts or not counting.count:
        return draft
    parts = []
    for asked in window.cuts:
        so_far = msgspec.structs.replace(window, now=asked, cuts=())
        found = (each for each in countings(so_far, answers) if each.segment == counting.segment and each.count)
        part = next((_usage(draft.conversion, so_far, each) for each in found), None)
        exact, quantity, units = (part.exact, part.quantity, part.units) if part else (ZERO, ZERO, ZERO)
        parts.append(UpTo(until=asked.piece.window.end, exact=exact, quantity=quantity, units=units))
    return msgspec.structs.replace(draft, parts=tuple(parts))


def _shared(draft: Draft, window: Window, answers: Answers) -> Draft:
    """The line with what each account of a pool has used of it, where it will be broken down."""
    return msgspec.structs.replace(draft, portions=portions(window, draft.segment, answers)) if window.shares else draft


def _usage_order(draft: Draft) -> tuple[str, str, tuple[str, ...], Period, str]:
    assert draft.price is not None, "usage has a price"
    priced = draft.price.priced
    return priced.value.name, priced.id, draft.segment, draft.service, draft.price.pricing.id


def _description(price: PriceTerms, segment: tuple[str, ...]) -> str:
    """The pricing's own text or the aggregation's name, with the segment in brackets where the text cannot tell it."""
    own = price.pricing.value.description
    if not segment or (own and named(price.pattern) is not None):
        return own or price.priced.value.name
    return f"{own or price.priced.value.name} ({', '.join(segment)})"


def _counted(window: Window, counting: Counting) -> Counted | Computed:
    if window.price.compound is not None:
        custom = custom_of(window.price, window.account_plan)
        return Computed(
            calculation=window.price.compound.calculation,
            inputs=counting.inputs,
            start=window.now.piece.window.start,
            end=window.now.piece.window.end,
            value=counting.value,
            segment=segment_map(window.price.segmented_fields, counting.segment),
            lookups=window.price.tables.names(window.now.piece.window.start) or None,
            custom={name: written(value) for name, value in custom.items()} or None,
        )
    aggregation, meter = window.price.aggregation.value, window.price.meter.value
    field = meter.field(aggregation.target_field)
    return Counted(
        method=aggregation.aggregation,
        meter=meter.code,
        field=aggregation.target_field,
        start=window.now.piece.window.start,
        end=window.now.piece.window.end,
        total=counting.total,
        count=counting.count,
        value=counting.value,
        unit=(field.unit if field else None) or "",
        segment=segment_map(aggregation.segmented_fields or (), counting.segment),
        percentile=aggregation.percentile,
        gauge=aggregation.gauge,
        gauge_field=aggregation.gauge_field,
        time_unit=aggregation.time_unit,
        correlation_field=aggregation.correlation_field,
        success_filter=aggregation.success_filter,
        window_seconds=aggregation.window_seconds,
    )


def _chosen(window: Window, counting: Counting) -> list[Steps]:
    """Why the pricing holds, where it has a condition."""
    decision = window.decision
    if decision is None:
        return []
    start, end = decision.window
    return [Chosen(condition=decision.condition.formula, inputs=counting.decided, start=start, end=end)]


def _divided(price: PriceTerms, counting: Counting) -> Divided:
    priced = price.priced.value
    return Divided(
        value=counting.value,
        quantity_per_unit=tidy_setting(priced.quantity_per_unit),
        rounding=priced.rounding,
        units=counting.units,
        unit=priced.unit,
    )


# ------------------------------------------------------------------------------------------------------ credits


def _capped(drafts: Sequence[Draft]) -> list[Draft]:
    """Credits give back at most what there is: a product credit the lines of its product, a global one the rest of
    the bill. Product credits go first; within a kind, in the order of the lines (source: reference 3.2)."""
    if not any(draft.credit for draft in drafts):
        return list(drafts)
    left: dict[str, Decimal] = {}
    for draft in drafts:
        if not draft.credit:
            product = draft.fields.get("product_id") or (draft.product.id if draft.product else "")
            left[product] = add(left.get(product, ZERO), draft.conversion.converted(draft.exact))
    result = list(drafts)
    for kind in (PricingType.PRODUCT_CREDIT, PricingType.GLOBAL_CREDIT):
        for index, draft in enumerate(drafts):
            if draft.credit is kind:
                product = draft.product.id if draft.product else ""
                room = total(left.values())
                if kind is PricingType.PRODUCT_CREDIT:  # what is off the whole bill is off its products too
                    room = min(room, left.get(product, ZERO))
                result[index] = _cap(draft, kind, max(room, ZERO))
                given = draft.conversion.converted(result[index].exact)
                left[product] = add(left.get(product, ZERO), given)
    return result


def _cap(draft: Draft, kind: PricingType, room: Decimal) -> Draft:
    credit = negate(draft.exact)
    cap = divide(room, draft.conversion.rate)
    amount = negate(min(credit, cap))
    step = Credited(type=kind, credit=credit, cap=cap, amount=amount)
    return msgspec.structs.replace(draft, exact=amount, working=(*draft.working, step))
