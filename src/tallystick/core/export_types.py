"""Data exports as people ask for them: what is exported, in which form, where to, and when.

Source: reference 2.11. Ours are Parquet, directories, and stores that speak S3 elsewhere than at Amazon
(docs/decisions/0510-exports.md).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import Description, EntityCode, Id, Value
from tallystick.core.export_clock import ScheduleType, TimePeriod, require_cron
from tallystick.core.period import Instant
from tallystick.core.usage_request import DimensionFilter, QueryAggregation, QueryGroup, UsageRequest

MOST_DESTINATIONS = 10
LOWEST_MINUTES, HIGHEST_DAYS = 15, 3  # how often a schedule may run, and how seldom
_PREFIX = r"^[A-Za-z0-9!_.*'()=/-]*$(?!\n)"
_ENDPOINT = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")

ExportName = Annotated[str, msgspec.Meta(max_length=200)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Prefix = Annotated[str, msgspec.Meta(max_length=500, pattern=_PREFIX)]


class ExportSource(StrEnum):
    """What is exported: measurements (or numbers computed from them), or what is configured, billed and booked."""

    USAGE = "USAGE"
    OPERATIONAL = "OPERATIONAL"


class OperationalType(StrEnum):
    BILLS = "BILLS"
    COMMITMENTS = "COMMITMENTS"
    ACCOUNTS = "ACCOUNTS"
    BALANCES = "BALANCES"
    CONTRACTS = "CONTRACTS"
    ACCOUNT_PLANS = "ACCOUNT_PLANS"
    AGGREGATIONS = "AGGREGATIONS"
    PLANS = "PLANS"
    PRICING = "PRICING"
    PRICING_BANDS = "PRICING_BANDS"
    BILL_LINE_ITEMS = "BILL_LINE_ITEMS"
    METERS = "METERS"
    PRODUCTS = "PRODUCTS"
    COMPOUND_AGGREGATIONS = "COMPOUND_AGGREGATIONS"
    PLAN_GROUPS = "PLAN_GROUPS"
    PLAN_GROUP_LINKS = "PLAN_GROUP_LINKS"
    PLAN_TEMPLATES = "PLAN_TEMPLATES"
    BALANCE_TRANSACTIONS = "BALANCE_TRANSACTIONS"
    TRANSACTION_TYPES = "TRANSACTION_TYPES"
    CHARGES = "CHARGES"


class ExportFileFormat(StrEnum):
    """CSV and JSONL are m3ter's and are compressed with gzip; PARQUET is ours."""

    CSV = "CSV"
    JSONL = "JSONL"
    PARQUET = "PARQUET"

    @property
    def ending(self) -> str:
        """The end of the names of files."""
        return {"CSV": "csv.gz", "JSONL": "jsonl.gz", "PARQUET": "parquet"}[self.value]

    @property
    def media_type(self) -> str:
        """As HTTP calls the file."""
        return "application/vnd.apache.parquet" if self is ExportFileFormat.PARQUET else "application/gzip"


class DestinationType(StrEnum):
    """Where files go: a bucket at Amazon or of a store that speaks its protocol, a bucket at Google, or a directory
    within the one that the operator opened for exports (LOCAL, ours)."""

    S3 = "S3"
    GCS = "GCS"
    LOCAL = "LOCAL"


class PartitionOrder(StrEnum):
    """Whether paths name the time of the export before the type of its rows."""

    TIME_FIRST = "TIME_FIRST"
    TYPE_FIRST = "TYPE_FIRST"


# What a destination of each type must have, and what else it may have (Python names).
_MUST: dict[DestinationType, tuple[str, ...]] = {
    DestinationType.S3: ("bucket_name",),
    DestinationType.GCS: ("bucket_name", "project_number", "pool_id", "provider_id"),
    DestinationType.LOCAL: (),
}
_MAY: dict[DestinationType, tuple[str, ...]] = {
    DestinationType.S3: ("iam_role_arn", "endpoint", "region", "access_key_id", "sealed_secret"),
    DestinationType.GCS: ("service_account_email", "endpoint"),
    DestinationType.LOCAL: (),
}
_OF_SOME = sorted({name for names in (*_MUST.values(), *_MAY.values()) for name in names})


