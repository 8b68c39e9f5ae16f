"""What counted units cost under one pricing: allowance, form of price, bands; with the steps of it.

The order is: free units are taken off, what is left is put into packages where there are packages, and that is priced
by bands. The other forms are bands of one: a percentage is percent / 100 per unit, a rate is looked up by the segment.
(source: reference 3.2 for bands; docs/decisions/0131-forms-of-price.md for all else)
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallystick.core.aggregation import EventTally, UnitRounding
from tallystick.core.bands import BandShare, price_bands, price_span
from tallystick.core.bands import Priced as BandPrice
from tallystick.core.bill import BandUsage
from tallystick.core.catalog import Pricing, PricingBand
from tallystick.core.per_event import priced_events
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.quantity import ZERO, divide, multiply, negate, subtract, tidy, tidy_setting, to_units
from tallystick.core.usage import Counting, Window
from tallystick.core.working import Priced, PricedBand, Spanned, Steps
from tallystick.core.working_forms import Allowed, LookedUp, Packaged, ShareOf
from tallystick.errors import Refusal

_NOTHING = BandPrice(subtotal=ZERO, bands=())
_HUNDRED = Decimal(100)


class Cost(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What units cost: the price, the bands it was made of (none of events by themselves), and the steps. `free` units
    were not charged."""

    priced: BandPrice
    bands: tuple[PricingBand, ...]
    free: Decimal
    steps: tuple[Steps, ...]


def cost_of(window: Window, counting: Counting) -> Cost:
    """What the units of a window cost, in the currency of the plan, exactly.

    Refusal `missing_rate` where rates by dimensions have none for the segment.
    """
    pricing = window.price.pricing.value
    if pricing.per_event:
        return _cost_of_events(window, counting)
    bands, looked_up = _bands(window.price, counting.segment)
    before = None if counting.units_before is None else _charged(pricing, counting.units_before)
    after = _charged(pricing, counting.units_after if pricing.tiers_span_plan else counting.units)
    charged = subtract(ZERO if after is None else after, ZERO if before is None else before)
    free = ZERO if pricing.package else tidy(subtract(counting.units, charged))
    steps = [*_units_steps(pricing, counting), *looked_up]
    if not pricing.tiers_span_plan:
        priced = _NOTHING if after is None else price_bands(after, bands, pricing.cumulative)
    else:
        priced = _NOTHING if after is None else price_span(before, after, bands, pricing.cumulative)
        steps.append(_spanned(window, counting, bands, before, after))
    units = tidy(charged)
    return Cost(
        priced=priced,
        bands=bands,
        free=free,
        steps=(*steps, _bands_step(priced, units, cumulative=pricing.cumulative)),
    )


def _cost_of_events(window: Window, counting: Counting) -> Cost:
    """What a percentage of each event by itself comes to. A default value is no event."""
    pricing, per_unit = window.price.pricing.value, window.price.priced.value.quantity_per_unit
    tally = counting.tally or EventTally(events=0, small=0, small_total=ZERO, large=0, large_total=ZERO)
    priced, step = priced_events(pricing, tally, counting.total, per_unit)
    return Cost(priced=priced, bands=(), free=ZERO, steps=(step,))


def less_free(units: Decimal, free: Decimal | None) -> Decimal | None:
    """What is left of units after an allowance; None when it took all there was. A credit is mirrored."""
    if not free or not units:
        return units
    left = max(subtract(units.copy_abs(), free), ZERO)
    return tidy(left.copy_sign(units)) if left else None


def _charged(pricing: Pricing, units: Decimal) -> Decimal | None:
    """The units that are priced: beyond the allowance, in packages where there are packages."""
    left = less_free(units, pricing.free_units)
    if left is None or pricing.package is None:
        return left
    return to_units(left, pricing.package.size, UnitRounding.UP)


def _units_steps(pricing: Pricing, counting: Counting) -> list[Steps]:
    """How counted units became the units that are priced."""
    steps: list[Steps] = []
    if pricing.free_units:
        before = counting.units_before or ZERO
        ends = (before, counting.units_after) if pricing.tiers_span_plan else (ZERO, counting.units)
        left = [less_free(each, pricing.free_units) or ZERO for each in ends]
        charged = tidy(subtract(left[1], left[0]))
        steps.append(Allowed(units=counting.units, allowance=tidy(pricing.free_units), charged=charged))
    if pricing.package is not None:
        units = less_free(counting.units, pricing.free_units) or ZERO
        packages = to_units(units, pricing.package.size, UnitRounding.UP)
        steps.append(Packaged(units=units, size=tidy(pricing.package.size), packages=packages))
    return steps


# ------------------------------------------------------------------------------------------------------ forms


