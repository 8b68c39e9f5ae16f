"""Many at once or one by one: the same verdicts, digests, journal entries and rows, whatever is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_world import NORTH, NOW, body, measurement, world

from effort import drawing
from tallystick.core.measurement import Schema, fields_of
from tallystick.core.meter import Category, DataField, DerivedField, Meter
from tallystick.core.organization import OrganizationConfig
from tallystick.pipeline.ingest import sorting
from tallystick.pipeline.ingest.columns import FEW, Form, Forms
from tallystick.pipeline.ingest.known import Known
from tallystick.pipeline.ingest.rereading import forms_of, read_block
from tallystick.pipeline.ingest.sorting import Batch, Sorter
from tallystick.pipeline.ingest.splitting import split
from tallystick.pipeline.ingest.tail import appended
from tallystick.pipeline.mediate import mediate, project
from tallystick.ports import Block, UsageRow
from tallystick.stores.memory import MemoryUsage


def field(code: str, category: Category) -> DataField:
    return DataField(code=code, name=code, category=category, unit="1" if category.numeric else None)


METERS = {
    "llm": Meter(
        name="LLM",
        code="llm",
        data_fields=(
            field("model", Category.WHAT),
            field("note", Category.METADATA),
            field("tokens", Category.MEASURE),
            field("usd", Category.COST),
        ),
        derived_fields=(),
    ),
    "bare": Meter(name="Bare", code="bare", data_fields=(field("n", Category.INCOME),), derived_fields=()),
    "timed": Meter(
        name="Timed",
        code="timed",
        data_fields=(field("n", Category.MEASURE),),
        derived_fields=(
            DerivedField(code="double", name="d", category=Category.MEASURE, unit="1", calculation="n * 2"),
        ),
    ),
}
SCHEMAS = {
    code: Schema(f"{code}-id", 1, fields_of(meter), bool(meter.derived_fields)) for code, meter in METERS.items()
}
KNOWN = Known(
    revision=1,
    config=OrganizationConfig(),
    schemas=SCHEMAS,
    forms=Forms([Form(code, schema) for code, schema in SCHEMAS.items()]),
    accounts={"acme": "acme-id", "ümlaut": "u-id"},
)


def sort_out(members: Sequence[bytes], few: int, monkeypatch: pytest.MonkeyPatch) -> Batch:
    numbers = count(1)
    with monkeypatch.context() as patch:
        patch.setattr(sorting, "FEW", few)
        return Sorter(NORTH, KNOWN, NOW, lambda: f"new-{next(numbers)}").sort_out(split(body(*members)))


def rows_of(batch: Batch) -> list[UsageRow]:
    """What the candidates become in the usage store, each a row of its own."""
    size = len(batch.places)
    if not size:
        return []
    block = Block(organization_id=NORTH, kind="measurement", received=NOW, entries=batch.candidates.entries, first=1)
    part = appended(block, [(batch.candidates, np.ones(size, bool))])
    rows = mediate([part], lambda _, meter_id, __: METERS[meter_id.removesuffix("-id")]).rows
    rows += [row for each in part.blocks for row in each.rows()]
    return sorted(rows, key=lambda row: row.position)


# ------------------------------------------------------------------------------------------------------- members

TIMES = st.one_of(
    st.sampled_from(
        [
            "2025-06-01T10:00:00Z",
            "2025-06-01T10:00:00.123Z",
            "2025-06-01T10:00:00.1234567Z",  # digits beyond microseconds are cut off
            "2025-06-01 12:00+02:00",
            "2025-06-01T10:00:00+1400",
            "2025-06-01T10:00:00",  # UTC
            "2025-06-01",
            "20250601T100000Z",
            "2025-06-01T24:00:00Z",
            "2025-06-01T23:59:60Z",
            "2025-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2262-01-01T00:00:00Z",
            "2261-12-31T23:59:59.999999Z",
            "2025-06-01T12:10:00Z",  # the last moment that is not too far ahead
            "2025-06-01T12:10:00.000001Z",
            "yesterday",
            "",
        ]
    ),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.datetimes().map(lambda moment: moment.isoformat(" ") + "+05:30"),
)
NUMBERS = st.one_of(
    st.integers(-(10**21), 10**21).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=20, min_value=-(10**6), max_value=10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0", "-0", "-0.0", "1", "1.0", "1.50", "1e2", "1E-05", "1e400", "1e-400", "1e-500", "9" * 19]),
    st.sampled_from(["0.0000000000000000005", "9" * 20, f"{'9' * 20}.{'9' * 19}", str(2**63), "1" * 5000]),
    st.sampled_from(['"1"', "true", "null", "[1.5]", "{}", "NaN", "Infinity"]),
)
TEXTS = st.one_of(
    st.text(max_size=8).map(json.dumps),
    st.sampled_from(['"' + "x" * 1024 + '"', '"' + "x" * 1025 + '"', '"' + "é" * 256 + '"', '"' + "x" * 257 + '"']),
    st.sampled_from(["1", "null", '"\\ud800"', '"\\u0000"', '"tab\\t"']),
)
UIDS = st.one_of(
    st.sampled_from(['"a"', '"b"', '"é"', '""', "null", '"' + "u" * 50 + '"', '"' + "u" * 51 + '"', '"\\n"', "7"]),
    st.uuids().map(lambda each: f'"{each}"'),
)


def json_object(pairs: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{name}":{text}' for name, text in pairs) + "}"


CHANGES = ["missing", "more", "other", "ets", "unknown", "null", "twice", "shuffle"]


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """A member of a request: mostly of the usual form, with anything the matter."""
    meter = draw(st.sampled_from(["llm", "llm", "llm", "bare", "timed", "none"]))
    usual = draw(st.booleans())
    numbers = st.integers(0, 100).map(str) if usual else NUMBERS
    texts = st.sampled_from(['"s"', '"m"']) if usual else TEXTS
    parts = {
        "uid": draw(st.uuids().map(lambda each: f'"{each}"') if usual else UIDS),
        "meter": f'"{meter}"',
        "account": draw(st.sampled_from(['"acme"', '"acme"', '"ümlaut"', '"acm\\u0065"', '"nobody "', "1"])),
        "ts": '"' + draw(st.just("2025-06-01T10:00:00Z") if usual else TIMES) + '"',
    }
    maps: dict[str, dict[str, str]] = {}
    declared = METERS.get(meter, METERS["llm"]).data_fields
    for each in declared:
        value = draw(numbers if each.category.numeric else texts)
        maps.setdefault(each.category.value.lower(), {})[each.code] = value
    change = draw(
        st.sampled_from(["", "", "", "missing", "more", "other", "ets", "unknown", "null", "twice", "shuffle"])
    )
    first = next(iter(maps))
    if change == "missing":
        maps[first].popitem()
    elif change == "more":
        maps[first]["further"] = "1"
    elif change == "other":
        maps["other"] = {"further": '"x"'}
    elif change == "ets":
        parts["ets"] = '"2025-06-01T11:00:00Z"'
    elif change == "unknown":
        parts["colour"] = '"red"'
    parts |= {
        name: "{" + ",".join(f'"{code}":{text}' for code, text in each.items()) + "}" for name, each in maps.items()
    }
    if change == "null":
        parts[first] = "null"
    pairs = list(parts.items())
    if change == "twice":
        pairs.append(("meter", '"bare"'))
    return json_object(draw(st.permutations(pairs)) if change == "shuffle" else pairs).encode()


@given(sent=st.lists(members(), min_size=1, max_size=12))
@settings(**drawing(150))
def test_many_at_once_are_as_one_by_one(sent: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        together = sort_out(sent, 0, patch)
        alone = sort_out(sent, 10**9, patch)
    assert together.strangers == alone.strangers
    assert sorted(together.bad) == sorted(alone.bad)
    assert (
        list(zip(together.places, together.uids, strict=False)) == list(zip(alone.places, alone.uids, strict=False))
        or together.strangers
    )
    assert [list(part) for part in together.candidates[:3]] == [list(part) for part in alone.candidates[:3]]
    assert rows_of(together) == rows_of(alone)


def test_the_usual_form_is_read_as_columns_and_all_else_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(uid: str, **changes: object) -> bytes:
        parts = {"uid": uid, "meter": "bare", "account": "acme", "ts": "2025-06-01T10:00:00Z", "income": {"n": 1.5}}
        return json.dumps(parts | changes).encode()

    members = [
        sent("a"),
        sent("b", ts="2025-06-01"),
        sent("c", ets="2025-06-01T10:00:00Z"),
        sent("d", income={"n": 1, "m": 2}),
        sent("e", income={"n": 10**20}),
        sent("f", meter="timed", income=None, measure={"n": 2}),
        sent("g", account="ümlaut", income={"n": 7}),
    ]
    batch = sort_out(members, 0, monkeypatch)
    (reading,) = batch.candidates.readings
    assert list(reading.columns.uids) == ["a", "b", "g"]
    assert reading.account_ids.to_pylist() == ["acme-id", "acme-id", "u-id"]
    assert [str(each) for each in reading.columns.numbers["n"].to_pylist()] == [
        "1.500000000000000000",
        "1.500000000000000000",
        "7.000000000000000000",
    ]
    assert list(batch.uids) == ["a", "b", "c", "d", "f", "g"]
    assert [each.uid for each in batch.bad] == ["e"]


class TestProjection:
    """What the door read is projected as it is; what it did not keep is read again from the journal."""

    @pytest.mark.parametrize(("entries", "columns"), [(1, 0), (FEW, 0), (FEW + 1, FEW + 1), (50, 50)])
    def test_columns_are_set_up_for_many_only(
        self, entries: int, columns: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def original(uid: int) -> bytes:
            return json.dumps(measurement(str(uid), meter="bare", what=None, measure=None, income={"n": 1})).encode()

        batch = sort_out([original(uid) for uid in range(entries)], 10**9, monkeypatch)
        block = Block(
            organization_id=NORTH, kind="measurement", received=NOW, entries=batch.candidates.entries, first=1
        )
        part = read_block(block, lambda *_: forms_of("bare-id", 1, METERS["bare"]))
        assert sum(len(each) for each in part.blocks) == columns
        assert len(part.rest) == entries - columns

    def test_the_tail_and_the_journal_give_the_same_rows(self, tmp_path: Path) -> None:
        with world(tmp_path) as north:
            found = []
            for number in range(4):
                usual = [measurement(f"{number}/{each}", measure={"tokens": each + 0.5}) for each in range(20)]
                odd = [
                    measurement(f"{number}/0", measure={"tokens": 0.5}),  # a duplicate
                    measurement(None),
                    measurement(f"{number}/end", ets="2025-06-01T11:00:00Z"),
                    measurement(f"{number}/more", other={"colour": "red"}),
                    measurement(f"{number}/bad", measure={"tokens": "1"}),
                ]
                # The first of the four is of accounts that nobody knew, each time twice: 23 of 25 count.
                found += asyncio.run(north.post(*usual, *odd))
            assert [each["verdict"] for each in found].count("accepted") == 4 * 23
            kept, read = MemoryUsage(), MemoryUsage()
            while kept.mark < north.journal.last:
                project(north.journal, kept, north.records, 30, north.tail)
            while read.mark < north.journal.last:
                project(north.journal, read, north.records, 30)
            rows = list(kept.rows(NORTH))
            assert len(rows) == 4 * 23
            assert sorted(rows, key=lambda row: row.position) == sorted(read.rows(NORTH), key=lambda row: row.position)
