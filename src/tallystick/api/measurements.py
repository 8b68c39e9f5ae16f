"""Failed measurements over HTTP: the queue, correcting and replaying, discarding, and the download of an original.

`POST /measurements` itself is not here: the server takes it straight to `pipeline.ingest`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.crud import IDS, PAGING, desk_of
from tallystick.api.routing import Call, Paged, Raw, Route, struct_page
from tallystick.control.events import get_event
from tallystick.control.failed_measurements import FailedFilter, discard, get_failed, list_failed, replay
from tallystick.core import wire
from tallystick.core.ingest_failure import FailedMeasurement, FailureStatus
from tallystick.errors import Refusal
from tallystick.web.links import sign

MAX_PAGE = 100
DOWNLOAD = "measurements/failedIngest/download"


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The corrected measurement; when absent, the original is sent again as it was."""

    measurement: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class DiscardRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why it shall never count."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class DownloadLinkReply(msgspec.Struct, frozen=True, kw_only=True):
    """Where the file can be fetched without a token, for five minutes."""

    url: str


class FailedIngestFile(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What went wrong with a measurement, and the JSON text that was sent (in base64 where it is no valid text)."""

    code: str
    reason: str
    measurement: str | None = None
    measurement_base64: str | None = None
    event: dict[str, object] | None = None


def find(call: Call) -> dict[str, object]:
    """A page of failed measurements, newest first."""
    query = call.query
    wanted = FailedFilter(
        group_id=query.text("groupId"),
        status=_status(query.text("status")),
        code=query.text("code"),
        meter=query.text("meter"),
        uid=query.text("uid"),
        ids=query.texts("ids"),
    )
    found = list_failed(call.records, wanted, query.page(highest=MAX_PAGE))
    return struct_page(found.rows, found.next_token)


def retrieve(call: Call) -> FailedMeasurement:
    """One failed measurement."""
    return get_failed(call.records, call.path["id"])


def send_again(call: Call, body: ReplayRequest) -> FailedMeasurement:
    """Replay, corrected or as it was."""
    corrected = None if isinstance(body.measurement, msgspec.UnsetType) else bytes(body.measurement)
    return replay(desk_of(call), call.path["id"], corrected, call.app.events.sender(call.organization_id))


def give_up(call: Call, body: DiscardRequest) -> FailedMeasurement:
    """Discard."""
    return discard(desk_of(call), call.path["id"], body.reason)


def download_link(call: Call) -> DownloadLinkReply:
    """A link to the file that an event names."""
    file = _require_file(call)
    _read_file(call, file)
    path = f"/organizations/{call.organization_id}/{DOWNLOAD}"
    return DownloadLinkReply(url=call.base_url + sign(call.app.key, path, {"file": file}, call.now))


def download(call: Call) -> Raw:
    """The file itself; the link was checked before."""
    file = _require_file(call)
    name = file.replace("/", "-")
    return Raw(wire.encode(_read_file(call, file)), "application/json", f"{name}.json")


def _read_file(call: Call, file: str) -> FailedIngestFile:
    kind, _, name = file.partition("/")
    if kind == "failedmeasurement":
        failed = get_failed(call.records, name)
        return FailedIngestFile(
            code=failed.code,
            reason=failed.reason,
            measurement=failed.original,
            measurement_base64=failed.original_base64,
        )
    if kind == "event":
        told = get_event(call.records, name).m3ter_event
        return FailedIngestFile(
            code=told["code"],
            reason=told["reason"],
            measurement=told.get("measurement"),
            measurement_base64=told.get("measurementBase64"),
            event=told,
        )
    raise Refusal("not_found", f"file: there is no file {file[:80]!r}", field="file")


def _require_file(call: Call) -> str:
    file = call.query.text("file")
    if file is None:
        message = "file: give the file that the getDownloadUrl of an ingest.validation.failure event names"
        raise Refusal("invalid_request", message, field="file")
    return file


def _status(text: str | None) -> FailureStatus | None:
    if text is None:
        return None
    try:
        return FailureStatus(text)
    except ValueError:
        allowed = ", ".join(FailureStatus)
        raise Refusal(
            "invalid_request", f"status: must be one of {allowed}, got {text[:40]!r}", field="status"
        ) from None


_TAG = "Measurements"
_FILE = {"file": "The file that the getDownloadUrl of an ingest.validation.failure event names."}

ROUTES = (
    Route(
        method="GET",
        path="/failedmeasurements",
        run=find,
        summary="List failed measurements, newest first",
        tag=_TAG,
        scope="measurements:retrieve",
        reply=Paged(FailedMeasurement),
        query={
            **PAGING,
            "ids": IDS,
            "groupId": "Only the members of this group that are OPEN, or of the status that is given beside it.",
            "status": "Only those that are OPEN, REPLAYED or DISCARDED.",
            "code": "Only those rejected with this code, such as undefined_meter.",
            "meter": "Only those sent for this meter code.",
            "uid": "Only those with this uid.",
        },
    ),
    Route(
        method="GET",
        path="/failedmeasurements/{id}",
        run=retrieve,
        summary="Retrieve a failed measurement",
        tag=_TAG,
        scope="measurements:retrieve",
        reply=FailedMeasurement,
    ),
    Route(
        method="POST",
        path="/failedmeasurements/{id}/replay",
        run=send_again,
        summary="Send a failed measurement again, corrected or as it was, under its own uid",
        tag=_TAG,
        scope="measurements:upload",
        body=ReplayRequest,
        reply=FailedMeasurement,
    ),
    Route(
        method="POST",
        path="/failedmeasurements/{id}/discard",
        run=give_up,
        summary="Decide that a failed measurement shall never count",
        tag=_TAG,
        scope="measurements:upload",
        body=DiscardRequest,
        reply=FailedMeasurement,
    ),
    Route(
        method="GET",
        path="/measurements/failedIngest/getDownloadUrl",
        run=download_link,
        summary="Get a short-lived link to what went wrong with a measurement",
        tag=_TAG,
        scope="measurements:retrieve",
        reply=DownloadLinkReply,
        query=_FILE,
    ),
    Route(
        method="GET",
        path="/" + DOWNLOAD,
        run=download,
        summary="Fetch what went wrong with a measurement, by such a link",
        tag=_TAG,
        scope="measurements:retrieve",
        reply=Raw,
        query={**_FILE, "expires": "When the link ends, in seconds since 1970.", "signature": "What proves the link."},
        signed=True,
    ),
)
