"""A percentage of each event by itself, with what is fixed, the least and the most for each.

Nobody looks at events one by one: whether the minimum holds is a question of an event's size, so that how many events
are small and large, and what they add up to, is all it takes, exactly (docs/decisions/0190-percentages-per-event.md).
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from tallystick.core.aggregation import EventBounds, EventTally
from tallystick.core.bands import BandShare
from tallystick.core.bands import Priced as BandPrice
from tallystick.core.catalog import Pricing
from tallystick.core.quantity import (
    QUANTITY_DECIMALS,
    QUANTITY_LIMIT,
    ZERO,
    add,
    divide,
    multiply,
    subtract,
    tidy,
    total,
)
from tallystick.core.working_forms import EventGroup, PerEvent

_HUNDRED = Decimal(100)
_STEPS = 10**QUANTITY_DECIMALS  # quantities are whole numbers of these in 1


def bounds_of(pricing: Pricing, quantity_per_unit: Decimal) -> EventBounds | None:
    """Between which sizes an event is charged its share, nothing less and nothing more; None where no pricing by events
    asks.

    Quantities have 18 decimals, so the bounds have too: below `low` is below the size at which the share reaches the
    minimum, and above `high` likewise.
    """
    if not pricing.per_event:
        return None
    assert pricing.percent, "what is priced by events has a percentage"
    fixed = pricing.fixed_per_event or ZERO
    per_unit = Fraction(pricing.percent) / 100 / Fraction(quantity_per_unit)
    low = high = None
    if pricing.minimum_per_event is not None and pricing.minimum_per_event > fixed:
        low = _bound(ceil((Fraction(pricing.minimum_per_event) - Fraction(fixed)) / per_unit * _STEPS))
    if pricing.maximum_per_event is not None:
        high = _bound(floor((Fraction(pricing.maximum_per_event) - Fraction(fixed)) / per_unit * _STEPS))
    return EventBounds(low=low, high=high)


def _bound(steps: int) -> Decimal:
    return min(tidy(divide(Decimal(steps), Decimal(_STEPS))), QUANTITY_LIMIT)


def priced_events(
    pricing: Pricing, tally: EventTally, value: Decimal, quantity_per_unit: Decimal
) -> tuple[BandPrice, PerEvent]:
    """What events come to: as bands (the least, the share, the most; by size), and as a step. `value` is what all of
    them add up to."""
    assert pricing.percent, "what is priced by events has a percentage"
    bounds = bounds_of(pricing, quantity_per_unit)
    assert bounds is not None, "what is priced by events has bounds"
    unit_price, fixed = divide(pricing.percent, _HUNDRED), tidy(pricing.fixed_per_event or ZERO)
    rest = subtract(value, add(tally.small_total, tally.large_total))
    least, share, most = (
        _group(events, divide(quantity, quantity_per_unit), each, price)
        for events, quantity, each, price in (
            (tally.small, tally.small_total, tidy(pricing.minimum_per_event or ZERO), ZERO),
            (tally.events - tally.small - tally.large, rest, fixed, unit_price),
            (tally.large, tally.large_total, tidy(pricing.maximum_per_event or ZERO), ZERO),
        )
    )
    limits = (ZERO, bounds.low or ZERO, bounds.high or ZERO)
    groups = (least, share, most)
    shares = tuple(
        _share(place, divide(limit, quantity_per_unit), group)
        for place, (limit, group) in enumerate(zip(limits, groups, strict=True))
        if group.events or group.units
    )
    amount = tidy(total(each.amount for each in groups))
    step = PerEvent(
        unit_price=unit_price,
        fixed=fixed,
        minimum=pricing.minimum_per_event,
        maximum=pricing.maximum_per_event,
        least=least if least.events or least.units else None,
        share=share if share.events or share.units else None,
        most=most if most.events or most.units else None,
        amount=amount,
    )
    return BandPrice(subtotal=amount, bands=shares), step


def _group(events: int, units: Decimal, fixed: Decimal, unit_price: Decimal) -> EventGroup:
    amount = add(multiply(Decimal(events), fixed), multiply(units, unit_price))
    return EventGroup(events=events, units=tidy(units), fixed=fixed, unit_price=unit_price, amount=tidy(amount))


def _share(place: int, lower_limit: Decimal, group: EventGroup) -> BandShare:
    fixed = tidy(multiply(Decimal(group.events), group.fixed))
    return BandShare(
        band=place,
        lower_limit=lower_limit,
        fixed_price=group.fixed,
        unit_price=group.unit_price,
        quantity=group.units,
        fixed_subtotal=fixed,
        unit_subtotal=tidy(subtract(group.amount, fixed)),
        subtotal=group.amount,
    )
