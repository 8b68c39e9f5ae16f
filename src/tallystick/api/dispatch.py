"""From a request to a route's function and back: sign-in, decoding, running in a thread, failures as answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException
from litestar.response import Response, Stream

from tallystick.api.door import Door
from tallystick.api.errors import ErrorReply, error_reply, refused, undecodable
from tallystick.api.openapi import PREFIX
from tallystick.api.operator import OpenCall, OpenRoute
from tallystick.api.routing import SIGNED_IN, Call, Raw, Route, Streamed
from tallystick.control.organization_config import OPERATOR
from tallystick.core import wire
from tallystick.errors import CODES, Code, Family, Refusal
from tallystick.ports import Actor
from tallystick.ports.audit import Origin, acting
from tallystick.web.links import verify
from tallystick.web.paths import Endpoint
from tallystick.web.public import base_url
from tallystick.web.query import query_string
from tallystick.web.request_id import REQUEST_ID, request_id_of
from tallystick.web.threads import THREADS

if TYPE_CHECKING:
    from tallystick.app import App

log = logging.getLogger(__name__)

JSON = "application/json"
INTERNAL = ErrorReply(
    message="something went wrong in the server and was logged", code="internal", hint="Try again later."
)

Answer = tuple[int, dict[str, str], bytes]
Sent = Answer | tuple[int, dict[str, str], Iterator[bytes]]


def organization_endpoint(app: App, door: Door, route: Route) -> Endpoint:
    """A route under /organizations/{orgId} for the server."""

    async def handle(request: Request[Any, Any, Any]) -> Response[Any]:
        raw = await request.body()
        return await answered(partial(_run, app, door, route, request, raw))

    return Endpoint(route.method, PREFIX + route.path, handle, route.file_bytes)


def open_endpoint(app: App, route: OpenRoute) -> Endpoint:
    """A route outside the organisations for the server."""

    async def handle(request: Request[Any, Any, Any]) -> Response[Any]:
        body = await request.body()

        def run() -> Sent:
            call = OpenCall(
                app, app.clock.now(), dict(request.headers), body, query_string(request.scope["query_string"])
            )
            # What changes something here asks for the operator's token.
            with acting(Origin(actor=OPERATOR, at=call.now, request_id=request_id_of(request.headers))):
                return _success(route.run(call))

        return await answered(run)

    return Endpoint(route.method, route.path, handle)


def guarded(work: Callable[[], Sent]) -> Sent:
    """Run, and turn every way it can fail into an answer."""
    try:
        return work()
    except Exception as problem:
        return failure(problem)


def failure(problem: Exception) -> Answer:
    """The answer to a request that failed; a failure nobody foresaw is logged and is a 500."""
    match problem:
        case Refusal():
            status, headers, reply = refused(problem)
        case msgspec.MsgspecError() | UnicodeDecodeError():
            status, headers, reply = undecodable(problem)
        case RecursionError():
            status, headers, reply = error_reply(CODES["invalid_request"], "body: nested too deeply")
        case _:
            log.error("a request failed in a way that nobody foresaw", exc_info=problem)
            status, headers, reply = 500, {}, INTERNAL
    return status, dict(headers), wire.encode(reply)


def http_failure(_: Request[Any, Any, Any], problem: HTTPException) -> Response[bytes]:
    """The answer where no route was reached: unknown paths, wrong methods, bodies beyond the limit."""
    code = {404: CODES["not_found"], 413: CODES["request_too_large"]}.get(problem.status_code)
    if code is None:
        code = Code("invalid_request", Family.INVALID, "Check the method and the path.")
    message = "path: there is nothing here" if problem.status_code == 404 else f"request: {problem.detail}"
    reply = ErrorReply(message=message, code=code.name, hint=code.hint)
    return Response(wire.encode(reply), status_code=problem.status_code, headers=problem.headers or {}, media_type=JSON)


async def answered(work: Callable[[], Sent]) -> Response[Any]:
    """The response to a request, whose work is done in a thread."""
    status, headers, body = await asyncio.get_running_loop().run_in_executor(THREADS, guarded, work)
    media_type = headers.pop("content-type", JSON)
    if not isinstance(body, bytes):
        return Stream(body, status_code=status, headers=headers, media_type=media_type)
    return Response(body, status_code=status, headers=headers, media_type=media_type)


def _run(app: App, door: Door, route: Route, request: Request[Any, Any, Any], raw: bytes) -> Sent:
    path: Mapping[str, str] = request.path_params
    query = query_string(request.scope["query_string"])
    now = app.clock.now()
    organization_id = path["orgId"]
    if route.signed:
        verify(app.key, request.scope["path"], query.values, now)
        actor = Actor(id="signed-link", kind="LINK")
    else:
        grant = door.admit(request.headers.get("authorization"), now)
        grant.require_organization(organization_id)
        actor = grant.actor
    if app.records.find_organization(organization_id) is None:
        raise Refusal("forbidden", f"this token gives no access to the organization {organization_id[:40]!r}")
    if not route.signed and route.scope != SIGNED_IN:
        grant.require_scope(route.scope)
    call = Call(
        app=app,
        records=app.records.organization(organization_id),
        usage=app.usage.organization(organization_id),
        actor=actor,
        now=now,
        path=path,
        query=query,
        raw=raw,
        base_url=base_url(app.settings.public_url, request.scope["scheme"], request.headers),
    )
    request_id = request_id_of(request.headers)
    with acting(Origin(actor=actor, at=now, request_id=request_id)):
        result = route.run(call) if route.body is None else route.run(call, wire.decode_sent(route.body, raw))
    sent = _success(result)
    sent[1][REQUEST_ID] = request_id
    return sent


def _success(result: object) -> Sent:
    if isinstance(result, Raw):
        headers = {"content-type": result.media_type}
        if result.file_name is not None:
            headers["content-disposition"] = f'attachment; filename="{result.file_name}"'
        if result.warning is not None:
            headers["tallystick-warning"] = result.warning
        return 200, headers, result.body
    if isinstance(result, Streamed):
        disposition = f'attachment; filename="{result.file_name}"'
        return 200, {"content-type": result.media_type, "content-disposition": disposition}, result.parts
    return 200, {}, wire.encode(result)
