"""Jobs that export data: how far each has come, what files it made, and where these go.

Source: reference 2.11 for the fields of a job and the paths of files; the manifest is ours.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tallystick.core.event import Event
from tallystick.core.export_types import (
    ExportFileFormat,
    ExportSelection,
    ExportSource,
    OperationalType,
    PartitionOrder,
)
from tallystick.core.ids import named_id
from tallystick.core.period import Instant

NAMESPACE = "5f0e0f3a-7c0c-5d3c-8a59-6f9b8f6a52ad"  # of ids of files, and of jobs that fall due by the clock
EVENT_NAME = "dataexport.job.failure"
EVENT_TYPE = "DataExportJobFailure"
MANIFEST = "manifest.json"
USAGE_TYPE = "measurements"
# How paths call the rows of each type (reference 2.11).
TYPE_NAMES: dict[OperationalType, str] = {
    OperationalType.BILLS: "bill",
    OperationalType.COMMITMENTS: "commitment",
    OperationalType.ACCOUNTS: "account",
    OperationalType.BALANCES: "balance",
    OperationalType.CONTRACTS: "contract",
    OperationalType.ACCOUNT_PLANS: "account_plan",
    OperationalType.AGGREGATIONS: "aggregation",
    OperationalType.PLANS: "plan",
    OperationalType.PRICING: "pricing",
    OperationalType.PRICING_BANDS: "pricing_band",
    OperationalType.BILL_LINE_ITEMS: "bill_line_item",
    OperationalType.METERS: "meter",
    OperationalType.PRODUCTS: "product",
    OperationalType.COMPOUND_AGGREGATIONS: "compound_aggregation",
    OperationalType.PLAN_GROUPS: "plan_group",
    OperationalType.PLAN_GROUP_LINKS: "plan_group_link",
    OperationalType.PLAN_TEMPLATES: "plan_template",
    OperationalType.BALANCE_TRANSACTIONS: "balance_transaction",
    OperationalType.TRANSACTION_TYPES: "transaction_type",
    OperationalType.CHARGES: "charge",
}


class ExportJobStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def active(self) -> bool:
        """Whether there is something left to do."""
        return self in {ExportJobStatus.PENDING, ExportJobStatus.RUNNING}


class ColumnType(StrEnum):
    """What a column holds. A QUOTIENT is a number that was divided and so may have no end: where a type has only so
    many decimals it is rounded; JSON is anything else, as JSON text."""

    TEXT = "TEXT"
    NUMBER = "NUMBER"
    QUOTIENT = "QUOTIENT"
    WHOLE = "WHOLE"
    TRUTH = "TRUTH"
    TIME = "TIME"
    DATE = "DATE"
    JSON = "JSON"


class ExportColumn(msgspec.Struct, frozen=True, rename="camel"):
    """A column of files, in order."""

    name: str
    type: ColumnType


class ExportPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How usage is gone through, settled when the job starts: stretches of time, in each the meters (or, of numbers
    that are computed, ranges of accounts by their first ids), and the columns of the files."""

    columns: tuple[ExportColumn, ...]
    stretches: tuple[tuple[Instant | None, Instant | None], ...]
    meters: tuple[str, ...] = ()
    accounts_from: tuple[str, ...] = ()