class ExportDestination(Value, frozen=True, kw_only=True):
    """Where the files of exports go. `sealed_secret` is the secret access key as it is stored; it is never shown.

    `endpoint`, `region` and the access key are ours, for stores that speak S3: with a key, no role is assumed.
    """

    kind: ClassVar[str] = "exportdestination"
    filters: ClassVar[tuple[str, ...]] = ("destination_type",)

    name: ExportName = ""  # absent: made from where it leads
    code: EntityCode | None = None
    destination_type: DestinationType = DestinationType.S3
    bucket_name: Annotated[str, msgspec.Meta(min_length=3, max_length=63, pattern=r"^[a-z0-9._-]+$(?!\n)")] | None = (
        None
    )
    prefix: Prefix | None = None
    partition_order: PartitionOrder | None = PartitionOrder.TIME_FIRST
    iam_role_arn: Annotated[str, msgspec.Meta(pattern=r"^arn:aws:iam::\d+:role/.*$(?!\n)", max_length=300)] | None = (
        None
    )
    project_number: Text | None = None
    pool_id: Text | None = None
    provider_id: Text | None = None
    service_account_email: Text | None = None
    endpoint: Text | None = None
    region: Annotated[str, msgspec.Meta(max_length=40, pattern=r"^[a-z0-9-]+$(?!\n)")] | None = None  # part of a host
    access_key_id: Text | None = None
    sealed_secret: str | None = None

    def check(self) -> None:
        kind = self.destination_type
        for name in _OF_SOME:
            wire = "secretAccessKey" if name == "sealed_secret" else _camel(name)
            if getattr(self, name) is None and name in _MUST[kind]:
                raise ValueError(f"{wire}: must be given with the destinationType {kind}")
            if getattr(self, name) is not None and name not in (*_MUST[kind], *_MAY[kind]):
                raise ValueError(f"{wire}: cannot be given with the destinationType {kind}")
        if kind is DestinationType.S3 and self.iam_role_arn is None and self.access_key_id is None:
            raise ValueError("iamRoleArn: must be given, or accessKeyId and secretAccessKey for a store that has keys")
        if (self.access_key_id is None) != (self.sealed_secret is None):
            raise ValueError("secretAccessKey: give it together with accessKeyId")
        if self.endpoint is not None and not _ENDPOINT.fullmatch(self.endpoint):
            raise ValueError(
                "endpoint: must be a scheme and a host in small letters, such as https://s3.example, without a path"
            )
        folders = (self.prefix or "").strip("/")
        if folders and any(part in {"", ".", ".."} for part in folders.split("/")):
            raise ValueError("prefix: must be names joined by single slashes, none of them '.' or '..'")


def sealed_for(destination_id: str) -> str:
    """What the secret of a destination is sealed for."""
    return f"exportdestination/{destination_id}"


class ExportSelection(Value, frozen=True, kw_only=True):
    """What both schedules and single exports say of what is exported, and how."""

    source_type: ExportSource
    destination_ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MOST_DESTINATIONS)] = ()
    export_file_format: ExportFileFormat = ExportFileFormat.CSV
    operational_data_types: tuple[OperationalType, ...] | None = None
    meter_ids: tuple[str, ...] | None = None
    account_ids: tuple[str, ...] | None = None
    dimension_filters: tuple[DimensionFilter, ...] | None = None
    aggregations: Annotated[tuple[QueryAggregation, ...], msgspec.Meta(max_length=30)] | None = None
    groups: Annotated[tuple[QueryGroup, ...], msgspec.Meta(max_length=10)] | None = None

    def check(self) -> None:
        if self.source_type is ExportSource.OPERATIONAL:
            if not self.operational_data_types:
                raise ValueError("operationalDataTypes: name at least one with the sourceType OPERATIONAL")
            for name in ("meter_ids", "account_ids", "dimension_filters", "aggregations", "groups"):
                if getattr(self, name):
                    raise ValueError(f"{_camel(name)}: cannot be given with the sourceType OPERATIONAL")
        elif self.operational_data_types:
            raise ValueError("operationalDataTypes: cannot be given with the sourceType USAGE")
        if self.groups and not self.aggregations:
            raise ValueError("groups: need aggregations to group; give aggregations or leave groups out")
        if len(set(self.destination_ids)) < len(self.destination_ids):
            raise ValueError("destinationIds: names the same destination twice")

    def usage(self, start: Instant | None, end: Instant | None) -> UsageRequest:
        """The question about usage, between two instants."""
        return UsageRequest(
            start_date=start,
            end_date=end,
            meter_ids=self.meter_ids or None,
            account_ids=self.account_ids or None,
            dimension_filters=self.dimension_filters or (),
            aggregations=self.aggregations or (),
            groups=self.groups or (),
        )


