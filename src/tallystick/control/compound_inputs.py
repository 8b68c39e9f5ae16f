"""What is measured for a price, and what compound aggregations are made of: the aggregations that they name."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Pricing
from tallystick.core.compound import CompoundAggregation, codes_in
from tallystick.core.entity import Entity
from tallystick.ports import OrganizationRecords


def aggregations_of(read: OrganizationRecords, compound: CompoundAggregation) -> dict[str, Entity[Aggregation]]:
    """The aggregations that a compound aggregation's calculation names, by code. Those that exist: all of them, for
    one that is kept."""
    found = {code: read.by_code(Aggregation, code) for code in codes_in(compound.calculation)}
    return {code: entity for code, entity in found.items() if entity is not None}


def measured_for(
    read: OrganizationRecords, compound: CompoundAggregation, changed: tuple[str, Aggregation] | None = None
) -> list[Aggregation]:
    """The same in order of code, as rating has them; one of them, by its id, as it is about to become."""
    found = aggregations_of(read, compound)
    id_, value = changed or ("", None)
    return [value if value and entity.id == id_ else entity.value for _, entity in sorted(found.items())]


def measured_by(read: OrganizationRecords, pricing: Pricing) -> list[Aggregation]:
    """The aggregations that are measured for a price, in order of code; none where they do not exist."""
    if pricing.aggregation_id is not None:
        aggregation = read.get(Aggregation, pricing.aggregation_id)
        return [aggregation.value] if aggregation else []
    compound = read.get(CompoundAggregation, pricing.compound_aggregation_id or "")
    return measured_for(read, compound.value) if compound else []


def compounds_naming(read: OrganizationRecords, code: str) -> Iterator[Entity[CompoundAggregation]]:
    """Every compound aggregation whose calculation names the aggregation with this code."""
    return (each for each in read.every(CompoundAggregation) if code in codes_in(each.value.calculation))
