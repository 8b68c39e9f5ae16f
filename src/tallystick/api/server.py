"""The HTTP server: one process that answers the API and the pages, and runs the worker.

`Front` stands before Litestar. It folds repeated slashes (the official client's `submit_all` sends two) and takes
measurements the short way in: no router, no thread, only the group commit that they wait for.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from litestar import Litestar, Request
from litestar.exceptions import HTTPException
from litestar.plugins import PluginProtocol
from litestar.response import Response

from tallystick import failpoints
from tallystick.api.admission import Admission, Receive
from tallystick.api.dispatch import JSON, failure, http_failure, open_endpoint, organization_endpoint
from tallystick.api.door import Door
from tallystick.api.file_stream import file_request
from tallystick.api.measurement_files import FILES as FILE_PATH
from tallystick.api.openapi import PREFIX
from tallystick.api.operator import OPEN_ROUTES
from tallystick.api.receiving import MAX_UNPACKED, RECEIVE, delivery_of, failed, received, said_form, welcomed
from tallystick.api.routes import ROUTES
from tallystick.api.upload import UPLOAD
from tallystick.app import App, build
from tallystick.console import handler
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import MAX_BYTES, ingest
from tallystick.settings import Settings, read_settings
from tallystick.web import paths
from tallystick.web.encoding import unpacked
from tallystick.web.links import verify
from tallystick.web.query import query_string
from tallystick.web.threads import THREADS
from tallystick.worker import Worker

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MEASUREMENTS = re.compile(r"/organizations/([^/]+)/measurements/?")
MEASUREMENT_FILE = re.compile(rf"/organizations/([^/]+){FILE_PATH}/?")
DRAIN_SECONDS = 8  # after SIGTERM, for requests that are not finished; service managers often wait for 10 s
SLASHES = re.compile("//+")
READ = frozenset((b"authorization", b"content-encoding"))  # headers of measurements; their names come in lower case
FILES = [
    (route.method, re.compile(re.sub(r"\\{.*?\\}", "[^/]+", re.escape(PREFIX + route.path))), route.file_bytes)
    for route in ROUTES
    if route.file_bytes is not None
]


class Routed(Litestar):
    """Litestar without its plugins for the kinds of values that no handler here takes or answers."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return plugins  # else pydantic is loaded and every handler asked about it


def litestar(app: App, door: Door) -> Litestar:
    """The routed part of the server."""
    return Routed(
        route_handlers=paths.handlers(
            [
                *(open_endpoint(app, route) for route in OPEN_ROUTES),
                *(organization_endpoint(app, door, route) for route in ROUTES),
                *handler.endpoints(app),
            ]
        ),
        exception_handlers={HTTPException: _nothing_there},
        request_max_body_size=app.settings.request_bytes,
        openapi_config=None,
        logging_config=None,  # logging is set up once, in `application`
    )


def _nothing_there(request: Request[Any, Any, Any], problem: HTTPException) -> Response[bytes]:
    """Where no route and no page was reached: a page to who asks for pages, else the API's own answer."""
    return handler.missing(request, problem.status_code) or http_failure(request, problem)


