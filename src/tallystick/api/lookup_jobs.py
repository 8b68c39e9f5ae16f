"""Jobs on the rows of lookup table revisions over HTTP: copies, uploads and downloads of files, archived rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from tallystick.api.crud import PAGING, Reply, desk_of
from tallystick.api.lookup_data import BASE, ids_in
from tallystick.api.lookup_tables import TAG
from tallystick.api.routing import Call, Paged, Raw, Route, struct_page
from tallystick.control import lookup_files, lookup_jobs
from tallystick.control import lookup_tables as tables
from tallystick.core.entity import Id, Value
from tallystick.core.lookup_files import FileType, RowFailure
from tallystick.core.lookup_job import (
    ARCHIVE_SECONDS,
    DOWNLOAD_SECONDS,
    UPLOAD_SECONDS,
    JobStatus,
    JobType,
    LookupJob,
    as_of,
)
from tallystick.core.period import Instant
from tallystick.web.links import sign

MAX_FILE = 104_857_600  # bytes
FILES = "/lookuptablefiles"
_JOB, _FORM = "job", "contentType"
_LINK = {
    _JOB: "The job that the file is of.",
    "expires": "When the link ends, in seconds since 1970.",
    "signature": "What proves the link.",
}


class LookupCopy(Value, frozen=True, kw_only=True):
    """Where to copy the rows to: a draft, or, when absent, a new revision."""

    revision_id: Id | None = None


class CopyReply(Value, frozen=True, kw_only=True):
    """The job that was done, and the revision that has the rows now."""

    job_id: Id
    revision_id: Id


class LookupUpload(Value, frozen=True, kw_only=True):
    """The file that is going to be sent. With a version, the rows must still be at it then."""

    file_name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    content_type: FileType
    content_length: Annotated[int, msgspec.Meta(ge=1, le=MAX_FILE)]
    version: int | None = None


class UploadReply(Value, frozen=True, kw_only=True):
    """Where to PUT the file within a minute, and with which headers."""

    job_id: Id
    url: str
    headers: dict[str, str]


class LookupForm(Value, frozen=True, kw_only=True):
    """The form that a file shall have."""

    content_type: FileType


class JobIdReply(Value, frozen=True, kw_only=True):
    """The job that the file can be fetched from."""

    job_id: Id


class ArchivedReply(Value, frozen=True, kw_only=True):
    """Where the archived rows can be fetched, and until when."""

    url: str
    expiry: Instant


class LookupJobReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A job. A failed upload names each row that is wrong, at most a hundred of them."""

    id: str
    version: int
    type: JobType
    status: JobStatus
    lookup_table_id: str
    lookup_table_revision_id: str
    job_date: Instant
    file_name: str | None = None
    destination_lookup_table_revision_id: str | None = None
    failure_reason: str | None = None
    failures: tuple[RowFailure, ...] = ()
    download_url: str | None = None
    download_url_expiry: Instant | None = None


def _reply(call: Call, job: LookupJob) -> LookupJobReply:
    shown = as_of(job, call.now)
    names = set(LookupJobReply.__struct_fields__) & set(LookupJob.__struct_fields__)
    url, expiry = (None, None)
    if job.type is JobType.DOWNLOAD:
        url, expiry = _link(call, DOWNLOAD_SECONDS, {_JOB: job.id}), _later(call, DOWNLOAD_SECONDS)
    given = {name: getattr(shown, name) for name in sorted(names)}
    return LookupJobReply(**given, download_url=url, download_url_expiry=expiry)


def _link(call: Call, seconds: int, query: dict[str, str]) -> str:
    path = f"/organizations/{call.organization_id}{FILES}"
    return call.base_url + sign(call.app.key, path, query, call.now, seconds)


def _later(call: Call, seconds: int) -> Instant:
    return Instant.of((call.now + timedelta(seconds=seconds)).replace(microsecond=0))


def _copy(call: Call, body: LookupCopy) -> CopyReply:
    job = tables.copy(desk_of(call), *ids_in(call), body.revision_id)
    assert job.destination_lookup_table_revision_id is not None, "a copy has gone somewhere"
    return CopyReply(job_id=job.id, revision_id=job.destination_lookup_table_revision_id)


