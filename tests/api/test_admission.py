"""The door of the server: bodies in bounded time and memory, plain or compressed, however they are sent."""

from __future__ import annotations

import asyncio
import gzip
import sys
import zlib
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from tallystick.api.admission import REQUEST_BYTES, WEIGHT, Admission, Receive
from tallystick.errors import Refusal
from tallystick.web.encoding import MAX_MEMBERS, unpacked

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 1_000
ROOM = 10 * REQUEST_BYTES


def client(*parts: bytes | None) -> Receive:
    """A client that sends these parts and goes away; at None it stays, and sends nothing more."""
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        part = waiting.pop(0)
        if part is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    return receive


async def read(admission: Admission, receive: Receive) -> bytes | str:
    """The body, or the code of the refusal."""
    with admission.request() as ticket:
        try:
            return await admission.read(ticket, receive, LIMIT, "payload_too_large")
        except Refusal as refusal:
            return refusal.code.name


def all_at_once(admission: Admission, *clients: Receive) -> list[bytes | str]:
    async def run() -> list[bytes | str]:
        reading: Sequence[Awaitable[bytes | str]] = [read(admission, each) for each in clients]
        return await asyncio.gather(*reading)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((b"",), b""),
        ((b"abc",), b"abc"),
        ((b"a", b"", b"bc"), b"abc"),
        ((b"a" * LIMIT,), b"a" * LIMIT),
        ((b"a" * LIMIT, b"a"), "payload_too_large"),
        ((b"a" * 500,) * 1_000, "payload_too_large"),  # given up after 16 times the limit
        ((), "invalid_request"),  # gone before the body
        ((b"{", None), "request_too_slow"),
        ((None,), "request_too_slow"),
    ],
)
def test_a_body_is_read_within_its_limits(parts: tuple[bytes | None, ...], expected: bytes | str) -> None:
    admission = Admission(ROOM, seconds=0.2)
    assert all_at_once(admission, client(*parts)) == [expected]
    assert all_at_once(admission, client(b"next")) == [b"next"]


def test_a_slow_client_harms_nobody_beside_it() -> None:
    admission = Admission(ROOM, seconds=0.2)
    slow = [client(b"a", None) for _ in range(3)]
    assert all_at_once(admission, *slow, client(b"b")) == ["request_too_slow"] * 3 + [b"b"]


def test_what_there_is_no_room_for_is_refused_and_room_is_given_back() -> None:
    admission = Admission(ROOM, seconds=5)

    async def one_after_the_other() -> None:
        with admission.request() as large:
            admission.hold(large, (ROOM - REQUEST_BYTES) // WEIGHT - 10)
            assert await read(admission, client(b"a" * 10)) == b"a" * 10
            assert await read(admission, client(b"a" * 10, b"a")) == "busy"
            with pytest.raises(Refusal, match="nothing of this one was kept"):
                admission.hold(large, ROOM)
        assert await read(admission, client(b"a" * LIMIT)) == b"a" * LIMIT

    for _ in range(3):  # nothing of a refused request stays counted
        asyncio.run(one_after_the_other())


def test_a_cancelled_request_stays_cancelled() -> None:
    admission = Admission(ROOM, seconds=60)

    async def cancel() -> None:
        task = asyncio.create_task(read(admission, client(None)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


# ------------------------------------------------------------------------------------------------ compressed bodies


def zstandard(text: bytes, window_log: int = 20) -> bytes:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
    return packer.compress(text) + packer.flush()


TEXT = b"0123456789" * 100  # LIMIT bytes
BOMB = b"\0" * 20_000_000


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("", TEXT, TEXT),
        ("identity", TEXT, TEXT),
        ("gzip", gzip.compress(TEXT), TEXT),
        ("GZIP ", gzip.compress(TEXT), TEXT),
        ("x-gzip", gzip.compress(TEXT), TEXT),
        ("zstd", zstandard(TEXT), TEXT),
        ("zstd", zstandard(TEXT, window_log=23), TEXT),
        ("gzip", gzip.compress(b"a") + gzip.compress(b"b"), b"ab"),
        ("zstd", zstandard(b"a") + zstandard(b"b"), b"ab"),
        ("gzip", b"", b""),
        ("gzip", gzip.compress(TEXT)[:-1], "invalid_request"),
        ("zstd", zstandard(TEXT)[:-1], "invalid_request"),
        ("gzip", TEXT, "invalid_request"),
        ("zstd", TEXT, "invalid_request"),
        ("gzip", gzip.compress(TEXT) + b"more", "invalid_request"),
        ("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1), "invalid_request"),  # each costs a copy of the rest
        ("zstd", zstandard(TEXT, window_log=27), "invalid_request"),  # asks for 128 MiB to be unpacked in
        ("deflate", zlib.compress(TEXT), TEXT),
        ("deflate", zlib.compress(TEXT)[:-1], "invalid_request"),
        ("deflate", TEXT, "invalid_request"),
        ("br", TEXT, "unsupported_encoding"),
        ("gzip, zstd", TEXT, "unsupported_encoding"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_a_compressed_body_is_read(encoding: str, body: bytes, expected: bytes | str) -> None:
    found: bytes | str
    try:
        found = unpacked(body, encoding, LIMIT)
    except Refusal as refusal:
        found = refusal.code.name
    assert found == expected


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(BOMB)), ("zstd", zstandard(BOMB)), ("deflate", zlib.compress(BOMB))],
    ids=["gzip", "zstd", "deflate"],
)
def test_of_a_bomb_only_the_limit_is_ever_unpacked(encoding: str, body: bytes) -> None:
    assert len(body) < 100_000
    assert len(unpacked(body, encoding, LIMIT)) == LIMIT + 1
