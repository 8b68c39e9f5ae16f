"""Reconciliations: what is counted here held against a second source, and how near the two come to each other.

The source is a warehouse, the log of an application, the totals of a dashboard. It is compared uid by uid (RECORDS), or
by its totals for each account, meter field and day (TOTALS). An extension of ours.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import Description, EntityCode, FieldCode, Name, Value
from tallystick.core.period import require_zone

MAX_MEASURES = 20
MAX_DAYS = 366  # of one run
MAX_SCHEDULED_DAYS = 35
LONGEST_QUERY = 10_000
_ONE_SELECT = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
_CONNECTION = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$(?!\n)"

Column = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ReconciliationBasis(StrEnum):
    """What a row of the source is: a measurement with its uid, or the total of an account and a day."""

    RECORDS = "RECORDS"
    TOTALS = "TOTALS"


class SourceType(StrEnum):
    """Where rows come from: a file that is sent for each run, one in the operator's folder, or a query."""

    UPLOAD = "UPLOAD"
    FILE = "FILE"
    SQL = "SQL"


class SourceFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


class ReconciledFunction(StrEnum):
    """What a total counts: the sum of a field, or the measurements that have it."""

    SUM = "SUM"
    COUNT = "COUNT"


class SourceTimeUnit(StrEnum):
    """What a column of times holds: ISO 8601 text, or a number counted from the start of 1970, UTC."""

    ISO = "ISO"
    SECONDS = "SECONDS"
    MILLISECONDS = "MILLISECONDS"


class AccuracyLevel(StrEnum):
    """How good an accuracy is: GOOD above 99.5%, WARNING from 98% to there, RED below."""

    GOOD = "GOOD"
    WARNING = "WARNING"
    RED = "RED"

    @property
    def rank(self) -> int:
        """0 is best."""
        return tuple(AccuracyLevel).index(self)


class ReconciliationSource(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Where the rows are. `path` is within the folder that the operator opened for it and may hold `{start}` and
    `{end}`, the days of a run; `connection` is one that the operator named, and `query` a single SELECT, in which
    `:start` and `:end` are the days of a run (text, the end exclusive)."""

    type: SourceType
    path: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    format: SourceFormat | None = None
    connection: Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=_CONNECTION)] | None = None
    query: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_QUERY)] | None = None

    def check(self) -> None:
        wanted = {SourceType.UPLOAD: (), SourceType.FILE: ("path",), SourceType.SQL: ("connection", "query")}[self.type]
        for name in ("path", "connection", "query"):
            if (getattr(self, name) is not None) != (name in wanted):
                must = "must be given" if name in wanted else "cannot be given"
                raise ValueError(f"source.{name}: {must} with the type {self.type}")
        if self.type is SourceType.SQL and self.format is not None:
            raise ValueError("source.format: cannot be given with the type SQL")
        if self.query is not None and not _ONE_SELECT.match(self.query):
            raise ValueError("source.query: must be a single SELECT (or WITH … SELECT): a source is only read")
        if self.query is not None and ";" in self.query.rstrip().rstrip(";"):
            raise ValueError("source.query: must be a single statement, without ';' inside")


class SourceColumns(Value, frozen=True, kw_only=True):
    """Which column holds what. `meter` names the column with the meter's code where a source is of several meters;
    `field` and `value` are those of a long form, with a row for each field. Without `ts`, times are not compared."""

    account: Column = "account"
    uid: Column = "uid"
    day: Column = "day"
    ts: Column | None = None
    meter: Column | None = None
    field: Column | None = None
    value: Column | None = None

    def check(self) -> None:
        if (self.field is None) != (self.value is None):
            raise ValueError("columns.value: give it together with columns.field")


class ReconciledMeasure(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One number that is compared: a field of a meter, both by code, and the column of the source that holds it (the
    one with the field's code if absent)."""

    meter: EntityCode
    field: FieldCode
    column: Column | None = None
    function: ReconciledFunction = ReconciledFunction.SUM

    @property
    def label(self) -> str:
        """What is compared, for people."""
        counted = " (count)" if self.function is ReconciledFunction.COUNT else ""
        return f"{self.meter}.{self.field}{counted}"

    @property
    def read_from(self) -> str:
        """The column of the source."""
        return self.column or self.field


class ReconciliationSchedule(Value, frozen=True, kw_only=True):
    """Every day at an hour of the organisation's time zone, over the last whole days."""

    hour: Annotated[int, msgspec.Meta(ge=0, le=23)]
    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_SCHEDULED_DAYS)] = 1


