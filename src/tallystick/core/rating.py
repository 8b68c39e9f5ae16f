"""Usage and agreed terms become lines: the one calculation behind bills, previews and dashboards.

`questions` (in `core.usage`) says what must be measured, `rate` turns the answers into lines with their working. Both
are pure. An amount is exact until its line is finished; there it is rounded, once, in the plan's currency and,
converted, in that of the bill (source: reference 3.1 to 3.4, 3.12).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from tallystick.core.bands import Priced as BandPrice
from tallystick.core.bands import price_bands, price_span
from tallystick.core.bill import BandUsage, LineItem, LineItemType, line_id
from tallystick.core.catalog import PricingType, Product
from tallystick.core.charges import (
    Charge,
    minimum_charges,
    plan_minimum,
    price_minimum,
    share_of,
    standing_charge,
    standing_charges,
    topped_up,
)
from tallystick.core.entity import Entity
from tallystick.core.period import Period
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.quantity import ONE, ZERO, add, divide, multiply, negate, subtract, tidy, total
from tallystick.core.scope import named, segment_map
from tallystick.core.terms import AccountPlanTerms, Conversion, Terms
from tallystick.core.usage import Answers, Counting, Window, countings, questions, windows
from tallystick.core.wire import encode
from tallystick.core.working import (
    Converted,
    Counted,
    Credited,
    Divided,
    Priced,
    PricedBand,
    Rounded,
    Spanned,
    Steps,
    Working,
)

# Changes whenever the same terms and answers would give other lines; a bill records the one that made it.
ENGINE_VERSION = "1"

__all__ = ["ENGINE_VERSION", "RatedLine", "questions", "rate"]


class RatedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a bill and the steps that made it."""

    item: LineItem
    working: Working


class _Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A line before it becomes money: `exact` is in the plan's currency; `bands` are not converted yet."""

    account_plan: AccountPlanTerms
    conversion: Conversion
    type: LineItemType
    description: str
    service: Period
    exact: Decimal
    working: tuple[Steps, ...]
    accounting_product: Entity[Product]
    quantity: Decimal = ONE
    units: Decimal = ONE
    unit: str = ""
    price: PriceTerms | None = None
    segment: tuple[str, ...] = ()
    bands: tuple[BandUsage, ...] | None = None

    @property
    def key(self) -> str:
        """What the line is for: unique on the bill."""
        of = self.price.pricing.id if self.price else ""
        parts = (self.type, self.account_plan.account_plan.id, of, self.service.start.wire(), *self.segment)
        return encode(parts).decode()

    @property
    def credit(self) -> PricingType | None:
        """The kind of credit that the line gives, if it gives one."""
        return self.price.pricing.value.type if self.price and self.type is LineItemType.USAGE_CREDIT else None


def rate(terms: Terms, answers: Answers, up_to: int) -> tuple[RatedLine, ...]:
    """The lines of the bill of these terms, in their order.

    `answers` has the rows of this account for each of `questions(terms, up_to)`. Refusals: `missing_conversion_rate`,
    `rounding_forbidden`.
    """
    by_plan: dict[str, list[Window]] = {}
    for window in windows(terms, up_to):
        by_plan.setdefault(window.account_plan.account_plan.id, []).append(window)
    drafts = [
        draft
        for account_plan in terms.account_plans
        for draft in _drafts(terms, account_plan, by_plan.get(account_plan.account_plan.id, []), answers)
    ]
    of_bill = terms.bill_id
    return tuple(_finished(of_bill, draft, number) for number, draft in enumerate(_capped(drafts), start=1))


def _drafts(
    terms: Terms, account_plan: AccountPlanTerms, of_plan: Sequence[Window], answers: Answers
) -> Iterator[_Draft]:
    """The lines of one account plan: standing charge, usage, minimums. Credits are not capped yet."""
    conversion = terms.conversion(account_plan.plan.template.value.currency)
    for charge in standing_charges(terms, account_plan):
        yield _recurring(account_plan, conversion, charge)
    usage = [_usage(conversion, window, counting) for window in of_plan for counting in countings(window, answers)]
    yield from sorted(usage, key=_usage_order)
    charges = [conversion.money(draft.exact) for draft in usage if not draft.credit]
    for price in account_plan.plan.prices:
        minimum = price_minimum(account_plan, price)
        if minimum is None or price.pricing.value.type is not PricingType.DEBIT:
            continue  # a credit has nothing to top up
        own = total(conversion.money(draft.exact) for draft in usage if draft.price is price)
        charges.append(topped_up(minimum, terms.period, account_plan.grid, own, conversion))
        for charge in minimum_charges(minimum, terms.period, account_plan.grid, own, conversion):
            yield _recurring(account_plan, conversion, charge, price)
    minimum = plan_minimum(terms, account_plan)
    if minimum is not None:
        charges.append(_standing_of(terms, account_plan, conversion))
        for charge in minimum_charges(minimum, terms.period, account_plan.grid, total(charges), conversion):
            yield _recurring(account_plan, conversion, charge)


