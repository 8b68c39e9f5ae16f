"""The two ways a request travels: over the network to a server, or in process to an app that this command opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tallystick.cli.failure import Failure
from tallystick.settings import read_settings

if TYPE_CHECKING:
    from tallystick.api.server import Front

TIMEOUT = httpx.Timeout(60, connect=5)
IN_PROCESS = "http://in-process"

Send = Callable[[httpx.Request], httpx.Response]


@contextmanager
def over_network() -> Iterator[Send]:
    """Requests go to the server that their address names."""
    with httpx.Client(timeout=TIMEOUT) as client:
        yield client.send


@contextmanager
def in_process(directory: Path) -> Iterator[Send]:
    """Requests go to an app opened here on the data directory: the same front, without a socket."""
    with _opened(directory) as front, start_blocking_portal() as portal:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=front), timeout=TIMEOUT)
        try:
            yield _through(portal, client)
        finally:
            portal.call(client.aclose)


@contextmanager
def _opened(directory: Path) -> Iterator[Front]:
    from tallystick.api.server import Front  # here: it loads every engine, which commands to a server do not need

    try:
        front = Front(read_settings(data=str(directory)))
    except ValueError as problem:
        raise Failure(str(problem)) from None
    logging.disable(logging.INFO)  # what a server logs as it goes would only be noise around a command's answer
    try:
        front.open()
    except Exception as problem:  # whatever a store says when it is in use, damaged or not ours to read
        raise Failure(f"cannot open the data directory {directory}: {problem}") from problem
    try:
        yield front
    finally:
        front.close()
        logging.disable(logging.NOTSET)


def _through(portal: BlockingPortal, client: httpx.AsyncClient) -> Send:
    async def send(request: httpx.Request) -> httpx.Response:
        # The body is handed over whole: the stream of a synchronous request cannot be awaited.
        return await client.request(
            request.method, request.url, headers=request.headers, content=request.content or None
        )

    return lambda request: portal.call(send, request)
