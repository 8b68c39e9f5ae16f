"""Jobs on the rows of lookup table revisions: copies, uploads, downloads, and what is kept of the archived."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tallystick.core.lookup_files import FileType, RowFailure
from tallystick.core.period import Instant

UPLOAD_SECONDS = 60  # sending a file begins within a minute of asking for the link …
SENDING_SECONDS = 900  # … and may take this long …
DOWNLOAD_SECONDS = 900  # … a link to a download opens for a quarter of an hour …
ARCHIVE_SECONDS = 3_600  # … one to archived rows for an hour
EXPIRED = "no file came before the link to upload it by expired; ask for another"
_LISTED = 10  # failures that the reason names


class JobType(StrEnum):
    COPY = "COPY"
    UPLOAD = "UPLOAD"
    DOWNLOAD = "DOWNLOAD"
    ARCHIVE = "ARCHIVE"


class JobStatus(StrEnum):
    PENDING = "PENDING"
    FAILED = "FAILED"
    SUCCEEDED = "SUCCEEDED"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Rows as they stood: a version of the revision, and one of its rows (None: it had none)."""

    revision_version: int
    data_id: str | None = None
    data_version: int | None = None


class LookupJob(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A job as it is stored (document kind `lookupjob`).

    An upload waits for its file until `expires`; `data_version` is the version of the rows that it wants to change.
    A download and an archive say which rows they are of; the file is written whenever somebody fetches it.
    """

    id: str
    version: int
    type: JobType
    status: JobStatus
    lookup_table_id: str
    lookup_table_revision_id: str
    job_date: Instant
    created_by: str
    file_name: str | None = None
    content_type: FileType | None = None
    content_length: int | None = None
    data_version: int | None = None
    expires: Instant | None = None
    destination_lookup_table_revision_id: str | None = None
    snapshot: Snapshot | None = None
    failure_reason: str | None = None
    failures: tuple[RowFailure, ...] = ()


def as_of(job: LookupJob, now: Instant) -> LookupJob:
    """The job as it shows itself at a moment: an upload whose link expired unused has failed."""
    late = job.expires is not None and (now - job.expires).total_seconds() > SENDING_SECONDS
    if late and job.status is JobStatus.PENDING:
        return msgspec.structs.replace(job, status=JobStatus.FAILED, failure_reason=EXPIRED)
    return job


def reason_of(failures: tuple[RowFailure, ...]) -> str:
    """What is wrong with a file, in one text."""
    listed = "; ".join(each.sentence for each in failures[:_LISTED])
    more = f"; and {len(failures) - _LISTED} more" if len(failures) > _LISTED else ""
    return f"nothing was changed: {listed}{more}"
