"""Data exports over HTTP: single exports, schedules, destinations, jobs and the download of what they made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from tallystick.api.crud import IDS, PAGING, Crud, desk_of, request_type, value_of
from tallystick.api.routing import Call, Paged, Raw, Route, Streamed, entity_reply, struct_page
from tallystick.control import export_jobs
from tallystick.control.data_exports import DESTINATIONS, SCHEDULES, Gate, save_destination
from tallystick.control.export_download import download_of
from tallystick.core.entity import Entity
from tallystick.core.export_job import ExportJob, ExportJobStatus, manifest
from tallystick.core.export_types import (
    AdHocExport,
    ExportDestination,
    ExportFileFormat,
    ExportSelection,
    ExportSource,
    PartitionOrder,
)
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords
from tallystick.web.links import sign

DOWNLOAD = "dataexports/download"
TAG = "Data exports"
SEALED = "sealed_secret"
MEASUREMENTS = "measurements:retrieve"


class AdHocReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The job that makes the export."""

    job_id: str


class ExportJobReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An export job. All from `exportFileFormat` on are extensions of ours."""

    id: str
    version: int
    status: ExportJobStatus
    source_type: ExportSource
    date_created: Instant
    schedule_id: str | None = None
    started_at: Instant | None = None
    export_file_format: ExportFileFormat
    destination_ids: tuple[str, ...] = ()
    finished_at: Instant | None = None
    start_date: Instant | None = None
    end_date: Instant | None = None
    as_of: Instant | None = None
    journal_position: int | None = None
    row_count: int | None = None
    file_count: int | None = None
    byte_count: int | None = None
    failure: str | None = None


class DownloadUrlReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the files can be fetched without a token, until `expirationTime`."""

    url: str
    expiration_time: Instant


class ExportManifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an export consists of: its files with their rows, bytes and SHA-256, their columns, and its state."""

    job_id: str
    row_count: int
    file_count: int
    files: list[dict[str, Any]]
    schemas: dict[str, Any]
    schedule_id: str | None = None
    organization_id: str | None = None
    source_type: ExportSource | None = None
    export_file_format: ExportFileFormat | None = None
    date_created: Instant | None = None
    as_of: Instant | None = None
    journal_position: int | None = None
    start_date: Instant | None = None
    end_date: Instant | None = None


def _destination_request() -> type[msgspec.Struct]:
    """The body of a destination: the value's fields, with the secret in the place of what is stored of it."""
    own = [
        (each.name, each.type, each.default)
        for each in msgspec.structs.fields(ExportDestination)
        if each.name != SEALED
    ]
    more: list[Any] = [("secret_access_key", str | None, None), ("version", int | None, None)]
    return msgspec.defstruct(
        "ExportDestinationRequest",
        [*own, *more],
        module=__name__,
        namespace={"__doc__": ExportDestination.__doc__},
        frozen=True,
        kw_only=True,
        rename="camel",
    )


DestinationRequest = _destination_request()
AdHocRequest = request_type(AdHocExport)


def _fields(body: Any) -> dict[str, object]:
    return {name: getattr(body, name) for name in ExportDestination.__struct_fields__ if name != SEALED}


def _gate(call: Call) -> Gate:
    return Gate(targets=call.app.targets, vault=call.app.vault)


def create_destination(call: Call, body: Any) -> dict[str, object]:
    """Keep a destination."""
    return _shown(save_destination(desk_of(call), _gate(call), _fields(body), body.secret_access_key))


def update_destination(call: Call, body: Any) -> dict[str, object]:
    """Replace a destination; without a secret the one it has goes on."""
    desk, id_ = desk_of(call), call.path["id"]
    return _shown(
        save_destination(desk, _gate(call), _fields(body), body.secret_access_key, id=id_, version=body.version)
    )


def _shown(entity: Entity[ExportDestination]) -> dict[str, object]:
    """A destination without what is stored of its secret."""
    return {name: value for name, value in entity_reply(entity).items() if name != "sealedSecret"}


def _all_shown(_: OrganizationRecords, entities: Any) -> list[dict[str, object]]:
    return [_shown(entity) for entity in entities]


def _require_measurements(call: Call, selection: ExportSelection) -> None:
    """Who may not read measurements may not have them exported either."""
    scopes = call.actor.scopes
    if selection.source_type is ExportSource.USAGE and not {"all", MEASUREMENTS} & set(scopes):
        raise Refusal("forbidden", f"this needs the scope {MEASUREMENTS}, which the service user does not have")


def _schedule_act(run: Any) -> Any:
    def act(call: Call, body: Any) -> object:
        _require_measurements(call, body)
        return run(call, body)

    return act


def create_ad_hoc(call: Call, body: Any) -> AdHocReply:
    """Ask for an export, now."""
    asked = value_of(AdHocExport, body)
    _require_measurements(call, asked)
    return AdHocReply(job_id=export_jobs.create_job(desk_of(call), asked, up_to=call.app.journal.last).id)


def retrieve_job(call: Call) -> ExportJobReply:
    """One job."""
    return _reply(export_jobs.read_job(call.records, call.path["id"]))


