"""A server that is sent more than it can take stays the size it is, says when to come back, and loses nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx
import pytest
from small_disk import MIB, family
from test_disk_full import WAIT_SECONDS, counted, until
from token_shop import open_shop

from sorters import at_work
from tallystick.cli.launch import HOST, Server, free_port, launched
from tallystick.core import wire
from tenant import Tenant, new_tenant

ROOM = 32 * MIB  # of memory for requests: 4 MiB of bodies
CROWD = 150  # connections that send without a pause, half a megabyte at a time
SECONDS = 4.0
GROWTH = 320 * MIB  # what the server may grow by, its first measurements included; without bounds it is over 700
SETTINGS = {
    "TALLYSTICK_WAITING_BYTES": str(ROOM),
    "TALLYSTICK_WAITING_MEASUREMENTS": "4000",
    "TALLYSTICK_BODY_SECONDS": "5",
    "TALLYSTICK_IDLE_SECONDS": "5",
    "TALLYSTICK_CONNECTIONS": str(CROWD + 20),
}
MANY = 1_000
PATIENCE = 5.0  # seconds
DEAF = 10  # connections beside those that ask and never read the answer
MARK = b"MARKED"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little room and little patience."""
    with launched(tmp_path_factory.mktemp("small"), free_port(), SETTINGS) as running:
        yield running


@pytest.fixture
def tenant(small: Server) -> Tenant:
    tenant = new_tenant(small)
    with tenant.sdk() as client:
        open_shop(client)
    return tenant


