"""What reads bytes from outside, as functions of bytes that any fuzzer can drive: they return, or a promise is broken.

Each lets pass only the rejections that its parser documents, and holds what was accepted against a second reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import msgspec

from tallystick.core.expression import CalculationError, ExpressionError, Scalar, Type, check, evaluate, parse, render
from tallystick.core.measurement import (
    EARLIEST,
    LATEST,
    NUMBER_MAPS,
    Schema,
    content_digest,
    numbers_of,
    read_time,
    uid_key,
    validate,
)
from tallystick.core.measurement_reading import JournalEntry, given_uid, pack, read_measurement, unpack
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.core.quantity import QUANTITY_LIMIT, parse_quantity
from tallystick.errors import CODES, Refusal, Rejection
from tallystick.pipeline.ingest.columns import Form, Forms
from tallystick.pipeline.ingest.known import Known
from tallystick.pipeline.ingest.sorting import FEW, Sorter
from tallystick.pipeline.ingest.splitting import MAX_MEASUREMENTS, split
from tallystick.web.encoding import unpacked

NOW = Instant.parse("2025-06-01T12:00:00Z")
SCHEMA = Schema("10000000-0000-4000-8000-000000000001", 1, (("t", 1), ("n", 5)))  # t in what, n in measure
TYPES = {"n": Type.NUMBER, "m": Type.NUMBER, "t": Type.TEXT, "b": Type.BOOLEAN, "a": Type.ANY}
VALUES: dict[str, Scalar] = {"n": Decimal("2.5"), "m": None, "t": "eu", "b": True, "a": Decimal(-3)}
MOST = 1_000
GOOD = [
    b'{"uid":"%d","account":"acme","meter":"m","ts":"2025-06-01T10:00:00Z","measure":{"n":1},"what":{"t":"x"}}' % number
    for number in range(FEW + 2)
]
KNOWN = Known(
    revision=1,
    config=OrganizationConfig(),
    schemas={"m": SCHEMA},
    forms=Forms([Form("m", SCHEMA)]),
    accounts={"acme": "acme-id", "a": "a-id"},
)


def member(data: bytes) -> None:
    """One measurement, from its bytes to its content."""
    read = read_measurement(data)
    if isinstance(read, Rejection):
        assert read.code in CODES
        assert len(read.reason) < 1_000
        uid = given_uid(data)
        assert uid is None or uid.isprintable() or "\x00" not in uid
        return
    judged = validate(read, SCHEMA, NOW, timedelta(minutes=5))
    if isinstance(judged, Rejection):
        assert judged.code in CODES
        assert len(judged.reason) < 1_000
        return
    assert judged.content == content_digest(read)
    assert EARLIEST <= judged.ts < LATEST
    for name in NUMBER_MAPS:
        assert all(abs(value) < QUANTITY_LIMIT for value in numbers_of(getattr(read, name)).values())
    uid_key("organization", read.uid or "given")
    entry = JournalEntry(account_id="a", meter_id="m", meter_version=1, uid=read.uid or "given", original=data)
    assert unpack(pack(entry)) == entry


def body(data: bytes) -> None:
    """A request, from its bytes to its members, and each of those."""
    try:
        members = split(data)
    except Refusal:
        return
    assert 1 <= len(members) <= MAX_MEASUREMENTS
    for each in members:
        assert bytes(each) in data, "a member is what was sent, letter by letter"
        member(bytes(each))


def many(data: bytes) -> None:
    """A measurement among many, which are read column by column: it comes to what it comes to by itself."""
    try:
        members = split(b'{"measurements":[' + b",".join([*GOOD, data]) + b"]}")
    except Refusal:
        return
    together = judged(members)
    apart = {place: judged([members[place]]) for place in range(len(GOOD) - 1, len(members))}
    strangers = {code for each in apart.values() if isinstance(each, set) for code in each}
    if strangers:
        assert together == strangers
        return
    assert isinstance(together, dict)
    for place, each in apart.items():
        assert isinstance(each, dict)
        assert together[place] == each[0], members[place]


def judged(members: Sequence[bytes | msgspec.Raw]) -> dict[int, object] | set[str]:
    """What the members of a request come to, by place; or the accounts that must be looked up first."""
    batch = Sorter("organization", KNOWN, NOW, lambda: "given").sort_out(members)
    candidates = batch.candidates
    if batch.strangers:
        return set(batch.strangers)
    good = zip(batch.uids, candidates.keys, candidates.contents, candidates.entries, strict=True)
    return {
        **dict(zip(batch.places, good, strict=True)),
        **{each.place: (each.uid, each.rejection, each.original) for each in batch.bad},
    }


def time(data: bytes) -> None:
    """A time as it is written in a measurement."""
    try:
        moment = read_time(data.decode("utf-8", "replace"))
    except ValueError:
        return
    assert EARLIEST <= moment < LATEST
    assert read_time(moment.isoformat()) == moment


def quantity(data: bytes) -> None:
    """A number as text."""
    try:
        number = parse_quantity(data.decode("utf-8", "replace"))
    except ValueError:
        return
    assert abs(number) < QUANTITY_LIMIT
    assert parse_quantity(f"{number:f}") == number


def expression(data: bytes) -> None:
    """A formula, from its text to its value."""
    try:
        tree = parse(data.decode("utf-8", "replace"))
    except ExpressionError:
        return
    assert parse(render(tree)) == tree
    try:
        check(tree, TYPES)
    except ExpressionError:
        return
    with suppress(CalculationError):
        evaluate(tree, VALUES)


def packed(data: bytes) -> None:
    """A compressed body: the first byte chooses how it is said to be compressed."""
    with suppress(Refusal):
        assert len(unpacked(data[1:], ("gzip", "zstd")[sum(data[:1]) % 2], MOST)) <= MOST + 1


TARGETS = {
    "member": member,
    "many": many,
    "body": body,
    "time": time,
    "quantity": quantity,
    "expression": expression,
    "packed": packed,
}