class Front:
    """The ASGI application: opens the app and the worker at start-up, closes them at shutdown."""

    def __init__(self, settings: Settings, open_app: Callable[[Settings], App] = build) -> None:
        self._settings = settings
        self._open = open_app
        self._admission = Admission(settings.waiting_bytes, settings.body_seconds)
        self._app: App | None = None
        self._worker: Worker | None = None
        self._routed: Litestar | None = None
        self._door: Door | None = None
        self._closing = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if "//" in scope["path"]:
            scope["path"] = SLASHES.sub("/", scope["path"])
            scope["raw_path"] = scope["path"].encode()
        if scope["type"] == "http" and scope["method"] == "POST":
            match = MEASUREMENTS.fullmatch(scope["path"])
            if match is not None:
                await self._measurements(match[1], scope, receive, send)
                return
            if RECEIVE.fullmatch(scope["path"]) is not None:
                await self._events(scope, receive, send)
                return
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and RECEIVE.fullmatch(scope["path"]) is not None:
            await _send(send, *welcomed(dict(scope["headers"])))
            return
        if scope["type"] == "http" and scope["method"] in {"PUT", "GET"}:
            match = MEASUREMENT_FILE.fullmatch(scope["path"])
            if match is not None:
                await self._file(match[1], scope, receive, send)
                return
        await self._route(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self.open()
        except Exception as problem:
            log.exception("the server could not start")
            await send({"type": "lifespan.startup.failed", "message": str(problem)})
            return
        if threading.current_thread() is threading.main_thread():
            self._stop_in_time()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})

    def open(self) -> App:
        """Open the stores and start the worker; the front answers from here on."""
        self._app = self._open(self._settings)
        self._worker = Worker(self._app)
        self._worker.start()
        self._door = Door(self._app.records, self._app.key)
        self._routed = litestar(self._app, self._door)
        return self._app

    def close(self) -> None:
        """Finish what was begun, then close the stores."""
        with self._closing:
            if self._app is not None and self._worker is not None:
                self._worker.stop()
                self._app.close()
                self._app = None

    def _stop_in_time(self) -> None:
        """Bound the drain: Granian waits for every connection with an unfinished request, however long that takes, and
        its main process then kills this one. SIGTERM starts the clock here, and SIGINT starts Granian's own drain."""

        def asked() -> None:
            threading.Thread(target=self._end_late, name="end late", daemon=True).start()
            os.kill(os.getpid(), signal.SIGINT)

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked)

    def _end_late(self) -> None:
        time.sleep(DRAIN_SECONDS)
        log.warning("a request did not come to its end within %d s of the stop: ending without it", DRAIN_SECONDS)
        self.close()
        os._exit(0)

    async def _measurements(self, organization_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        app, door = self._app, self._door
        assert app is not None
        assert door is not None
        # Of one measurement in a request, making texts of all headers would be a tenth of the work.
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in READ}
        with self._admission.request() as ticket:
            try:
                body = await self._admission.read(ticket, receive, MAX_BYTES, "payload_too_large")
                _admit(app, door, headers.get(b"authorization"), organization_id)
                if b"content-encoding" in headers:
                    body = unpacked(body, headers[b"content-encoding"], MAX_BYTES)
                    self._admission.hold(ticket, len(body))
                status, extra, answer = 200, dict[str, str](), await ingest(app, organization_id, body)
            except Exception as problem:
                status, extra, answer = failure(problem)
            await _send(send, status, extra, answer)

    async def _file(self, organization_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None
        try:
            await file_request(self._app, self._admission, organization_id, scope, receive, send)
        except Exception as problem:
            await _send(send, *failure(problem))

    async def _events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take usage events, whose headers mean something and whose senders sign in in their own ways."""
        app, door = self._app, self._door
        assert app is not None
        assert door is not None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        delivery = delivery_of(scope["path"], headers)
        assert delivery is not None, "the path was matched"
        with self._admission.request() as ticket:
            try:
                sent = await self._admission.read(ticket, receive, app.settings.request_bytes, "request_too_large")
                body = unpacked(sent, headers.get("content-encoding", ""), MAX_UNPACKED)
                self._admission.hold(ticket, len(body))
                work = asyncio.get_running_loop().run_in_executor(THREADS, received, app, door, delivery, sent, body)
                status, extra, answer = await work
            except Exception as problem:
                status, extra, answer = failed(said_form(delivery), problem)
            await _send(send, status, extra, answer)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body here, within the same bounds, and hand it to Litestar whole."""
        assert self._routed is not None
        with self._admission.request() as ticket:
            try:
                body = await self._admission.read(ticket, receive, await self._most(scope), "request_too_large")
            except Refusal as problem:
                await _turn_away(scope, send, problem)
                return

            left = [body]

            async def whole() -> MutableMapping[str, Any]:
                """The body, once; then what comes is that the client goes away, which ends what is streamed."""
                return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

            await self._routed(scope, whole, send)  # type: ignore[arg-type]  # Litestar's own ASGI types are narrower

    async def _most(self, scope: Scope) -> int:
        """How many bytes the body of a request may have: a file may have more, once its link is proven, or the session
        that it comes from."""
        assert self._app is not None
        if scope["method"] == "POST" and scope["path"] in handler.FILES:
            cookies = Request[Any, Any, Any](scope).cookies  # type: ignore[arg-type]  # as below: narrower types
            look = asyncio.get_running_loop().run_in_executor
            return await look(THREADS, handler.room_for_files, self._app, scope["path"], cookies)
        for method, path, most in FILES:
            if method == scope["method"] and path.fullmatch(scope["path"]):
                try:
                    query = query_string(scope["query_string"])
                    verify(self._app.key, scope["path"], query.values, self._app.clock.now())
                except Refusal:
                    break  # the route says what is wrong with the link
                return most
        return self._settings.request_bytes


def _admit(app: App, door: Door, authorization: str | None, organization_id: str) -> None:
    grant = door.admit(authorization, app.clock.now())
    grant.require_organization(organization_id)
    grant.require_scope(UPLOAD.scope)


async def _turn_away(scope: Scope, send: Send, problem: Refusal) -> None:
    """Answer a request that was not read: by a page to who asks for pages, else as the API answers."""
    status, headers, body = failure(problem)
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
    page = handler.turned_away(accept, status, problem)
    if page is not None:
        headers, body = {**headers, **page.headers, "content-type": f"{page.media_type}; charset=utf-8"}, page.body
    await _send(send, status, headers, body)


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    sent = {"content-type": JSON, **headers}
    head = [(name.encode(), value.encode()) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def application(open_app: Callable[[Settings], App] = build) -> Front:
    """What Granian loads in its worker process: the settings are in the environment."""
    failpoints.arm()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its plugins announce themselves one by one
    # A batch makes thousands of short-lived values, all freed by their reference counts: looking for cycles among
    # them after every few hundred costs a tenth of the throughput and finds nothing.
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    gc.enable()
    # Every thread that writes to a disk or asks an engine lets the interpreter's lock go and wants it back soon after:
    # with the usual 5 ms it would wait most of its time.
    sys.setswitchinterval(0.0005)
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    return Front(read_settings(), open_app)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: killed alone, it would leave a worker behind that goes on
    answering and keeps the data directory from the next server. What was acknowledged is on disk."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
