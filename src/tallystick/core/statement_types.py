"""How statements are laid out and asked for: definitions, and the jobs that make them (source: reference 2.11)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import FieldCode, Id, Name, Value
from tallystick.core.period import Instant

ANY = "*"  # as a filter of a dimension: all of its values


class StatementFrequency(StrEnum):
    """How wide the stretches of time are that usage is shown by. Weeks start on Monday."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    WHOLE_PERIOD = "WHOLE_PERIOD"


class StatementFunction(StrEnum):
    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    COUNT = "COUNT"
    LATEST = "LATEST"
    MEAN = "MEAN"
    UNIQUE = "UNIQUE"
    CUSTOM_SQL = "CUSTOM_SQL"


class StatementMeasure(Value, frozen=True, kw_only=True):
    """Numbers to show: functions (SUM if none is named) of one field, or of every numeric field if `name` is blank, of
    one meter, or of every meter on the bill if none is named."""

    meter_id: Id | None = None
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    aggregations: Annotated[tuple[StatementFunction, ...], msgspec.Meta(max_length=10)] | None = None

    def check(self) -> None:
        functions = self.aggregations or ()
        if StatementFunction.CUSTOM_SQL in functions:
            raise ValueError("aggregations: custom SQL is not supported; use a derived field of the meter")
        if len(set(functions)) < len(functions):
            raise ValueError("aggregations: each function once")

    @property
    def functions(self) -> tuple[StatementFunction, ...]:
        """The functions to show."""
        return self.aggregations or (StatementFunction.SUM,)


class StatementDimension(Value, frozen=True, kw_only=True):
    """A text field that usage is split by, and which of its values are shown: `*` for all of them."""

    name: FieldCode
    filter: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=1024)], ...],
        msgspec.Meta(min_length=1, max_length=100),
    ]
    meter_id: Id | None = None
    attributes: tuple[str, ...] | None = None

    def check(self) -> None:
        if self.attributes:
            raise ValueError("attributes: fields of meters have no attributes; leave it out")

    @property
    def values(self) -> tuple[str, ...] | None:
        """The values that are shown; None for all."""
        return None if ANY in self.filter else self.filter


class StatementDefinition(Value, frozen=True, kw_only=True):
    """The layout of a statement. Without measures it shows what the bill itself counted.

    A slim statement has the stretches with usage only, and no lines of the bill.
    """

    kind: ClassVar[str] = "statementdefinition"
    references: ClassVar[tuple[str, ...]] = ("meter_ids",)

    aggregation_frequency: StatementFrequency
    name: Name | None = None
    measures: Annotated[tuple[StatementMeasure, ...], msgspec.Meta(max_length=50)] = ()
    dimensions: Annotated[tuple[StatementDimension, ...], msgspec.Meta(max_length=5)] = ()
    include_price_per_unit: bool = False
    generate_slim_statements: bool = False

    @property
    def meter_ids(self) -> tuple[str, ...]:
        """The meters that measures and dimensions name."""
        measured = [each.meter_id for each in self.measures]
        split = [each.meter_id for each in self.dimensions]
        return tuple(dict.fromkeys(each for each in measured + split if each is not None))


# What a statement looks like where neither the account nor the organisation names a definition.
DEFAULT_DEFINITION = StatementDefinition(
    aggregation_frequency=StatementFrequency.DAY, name="Usage by day", include_price_per_unit=True
)


class StatementFilters(Value, frozen=True, kw_only=True):
    """The part of a bill's usage that a statement is about: these meters, or all."""

    meter_ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=100)] | None = None


class StatementJobStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def active(self) -> bool:
        """Whether there is still something to do."""
        return self in {StatementJobStatus.PENDING, StatementJobStatus.RUNNING}


class StatementStatus(StrEnum):
    """How a statement stands to its bill: made of it as it is, made of it as it was, or its bill is gone."""

    LATEST = "LATEST"
    STALE = "STALE"
    INVALIDATED = "INVALIDATED"


class StatementJobRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Ask for the statement of one bill."""

    bill_id: Id
    include_csv_format: bool = False
    filters: StatementFilters | None = None


class StatementJobBatchRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Ask for the statements of up to ten bills, a job for each."""

    bill_ids: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=10)]
    include_csv_format: bool = False
    filters: StatementFilters | None = None

    def __post_init__(self) -> None:
        if len(set(self.bill_ids)) < len(self.bill_ids):
            raise ValueError("billIds: each bill once")


class StatementJob(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A statement job as it is stored (document kind `statementjob`).

    `digest` says which content of the bill its statement was made of; `failure` why there is none.
    """

    id: str
    version: int
    bill_id: str
    statement_job_status: StatementJobStatus
    include_csv_format: bool
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    filters: StatementFilters | None = None
    digest: str | None = None
    failure: str | None = None
