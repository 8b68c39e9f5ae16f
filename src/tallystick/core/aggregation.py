"""What an aggregation means: one number per account and window from a meter field (source: reference 2.2, 3.1).

`Question` is what the usage store is asked, `Measured` what it answers: exact sums and counts only. Dividing,
`quantityPerUnit` and rounding happen here, in Python decimals.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import (
    CustomFields,
    FieldCode,
    Id,
    Name,
    Value,
    require_custom_fields,
    require_not_negative,
)
from tallystick.core.period import Period


class Method(StrEnum):
    """How many measurements become one number."""

    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    COUNT = "COUNT"
    LATEST = "LATEST"
    MEAN = "MEAN"
    UNIQUE = "UNIQUE"
    PERCENTILE = "PERCENTILE"  # ours: nearest rank, with `percentile` such as 95


class UnitRounding(StrEnum):
    """How value / quantityPerUnit becomes whole units."""

    UP = "UP"
    DOWN = "DOWN"
    NEAREST = "NEAREST"
    NONE = "NONE"


class Aggregation(Value, frozen=True, kw_only=True):
    """One billable number: a method over a field of a meter, turned into units."""

    kind: ClassVar[str] = "aggregation"
    references: ClassVar[tuple[str, ...]] = ("meter_id", "accounting_product_id")

    name: Name
    code: FieldCode | None = None
    meter_id: Id
    target_field: FieldCode
    aggregation: Method
    quantity_per_unit: Decimal
    rounding: UnitRounding
    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    default_value: Decimal | None = None
    segmented_fields: Annotated[tuple[FieldCode, ...], msgspec.Meta(max_length=5)] | None = None
    segments: Annotated[tuple[dict[str, str], ...], msgspec.Meta(max_length=1000)] | None = None
    accounting_product_id: Id | None = None
    custom_sql: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    percentile: Decimal | None = None
    filter: Annotated[str, msgspec.Meta(min_length=1, max_length=5000)] | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        if self.quantity_per_unit <= 0:
            raise ValueError("quantityPerUnit: must be above 0")
        require_not_negative(self.default_value, "defaultValue")
        if (self.aggregation == Method.PERCENTILE) != (self.percentile is not None):
            raise ValueError("percentile: give it with the aggregation PERCENTILE and with no other")
        if self.percentile is not None and not 0 < self.percentile <= 100:
            raise ValueError("percentile: must be above 0 and at most 100")
        if self.custom_sql is not None:
            raise ValueError("customSql: custom SQL is not supported; use a filter or a derived field of the meter")
        self._check_segments()
        require_custom_fields(self.custom_fields)

    def _check_segments(self) -> None:
        fields = self.segmented_fields or ()
        if len(set(fields)) < len(fields):
            raise ValueError("segmentedFields: each field once")
        seen: set[frozenset[tuple[str, str]]] = set()
        for index, segment in enumerate(self.segments or ()):
            if set(segment) != set(fields):
                wanted = ", ".join(fields) or "none, as segmentedFields is empty"
                raise ValueError(f"segments[{index}]: must name exactly the segmented fields ({wanted})")
            if "" in segment.values():
                raise ValueError(f"segments[{index}]: a segment's value must not be empty")
            values = frozenset(segment.items())
            if values in seen:
                raise ValueError(f"segments[{index}]: the same segment is given twice")
            seen.add(values)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the usage store is asked: one aggregation over one window, for some accounts or for all.

    `filter` is a boolean expression of the calculation language over the meter's fields. Where
    `segmented_fields` is not empty, the answer has a row per combination of their values. Only measurements
    at or below the journal position `up_to` count. With `pooled`, the accounts are measured as if they were one:
    the answer has one row (per segment) for all of them, under the first of `accounts`.
    """

    meter_id: str
    method: Method
    field: str
    period: Period
    up_to: int
    accounts: tuple[str, ...] | None = None
    percentile: Decimal | None = None
    filter: str | None = None
    segmented_fields: tuple[str, ...] = ()
    pooled: bool = False


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: exact `total` and `count`; the value is total / count for MEAN and `total` for all else."""

    account_id: str
    segment: tuple[str, ...] = ()  # values of the segmented fields, in their order
    total: Decimal
    count: int  # measurements that had a value for the field; never 0: what has none has no answer