def _bands(price: PriceTerms, segment: Sequence[str]) -> tuple[tuple[PricingBand, ...], list[Steps]]:
    """The bands of a pricing, whatever its form, and how they were found."""
    pricing = price.pricing.value
    if pricing.percent is not None:
        share = divide(pricing.percent, _HUNDRED)
        return _flat(share), [ShareOf(percent=tidy(pricing.percent), unit_price=share)]
    if pricing.package is not None:
        return _flat(pricing.package.price), []
    if pricing.rates is None:
        return pricing.pricing_bands, []
    values = dict(zip(price.segmented_fields, segment, strict=True))
    wanted = {name: values[name] for name in price.dimensions}
    found = price.rates.get(tuple(wanted.values()))
    unit_price = pricing.default_unit_price if found is None else found
    if unit_price is None:
        combination = ", ".join(f"{name} = {value}" for name, value in wanted.items())
        message = f"the pricing {pricing.code or pricing.description or 'with rates'!r} has no rate for {combination}"
        raise Refusal("missing_rate", f"{message}, and no defaultUnitPrice", field="rates")
    step = LookedUp(dimensions=wanted, unit_price=tidy(unit_price), default=found is None)
    return _flat(unit_price), [step]


def _flat(unit_price: Decimal) -> tuple[PricingBand, ...]:
    return (PricingBand(lower_limit=ZERO, fixed_price=ZERO, unit_price=unit_price),)


# ------------------------------------------------------------------------------------------------------ steps


def _spanned(
    window: Window, counting: Counting, bands: Sequence[PricingBand], before: Decimal | None, after: Decimal | None
) -> Spanned:
    cumulative = window.price.pricing.value.cumulative

    def amount(units: Decimal | None) -> Decimal:
        return ZERO if units is None else price_bands(units, bands, cumulative).subtotal

    return Spanned(
        start=window.before[0].piece.window.start if window.before else window.now.piece.window.start,
        value_before=counting.value_before,
        units_before=before or ZERO,
        amount_before=amount(before),
        units_after=after or ZERO,
        amount_after=amount(after),
    )


def _bands_step(priced: BandPrice, units: Decimal, *, cumulative: bool) -> Priced:
    bands = tuple(
        PricedBand(
            lower_limit=tidy_setting(share.lower_limit),
            units=share.quantity,
            unit_price=tidy_setting(share.unit_price),
            fixed=share.fixed_subtotal,
            amount=share.subtotal,
        )
        for share in priced.bands
    )
    return Priced(cumulative=cumulative, units=units, bands=bands, amount=priced.subtotal)


def band_usage(price: PriceTerms, cost: Cost, quantity: Decimal, *, is_credit: bool) -> tuple[BandUsage, ...]:
    """The bands as on the wire, not converted yet. Their quantities add up to the line's: the last one has what the
    others leave. Free units are a band of their own, without a price."""
    per_unit, left = price.priced.value.quantity_per_unit, quantity
    found = []
    if cost.free:
        free = quantity if not cost.priced.bands else tidy(multiply(cost.free, per_unit))
        left = subtract(left, free)
        found.append(_free_band(cost.free, free))
    for share, of_band in zip(cost.priced.bands, quantities_of(cost.priced.bands, left, per_unit), strict=True):
        subtotal = negate(share.subtotal) if is_credit else share.subtotal
        found.append(
            BandUsage(
                pricing_band_id=cost.bands[share.band].id if cost.bands else None,
                lower_limit=tidy_setting(share.lower_limit),
                fixed_price=tidy_setting(share.fixed_price),
                unit_price=tidy_setting(share.unit_price),
                band_quantity=of_band,
                band_units=share.quantity,
                unit_subtotal=negate(share.unit_subtotal) if is_credit else share.unit_subtotal,
                band_subtotal=subtotal,
                converted_band_subtotal=subtotal,
                credit_type_id=cost.bands[share.band].credit_type_id if cost.bands else None,
            )
        )
    return tuple(found)


def quantities_of(shares: Sequence[BandShare], quantity: Decimal, per_unit: Decimal) -> list[Decimal]:
    """What each band has of a quantity: its units, and the last one what the others leave."""
    found, left = [], quantity
    for share in shares[:-1]:
        found.append(tidy(multiply(share.quantity, per_unit)))
        left = subtract(left, found[-1])
    return [*found, tidy(left)] if shares else found


def _free_band(units: Decimal, quantity: Decimal) -> BandUsage:
    return BandUsage(
        lower_limit=ZERO,
        fixed_price=ZERO,
        unit_price=ZERO,
        band_quantity=quantity,
        band_units=units,
        unit_subtotal=ZERO,
        band_subtotal=ZERO,
        converted_band_subtotal=ZERO,
    )