def resident(server: Server) -> int:
    """Bytes of memory that the server and its worker have."""
    pages = [int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(server.process.pid)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def batch(tenant: Tenant, http: httpx.Client) -> bytes:
    """A request as it goes over the wire: nearly as large as may be; MARK stands for what makes its uids its own."""
    member = {"meter": "requests", "account": "acme", "ts": "2025-03-01T00:00:00Z", "where": {"region": "eu"}}
    members = [
        {**member, "uid": f"{MARK.decode()}/{each}", "measure": {"tokens": 1}, "metadata": {"pad": "x" * 250}}
        for each in range(MANY)
    ]
    body = wire.encode({"measurements": members})
    assert 400_000 < len(body) < 512_000
    lines = (
        f"POST /organizations/{tenant.id}/measurements HTTP/1.1",
        "Host: tallystick",
        f"Authorization: {http.headers['authorization']}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Crowd:
    """Clients that never stop: each sends a batch until it is taken, and then the next one."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self._numbers = count(100_000)
        self.answers: Counter[str] = Counter()
        self.largest = 0

    async def run(self, server: Server, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        deaf = [asyncio.create_task(self._never_listen()) for _ in range(DEAF)]
        watch = asyncio.create_task(self._watch(server))
        await asyncio.gather(*(self._insist() for _ in range(CROWD)))
        for each in (*deaf, watch):
            each.cancel()
        await asyncio.gather(*deaf, watch, return_exceptions=True)

    async def _insist(self) -> None:
        reader, writer = await asyncio.open_connection(HOST, self._port)
        request = self._next()
        while self._goes_on():
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].split()[0])
            body = await reader.readexactly(length)
            status = head.split()[1]
            self.answers[status] += 1
            if status == "200":
                assert body.count(b'"accepted"') == MANY + 1, body[:200]
                request = self._next()
            elif status == "503":
                assert "retry-after: " in head
        writer.close()

    def _goes_on(self) -> bool:
        """For the time that was given, and on a slow machine until something was taken and something refused."""
        over = time.monotonic() - self.until
        return over < 0 or (over < WAIT_SECONDS and not (self.answers["200"] and self.answers["503"]))

    async def _never_listen(self) -> None:
        """Ask for the largest answer there is, again and again, and read none."""
        _, writer = await asyncio.open_connection(HOST, self._port)
        try:
            while True:
                writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: tallystick\r\n\r\n" * 100)
                await writer.drain()
        finally:
            writer.transport.abort()

    async def _watch(self, server: Server) -> None:
        while True:
            self.largest = max(self.largest, resident(server))
            await asyncio.sleep(0.1)

    def _next(self) -> bytes:
        return self._request.replace(MARK, str(next(self._numbers)).encode())


def test_memory_stays_flat_under_clients_that_never_stop(small: Server, tenant: Tenant) -> None:
    with tenant.http() as http:
        request = batch(tenant, http)
        crowd = Crowd(port(small), request)
        _, _, body = request.partition(b"\r\n\r\n")
        # The process that large requests are sorted out in is there before the crowd comes.
        until(
            lambda: http.post("/measurements", content=body).status_code == 200 and at_work(family(small.process.pid))
        )
        before = resident(small)
        asyncio.run(crowd.run(small, SECONDS))
        taken, refused = crowd.answers["200"], crowd.answers["503"]
        assert taken + refused + crowd.answers["408"] == crowd.answers.total(), crowd.answers
        assert refused > 0 < taken
        assert crowd.largest - before < GROWTH
        assert told_ready(small), "and it goes on"
        until(lambda: counted(http) == (taken + 1) * MANY)


def told_ready(server: Server) -> bool:
    return httpx.get(f"{server.url}/health", timeout=10).status_code == 200


def port(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


# ---------------------------------------------------------------------------------------------------- slow and idle

HEAD = b"POST /organizations/x/measurements HTTP/1.1\r\nHost: x\r\n"
LENGTH = b"Content-Length: 1000\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

DRIP = "a byte now and then"
# What a client sends and then waits → how the answer begins; the connection is closed after it.
SLOW = {
    "nothing": (b"", b""),
    "half a head": (b"GET /health HTTP/1.1\r\nHos", b""),
    "nothing after an answer": (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200"),
    "half a body": (HEAD + LENGTH + b'{"measurements":[', b"HTTP/1.1 408"),
    "no body": (HEAD + LENGTH, b"HTTP/1.1 408"),
    "half a chunk": (HEAD + CHUNKED + b"10\r\n{", b"HTTP/1.1 408"),
    "no last chunk": (HEAD + CHUNKED + b"1\r\n{\r\n", b"HTTP/1.1 408"),
    "half a body of another route": (HEAD.replace(b"measurements", b"products") + LENGTH + b"{", b"HTTP/1.1 408"),
    "no chunk but a word": (HEAD + CHUNKED + b"many\r\n", b"HTTP/1.1 400"),
    "two lengths": (HEAD + b"Content-Length: 1\r\n" + LENGTH + b"{", b"HTTP/1.1 400"),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n", b"HTTP/1.1 400"),
    "a head of a megabyte": (b"GET /health HTTP/1.1\r\nX: " + b"a" * MIB, b"HTTP/1.1 431"),
}


def test_who_sends_nothing_more_is_let_go(small: Server) -> None:
    """Also who sends a byte now and then: what counts is the whole body."""
    began = time.monotonic()
    clients = {name: socket.create_connection((HOST, port(small)), timeout=10) for name in (*SLOW, DRIP)}
    for name, (sent, _) in SLOW.items():
        with suppress(ConnectionError):
            clients[name].sendall(sent)
    clients[DRIP].sendall(HEAD + LENGTH)
    with suppress(ConnectionError):
        while time.monotonic() - began < 2 * PATIENCE:
            clients[DRIP].sendall(b" ")
            time.sleep(0.1)
    said = {name: everything(client) for name, client in clients.items()}
    for name, (_, answer) in {**SLOW, DRIP: (b"", b"HTTP/1.1 408")}.items():
        assert said[name][: len(answer)] == answer, name
        assert answer or not said[name], name
    assert time.monotonic() - began < 3 * PATIENCE


def test_half_a_body_counts_nothing_even_if_it_would_do(small: Server, tenant: Tenant) -> None:
    with tenant.http() as http:
        head, _, body = batch(tenant, http).replace(MARK, b"half").partition(b"\r\n\r\n")
        head = head.rpartition(b"\r\n")[0] + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        with socket.create_connection((HOST, port(small)), timeout=10) as client:
            client.sendall(head + f"{len(body):x}\r\n".encode() + body + b"\r\n")  # the last chunk is missing
            client.shutdown(socket.SHUT_WR)
            assert everything(client)[:12] in {b"", b"HTTP/1.1 400"}
        again = http.post("/measurements", content=body).json()["measurements"]
        assert {each["verdict"] for each in again} == {"accepted"}


@pytest.mark.parametrize("head", [f"Content-Length: {10**9}\r\n\r\n".encode(), CHUNKED], ids=["length", "chunked"])
def test_a_body_of_a_gigabyte_is_given_up_soon(small: Server, head: bytes) -> None:
    chunk = b" " * MIB
    framed = chunk if head != CHUNKED else f"{MIB:x}\r\n".encode() + chunk + b"\r\n"
    before, sent = resident(small), 0
    with socket.create_connection((HOST, port(small)), timeout=10) as client:
        client.sendall(HEAD + head)
        with suppress(ConnectionError):
            while sent < 1_000:
                client.sendall(framed)
                sent += 1
        assert everything(client)[:12] in {b"", b"HTTP/1.1 403"}, "the answer, unless what was still sent drowned it"
    assert sent < 200
    assert resident(small) - before < 32 * MIB


def everything(client: socket.socket) -> bytes:
    """What still comes until the other side closes."""
    said = b""
    with suppress(ConnectionError):
        while part := client.recv(65_536):
            said += part
    return said
