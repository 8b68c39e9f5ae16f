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
    # Ours: gauges, whose value holds until the next one (docs/decisions/0160-gauges-over-time.md).
    TIME_WEIGHTED_SUM = "TIME_WEIGHTED_SUM"
    TIME_WEIGHTED_MEAN = "TIME_WEIGHTED_MEAN"
    CORRELATED_COUNT = "CORRELATED_COUNT"  # ours: many events, one unit (docs/decisions/0161-many-events-one-unit.md)

    @property
    def time_weighted(self) -> bool:
        """Whether each value counts for as long as it holds."""
        return self in _TIME_WEIGHTED


MAX_WINDOW_SECONDS = 366 * 24 * 60 * 60
_TIME_WEIGHTED = frozenset({Method.TIME_WEIGHTED_SUM, Method.TIME_WEIGHTED_MEAN})


class TimeUnit(StrEnum):
    """For how long a value of 1 must hold to be a time-weighted sum of 1."""

    HOUR = "HOUR"
    DAY = "DAY"  # 24 hours, whatever the clocks do
    PERIOD = "PERIOD"  # the billing period: seats held through a month are seat-months


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
    time_unit: TimeUnit | None = None
    carry_forward: bool = False
    gauge_field: FieldCode | None = None
    correlation_field: FieldCode | None = None
    success_filter: Annotated[str, msgspec.Meta(min_length=1, max_length=5000)] | None = None
    window_seconds: Annotated[int, msgspec.Meta(ge=1, le=MAX_WINDOW_SECONDS)] | None = None
    custom_fields: CustomFields | None = None

    @property
    def gauge(self) -> bool:
        """Whether a value holds until the next one, into later periods too."""
        return self.aggregation in _TIME_WEIGHTED or self.carry_forward

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
        self._check_gauge()
        self._check_correlation()
        self._check_segments()
        require_custom_fields(self.custom_fields)

    def _check_gauge(self) -> None:
        if (self.aggregation == Method.TIME_WEIGHTED_SUM) != (self.time_unit is not None):
            raise ValueError("timeUnit: give it with the aggregation TIME_WEIGHTED_SUM and with no other")
        if self.carry_forward and self.aggregation != Method.LATEST:
            raise ValueError("carryForward: is for LATEST; time-weighted values are always carried forward")
        if self.gauge_field is None:
            return
        if not self.gauge:
            raise ValueError("gaugeField: is for TIME_WEIGHTED_SUM, TIME_WEIGHTED_MEAN and LATEST with carryForward")
        if self.gauge_field in (self.segmented_fields or ()):
            raise ValueError("gaugeField: is one of segmentedFields already, which have a gauge for each value")

    def _check_correlation(self) -> None:
        correlated = self.aggregation == Method.CORRELATED_COUNT
        for name, value in (("correlationField", self.correlation_field), ("successFilter", self.success_filter)):
            if correlated != (value is not None):
                raise ValueError(f"{name}: give it with the aggregation CORRELATED_COUNT and with no other")
        if self.window_seconds is not None and not correlated:
            raise ValueError("windowSeconds: is for the aggregation CORRELATED_COUNT")
        if self.correlation_field is not None and self.correlation_field in (self.segmented_fields or ()):
            raise ValueError("correlationField: is one of segmentedFields already")

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


class Correlation(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements that have `field` in common are one unit, if `success` (an expression) is true of one of them.

    `window` is how many microseconds after its first measurement a unit ends, and the next one begins; None: units are
    as long as the period.
    """

    field: str
    success: str
    window: int | None


class EventBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes between which measurements are one by one: those below `low` are small, those above `high` large."""

    low: Decimal | None
    high: Decimal | None


class EventTally(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the measurements behind a total are what size, and what they add up to.

    One below zero is of the size that it is above zero, and counts as −1: it takes another one back.
    """

    events: int
    small: int
    small_total: Decimal
    large: int
    large_total: Decimal


class Question(msgspec.Struct, frozen=True, gc=False, kw_only=True, cache_hash=True):
    """What the usage store is asked: one aggregation over one window, for some accounts or for all.

    `filter` is a boolean expression of the calculation language over the meter's fields. Where
    `segmented_fields` is not empty, the answer has a row per combination of their values. Only measurements
    at or below the journal position `up_to` count. With `pooled`, the accounts are measured as if they were one:
    the answer has one row (per segment) for all of them, under the first of `accounts`.

    With `gauge`, a value holds until the next one of its account, segment and `gauge_field` (None: one gauge for the
    account and segment), and what held when the period began is in it; gauges are added up, those of a pool's accounts
    too. `time_unit` says how many microseconds of holding a 1 make a time-weighted value of 1.

    With `correlation`, what is counted are its units, each in the period in which it first succeeded. With
    `event_bounds` (of SUM only), the answer also says how many measurements are below and above them.
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
    gauge: bool = False
    gauge_field: str | None = None
    time_unit: int | None = None
    correlation: Correlation | None = None
    event_bounds: EventBounds | None = None

    @property
    def stream_field(self) -> str | None:
        """The field that splits measurements into streams, each of which is looked at in order of time."""
        return self.correlation.field if self.correlation else self.gauge_field

    @property
    def reaches_back(self) -> bool:
        """Whether measurements from before the period have a say in it."""
        return self.gauge or (self.correlation is not None and self.correlation.window is not None)


class Measured(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One answer: exact `total` and `count`. The value is total / count for MEAN, and `total` for all else but
    time-weighted methods, whose total adds up value × microseconds held: theirs is total / `time_unit`."""

    account_id: str
    segment: tuple[str, ...] = ()  # values of the segmented fields, in their order
    total: Decimal
    count: (
        int  # measurements that had a value, in the period or held at its start; never 0: what has none has no answer
    )
    tally: EventTally | None = None  # where the question has event bounds
