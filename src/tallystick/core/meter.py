"""What is counted: a meter declares the fields of its measurements (source: reference 2.1)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import CustomFields, EntityCode, FieldCode, Id, Name, Value, require_custom_fields
from tallystick.core.expression import Type

MAX_FIELDS = 15


class Category(StrEnum):
    """Where a field's value sits in a measurement: the wire's map of the same name in lower case."""

    WHO = "WHO"
    WHAT = "WHAT"
    WHERE = "WHERE"
    OTHER = "OTHER"
    METADATA = "METADATA"
    MEASURE = "MEASURE"
    INCOME = "INCOME"
    COST = "COST"

    @property
    def numeric(self) -> bool:
        """Whether values of the category are numbers; the others are text."""
        return self in {Category.MEASURE, Category.INCOME, Category.COST}


class DataField(Value, frozen=True, kw_only=True):
    """One field that every measurement of the meter carries."""

    code: FieldCode
    name: Name
    category: Category
    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=50)] | None = None

    def check(self) -> None:
        if self.category.numeric and self.unit is None:
            raise ValueError("unit: a numeric field needs a unit")


class DerivedField(DataField, frozen=True, kw_only=True):
    """A field computed from the others when the measurement is mediated, and stored with it."""

    calculation: Annotated[str, msgspec.Meta(min_length=1, max_length=5000)]


class Meter(Value, frozen=True, kw_only=True):
    """The schema of a stream of measurements. Without a product it is global: any product may price it.

    What `exclude_filter` is true of, such as test traffic, is kept and counted apart, and part of no aggregation (an
    extension of ours, docs/decisions/0424-excluded-measurements.md).
    """

    kind: ClassVar[str] = "meter"
    references: ClassVar[tuple[str, ...]] = ("product_id",)

    name: Name
    code: EntityCode
    data_fields: Annotated[tuple[DataField, ...], msgspec.Meta(min_length=1, max_length=MAX_FIELDS)]
    derived_fields: Annotated[tuple[DerivedField, ...], msgspec.Meta(max_length=MAX_FIELDS)]
    product_id: Id | None = None
    group_id: Id | None = None
    custom_fields: CustomFields | None = None
    exclude_filter: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)] | None = None

    def check(self) -> None:
        seen: set[str] = set()
        for field in self.fields:
            if field.code in seen:
                raise ValueError(f"dataFields: the code {field.code!r} is declared twice")
            seen.add(field.code)
        require_custom_fields(self.custom_fields)

    @property
    def fields(self) -> tuple[DataField, ...]:
        """The data fields, then the derived ones."""
        return (*self.data_fields, *self.derived_fields)

    def field(self, code: str) -> DataField | None:
        """The data or derived field with this code, if the meter declares it."""
        return next((each for each in self.fields if each.code == code), None)


def field_types(fields: Iterable[DataField]) -> dict[str, Type]:
    """What each field is in a calculation: a number or a text, by its category."""
    return {field.code: Type.NUMBER if field.category.numeric else Type.TEXT for field in fields}