def find_jobs(call: Call) -> dict[str, object]:
    """A page of jobs, newest first."""
    found = export_jobs.list_jobs(
        call.records,
        call.query.page(),
        ids=call.query.texts("ids"),
        schedule_id=call.query.text("scheduleId"),
        status=call.query.choice("status", ExportJobStatus),
        created=(call.query.instant("dateCreatedStart"), call.query.instant("dateCreatedEnd")),
    )
    return struct_page([_reply(job) for job in found.rows], found.next_token)


def download_url(call: Call) -> DownloadUrlReply:
    """A link to the files of a job of the last day."""
    job = export_jobs.downloadable(call.records, call.path["id"], call.now)
    _require_measurements(call, job.selection)
    path = f"/organizations/{call.organization_id}/{DOWNLOAD}"
    link = sign(call.app.key, path, {"job": job.id}, call.now, export_jobs.LINK_SECONDS)
    ends = Instant.of(call.now.replace(microsecond=0) + export_jobs.LINK)
    return DownloadUrlReply(url=call.base_url + link, expiration_time=ends)


def read_manifest(call: Call) -> dict[str, Any]:
    """What an export consists of."""
    job = export_jobs.read_job(call.records, call.path["id"])
    if job.status is not ExportJobStatus.SUCCEEDED:
        message = f"id: the job is {job.status}: an export has a manifest once it has SUCCEEDED"
        raise Refusal("rule_broken", message, field="id")
    parts = export_jobs.parts_of(call.records, job)
    return manifest(call.organization_id, job, parts, PartitionOrder.TIME_FIRST, None)


def download(call: Call) -> Streamed:
    """The files; the link was checked before."""
    job = export_jobs.downloadable(call.records, call.query.text("job") or "", call.now, by_link=True)
    folder = call.app.settings.directory / "exports" / call.organization_id / job.id
    made = download_of(call.organization_id, job, export_jobs.parts_of(call.records, job), folder)
    return Streamed(made.parts, made.media_type, made.file_name)


def _reply(job: ExportJob) -> ExportJobReply:
    done = job.status is ExportJobStatus.SUCCEEDED
    return ExportJobReply(
        id=job.id,
        version=job.version,
        status=job.status,
        source_type=job.source_type,
        date_created=job.date_created,
        schedule_id=job.schedule_id,
        started_at=job.started_at,
        export_file_format=job.form,
        destination_ids=job.selection.destination_ids,
        finished_at=job.finished_at,
        start_date=job.start,
        end_date=job.end,
        as_of=job.as_of,
        journal_position=job.up_to,
        row_count=job.rows if done else None,
        file_count=job.parts if done else None,
        byte_count=job.bytes if done else None,
        failure=job.failure,
    )


_DESTINATIONS = Crud(
    noun=DESTINATIONS, path="/dataexports/destinations", tag=TAG, body=DestinationRequest, show=_all_shown
)
_SCHEDULES = Crud(noun=SCHEDULES, path="/dataexports/schedules", tag=TAG)
_INSTEAD = {"POST": create_destination, "PUT": update_destination}

ROUTES = (
    *(replace(route, run=_INSTEAD.get(route.method, route.run)) for route in _DESTINATIONS.routes()),
    *(
        replace(route, run=_schedule_act(route.run)) if route.body is not None else route
        for route in _SCHEDULES.routes()
    ),
    Route(
        method="POST",
        path="/dataexports/adhoc",
        run=create_ad_hoc,
        summary="Export data once, now",
        tag=TAG,
        scope="config:create",
        body=AdHocRequest,
        reply=AdHocReply,
    ),
    Route(
        method="GET",
        path="/dataexports/jobs",
        run=find_jobs,
        summary="List export jobs",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(ExportJobReply),
        query={
            "ids": IDS,
            "scheduleId": "Only jobs of this schedule.",
            "status": "Only this status.",
            "dateCreatedStart": "Only jobs asked for at or after this instant.",
            "dateCreatedEnd": "Only jobs asked for before this instant.",
            **PAGING,
        },
    ),
    Route(
        method="GET",
        path="/dataexports/jobs/{id}",
        run=retrieve_job,
        summary="Read an export job",
        tag=TAG,
        scope="config:retrieve",
        reply=ExportJobReply,
    ),
    Route(
        method="GET",
        path="/dataexports/jobs/{id}/getdownloadurl",
        run=download_url,
        summary="Get a link to what an export job made, good for 15 minutes",
        tag=TAG,
        scope="config:retrieve",
        reply=DownloadUrlReply,
    ),
    Route(
        method="GET",
        path="/dataexports/jobs/{id}/manifest",
        run=read_manifest,
        summary="Read what an export consists of: files, rows, bytes, digests, columns",
        tag=TAG,
        scope="config:retrieve",
        reply=ExportManifest,
    ),
    Route(
        method="GET",
        path="/" + DOWNLOAD,
        run=download,
        summary="Fetch what an export job made, by such a link",
        tag=TAG,
        scope="config:retrieve",
        reply=Raw,
        query={
            "job": "The job that made it.",
            "expires": "When the link ends, in seconds since 1970.",
            "signature": "What proves the link.",
        },
        signed=True,
    ),
)