def _standing_of(terms: Terms, account_plan: AccountPlanTerms, conversion: Conversion) -> Decimal:
    """The standing charge for this very period as money, whichever bill it stands on."""
    share = share_of(terms.period, [account_plan.life], account_plan.grid.zone)
    charge = standing_charge(account_plan, share) if share else None
    return conversion.money(charge.exact) if charge else ZERO


def _recurring(
    account_plan: AccountPlanTerms, conversion: Conversion, charge: Charge, price: PriceTerms | None = None
) -> _Draft:
    return _Draft(
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


def _usage(conversion: Conversion, window: Window, counting: Counting) -> _Draft:
    price = window.price
    pricing, aggregation = price.pricing.value, price.aggregation.value
    priced, steps = _priced(price, window, counting)
    is_credit = pricing.type is not PricingType.DEBIT
    return _Draft(
        account_plan=window.account_plan,
        conversion=conversion,
        type=LineItemType.USAGE_CREDIT if is_credit else LineItemType.USAGE,
        description=_description(price, counting.segment),
        service=window.now.piece.window,
        exact=negate(priced.subtotal) if is_credit else priced.subtotal,
        working=(_counted(window, counting), _divided(price, counting), *steps),
        accounting_product=price.accounting_product,
        quantity=counting.value,
        units=counting.units,
        unit=aggregation.unit,
        price=price,
        segment=counting.segment,
        bands=_band_usage(price, priced, counting.value, is_credit=is_credit),
    )


def _usage_order(draft: _Draft) -> tuple[str, str, tuple[str, ...], Period, str]:
    assert draft.price is not None, "usage has a price"
    aggregation = draft.price.aggregation
    return aggregation.value.name, aggregation.id, draft.segment, draft.service, draft.price.pricing.id


def _description(price: PriceTerms, segment: tuple[str, ...]) -> str:
    """The pricing's own text or the aggregation's name, with the segment in brackets where the text cannot tell it."""
    own = price.pricing.value.description
    if not segment or (own and named(price.pattern) is not None):
        return own or price.aggregation.value.name
    return f"{own or price.aggregation.value.name} ({', '.join(segment)})"


def _priced(price: PriceTerms, window: Window, counting: Counting) -> tuple[BandPrice, list[Steps]]:
    pricing = price.pricing.value
    bands, cumulative = pricing.pricing_bands, pricing.cumulative
    if not pricing.tiers_span_plan:
        priced = price_bands(counting.units, bands, cumulative)
        return priced, [_bands_step(priced, counting.units, cumulative=cumulative)]
    priced = price_span(counting.units_before, counting.units_after, bands, cumulative)
    before = counting.units_before
    step = Spanned(
        start=window.before[0].piece.window.start if window.before else window.now.piece.window.start,
        value_before=counting.value_before,
        units_before=ZERO if before is None else before,
        amount_before=ZERO if before is None else price_bands(before, bands, cumulative).subtotal,
        units_after=counting.units_after,
        amount_after=price_bands(counting.units_after, bands, cumulative).subtotal,
    )
    return priced, [step, _bands_step(priced, counting.units, cumulative=cumulative)]


def _bands_step(priced: BandPrice, units: Decimal, *, cumulative: bool) -> Priced:
    bands = tuple(
        PricedBand(
            lower_limit=tidy(share.lower_limit),
            units=share.quantity,
            unit_price=tidy(share.unit_price),
            fixed=share.fixed_subtotal,
            amount=share.subtotal,
        )
        for share in priced.bands
    )
    return Priced(cumulative=cumulative, units=units, bands=bands, amount=priced.subtotal)


def _counted(window: Window, counting: Counting) -> Counted:
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
    )


def _divided(price: PriceTerms, counting: Counting) -> Divided:
    aggregation = price.aggregation.value
    return Divided(
        value=counting.value,
        quantity_per_unit=tidy(aggregation.quantity_per_unit),
        rounding=aggregation.rounding,
        units=counting.units,
        unit=aggregation.unit,
    )


def _band_usage(price: PriceTerms, priced: BandPrice, quantity: Decimal, *, is_credit: bool) -> tuple[BandUsage, ...]:
    """The bands as on the wire. Their quantities add up to the line's: the last one has what the others leave."""
    per_unit, bands, left = price.aggregation.value.quantity_per_unit, price.pricing.value.pricing_bands, quantity
    found = []
    for index, share in enumerate(priced.bands):
        of_band = left if index == len(priced.bands) - 1 else tidy(multiply(share.quantity, per_unit))
        left = subtract(left, of_band)
        found.append(
            BandUsage(
                pricing_band_id=bands[share.band].id,
                lower_limit=tidy(share.lower_limit),
                fixed_price=tidy(share.fixed_price),
                unit_price=tidy(share.unit_price),
                band_quantity=tidy(of_band),
                band_units=share.quantity,
                unit_subtotal=negate(share.unit_subtotal) if is_credit else share.unit_subtotal,
                band_subtotal=negate(share.subtotal) if is_credit else share.subtotal,
                converted_band_subtotal=ZERO,
                credit_type_id=bands[share.band].credit_type_id,
            )
        )
    return tuple(found)


