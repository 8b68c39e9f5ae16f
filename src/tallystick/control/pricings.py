"""Pricings: the bands that one aggregation is priced by, on a plan or a template (source: reference 2.4).

Where the reference is silent: two pricings of the same plan (or template), aggregation, segment and type must not
overlap in time, because only one of them can charge (docs/decisions/0062-overlapping-pricings.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from tallystick.control.account_plans import in_words, overlap
from tallystick.control.desk import Draft, Noun, rule_broken, the
from tallystick.control.plans import product_of
from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand
from tallystick.core.entity import Entity
from tallystick.core.meter import Meter
from tallystick.core.scope import pattern_of
from tallystick.ports import OrganizationRecords, Where


def _check(draft: Draft[Pricing]) -> Pricing:
    value = draft.value
    assert value.aggregation_id is not None, "there are no compound aggregations, and the value has one of the two"
    aggregation = the(draft.read, Aggregation, value.aggregation_id)
    require_fit(draft.read, value, aggregation)
    _require_no_overlap(draft, aggregation)
    before = None if draft.before is None else draft.before.value
    overage = value.overage_pricing_bands
    return msgspec.structs.replace(
        value,
        segment=_ordered(value.segment, aggregation),
        pricing_bands=_with_ids(
            value.pricing_bands, None if before is None else before.pricing_bands, draft.desk.new_id
        ),
        overage_pricing_bands=overage
        and _with_ids(overage, None if before is None else before.overage_pricing_bands, draft.desk.new_id),
    )


def require_fit(read: OrganizationRecords, pricing: Pricing, aggregation: Aggregation) -> None:
    """Refuse a pricing whose aggregation is of another product than its plan, or has no such segment."""
    meter_product = the(read, Meter, aggregation.meter_id).product_id
    priced = priced_product(read, pricing)
    if meter_product is not None and meter_product != priced:
        message = f"the aggregation counts the product {meter_product}, the plan or template sells {priced}"
        raise rule_broken("aggregationId", f"{message}; price it there, or make its meter global")
    if pricing.segment is not None and pricing.segment not in (aggregation.segments or ()):
        known = ", ".join(_segment_text(segment) for segment in (aggregation.segments or ())[:10]) or "none"
        message = f"{_segment_text(pricing.segment)} is no segment of the aggregation, which has: {known}"
        raise rule_broken("segment", message)


def priced_product(read: OrganizationRecords, pricing: Pricing) -> str:
    """The product that a pricing's plan or template sells."""
    if pricing.plan_template_id is not None:
        return the(read, PlanTemplate, pricing.plan_template_id).product_id
    assert pricing.plan_id is not None, "a pricing has a plan or a template"
    return product_of(read, the(read, Plan, pricing.plan_id))


def segment_string(pricing: Pricing) -> str | None:
    """The segment's values as one text, in the order of the aggregation's segmented fields."""
    return None if pricing.segment is None else ", ".join(pricing.segment.values())


def _require_no_overlap(draft: Draft[Pricing], aggregation: Aggregation) -> None:
    value = draft.value
    home = "plan_id" if value.plan_id is not None else "plan_template_id"
    where = Where(equal={home: (getattr(value, home),), "aggregation_id": (value.aggregation_id or "",)})
    for other in draft.read.every(Pricing, where):
        if other.id != draft.id and _same_usage(value, other.value, aggregation):
            when = in_words(other.value.start_date, other.value.end_date)
            message = f"the pricing {other.id} is for the same usage, {when}; end it before this one starts"
            raise rule_broken("startDate", message)


def _same_usage(pricing: Pricing, other: Pricing, aggregation: Aggregation) -> bool:
    """Whether two pricings are for exactly the same segments, at some time. (No segment is the same as all wildcards;
    where one names more of a segment than the other, rating lets that one win.)"""
    return (
        pattern_of(pricing, aggregation) == pattern_of(other, aggregation)
        and pricing.type is other.type
        and overlap(pricing.start_date, pricing.end_date, other.start_date, other.end_date)
    )


def _segment_text(segment: dict[str, str]) -> str:
    return "{" + ", ".join(f"{field}: {value}" for field, value in segment.items()) + "}"


def _ordered(segment: dict[str, str] | None, aggregation: Aggregation) -> dict[str, str] | None:
    return segment and {field: segment[field] for field in aggregation.segmented_fields or ()}


def _with_ids(
    bands: tuple[PricingBand, ...], before: Iterable[PricingBand] | None, new_id: Callable[[], str]
) -> tuple[PricingBand, ...]:
    """Give each band the server's id: a band that was there before, by its lower limit, keeps the id it has."""
    known = {band.lower_limit: band.id for band in before or ()}
    return tuple(msgspec.structs.replace(band, id=known.get(band.lower_limit) or new_id()) for band in bands)


def pricings_of(read: OrganizationRecords, aggregation_id: str) -> Iterable[Entity[Pricing]]:
    """Every pricing of an aggregation."""
    return read.every(Pricing, Where(equal={"aggregation_id": (aggregation_id,)}))


PRICINGS = Noun(of=Pricing, check=_check)