def _order_upload(call: Call, body: LookupUpload) -> UploadReply:
    job = lookup_files.order_upload(
        desk_of(call),
        *ids_in(call),
        file_name=body.file_name,
        content_type=body.content_type,
        content_length=body.content_length,
        data_version=body.version,
    )
    seconds = UPLOAD_SECONDS + call.app.settings.body_seconds  # a link that expires while the file comes still serves
    url = _link(call, seconds, {_JOB: job.id})
    return UploadReply(job_id=job.id, url=url, headers={"Content-Type": body.content_type.value})


def _take_upload(call: Call) -> LookupJobReply:
    """The file itself; the link was checked before."""
    return _reply(call, lookup_files.take_upload(desk_of(call), call.query.text(_JOB) or "", call.raw))


def _order_download(call: Call, body: LookupForm) -> JobIdReply:
    return JobIdReply(job_id=lookup_files.order_download(desk_of(call), *ids_in(call), body.content_type).id)


def _archived(call: Call, body: LookupForm) -> ArchivedReply:
    job = lookup_files.archive_of(desk_of(call), *ids_in(call))
    url = _link(call, ARCHIVE_SECONDS, {_JOB: job.id, _FORM: body.content_type.value})
    return ArchivedReply(url=url, expiry=_later(call, ARCHIVE_SECONDS))


def _fetch(call: Call) -> Raw:
    """A file; the link was checked before."""
    job = lookup_jobs.read_job(call.records, call.query.text(_JOB) or "")
    form = job.content_type or FileType(call.query.text(_FORM) or FileType.JSONL)
    body, name = lookup_files.file_of(call.records, job, form)
    return Raw(body, form.value, name)


def _find(call: Call) -> Reply:
    revision = tables.revision_of(call.records, *ids_in(call))
    found = lookup_jobs.list_jobs(call.records, revision.id, call.query.page())
    return struct_page([_reply(call, job) for job in found.rows], found.next_token)


def _retrieve(call: Call) -> LookupJobReply:
    revision = tables.revision_of(call.records, *ids_in(call))
    return _reply(call, lookup_jobs.read_job(call.records, call.path["id"], revision.id))


def _delete(call: Call) -> LookupJobReply:
    revision = tables.revision_of(call.records, *ids_in(call))
    return _reply(call, lookup_jobs.delete_job(desk_of(call), call.path["id"], revision.id))


ROUTES = (
    Route(
        method="POST",
        path=f"{BASE}/copy",
        run=_copy,
        summary="Copy the rows of a revision",
        tag=TAG,
        scope="config:create",
        body=LookupCopy,
        reply=CopyReply,
    ),
    Route(
        method="POST",
        path=f"{BASE}/generateuploadurl",
        run=_order_upload,
        summary="Ask for a link to upload rows by, as CSV or JSON lines",
        tag=TAG,
        scope="config:create",
        body=LookupUpload,
        reply=UploadReply,
    ),
    Route(
        method="POST",
        path=f"{BASE}/jobs/download",
        run=_order_download,
        summary="Ask for a file of the rows as they stand",
        tag=TAG,
        scope="config:create",
        body=LookupForm,
        reply=JobIdReply,
    ),
    Route(
        method="POST",
        path=f"{BASE}/archived",
        run=_archived,
        summary="Get a short-lived link to the rows of an archived revision",
        tag=TAG,
        scope="config:create",
        body=LookupForm,
        reply=ArchivedReply,
    ),
    Route(
        method="GET",
        path=f"{BASE}/jobs",
        run=_find,
        summary="List the jobs on the rows of a revision",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(LookupJobReply),
        query=PAGING,
    ),
    Route(
        method="GET",
        path=f"{BASE}/jobs/{{id}}",
        run=_retrieve,
        summary="Read a job, with a short-lived link to its download",
        tag=TAG,
        scope="config:retrieve",
        reply=LookupJobReply,
    ),
    Route(
        method="DELETE",
        path=f"{BASE}/jobs/{{id}}",
        run=_delete,
        summary="Delete a job; what it has done stays",
        tag=TAG,
        scope="config:delete",
        reply=LookupJobReply,
    ),
    Route(
        method="PUT",
        path=FILES,
        run=_take_upload,
        summary="Send the file of an upload, by such a link",
        tag=TAG,
        scope="config:create",
        reply=LookupJobReply,
        query=_LINK,
        signed=True,
        file_bytes=MAX_FILE,
    ),
    Route(
        method="GET",
        path=FILES,
        run=_fetch,
        summary="Fetch a file of rows, by such a link",
        tag=TAG,
        scope="config:retrieve",
        reply=Raw,
        query={**_LINK, _FORM: "The form of archived rows."},
        signed=True,
    ),
)
