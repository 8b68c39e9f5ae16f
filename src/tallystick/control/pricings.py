"""Pricings: the bands that one aggregation is priced by, on a plan or a template (source: reference 2.4).

A compound aggregation is priced likewise, with the segments that the aggregations it names have in common.

Where the reference is silent: two pricings of the same plan (or template), aggregation, segment and type must not
overlap in time, because only one of them can charge (docs/decisions/0062-overlapping-pricings.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from tallystick.control.account_plans import in_words
from tallystick.control.compound_inputs import measured_for
from tallystick.control.desk import Desk, Draft, Noun, rule_broken, the
from tallystick.control.plans import product_of
from tallystick.control.pricing_conditions import compete, require_compatible, require_condition
from tallystick.core.aggregation import Aggregation, Method, UnitRounding
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand
from tallystick.core.compound import CompoundAggregation
from tallystick.core.counter_types import CounterPricing
from tallystick.core.entity import Entity
from tallystick.core.meter import Meter
from tallystick.core.period import Instant
from tallystick.core.scope import pattern_of, segmented_fields, shared_segments
from tallystick.ports import OrganizationRecords, Transaction, Where


def _check(draft: Draft[Pricing]) -> Pricing:
    value = draft.value
    if value.aggregation_id is not None:
        aggregation = the(draft.read, Aggregation, value.aggregation_id)
        require_fit(draft.read, value, aggregation)
        measured = [aggregation]
    else:
        assert value.compound_aggregation_id is not None, "a pricing has an aggregation or a compound aggregation"
        compound = the(draft.read, CompoundAggregation, value.compound_aggregation_id)
        measured = measured_for(draft.read, compound)
        require_compound_fit(draft.read, value, compound, measured)
    fields = segmented_fields(measured)
    _require_no_overlap(draft, fields)
    value = msgspec.structs.replace(value, segment=value.segment and {each: value.segment[each] for each in fields})
    require_condition(draft.read, value, priced_product(draft.read, value))
    before = None if draft.before is None else draft.before.value
    overage = value.overage_pricing_bands
    return msgspec.structs.replace(
        value,
        pricing_bands=bands_with_ids(
            value.pricing_bands, None if before is None else before.pricing_bands, draft.desk.new_id
        ),
        overage_pricing_bands=overage
        and bands_with_ids(overage, None if before is None else before.overage_pricing_bands, draft.desk.new_id),
    )


def require_fit(read: OrganizationRecords, pricing: Pricing, aggregation: Aggregation) -> None:
    """Refuse a pricing whose aggregation is of another product than its plan, or has no such segment."""
    meter_product = the(read, Meter, aggregation.meter_id).product_id
    priced = priced_product(read, pricing)
    if meter_product is not None and meter_product != priced:
        message = f"the aggregation counts the product {meter_product}, the plan or template sells {priced}"
        raise rule_broken("aggregationId", f"{message}; price it there, or make its meter global")
    _require_segment(pricing, [aggregation])
    _require_events(pricing, aggregation)


def _require_segment(pricing: Pricing, measured: Sequence[Aggregation]) -> None:
    """Refuse a segment that what is priced does not have, and rates by fields that it is not segmented by."""
    what = "aggregation" if pricing.aggregation_id is not None else "compound aggregation"
    segments, fields = shared_segments(measured), segmented_fields(measured)
    if pricing.segment is not None and pricing.segment not in segments:
        known = ", ".join(_segment_text(segment) for segment in segments[:10]) or "none"
        message = f"{_segment_text(pricing.segment)} is no segment of the {what}, which has: {known}"
        if len(measured) > 1 and not segments:
            message += "; the aggregations that it names must be segmented by the same fields"
        raise rule_broken("segment", message)
    for name in pricing.rates[0].dimensions if pricing.rates else ():
        if name not in fields:
            known = ", ".join(fields) or "none"
            message = f"{name!r} is no segmented field of the {what}; it has {known}"
            raise rule_broken("rates[0].dimensions", message)


def _require_events(pricing: Pricing, aggregation: Aggregation) -> None:
    """Refuse a percentage of each event by itself where the aggregation is not the sum of them."""
    if not pricing.per_event:
        return
    if aggregation.aggregation is not Method.SUM:
        message = f"a percentage of each event needs the method SUM; the aggregation's is {aggregation.aggregation}"
        raise rule_broken("percent", message)
    if aggregation.rounding is not UnitRounding.NONE:
        message = f"a percentage of each event needs the rounding NONE; the aggregation's is {aggregation.rounding}"
        raise rule_broken("percent", message)
    if aggregation.default_value:
        message = "a percentage of each event needs an aggregation without a defaultValue, or 0: it is no event"
        raise rule_broken("percent", message)


def require_compound_fit(
    read: OrganizationRecords, pricing: Pricing, compound: CompoundAggregation, measured: Sequence[Aggregation]
) -> None:
    """Refuse a pricing whose compound aggregation is of another product than its plan, or has no such segment.
    `measured` are the aggregations that it names."""
    priced = priced_product(read, pricing)
    if compound.product_id is not None and compound.product_id != priced:
        message = f"the compound aggregation is of the product {compound.product_id}, the plan or template sells"
        raise rule_broken("compoundAggregationId", f"{message} {priced}; price it there, or make it global")
    if pricing.per_event:
        message = "a compound aggregation has no events; leave fixedPerEvent, minimumPerEvent and maximumPerEvent out"
        raise rule_broken("percent", message)
    _require_segment(pricing, measured)


def priced_product(read: OrganizationRecords, pricing: Pricing | CounterPricing) -> str:
    """The product that a pricing's plan or template sells."""
    if pricing.plan_template_id is not None:
        return the(read, PlanTemplate, pricing.plan_template_id).product_id
    assert pricing.plan_id is not None, "a pricing has a plan or a template"
    return product_of(read, the(read, Plan, pricing.plan_id))


