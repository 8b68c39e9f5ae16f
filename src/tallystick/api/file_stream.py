"""Files of measurements as streams: what a link leads to goes to the disk and comes from it part by part."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from tallystick.api.admission import Admission, Receive
from tallystick.api.measurement_files import JOB, reply
from tallystick.app import App
from tallystick.core import wire
from tallystick.core.measurement_file import MeasurementFile
from tallystick.errors import Refusal
from tallystick.pipeline import measurement_files
from tallystick.ports import Actor
from tallystick.ports.audit import Origin, acting
from tallystick.web.links import verify
from tallystick.web.query import query_string
from tallystick.web.threads import THREADS

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PART = 1_048_576  # bytes that are written or read at once
LINK = Actor(id="signed-link", kind="LINK")


async def file_request(
    app: App, admission: Admission, organization_id: str, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a request to a link. Refusals, before anything is answered: `forbidden`, `not_found`, what is wrong with
    the file."""
    query = query_string(scope["query_string"])
    verify(app.key, scope["path"], query.values, app.clock.now())
    id_ = query.text(JOB) or ""
    with admission.request() as ticket:
        admission.hold(ticket, PART)
        if scope["method"] == "PUT":
            parts = _parts(receive, app.settings.body_seconds)
            async with aclosing(parts):
                job = await _take(app, organization_id, id_, parts)
            await _answer(send, "application/json", wire.encode(reply(job)))
        else:
            path, job = await _in_thread(_original, app, organization_id, id_)
            await _send_file(send, path, job)


async def _take(app: App, organization_id: str, id: str, parts: AsyncIterator[bytes]) -> MeasurementFile:
    """Write the file, then say that it has come. One that is too long is not read to its end."""
    records = app.records.organization(organization_id)
    origin = Origin(actor=LINK, at=app.clock.now())

    def begin() -> tuple[MeasurementFile, str]:
        with acting(origin):
            return measurement_files.begin(records, id)

    job, stored = await _in_thread(begin)
    try:
        digest, size = await _write(app, organization_id, stored, parts, job.content_length)

        def complete() -> MeasurementFile:
            with acting(origin):
                return measurement_files.complete(records, id, stored, digest, size, app.clock.now())

        done: MeasurementFile = await _in_thread(complete)
    except BaseException:
        await _in_thread(app.sources.drop, organization_id, stored)
        raise
    if done.stored != stored:
        await _in_thread(app.sources.drop, organization_id, stored)
    return done


async def _write(
    app: App, organization_id: str, stored: str, parts: AsyncIterator[bytes], most: int
) -> tuple[str, int]:
    """Write the parts to the disk; returns their digest and how many bytes they were."""
    digest, size = hashlib.sha256(), 0
    async for part in parts:
        if size + len(part) > most:
            message = f"body: the file has more than the {most:,} bytes that contentLength said"
            raise Refusal("invalid_request", message, field="body")
        digest.update(part)
        await _in_thread(app.sources.append, organization_id, stored, part, size)
        size += len(part)
    return digest.hexdigest(), size


async def _parts(receive: Receive, seconds: float) -> AsyncGenerator[bytes, None]:
    """The body in parts of a megabyte, each of which must come in time."""
    waiting = bytearray()
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), seconds)
        except TimeoutError:
            raise Refusal("request_too_slow", f"body: nothing came for {seconds:g} seconds", field="body") from None
        if message["type"] != "http.request":
            raise Refusal("invalid_request", "body: the connection ended before the body did", field="body")
        waiting += message.get("body", b"")
        more = message.get("more_body", False)
        if len(waiting) >= PART or not more:
            yield bytes(waiting)
            waiting.clear()


def _original(app: App, organization_id: str, id: str) -> tuple[Path, MeasurementFile]:
    records = app.records.organization(organization_id)
    job = measurement_files.read_file(records, id)
    if job.stored is None:
        raise Refusal("not_found", f"id: the file of the job {id[:40]!r} did not come", field="id")
    return app.sources.upload(organization_id, job.stored), job


async def _send_file(send: Send, path: Path, job: MeasurementFile) -> None:
    with path.open("rb") as file:
        name = "".join(each if each.isascii() and (each.isalnum() or each in "-_.") else "_" for each in job.file_name)
        await _begin(send, job.content_type.value, job.content_length, f'attachment; filename="{name}"')
        part = await _in_thread(file.read, PART)
        while part:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            part = await _in_thread(file.read, PART)
    await send({"type": "http.response.body", "body": b""})


async def _answer(send: Send, media_type: str, body: bytes) -> None:
    await _begin(send, media_type, len(body))
    await send({"type": "http.response.body", "body": body})


async def _begin(send: Send, media_type: str, length: int, disposition: str | None = None) -> None:
    headers = {"content-type": media_type, "content-length": str(length)}
    if disposition is not None:
        headers["content-disposition"] = disposition
    head = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": head})


async def _in_thread(work: Callable[..., Any], *given: object) -> Any:
    return await asyncio.get_running_loop().run_in_executor(THREADS, work, *given)