# ------------------------------------------------------------------------------------------------------ credits


def _capped(drafts: Sequence[_Draft]) -> list[_Draft]:
    """Credits give back at most what there is: a product credit the lines of its product, a global one the rest of
    the bill. Product credits go first; within a kind, in the order of the lines (source: reference 3.2)."""
    left: dict[str, Decimal] = {}
    for draft in drafts:
        if not draft.credit:
            product = draft.account_plan.plan.product.id
            left[product] = add(left.get(product, ZERO), draft.conversion.converted(draft.exact))
    result = list(drafts)
    for kind in (PricingType.PRODUCT_CREDIT, PricingType.GLOBAL_CREDIT):
        for index, draft in enumerate(drafts):
            if draft.credit is kind:
                product = draft.account_plan.plan.product.id
                room = left.get(product, ZERO) if kind is PricingType.PRODUCT_CREDIT else total(left.values())
                result[index] = _cap(draft, kind, max(room, ZERO))
                given = draft.conversion.converted(result[index].exact)
                left[product] = add(left.get(product, ZERO), given)
    return result


def _cap(draft: _Draft, kind: PricingType, room: Decimal) -> _Draft:
    credit = negate(draft.exact)
    cap = divide(room, draft.conversion.rate)
    amount = negate(min(credit, cap))
    step = Credited(type=kind, credit=credit, cap=cap, amount=amount)
    return msgspec.structs.replace(draft, exact=amount, working=(*draft.working, step))


# ------------------------------------------------------------------------------------------------------ lines


def _finished(of_bill: str, draft: _Draft, number: int) -> RatedLine:
    """Where a line becomes money: the one rounding."""
    conversion = draft.conversion
    subtotal, converted = conversion.money(draft.exact), conversion.converted(draft.exact)
    plan, price = draft.account_plan.plan, draft.price
    aggregation = price.aggregation if price else None
    product, accounting = plan.product, draft.accounting_product
    item = LineItem(
        id=line_id(of_bill, draft.key),
        line_item_type=draft.type,
        description=draft.description,
        quantity=draft.quantity,
        units=draft.units,
        unit=draft.unit,
        subtotal=subtotal,
        average_unit_price=divide(subtotal, draft.units) if draft.units else ZERO,
        currency=conversion.from_currency,
        conversion_rate=tidy(conversion.rate),
        converted_subtotal=converted,
        sequence_number=number,
        product_id=product.id,
        product_name=product.value.name,
        product_code=product.value.code,
        accounting_product_id=accounting.id,
        accounting_product_name=accounting.value.name,
        accounting_product_code=accounting.value.code,
        aggregation_id=aggregation.id if aggregation else None,
        meter_id=aggregation.value.meter_id if aggregation else None,
        plan_id=plan.plan.id,
        pricing_id=price.pricing.id if price else None,
        contract_id=draft.account_plan.account_plan.value.contract_id,
        segment=segment_map(aggregation.value.segmented_fields or (), draft.segment)
        if aggregation and draft.segment
        else None,
        service_period_start_date=draft.service.start,
        service_period_end_date=draft.service.end,
        usage_per_pricing_band=_converted_bands(draft.bands, conversion.rate),
    )
    return RatedLine(item=item, working=(*draft.working, *_money_steps(draft, item)))


def _money_steps(draft: _Draft, item: LineItem) -> tuple[Steps, ...]:
    conversion = draft.conversion
    rounded = Rounded(
        exact=draft.exact,
        currency=conversion.from_currency,
        mode=conversion.from_rounding.mode,
        decimals=conversion.from_rounding.decimals,
        amount=item.subtotal,
    )
    if conversion.from_currency == conversion.to_currency:
        return (rounded,)
    exact = tidy(multiply(draft.exact, conversion.rate))
    changed = Converted(
        exact=draft.exact,
        from_currency=conversion.from_currency,
        to_currency=conversion.to_currency,
        rate=tidy(conversion.rate),
        amount=exact,
    )
    payable = Rounded(
        exact=exact,
        currency=conversion.to_currency,
        mode=conversion.to_rounding.mode,
        decimals=conversion.to_rounding.decimals,
        amount=item.converted_subtotal,
    )
    return rounded, changed, payable


def _converted_bands(bands: tuple[BandUsage, ...] | None, rate_: Decimal) -> tuple[BandUsage, ...] | None:
    if bands is None:
        return None
    return tuple(
        msgspec.structs.replace(band, converted_band_subtotal=tidy(multiply(band.band_subtotal, rate_)))
        for band in bands
    )
