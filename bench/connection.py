"""A small HTTP/1.1 client: keep-alive, one request at a time on a connection, as little work per answer as possible.

The load runs on the same processors as the server, so every microsecond spent here is taken from what is measured.
"""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple, cast

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """A status and a body."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One open connection. Raises ConnectionError when the server closes it before the answer is whole."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._start = 0  # where the body of the answer begins; 0 until its head is whole
        self._end = 0
        self._status = 0
        self._waiter: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own classes are not subclasses of it

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._received += data
        if not self._start and not self._read_head():
            return
        if len(self._received) >= self._end:
            answer = Answer(self._status, bytes(self._received[self._start : self._end]))
            del self._received[: self._end]
            self._start = 0
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(answer)

    def connection_lost(self, problem: Exception | None) -> None:
        """Called by the loop."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(problem or ConnectionError("the server closed the connection"))

    async def ask(self, request: bytes | bytearray) -> Answer:
        """Send a whole request (see `request`) and wait for its answer."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.close()

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._received[: end + 2])
        length = LENGTH.search(head)
        if length is None:
            raise ConnectionError(f"an answer without content-length cannot be read here: {head!r}")
        self._status = int(head[9:12])
        self._start = end + 4
        self._end = self._start + int(length[1])
        return True


async def connect(host: str, port: int) -> Connection:
    """An open connection to the server."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
    return connection


def request(method: str, path: str, body: bytes = b"", token: str | None = None) -> bytes:
    """A whole request, head and body, ready to be sent."""
    bearer = f"authorization: Bearer {token}\r\n" if token else ""
    content = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nhost: bench\r\n{bearer}{content}\r\n".encode() + body


async def ask_all(host: str, port: int, requests: list[bytes], connections: int) -> list[Answer]:
    """The answer to each request, in order, with so many requests at once."""
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(requests))

    async def work() -> None:
        connection = await connect(host, port)
        try:
            for index, each in waiting:
                answers[index] = await connection.ask(each)
        finally:
            connection.close()

    await asyncio.gather(*(work() for _ in range(min(connections, len(requests)))))
    return [answers[index] for index in range(len(requests))]