def segment_string(pricing: Pricing) -> str | None:
    """The segment's values as one text, in the order of the aggregation's segmented fields."""
    return None if pricing.segment is None else ", ".join(pricing.segment.values())


def _require_no_overlap(draft: Draft[Pricing], fields: Sequence[str]) -> None:
    value = draft.value
    for other in _neighbours(draft.read, value):
        if other.id == draft.id or not compete(value, other.value):
            continue
        require_compatible(value, other, fields)
        if value.condition is None and other.value.condition is None and _same_segments(value, other.value, fields):
            when = in_words(other.value.start_date, other.value.end_date)
            message = f"the pricing {other.id} is for the same usage, {when}; end it before this one starts"
            raise rule_broken("startDate", message)


def _neighbours(read: OrganizationRecords, pricing: Pricing) -> Iterator[Entity[Pricing]]:
    """The pricings of what a pricing is for, on its plan, its template, and the plans made from that."""
    priced = "aggregation_id" if pricing.aggregation_id is not None else "compound_aggregation_id"
    homes: list[tuple[str, list[str]]] = []
    if pricing.plan_id is not None:
        homes.append(("plan_id", [pricing.plan_id]))
        homes.append(("plan_template_id", [the(read, Plan, pricing.plan_id).plan_template_id]))
    elif pricing.plan_template_id is not None:
        homes.append(("plan_template_id", [pricing.plan_template_id]))
        made = read.every(Plan, Where(equal={"plan_template_id": (pricing.plan_template_id,)}))
        homes.append(("plan_id", [each.id for each in made]))
    for home, ids in homes:
        if ids:
            yield from read.every(Pricing, Where(equal={home: ids, priced: (getattr(pricing, priced),)}))


def _same_segments(pricing: Pricing, other: Pricing, fields: Sequence[str]) -> bool:
    """Whether two pricings of a plan, or of a template, are for exactly the same segments. (No segment is the same as
    all wildcards; where one names more of a segment than the other, rating lets that one win, as it does with the
    plan's over the template's.)"""
    same_home = pricing.plan_id == other.plan_id and pricing.plan_template_id == other.plan_template_id
    return same_home and pattern_of(pricing, fields) == pattern_of(other, fields)


def _segment_text(segment: dict[str, str]) -> str:
    return "{" + ", ".join(f"{field}: {value}" for field, value in segment.items()) + "}"


def bands_with_ids(
    bands: tuple[PricingBand, ...], before: Iterable[PricingBand] | None, new_id: Callable[[], str]
) -> tuple[PricingBand, ...]:
    """Give each band the server's id: a band that was there before, by its lower limit, keeps the id it has."""
    known = {band.lower_limit: band.id for band in before or ()}
    return tuple(msgspec.structs.replace(band, id=known.get(band.lower_limit) or new_id()) for band in bands)


def pricings_of(read: OrganizationRecords, aggregation_id: str) -> Iterable[Entity[Pricing]]:
    """Every pricing of an aggregation."""
    return read.every(Pricing, Where(equal={"aggregation_id": (aggregation_id,)}))


def compound_pricings_of(read: OrganizationRecords, compound_aggregation_id: str) -> Iterable[Entity[Pricing]]:
    """Every pricing of a compound aggregation."""
    return read.every(Pricing, Where(equal={"compound_aggregation_id": (compound_aggregation_id,)}))


PRICINGS = Noun(of=Pricing, check=_check)


def succeed(
    desk: Desk, id: str, start: Instant, bands: tuple[PricingBand, ...], version: int | None
) -> Entity[Pricing]:
    """End a pricing at a moment and let another with other bands begin there, in one transaction: bills of the time
    before keep their price. Answers the new one. Refusal `rule_broken` unless the moment is within the pricing."""
    with desk.records.transaction() as write:
        priced = msgspec.structs.replace(PRICINGS.retrieve(write, id).value, pricing_bands=bands)
        return succeed_within(desk, write, id, start, priced, version)


def succeed_within(
    desk: Desk, write: Transaction, id: str, start: Instant, priced: Pricing, version: int | None
) -> Entity[Pricing]:
    """The same as part of a larger transaction, for a price that may be other in all but its time."""
    before = PRICINGS.retrieve(write, id)
    require_within(before.value, start)
    ended = msgspec.structs.replace(before.value, end_date=start)
    after = msgspec.structs.replace(priced, start_date=start, end_date=before.value.end_date, code=None)
    PRICINGS.update_within(desk, write, before, ended, version)
    return PRICINGS.create_within(desk, write, after, desk.new_id())


def require_within(value: Pricing, start: Instant) -> None:
    """Refuse a moment at which a pricing does not hold yet, begins, or holds no more."""
    if start <= value.start_date or (value.end_date is not None and start >= value.end_date):
        until = f" and before {value.end_date.wire()}" if value.end_date is not None else ""
        message = f"must be after {value.start_date.wire()}{until}, while the present price holds"
        raise rule_broken("startDate", message)
