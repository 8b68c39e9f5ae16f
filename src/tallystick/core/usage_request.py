"""What is asked of usage in codes and names: which measurements, by which numbers, split into which groups.

Source: reference 2.11. The usage query and data exports ask alike.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from tallystick.core.entity import Value
from tallystick.core.field_condition import Comparator
from tallystick.core.period import Instant
from tallystick.core.time_group import TimeFrequency

MAX_ROWS = 20_000  # of an answer


class FieldType(StrEnum):
    DIMENSION = "DIMENSION"
    MEASURE = "MEASURE"


class GroupType(StrEnum):
    ACCOUNT = "ACCOUNT"
    TIME = "TIME"
    DIMENSION = "DIMENSION"


class QueryFunction(StrEnum):
    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    COUNT = "COUNT"
    LATEST = "LATEST"
    MEAN = "MEAN"
    UNIQUE = "UNIQUE"


class DimensionFilter(Value, frozen=True, kw_only=True):
    """Keep measurements of a meter whose text field has one of the values."""

    meter_id: str
    field_code: str
    values: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class FieldCondition(Value, frozen=True, kw_only=True):
    """Keep measurements of a meter whose field, of any category, compares so with the value. An extension of ours."""

    meter_id: str
    field_code: str
    comparator: Comparator
    value: Any = None  # a text, or a number, which may be written as text

    def check(self) -> None:
        if self.comparator.takes_value == (self.value is None):
            rule = "must be given" if self.comparator.takes_value else "must be left out"
            raise ValueError(f"value: {rule} with the comparator {self.comparator}")
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | Decimal | None):
            raise ValueError("value: must be a text or a number")


class QueryAggregation(Value, frozen=True, kw_only=True):
    """One number per row."""

    meter_id: str
    field_code: str
    field_type: FieldType
    function: QueryFunction


class QueryGroup(Value, frozen=True, kw_only=True):
    """How rows are split: by account, by time (with `frequency`), or by a text field of a meter."""

    group_type: GroupType
    frequency: TimeFrequency | None = None
    meter_id: str | None = None
    field_code: str | None = None


class UsageRequest(Value, frozen=True, kw_only=True):
    """A usage query. `end_date` is exclusive; both filter on when a measurement happened, not when it arrived."""

    start_date: Instant | None = None
    end_date: Instant | None = None
    meter_ids: tuple[str, ...] | None = None
    account_ids: tuple[str, ...] | None = None
    dimension_filters: tuple[DimensionFilter, ...] = ()
    aggregations: Annotated[tuple[QueryAggregation, ...], msgspec.Meta(max_length=30)] = ()
    groups: Annotated[tuple[QueryGroup, ...], msgspec.Meta(max_length=10)] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)] = MAX_ROWS
    conditions: Annotated[tuple[FieldCondition, ...], msgspec.Meta(max_length=20)] = ()
    next_token: str | None = None
    greatest_first: bool = False
    withdrawn: bool = False  # only what was withdrawn, in the place of what counts

    def check(self) -> None:
        if self.start_date is not None and self.end_date is not None and self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate")
        if self.groups and not self.aggregations:
            raise ValueError("groups: need aggregations to group; give aggregations or leave groups out")
        if self.next_token is not None and self.aggregations:
            raise ValueError("nextToken: only measurements are listed page by page; leave aggregations out")
