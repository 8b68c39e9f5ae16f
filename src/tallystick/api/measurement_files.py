"""Files of measurements over HTTP: a link to send one by, its job, and a link to what was sent.

The files themselves go past the routes (`file_stream.py`): they may be larger than the memory.
"""

from __future__ import annotations

import msgspec

from tallystick.api.crud import PAGING, Reply
from tallystick.api.routing import Call, Paged, Raw, Route, struct_page
from tallystick.control.desk import new_id
from tallystick.core.ids import named_id
from tallystick.core.measurement_file import (
    MAX_FILE,
    UPLOAD_SECONDS,
    FileStatus,
    MeasurementFile,
    MeasurementFileRequest,
)
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.pipeline import measurement_files
from tallystick.web.links import sign

TAG = "Measurements"
BASE = "/fileuploads/measurements"
FILES = f"{BASE}/files"
JOB = "job"
FETCH_SECONDS = 900  # a link to what was sent opens for a quarter of an hour
_SCOPE = "measurements:fileUpload"
_LINK = {
    JOB: "The job that the file is of.",
    "expires": "When the link ends, in seconds since 1970.",
    "signature": "What proves the link.",
}


class FileLink(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where to PUT or GET a file, and with which headers."""

    job_id: str
    url: str
    headers: dict[str, str]


class MeasurementFileReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A file and how far it has come. Its rows are counted first, then taken; `failed_rows` of them did not count."""

    id: str
    version: int
    file_name: str
    content_length: int
    status: FileStatus
    upload_date: Instant
    total_rows: int | None = None
    processed_rows: int | None = None
    failed_rows: int | None = None
    duplicate_rows: int | None = None
    failure_reason: str | None = None


def reply(job: MeasurementFile) -> MeasurementFileReply:
    """A job as it is shown."""
    counted = job.counted
    return MeasurementFileReply(
        id=job.id,
        version=job.version,
        file_name=job.file_name,
        content_length=job.content_length,
        status=job.status,
        upload_date=job.upload_date or job.dt_created,
        total_rows=job.total_rows if counted else None,
        processed_rows=job.processed_rows if counted else None,
        failed_rows=job.failed_rows if counted else None,
        duplicate_rows=job.duplicate_rows if counted else None,
        failure_reason=job.failure_reason,
    )


def _link(call: Call, job: MeasurementFile, seconds: int) -> str:
    path = f"/organizations/{call.organization_id}{FILES}"
    return call.base_url + sign(call.app.key, path, {JOB: job.id}, call.now, seconds)


def _order(call: Call, body: MeasurementFileRequest) -> FileLink:
    job = measurement_files.order(call.records, body, id=new_id(), actor=call.actor, now=call.now)
    url = _link(call, job, UPLOAD_SECONDS)
    return FileLink(job_id=job.id, url=url, headers={"Content-Type": body.content_type.value})


def _find(call: Call) -> Reply:
    start, end = call.query.instant("dateCreatedStart"), call.query.instant("dateCreatedEnd")
    status = call.query.choice("status", FileStatus)
    found = measurement_files.list_files(call.records, call.query.page(), start=start, end=end, status=status)
    return struct_page([reply(each) for each in found.rows], found.next_token)


def _retrieve(call: Call) -> MeasurementFileReply:
    return reply(measurement_files.read_file(call.records, call.path["id"]))


def _original(call: Call) -> FileLink:
    job = measurement_files.read_file(call.records, call.path["id"])
    if job.stored is None or not job.sendings:
        what = "did not come" if job.stored is None else "was kept for 30 days and is gone"
        raise Refusal("not_found", f"id: the file of the job {job.id} {what}", field="id")
    url = _link(call, job, FETCH_SECONDS)
    return FileLink(job_id=named_id(job.id, f"original at {call.now.wire()}"), url=url, headers={})


def _past_the_routes(_: Call) -> Raw:
    raise AssertionError("files go past the routes")


ROUTES = (
    Route(
        method="POST",
        path=f"{BASE}/generateUploadUrl",
        run=_order,
        summary="Ask for a link to send a file of measurements by, within a minute",
        tag=TAG,
        scope=_SCOPE,
        body=MeasurementFileRequest,
        reply=FileLink,
    ),
    Route(
        method="GET",
        path=f"{BASE}/jobs",
        run=_find,
        summary="List the files of measurements, the latest first",
        tag=TAG,
        scope=_SCOPE,
        reply=Paged(MeasurementFileReply),
        query={
            "dateCreatedStart": "Only jobs created at or after this date and time.",
            "dateCreatedEnd": "Only jobs created before this date and time.",
            "status": "Only jobs that are notUploaded, running, failed or succeeded.",
            **PAGING,
        },
    ),
    Route(
        method="GET",
        path=f"{BASE}/jobs/{{id}}",
        run=_retrieve,
        summary="Read how far a file of measurements has come",
        tag=TAG,
        scope=_SCOPE,
        reply=MeasurementFileReply,
    ),
    Route(
        method="GET",
        path=f"{BASE}/jobs/{{id}}/original",
        run=_original,
        summary="Get a short-lived link to a file as it was sent",
        tag=TAG,
        scope=_SCOPE,
        reply=FileLink,
    ),
    Route(
        method="PUT",
        path=FILES,
        run=_past_the_routes,
        summary="Send a file of measurements, by such a link",
        tag=TAG,
        scope=_SCOPE,
        reply=MeasurementFileReply,
        query=_LINK,
        signed=True,
        file_bytes=MAX_FILE,
    ),
    Route(
        method="GET",
        path=FILES,
        run=_past_the_routes,
        summary="Fetch a file of measurements, by such a link",
        tag=TAG,
        scope=_SCOPE,
        reply=Raw,
        query=_LINK,
        signed=True,
    ),
)