class ExportPlace(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the next file begins: in which stretch, at which meter or range of accounts, after which measurement. Of
    records: at which of their types, `within` being how many files it has already."""

    stretch: int = 0
    within: int = 0
    after: tuple[str, Instant, int] | None = None


class ExportPart(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A file that was made: `id` is made from the job and its number, so that making it again makes the same."""

    id: str
    number: int
    type: str
    rows: int
    bytes: int
    sha256: str
    columns: tuple[ExportColumn, ...]


class ExportJob(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One export. `up_to` is the journal position whose usage it has, `as_of` when its records were held still.

    `delivered` counts the files that are where they go, manifests among them, over all destinations in order. `wide`
    says that numbers have more digits than fit into the usual type of Parquet. `held_at` is the number of the last
    entry of the audit in the records that its files were made of: while it is the last, nothing of them was changed.
    """

    id: str
    version: int
    status: ExportJobStatus
    source_type: ExportSource
    selection: ExportSelection
    date_created: Instant
    created_by: str
    due: Instant
    up_to: int
    start: Instant | None = None
    end: Instant | None = None
    schedule_id: str | None = None
    started_at: Instant | None = None
    as_of: Instant | None = None
    finished_at: Instant | None = None
    plan: ExportPlan | None = None
    place: ExportPlace = ExportPlace()
    held_at: int | None = None
    made: bool = False
    wide: bool = False
    parts: int = 0
    rows: int = 0
    bytes: int = 0
    delivered: int = 0
    attempts: int = 0
    not_before: Instant | None = None
    failure: str | None = None
    kept: bool = False

    @property
    def form(self) -> ExportFileFormat:
        """The format of its files."""
        return self.selection.export_file_format


def part_id(job_id: str, number: int) -> str:
    """The id of a file of a job."""
    return named_id(NAMESPACE, f"{job_id}/{number}")


def file_name(part: ExportPart, form: ExportFileFormat) -> str:
    """What a file is called, wherever it lies."""
    return f"{part.id}_{part.type}.{form.ending}"


def path_of(organization_id: str, job: ExportJob, part: ExportPart, order: PartitionOrder, prefix: str | None) -> str:
    """Where a file goes at a destination (the pattern is m3ter's): by the hour in UTC that the export was due."""
    time, kind = _hour(job), f"type={part.type}"
    parts = (time, kind) if order is PartitionOrder.TIME_FIRST else (kind, time)
    return "/".join([*_top(organization_id, prefix), *parts, file_name(part, job.form)])


def manifest_path(organization_id: str, job: ExportJob, prefix: str | None) -> str:
    """Where the manifest goes: beside the types, so that no reader of rows comes across it."""
    return "/".join([*_top(organization_id, prefix), "manifests", _hour(job), f"job={job.id}", MANIFEST])


def manifest(
    organization_id: str, job: ExportJob, parts: tuple[ExportPart, ...], order: PartitionOrder, prefix: str | None
) -> dict[str, Any]:
    """What says that an export is complete, and of what it is: the last that is written of it."""
    schemas = {part.type: part.columns for part in parts}
    return {
        "jobId": job.id,
        "scheduleId": job.schedule_id,
        "organizationId": organization_id,
        "sourceType": job.source_type,
        "exportFileFormat": job.form,
        "dateCreated": job.date_created,
        "asOf": job.as_of,
        "journalPosition": job.up_to,
        "startDate": job.start,
        "endDate": job.end,
        "rowCount": job.rows,
        "fileCount": job.parts,
        "schemas": schemas,
        "files": [
            {
                "path": path_of(organization_id, job, part, order, prefix),
                "type": part.type,
                "rowCount": part.rows,
                "bytes": part.bytes,
                "sha256": part.sha256,
            }
            for part in parts
        ],
    }


def failure_event(job: ExportJob, reason: str, at: Instant) -> Event:
    """The event that tells of an export that failed; there is one for a job."""
    about = {
        "jobId": job.id,
        "scheduleId": job.schedule_id,
        "sourceType": job.source_type,
        "exportFileFormat": job.form,
        "reason": reason,
    }
    new = {name: value for name, value in about.items() if value is not None}
    id_ = named_id(NAMESPACE, f"failure/{job.id}")
    return Event(id=id_, event_name=EVENT_NAME, event_time=at, m3ter_event={"new": new})


def _top(organization_id: str, prefix: str | None) -> list[str]:
    folders = (prefix or "").strip("/")
    return [*([folders] if folders else []), f"orgId={organization_id}"]


def _hour(job: ExportJob) -> str:
    return f"date={job.due:%Y-%m-%d}/hour={job.due:%H}"
