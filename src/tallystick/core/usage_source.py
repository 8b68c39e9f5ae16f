"""Sources of usage: where measurements are fetched from by themselves, and what of a row or message is which part.

An extension of ours (docs/decisions/0531-usage-sources.md).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import EntityCode, Name, Value
from tallystick.core.event import sort_stamp
from tallystick.core.period import Instant
from tallystick.core.reconciliation import LONGEST_QUERY
from tallystick.core.row_mapping import BadPart, ColumnMap, TimeUnit, columns_of
from tallystick.core.usage_event import EventForm

_ONE_SELECT = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
_WATERMARK = re.compile(r"(?<![:\w]):watermark\b")
WATERMARK = "watermark"

Host = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+(:[0-9]{1,5})?$(?!\n)")]
Topic = Annotated[str, msgspec.Meta(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$(?!\n)")]
Region = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9-]+$(?!\n)")]
Origin = Annotated[str, msgspec.Meta(max_length=300, pattern=r"^https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?$(?!\n)")]
Bucket = Annotated[str, msgspec.Meta(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]+$(?!\n)")]
FilePattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Folder = Annotated[str, msgspec.Meta(max_length=500)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
Connection = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$(?!\n)")]


class StreamStart(StrEnum):
    """Where a stream is begun that was never read: with all that is there, with what comes now, or at a time."""

    EARLIEST = "EARLIEST"
    LATEST = "LATEST"
    AT_TIMESTAMP = "AT_TIMESTAMP"


class KafkaSecurity(StrEnum):
    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class KafkaMechanism(StrEnum):
    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class KafkaFrom(Value, frozen=True, kw_only=True, tag="KAFKA", tag_field="type"):
    """Topics of a Kafka cluster, read as one group. `ca` holds certificates (PEM) to trust beside the machine's own.
    With a SASL protocol, the credentials are `username` and `password`."""

    brokers: Annotated[tuple[Host, ...], msgspec.Meta(min_length=1, max_length=20)]
    topics: Annotated[tuple[Topic, ...], msgspec.Meta(min_length=1, max_length=50)]
    group: Topic | None = None
    start: StreamStart = StreamStart.EARLIEST
    security: KafkaSecurity = KafkaSecurity.PLAINTEXT
    mechanism: KafkaMechanism = KafkaMechanism.PLAIN
    ca: Annotated[str, msgspec.Meta(max_length=100_000)] | None = None

    def check(self) -> None:
        if self.start is StreamStart.AT_TIMESTAMP:
            raise ValueError("start: must be EARLIEST or LATEST with the type KAFKA")


class KinesisFrom(Value, frozen=True, kw_only=True, tag="KINESIS", tag_field="type"):
    """A Kinesis data stream. The credentials are `accessKeyId` and `secretAccessKey`; `endpoint` is for what speaks as
    Kinesis does."""

    stream: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$(?!\n)")]
    region: Region
    endpoint: Origin | None = None
    start: StreamStart = StreamStart.EARLIEST
    start_time: Instant | None = None

    def check(self) -> None:
        if (self.start is StreamStart.AT_TIMESTAMP) != (self.start_time is not None):
            raise ValueError("startTime: give it with start AT_TIMESTAMP, and only then")


class FolderFrom(Value, frozen=True, kw_only=True, tag="FOLDER", tag_field="type"):
    """Files in a folder of the operator's directory of sources, by a pattern such as *.csv. A file is whole once it is
    as it was `settleSeconds` before; with `doneMarker`, once there is a file of its name with .done behind it. With
    `moveTo`, a folder beside, files are moved there when they are done."""

    path: Folder = ""
    pattern: FilePattern = "*"
    interval_seconds: Seconds = 10
    settle_seconds: Seconds = 5
    done_marker: bool = False
    move_to: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$(?!\n)")] | None = None


class S3From(Value, frozen=True, kw_only=True, tag="S3", tag_field="type"):
    """Files in a bucket of S3, or of what speaks as S3 does, whose names begin with `prefix` and fit the pattern. The
    credentials are `accessKeyId` and `secretAccessKey`."""

    bucket: Bucket
    region: Region
    prefix: Folder = ""
    pattern: FilePattern = "*"
    endpoint: Origin | None = None
    interval_seconds: Seconds = 60


class SqlFrom(Value, frozen=True, kw_only=True, tag="SQL", tag_field="type"):
    """Rows of a query, asked again every so often. `connection` is one that the operator named; the query is a single
    SELECT with `:watermark` in it, the greatest `watermarkColumn` so far (`startAt` at first). Rows that are read again
    count once, so `>=` is right; with `overlapSeconds` those that came late are found so long after."""

    connection: Connection
    query: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_QUERY)]
    watermark_column: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    start_at: Annotated[str, msgspec.Meta(max_length=100)]
    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=31_622_400)] = 0
    interval_seconds: Seconds = 300

    def check(self) -> None:
        if not _ONE_SELECT.match(self.query):
            raise ValueError("query: must be a single SELECT (or WITH … SELECT): a source is only read")
        if ";" in self.query.rstrip().rstrip(";"):
            raise ValueError("query: must be a single statement, without ';' inside")
        if not _WATERMARK.search(self.query):
            raise ValueError("query: must have :watermark in it, such as WHERE changed_at >= :watermark")


class AsMeasurements(Value, frozen=True, kw_only=True, tag="MEASUREMENTS", tag_field="type"):
    """Each message or line is a measurement as a request has it, or {"measurements": […]}."""


class AsRows(Value, frozen=True, kw_only=True, tag="ROWS", tag_field="type"):
    """Each message, line or row has columns. `columns` maps parts of a measurement (`ts`, `uid`, `account`,
    `measure.tokens`) to columns; meter and account may be the same for all."""

    columns: Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=60)]
    meter: EntityCode | None = None
    account: EntityCode | None = None
    time_unit: TimeUnit = TimeUnit.ISO

    def check(self) -> None:
        try:
            made = self.map_of("")
        except BadPart as problem:
            raise ValueError(f"columns: {problem}") from None
        for name, constant in (("meter", self.meter), ("account", self.account)):
            if (constant is None) == (name not in made.plain):
                raise ValueError(f"{name}: give it once, here or as a column")
        if "ts" not in made.plain:
            raise ValueError("columns: say where the time stands, as ts")

    def map_of(self, source: str) -> ColumnMap:
        """The map, for rows of a certain source."""
        parts = self.columns.items()
        return columns_of(parts, meter=self.meter, account=self.account, time_unit=self.time_unit, source=source)


class AsEvents(Value, frozen=True, kw_only=True, tag="EVENTS", tag_field="type"):
    """Each message or line is a usage event of a form; the organisation's event mappings make measurements of it."""

    form: EventForm


