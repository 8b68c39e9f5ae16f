"""Hostile measurements over HTTP, each with its expected answer beside it: refused with a code, or accepted as what.

Each is sent between two good ones, which must count whatever stands beside them. What is accepted is read back
from the usage query, so that the whole way is held to the table; what is refused must wait in the queue as it was sent.
All of it goes through each door: some in a request, and all in one, which is sorted out in a process of its own
(docs/decisions/0550-sorted-out-apart.md), compressed or not.
"""

from __future__ import annotations

import base64
import gzip
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hostile_measurements import BODIES, FIELDS, GOOD, ITEMS, UID, body, good, number, text
from small_disk import family
from storefront import read, refused, send

from sorters import at_work
from tallystick.cli.launch import Server
from tallystick.core import wire
from tallystick.pipeline.ingest.intake import LARGE
from tenant import new_tenant

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WAIT_SECONDS = 60


@dataclass
class Outcome:
    """What became of the items, by their place in the table, and what the usage query shows, by uid."""

    verdicts: list[dict[str, Any]] = field(default_factory=list)
    good: list[str] = field(default_factory=list)  # the verdicts of those between them
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)


def zstandard(content: bytes) -> bytes:
    packer = zstd.ZstdCompressor()
    return packer.compress(content) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard}


@dataclass(frozen=True)
class DoorWay:
    """How measurements come in: so many items in a request, and its Content-Encoding."""

    at_once: int
    encoding: str

    def send(self, http: httpx.Client, content: bytes) -> httpx.Response:
        assert (len(content) >= LARGE) == (self.at_once == len(ITEMS))
        headers = {"content-encoding": self.encoding}
        return http.post("/measurements", content=PACKERS[self.encoding](content), headers=headers)


DOORS = {
    "small": DoorWay(15, "identity"),
    "large": DoorWay(len(ITEMS), "identity"),
    "large and gzip": DoorWay(len(ITEMS), "gzip"),
    "large and zstd": DoorWay(len(ITEMS), "zstd"),
}


@contextmanager
def shop(server: Server) -> Iterator[httpx.Client]:
    with new_tenant(server).http() as http:
        product = read(send(http, "POST", "/products", {"name": "p", "code": "p"}))["id"]
        meter = {"name": "m", "code": "m", "productId": product, "dataFields": FIELDS, "derivedFields": []}
        read(send(http, "POST", "/meters", meter))
        yield http


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with shop(server) as http:
        yield http


