"""What reads bytes from outside, as functions of bytes that any fuzzer can drive: they return, or a promise is broken.

Each lets pass only the rejections that its parser documents, and holds what was accepted against a second reading.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import msgspec

from billing_world import id_of
from tallystick.core import wire
from tallystick.core.crm import OF_SYSTEM, CrmPull, CrmRecord, read_record
from tallystick.core.csv_text import csv_bytes, spreadsheet_safe
from tallystick.core.event_mapping import EventMapping, Mapper, Taken
from tallystick.core.export_clock import ScheduleType, latest_due, require_cron
from tallystick.core.expression import CalculationError, ExpressionError, Scalar, Type, check, evaluate, parse, render
from tallystick.core.measurement import (
    EARLIEST,
    LATEST,
    NUMBER_MAPS,
    Schema,
    content_digest,
    numbers_of,
    read_time,
    sent_time,
    uid_key,
    validate,
)
from tallystick.core.measurement_reading import JournalEntry, given_uid, pack, read_measurement, unpack
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.core.quantity import QUANTITY_LIMIT, parse_quantity
from tallystick.core.row_mapping import TimeUnit, columns_of, parts_of
from tallystick.core.usage_event import EventForm, event_uid, given_event_uid, read_event
from tallystick.core.usage_event_forms import documents, header_value
from tallystick.errors import CODES, Refusal, Rejection
from tallystick.pipeline.ingest.columns import Form, Forms
from tallystick.pipeline.ingest.known import Known
from tallystick.pipeline.ingest.sorting import FEW, Sorter
from tallystick.pipeline.ingest.splitting import MAX_MEASUREMENTS, split
from tallystick.web.encoding import unpacked

NOW, EPOCH = Instant.parse("2025-06-01T12:00:00Z"), Instant.parse("1970-01-01")
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


FORMS = list(EventForm)
HEADERS: list[dict[str, str]] = [
    {"content-type": "application/json"},
    {"content-type": "application/cloudevents+json"},
    {"content-type": "application/cloudevents-batch+json"},
    {"content-type": "application/x-ndjson"},
    {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t", "content-type": "text/plain"},
    {"ce-specversion": "1.0", "ce-id": "%31", "ce-source": '"s\\""', "ce-type": "t"},
]
METER_ID = id_of("meter", "events")
CALCULATION = Taken(calculation="value * 2 + isnull(data.n, 0)", default="1")
MAPPER = Mapper(
    mappings=(
        EventMapping(
            code="all",
            name="All",
            type="*",
            when="isnull(data.off, false) == false",
            meter_id=METER_ID,
            account=Taken(path="data.account", default="acme"),
            fields={"n": CALCULATION, "t": Taken(path="attributes.t.0", default="x")},
        ),
        EventMapping(code="none", name="None", source="s*", type="t", ignore=True),
    ),
    meters={
        METER_ID: Meter(
            name="Events",
            code="m",
            data_fields=(
                DataField(code="n", name="n", category=Category.MEASURE, unit="1"),
                DataField(code="t", name="t", category=Category.WHAT),
            ),
            derived_fields=(),
        )
    },
)
PULLS = [
    CrmPull(system=system, table=table, rows=()) for system, tables in OF_SYSTEM.items() for table in sorted(tables)
]


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
        text = data.decode("utf-8", "replace")
        moment = sent_time(text)
    except ValueError:
        return
    assert EARLIEST <= moment < LATEST
    assert sent_time(moment.isoformat()) == read_time(text) == moment
    assert text.isascii()
    assert set(text) <= set("0123456789-:.,+TtWZ ")


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


def told(problem: ValueError) -> None:
    """What is refused is refused in our words, and in few."""
    assert not isinstance(problem, ArithmeticError | UnicodeError)
    assert len(str(problem)) < 1_000


def event(data: bytes) -> None:
    """A request of usage events: the first byte chooses the form, the second the headers. Each event is read, mapped,
    and what that makes is a measurement that can be read. Read again it is the same, with the same uid."""
    form = FORMS[sum(data[:1]) % len(FORMS)]
    headers = HEADERS[sum(data[1:2]) % len(HEADERS)]
    try:
        documents_ = documents(form, headers, data[2:])
    except ValueError as problem:
        told(problem)
        return
    for each in documents_:
        read = read_event(form, each)
        assert read == read_event(form, each)
        if isinstance(read, Rejection):
            assert read.code in CODES
            assert len(read.reason) < 1_000
            given_event_uid(read, each)
            continue
        mapped = MAPPER.map(read)
        assert all(fault.code in CODES and len(fault.reason) < 1_000 for fault in mapped.faults)
        for made in mapped.members:
            measured = read_measurement(made)
            assert isinstance(measured, Rejection) or measured.uid == event_uid(read, "all")
            member(made)


def header(data: bytes) -> None:
    """The value of a header of a CloudEvent."""
    text = data.decode("latin-1")
    plain = header_value(text)
    assert len(plain) <= len(text)
    assert plain == text or '"' in text or "%" in text


def crm_row(data: bytes) -> None:
    """A row of a CRM: what is read of it are short texts and days that can be written."""
    try:
        row = wire.decode(dict[str, Any], data[1:])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    pull = PULLS[sum(data[:1]) % len(PULLS)]
    try:
        record = read_record(row, pull)
    except ValueError as problem:
        told(problem)
        return
    if isinstance(record, CrmRecord):
        assert len(wire.encode(record)) < 50 * len(data) + 1_000, "no cell becomes longer than it was sent"


def cells(data: bytes) -> None:
    """A row of a file of usage: its measurement can be written, and says what the cells say."""
    try:
        row = wire.decode(dict[str, Any], data[1:])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    unit = list(TimeUnit)[sum(data[:1]) % len(TimeUnit)]
    columns = columns_of(
        [("ts", "t"), ("account", "a"), ("uid", "u"), ("measure.n", "n"), ("what.w", "w")], time_unit=unit
    )
    made = wire.encode(parts_of(row, columns))
    assert len(made) < 50 * len(data) + 1_000
    read_measurement(made)


def cell_of_csv(data: bytes) -> None:
    """A text in a file for spreadsheets: no cell of it is a formula, however it is parted, and it is there in full."""
    text = data.decode("utf-8", "replace")
    safe = spreadsheet_safe(text)
    for separator in (";", "\t"):
        first, *others = re.split(f"[{separator}\r\n]", safe)
        begins = [first.strip(" \xa0"), *(each.strip(' "\xa0') for each in others)]  # quotes count in the first only
        assert not any(each[:1] and each[0] in "=+-@＝＋－＠" for each in begins), safe
    assert safe.replace("'", "") == text.replace("'", "")
    assert list(csv.reader(StringIO(csv_bytes([["a", safe]]).decode(), newline=""), strict=True)) == [["a", safe]]


def cron(data: bytes) -> None:
    """A cron expression: it is refused, or it is due at most every 15 minutes and once."""
    text = data.decode("utf-8", "replace")
    try:
        require_cron(text)
    except ValueError:
        return
    due = latest_due(ScheduleType.DAY, 1, 0, text, after=EPOCH, now=NOW)
    assert due is None or due <= NOW
    assert due is None or latest_due(ScheduleType.DAY, 1, 0, text, after=due, now=NOW) is None


TARGETS = {
    "member": member,
    "many": many,
    "body": body,
    "time": time,
    "quantity": quantity,
    "expression": expression,
    "packed": packed,
    "event": event,
    "header": header,
    "crm_row": crm_row,
    "cells": cells,
    "cell_of_csv": cell_of_csv,
    "cron": cron,
}
