"""From a request for a page to the page: session, role, the form's token, the work in a thread, failures as pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request
from litestar.datastructures import Cookie
from litestar.response import Response

from tallystick.console import entrance
from tallystick.console.answering import Reply, error_page, reply_of
from tallystick.console.form import Form, read_form, read_multipart
from tallystick.console.page import Guest, OpenPage, Page, Visit, current_config
from tallystick.console.site import OPEN_PAGES, PAGES
from tallystick.console.static import SERVED
from tallystick.control import users
from tallystick.errors import Family, Refusal
from tallystick.ports.audit import Origin, acting
from tallystick.web.paths import Endpoint
from tallystick.web.public import base_url
from tallystick.web.query import query_string
from tallystick.web.request_id import request_id_of
from tallystick.web.threads import THREADS
from tallystick.web.undecodable import refusal_of

if TYPE_CHECKING:
    from tallystick.app import App

log = logging.getLogger(__name__)

FORM = "application/x-www-form-urlencoded"
FORM_WITH_FILES = "multipart/form-data"
FILES = {page.path: page.file_bytes for page in PAGES if page.file_bytes is not None}
FOR_EVER = "public, max-age=31536000, immutable"


def endpoints(app: App) -> list[Endpoint]:
    """All pages and the static files for the server."""
    return [
        *(_endpoint(app, page, partial(_visited, app, page)) for page in PAGES),
        *(_endpoint(app, page, partial(_opened, app, page)) for page in OPEN_PAGES),
        Endpoint("GET", "/static/{name}", _static),
    ]


def missing(request: Request[Any, Any, Any], status: int) -> Response[bytes] | None:
    """The page for a path or a method that is not there, to who asks for pages; None to any other."""
    if "text/html" not in request.headers.get("accept", ""):
        return None
    return _response(error_page(status, "There is no such page.", "Check the address, or start from the home page."))


def room_for_files(app: App, path: str, cookies: Mapping[str, str]) -> int:
    """How many bytes the form of a page may have: one that brings a file more, once it comes from who is signed in."""
    wanted = FILES.get(path)
    if wanted is None:
        return app.settings.request_bytes
    tokens = (cookies.get(entrance.SECURE_SESSION), cookies.get(entrance.SESSION))
    known = any(token and users.signed_in(app.records, token, app.clock.now()) for token in tokens)
    return wanted if known else app.settings.request_bytes


def turned_away(accept: str, status: int, problem: Refusal) -> Reply | None:
    """The page for a request that was refused before it was read, to who asks for pages; None to any other."""
    return error_page(status, problem.message, problem.code.hint) if "text/html" in accept else None


async def _static(request: Request[Any, Any, Any]) -> Response[bytes]:
    file = SERVED.get(request.path_params["name"])
    if file is None:
        return Response(b"", status_code=404, media_type="text/plain")
    headers = {"cache-control": FOR_EVER, "x-content-type-options": "nosniff"}
    return Response(file.body, headers=headers, media_type=file.media_type)


def _endpoint(app: App, page: Page | OpenPage, work: Callable[[Guest], Reply]) -> Endpoint:
    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        body = await request.body()
        reply = await asyncio.get_running_loop().run_in_executor(THREADS, _guarded, app, request, body, work)
        return _response(reply)

    return Endpoint(page.method, page.path, handle, page.file_bytes if isinstance(page, Page) else None)


def _guarded(app: App, request: Request[Any, Any, Any], body: bytes, work: Callable[[Guest], Reply]) -> Reply:
    """Do the work, and turn what fails on the way to a page into one."""
    try:
        return work(_guest(app, request, body))
    except Refusal as problem:
        return error_page(_status(problem), problem.message, problem.code.hint)
    except Exception:
        log.exception("a page failed in a way that nobody foresaw")
        return error_page(500, "Something went wrong in the server and was logged.", "Try again later.")


def _guest(app: App, request: Request[Any, Any, Any], body: bytes) -> Guest:
    form = Form({})
    if request.method == "POST":
        entrance.require_same_origin(request.headers, app.settings.public_url)
        form = _form(body, request.headers.get("content-type", ""))
    return Guest(
        app=app,
        now=app.clock.now(),
        path=request.path_params,
        query=query_string(request.scope["query_string"]),
        form=form,
        cookies=request.cookies,
        address=entrance.address_of(request.client.host if request.client else "", request.headers),
        base_url=base_url(app.settings.public_url, request.scope["scheme"], request.headers),
        raw_path=request.scope["path"],
        destination=request.headers.get("sec-fetch-dest", ""),
        request_id=request_id_of(request.headers),
    )


def _form(body: bytes, content_type: str) -> Form:
    if content_type.startswith(FORM_WITH_FILES):
        return read_multipart(body, content_type)
    if body and not content_type.startswith(FORM):
        raise Refusal("unsupported_encoding", f"form: send {FORM} or {FORM_WITH_FILES}")
    return read_form(body)


def _opened(app: App, page: OpenPage, guest: Guest) -> Reply:
    try:
        return reply_of(page.run(guest), guest)
    except (Refusal, msgspec.ValidationError) as problem:
        refusal = _refused(problem)
        if page.again is None or not _amends(refusal):
            raise refusal from None
        return reply_of(page.again(guest), guest, refusal=refusal)


def _visited(app: App, page: Page, guest: Guest) -> Reply:
    found = entrance.session_of(guest)
    if found is None:
        return reply_of(entrance.to_sign_in(guest, page), guest)
    token, signed_in = found
    records = app.records.organization(signed_in.session.organization_id)
    organization = app.records.find_organization(records.organization_id)
    assert organization is not None
    visit = Visit(
        guest=guest,
        organization=organization,
        records=records,
        usage=app.usage.organization(organization.id),
        user=signed_in.user,
        session=signed_in.session,
        config=current_config(records),
    )
    form_token = entrance.form_token(app.key, token)
    if page.method == "POST":
        entrance.require_token(guest.form.raw(entrance.TOKEN), form_token)
    if not visit.may(page.may):
        role = visit.user.value.role.replace("_", " ").lower()
        return error_page(
            403,
            f"Your role ({role}) does not allow this.",
            "Ask an administrator of your organisation.",
            visit=visit,
            form_token=form_token,
        )
    try:
        with acting(Origin(actor=visit.actor, at=guest.now, request_id=guest.request_id)):
            answer = page.run(visit)
        return reply_of(answer, guest, visit=visit, page=page, form_token=form_token)
    except (Refusal, msgspec.ValidationError) as problem:
        refusal = _refused(problem)
        if page.again is not None and _amends(refusal):
            again = page.again(visit)
            return reply_of(again, guest, visit=visit, page=page, form_token=form_token, refusal=refusal)
        return error_page(_status(refusal), refusal.message, refusal.code.hint, visit=visit, form_token=form_token)


def _refused(problem: Refusal | msgspec.ValidationError) -> Refusal:
    return problem if isinstance(problem, Refusal) else refusal_of(problem)


def _amends(refusal: Refusal) -> bool:
    """Whether the person can change what was typed and send it again."""
    return refusal.code.family in {Family.INVALID, Family.BUSY} or refusal.code.name == "sign_in_failed"


def _status(refusal: Refusal) -> int:
    return {Family.FORBIDDEN: 403, Family.NOT_FOUND: 404, Family.BUSY: 503, Family.UNSUPPORTED: 415}.get(
        refusal.code.family, 400
    )


def _response(reply: Reply) -> Response[bytes]:
    cookies = [
        Cookie(
            key=each.name,
            value=each.value,
            path=each.path,
            max_age=each.seconds,
            secure=each.secure,
            httponly=True,
            samesite="lax",
        )
        for each in reply.cookies
    ]
    headers = {name: text for name, text in reply.headers.items() if text}  # a page may empty a standard one
    return Response(reply.body, status_code=reply.status, headers=headers, media_type=reply.media_type, cookies=cookies)