class Reconciliation(Value, frozen=True, kw_only=True):
    """What is held against what. Days, and times without an offset, are those of `timezone` (the organisation's if
    absent). Differences of times up to `timeToleranceSeconds` are none."""

    kind: ClassVar[str] = "reconciliation"
    filters: ClassVar[tuple[str, ...]] = ("scheduled",)

    name: Name
    comparison: ReconciliationBasis
    source: ReconciliationSource
    measures: Annotated[tuple[ReconciledMeasure, ...], msgspec.Meta(min_length=1, max_length=MAX_MEASURES)]
    columns: SourceColumns = SourceColumns()
    description: Description | None = None
    code: EntityCode | None = None
    timezone: str | None = None
    time_unit: SourceTimeUnit = SourceTimeUnit.ISO
    time_tolerance_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 1
    schedule: ReconciliationSchedule | None = None

    @property
    def scheduled(self) -> str:
        """As a filter of lists."""
        return "false" if self.schedule is None else "true"

    def check(self) -> None:
        if self.timezone is not None:
            require_zone(self.timezone)
        if self.schedule is not None and self.source.type is SourceType.UPLOAD:
            raise ValueError("schedule: what is uploaded cannot be fetched by the clock; use a FILE or SQL source")
        self._check_measures()

    def _check_measures(self) -> None:
        seen: set[tuple[str, str, str]] = set()
        for place, each in enumerate(self.measures):
            key = (each.meter, each.field, each.function)
            if key in seen:
                raise ValueError(f"measures[{place}]: {each.meter}.{each.field} is given twice")
            seen.add(key)
            if self.comparison is ReconciliationBasis.RECORDS and each.function is ReconciledFunction.COUNT:
                raise ValueError(f"measures[{place}].function: RECORDS compare values; COUNT is for TOTALS")
        if (
            self.columns.meter is None
            and self.columns.field is None
            and len({each.meter for each in self.measures}) > 1
        ):
            raise ValueError("columns.meter: name the column with the meter's code, for measures of several meters")
        if self.columns.field is not None and self.comparison is ReconciliationBasis.RECORDS:
            raise ValueError("columns.field: the long form is for TOTALS; a record has its fields side by side")


class ReconciliationGate(Value, frozen=True, kw_only=True):
    """What bills of an organisation wait for: a reconciliation that reached at least `level` for each day billed."""

    reconciliation_id: Annotated[str, msgspec.Meta(min_length=36, max_length=36)]
    level: AccuracyLevel = AccuracyLevel.GOOD

    def check(self) -> None:
        if self.level is AccuracyLevel.RED:
            raise ValueError("level: must be GOOD or WARNING; every reconciliation reaches RED")


class ReconciliationRequest(Value, frozen=True, kw_only=True):
    """Which days to compare, from `startDate` up to but not including `endDate`; with an UPLOAD source, which file.
    `upTo` compares what was counted up to a journal position, such as that of a bill: what came later is then LATE."""

    reconciliation_id: Annotated[str, msgspec.Meta(min_length=36, max_length=36)]
    start_date: date
    end_date: date
    upload_id: Annotated[str, msgspec.Meta(min_length=36, max_length=36)] | None = None
    up_to: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def check(self) -> None:
        days = (self.end_date - self.start_date).days
        if not 1 <= days <= MAX_DAYS:
            raise ValueError(f"endDate: must be 1 to {MAX_DAYS} days after startDate; it is exclusive")
        if not 1970 <= self.start_date.year <= 2261:
            raise ValueError("startDate: must be a day of the years 1970 to 2261")
