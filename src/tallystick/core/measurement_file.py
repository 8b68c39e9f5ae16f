"""Files of measurements that are sent by a link, and how far each has come (source: reference 2.11, 4.4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from tallystick.core.entity import Value
from tallystick.core.event import sort_stamp
from tallystick.core.period import Instant

MAX_FILE = 1_073_741_824  # bytes
UPLOAD_SECONDS = 60  # sending a file begins within a minute of asking for the link
KEPT_DAYS = 30  # the file itself; its job stays


class FileType(StrEnum):
    APPLICATION = "application/json"
    TEXT = "text/json"


class FileStatus(StrEnum):
    NOT_UPLOADED = "notUploaded"
    RUNNING = "running"
    FAILED = "failed"
    SUCCEEDED = "succeeded"


class MeasurementFileRequest(Value, frozen=True, kw_only=True):
    """The file that is going to be sent: {"measurements": […]}, as a request has them, or the bare list."""

    file_name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    content_type: FileType
    content_length: Annotated[int, msgspec.Meta(ge=1, le=MAX_FILE)]


class MeasurementFile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A file as it is stored (document kind `measurementfile`).

    `sendings` counts how often somebody began to send it: each goes into a file of its own, and `stored` names the one
    that came whole. `total_rows` are counted first, up to byte `counted_to`; then all are taken, up to byte `taken_to`.
    """

    id: str
    version: int
    file_name: str
    content_type: FileType
    content_length: int
    status: FileStatus
    dt_created: Instant
    created_by: str
    sendings: int = 0
    stored: str | None = None
    digest: str | None = None
    upload_date: Instant | None = None
    counted: bool = False
    counted_to: int = 0
    taken_to: int = 0
    total_rows: int = 0
    processed_rows: int = 0
    failed_rows: int = 0
    accepted_rows: int = 0
    duplicate_rows: int = 0
    failure_reason: str | None = None

    @property
    def sort(self) -> str:
        """Its place in lists."""
        return sort_stamp(self.dt_created)

    def named(self, sending: int) -> str:
        """What the file of one sending is called where it is kept."""
        return f"{self.id}-{sending}.json"