@pytest.fixture(scope="module")
def sorter(server: Server, http: httpx.Client) -> int:
    """The process that large requests are sorted out in, at work."""
    end = time.monotonic() + WAIT_SECONDS
    many = body(*[good("again")] * (LARGE // len(GOOD)))
    while (found := at_work(family(server.process.pid))) is None:
        assert time.monotonic() < end, "large requests are not sorted out apart"
        read(http.post("/measurements", content=many))
    return found


@pytest.fixture(scope="module", params=DOORS.values(), ids=DOORS)
def outcome(request: pytest.FixtureRequest, server: Server, sorter: int) -> Outcome:
    with shop(server) as http:
        found = sent_through(request.param, http)
    assert at_work(family(server.process.pid)) == sorter, "nothing of it ended that process"
    return found


def sent_through(door: DoorWay, http: httpx.Client) -> Outcome:
    found = Outcome()
    for first in range(0, len(ITEMS), door.at_once):
        members = [good(f"good{first}")]
        for place, item in enumerate(ITEMS[first : first + door.at_once], first):
            members += [item.sent.replace(UID.encode(), f"u{place}".encode()), good(f"good{place + 1}")]
        reply = door.send(http, body(*members))
        verdicts = wire.decode(dict[str, Any], reply.content).get("measurements", [])
        assert len(verdicts) == len(members), reply.text
        found.good += [each["verdict"] for each in verdicts[::2]]
        found.verdicts += verdicts[1::2]
    accepted = len({each["uid"] for each in found.verdicts if each["verdict"] == "accepted"}) + len(ITEMS) + 1
    end = time.monotonic() + WAIT_SECONDS
    while len(found.rows) < accepted:
        assert time.monotonic() < end, f"{len(found.rows)} of {accepted} are visible after {WAIT_SECONDS} s"
        time.sleep(0.05)
        found.rows = {row["uid"]: row for row in read(http.post("/usage/query", content=b"{}"))["data"]}
    token: str | None = ""
    while token is not None:
        page = read(
            http.get("/failedmeasurements", params={"pageSize": 100, **({"nextToken": token} if token else {})})
        )
        found.failed |= {each["id"]: each for each in page["data"]}
        token = page.get("nextToken")
    return found


@pytest.mark.parametrize("place", range(len(ITEMS)), ids=[f"{item.name[:60]}" for item in ITEMS])
def test_each_item_has_its_answer(outcome: Outcome, place: int) -> None:
    item = ITEMS[place]
    verdict = outcome.verdicts[place]
    if isinstance(item.expected, str):
        assert (verdict["verdict"], verdict.get("code")) == ("rejected", item.expected), verdict
        assert verdict["reason"]
        assert len(verdict["reason"]) < 300, "a reason does not repeat what was sent"
        waiting = outcome.failed[verdict["failedMeasurementId"]]
        kept = (
            base64.b64decode(waiting["originalBase64"]) if "originalBase64" in waiting else waiting["original"].encode()
        )
        assert kept == item.sent.replace(UID.encode(), f"u{place}".encode())
        assert verdict["uid"] not in outcome.rows
    else:
        assert verdict["verdict"] == "accepted", verdict
        row = outcome.rows[verdict["uid"]]
        for name, value in item.expected.items():
            wanted = value.replace(UID, f"u{place}") if isinstance(value, str) else value
            assert row.get(name, row["fields"].get(name)) == wanted


def test_what_stands_beside_the_items_counts(outcome: Outcome) -> None:
    assert set(outcome.good) <= {"accepted", "duplicate"}  # the last of a request is the first of the next
    for place in range(len(ITEMS) + 1):
        assert outcome.rows[f"good{place}"]["fields"] == {"n": 1, "t": "x"}


# ------------------------------------------------------------------------------------------------------ whole bodies


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("least", [0, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("sent", "expected"), BODIES.values(), ids=BODIES.keys())
def test_a_body_of_no_known_form_is_refused_whole(
    http: httpx.Client, sorter: int, sent: bytes, expected: tuple[int, str], least: int, encoding: str
) -> None:
    status, code = expected
    packed = PACKERS[encoding](sent.ljust(least))
    reply = refused(http.post("/measurements", content=packed, headers={"content-encoding": encoding}), status)
    assert reply["code"] == code
    assert len(reply["message"]) < 300


def test_of_bodies_that_were_refused_nothing_is_kept(server: Server, http: httpx.Client, sorter: int) -> None:
    assert at_work(family(server.process.pid)) == sorter, "none of them ended the process that they were read in"
    (verdict,) = read(http.post("/measurements", content=body(GOOD)))["measurements"]
    assert verdict["verdict"] == "accepted"


SOME, BOMB = body(good("packed")), 100_000_000

# Content-Encoding → what makes the body, when its turn comes → the status and, of a refusal, the code.
PACKED: dict[str, tuple[str, Callable[[], bytes], tuple[int, str | None]]] = {
    "gzip": ("gzip", lambda: gzip.compress(SOME), (200, None)),
    "zstd": ("zstd", lambda: zstandard(SOME), (200, None)),
    "none": ("identity", lambda: SOME, (200, None)),
    "gzip bomb": ("gzip", lambda: gzip.compress(SOME + b" " * BOMB, 1), (403, "payload_too_large")),
    "zstd bomb": ("zstd", lambda: zstandard(SOME + b" " * BOMB), (403, "payload_too_large")),
    "no gzip": ("gzip", lambda: SOME, (400, "invalid_request")),
    "half of it": ("gzip", lambda: gzip.compress(SOME)[:-9], (400, "invalid_request")),
    "brotli": ("br", lambda: SOME, (415, "unsupported_encoding")),
}


@pytest.mark.parametrize(("encoding", "sent", "expected"), PACKED.values(), ids=PACKED.keys())
def test_compressed_bodies(
    http: httpx.Client, encoding: str, sent: Callable[[], bytes], expected: tuple[int, str | None]
) -> None:
    reply = http.post("/measurements", content=sent(), headers={"content-encoding": encoding})
    assert (reply.status_code, reply.json().get("code")) == expected, reply.text


def test_one_bad_measurement_among_999_good_ones(http: httpx.Client) -> None:
    for place, bad in ((0, number("NaN")), (500, b"5"), (999, text(b"\xff"))):
        members = [good(f"{place}/{each}") for each in range(999)]
        members.insert(place, bad)
        verdicts = read(http.post("/measurements", content=body(*members)))["measurements"]
        assert [each["verdict"] == "rejected" for each in verdicts] == [each == place for each in range(1_000)]
        again = read(http.post("/measurements", content=body(*members[:place], *members[place + 1 :])))["measurements"]
        assert {each["verdict"] for each in again} == {"duplicate"}