From = KafkaFrom | KinesisFrom | FolderFrom | S3From | SqlFrom
As = AsMeasurements | AsRows | AsEvents

# Which credentials a type takes.
CREDENTIALS: dict[type, tuple[str, ...]] = {
    KafkaFrom: ("username", "password"),
    KinesisFrom: ("accessKeyId", "secretAccessKey"),
    S3From: ("accessKeyId", "secretAccessKey"),
    FolderFrom: (),
    SqlFrom: (),
}


class UsageSource(Value, frozen=True, kw_only=True):
    """Where usage is fetched from by itself, and how it becomes measurements. One that is paused is not read."""

    kind: ClassVar[str] = "usagesource"

    name: Name
    code: EntityCode
    configuration: From
    mapping: As = AsMeasurements()
    paused: bool = False

    def check(self) -> None:
        if isinstance(self.configuration, SqlFrom) and not (
            isinstance(self.mapping, AsRows) and "uid" in self.mapping.columns
        ):
            raise ValueError("mapping: with the type SQL it must be ROWS with a column for uid: rows are read again")


class SourceStatus(StrEnum):
    """STARTING until it was reached first; FAILING while it is tried again after an error."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    FAILING = "FAILING"
    PAUSED = "PAUSED"


class SourceState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a source stands (document kind `usagesourcestate`, with the id of the source). `places` is how far each part
    was read: an offset of each partition, a sequence number of each shard, a watermark. `lag` is how many messages or
    files are known to wait, where that can be told."""

    id: str
    status: SourceStatus = SourceStatus.STARTING
    version: int = 0
    places: dict[str, str] = {}
    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    failed: int = 0
    lag: int | None = None
    last_received: Instant | None = None
    last_looked: Instant | None = None
    error: str | None = None
    error_since: Instant | None = None


class FileProgress(StrEnum):
    TAKING = "TAKING"
    DONE = "DONE"
    FAILED = "FAILED"


class SourceFile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A file of a source, and what became of its rows (document kind `sourcefile`). `body` is the file whatever it is
    called; `known_as` what it was called when it was first read, by which its rows are known."""

    id: str
    source_id: str
    name: str
    size: int
    stamp: str
    status: FileProgress
    found: Instant
    done: Instant | None = None
    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    failed: int = 0
    failure_reason: str | None = None
    body: str = ""
    known_as: str | None = None

    @property
    def sort(self) -> str:
        """Its place in lists."""
        return sort_stamp(self.found)
