"""What a plan asks for the levels of counters, and when each of its price lists holds (source: reference 2.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tallystick.core.catalog import Product
from tallystick.core.counter_types import Counter, CounterPricing
from tallystick.core.entity import Entity
from tallystick.core.period import Instant, Period, intersect, stretch


class CounterPriceTerms(msgspec.Struct, frozen=True, kw_only=True):
    """One counter pricing, and the pieces of time in which it holds among its rivals, in order."""

    pricing: Entity[CounterPricing]
    counter: Entity[Counter]
    accounting_product: Entity[Product]
    pieces: tuple[Period, ...]


def counter_prices(
    pricings: Sequence[Entity[CounterPricing]],
    counters: Mapping[str, Entity[Counter]],
    products: Mapping[str, Entity[Product]],
    plan_product: Entity[Product],
) -> tuple[CounterPriceTerms, ...]:
    """The counter pricings of a plan and its template, in the order of their lines. `counters` and `products` have all
    that they name."""
    found = [
        CounterPriceTerms(
            pricing=each,
            counter=counters[each.value.counter_id],
            accounting_product=products[each.value.accounting_product_id or plan_product.id],
            pieces=_pieces(each, pricings),
        )
        for each in pricings
    ]
    return tuple(sorted(found, key=_order))


def _order(price: CounterPriceTerms) -> tuple[str, str, Instant, str]:
    return price.counter.value.name, price.counter.id, price.pricing.value.start_date, price.pricing.id


def _pieces(pricing: Entity[CounterPricing], among: Iterable[Entity[CounterPricing]]) -> tuple[Period, ...]:
    """When a pricing holds: where no stronger one of its counter does. The plan's is stronger than the template's, a
    later one than the one before it."""
    left = [_window(pricing)]
    for other in among:
        if other.value.counter_id == pricing.value.counter_id and _strength(other) > _strength(pricing):
            left = [part for piece in left for part in _less(piece, _window(other))]
    return tuple(left)


def _less(piece: Period, taken: Period) -> list[Period]:
    common = intersect(piece, taken)
    if common is None:
        return [piece]
    parts = (Period(piece.start, common.start), Period(common.end, piece.end))
    return [part for part in parts if part.start < part.end]


def _window(pricing: Entity[CounterPricing]) -> Period:
    return stretch(pricing.value.start_date, pricing.value.end_date)


def _strength(pricing: Entity[CounterPricing]) -> tuple[bool, Instant, str]:
    return pricing.value.plan_id is not None, pricing.value.start_date, pricing.id