class ExportSchedule(ExportSelection, frozen=True, kw_only=True):
    """An export that is made again and again: every `period` of `schedule_type`, begun `offset` into it (hours into
    days, minutes into hours), or when `cron_expression` says, in UTC. Without any of these: every day at midnight."""

    kind: ClassVar[str] = "exportschedule"
    references: ClassVar[tuple[str, ...]] = ("destination_ids",)
    filters: ClassVar[tuple[str, ...]] = ("source_type",)

    name: ExportName = ""  # absent: made from what is exported
    code: EntityCode | None = None
    schedule_type: ScheduleType | None = None
    period: Annotated[int, msgspec.Meta(ge=1, le=4_320)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0, le=59)] | None = None
    cron_expression: Description | None = None
    time_period: TimePeriod | None = None

    def check(self) -> None:
        ExportSelection.check(self)
        if (self.source_type is ExportSource.USAGE) != (self.time_period is not None):
            rule = "must be given" if self.time_period is None else "cannot be given"
            raise ValueError(f"timePeriod: {rule} with the sourceType {self.source_type}")
        if self.cron_expression is not None:
            if (self.schedule_type, self.period, self.offset) != (None, None, None):
                raise ValueError("cronExpression: give it, or scheduleType with period and offset, not both")
            require_cron(self.cron_expression)
            return
        kind = self.schedule_type or ScheduleType.DAY
        if self.schedule_type is None and (self.period, self.offset) != (None, None):
            raise ValueError("scheduleType: must be given with period or offset")
        minutes = (self.period or 1) * kind.minutes
        if not LOWEST_MINUTES <= minutes <= HIGHEST_DAYS * ScheduleType.DAY.minutes:
            raise ValueError(f"period: an export runs every {LOWEST_MINUTES} minutes to every {HIGHEST_DAYS} days")
        if self.offset is not None and (kind is ScheduleType.MINUTE or self.offset >= kind.offsets):
            rule = "cannot be given" if kind is ScheduleType.MINUTE else f"must be below {kind.offsets}"
            raise ValueError(f"offset: {rule} with the scheduleType {kind}")


class AdHocExport(ExportSelection, frozen=True, kw_only=True):
    """An export that is made once, now. Of usage, from `start_date` until `end_date` (exclusive), both to be given."""

    start_date: Instant | None = None
    end_date: Instant | None = None

    def check(self) -> None:
        ExportSelection.check(self)
        given = [name for name in ("start_date", "end_date") if getattr(self, name) is not None]
        if self.source_type is ExportSource.OPERATIONAL:
            if given:
                raise ValueError(f"{_camel(given[0])}: cannot be given with the sourceType OPERATIONAL")
            return
        for name in ("start_date", "end_date"):
            if name not in given:
                hint = " (the Python SDK has no argument for it: use extra_body)" if name == "start_date" else ""
                raise ValueError(f"{_camel(name)}: must be given with the sourceType USAGE{hint}")
        assert self.start_date is not None, "looked at above"
        assert self.end_date is not None, "looked at above"
        if self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
