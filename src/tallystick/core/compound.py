"""Compound aggregations: a number computed from other aggregations by a formula (source: reference 2.2, 3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.aggregation import UnitRounding
from tallystick.core.entity import CustomFields, FieldCode, Id, Name, Value, require_custom_fields
from tallystick.core.expression import Type, parse, references
from tallystick.core.lookup import WITH_LOOKUPS

PREFIX = "aggregation."  # of the name that a calculation has for an aggregation: aggregation.<code>


class CompoundAggregation(Value, frozen=True, kw_only=True):
    """A billable number that a calculation makes of aggregations, turned into units by its own rules.

    The calculation works on the exact base values of the aggregations: their `quantityPerUnit` and `rounding` play no
    part in it. Without `product_id` it is global and may price any product. Where an aggregation has no value, there
    is no result, unless `evaluate_null_aggregations` says to compute with null.
    """

    kind: ClassVar[str] = "compoundaggregation"
    references: ClassVar[tuple[str, ...]] = ("product_id", "accounting_product_id")

    name: Name
    code: FieldCode | None = None
    calculation: Annotated[str, msgspec.Meta(min_length=1, max_length=5000)]
    quantity_per_unit: Decimal
    rounding: UnitRounding
    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    product_id: Id | None = None
    evaluate_null_aggregations: bool = False
    accounting_product_id: Id | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        if self.quantity_per_unit <= 0:
            raise ValueError("quantityPerUnit: must be above 0")
        require_custom_fields(self.custom_fields)


def codes_in(calculation: str) -> tuple[str, ...]:
    """The codes of the aggregations that a calculation names, each once, sorted.

    Raises ExpressionError for a text that is no calculation.
    """
    names = references(parse(calculation, WITH_LOOKUPS))
    return tuple(sorted(name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)))


def types_of(codes: Iterable[str]) -> dict[str, Type]:
    """What a calculation may refer to, given the codes of the aggregations that it may use."""
    return {PREFIX + code: Type.NUMBER for code in codes}
