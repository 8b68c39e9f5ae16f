"""A request whose members are all written alike is cut into columns: with what reading each of them would come to, or
not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_members import KNOWN, METERS, NUMBERS, TEXTS, TIMES, UIDS
from ingest_world import NORTH, NOW

from effort import drawing
from tallystick.core.measurement_reading import unpack
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import sorting
from tallystick.pipeline.ingest.sheets import lay_out, take_up
from tallystick.pipeline.ingest.sorting import Batch, Sorter
from tallystick.pipeline.ingest.splitting import MAX_MEASUREMENTS, split
from tallystick.pipeline.ingest.tail import Reading
from tallystick.pipeline.ingest.uniform import Uniform, sort_out

ACME, BETA = "6f1d2f0e-7a39-4f8b-9a53-000000000001", "6f1d2f0e-7a39-4f8b-9a53-000000000002"
ALL_KNOWN = replace(KNOWN, accounts={"acme": ACME, "b}, {": BETA, "short": "an-id"})
Member = Mapping[str, Any]
ROOM = 1_000_000  # bytes of memory, for the largest request here


def reference(body: bytes) -> Batch:
    """What a request is sorted out to by reading each of its members."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "FEW", 0)
        return Sorter(NORTH, ALL_KNOWN, NOW, lambda: "given").sort_out(split(body))


def uniform(body: bytes, remembered: Uniform | None = None) -> Batch | None:
    return sort_out(NORTH, remembered or Uniform(ALL_KNOWN), NOW, body)


def table(batch: Batch) -> tuple[object, ...]:
    """All that a batch says."""
    candidates = batch.candidates
    entries = [unpack(each) for each in candidates.entries]
    readings = [columns(each) for each in candidates.readings]
    told = (list(batch.places), list(batch.uids), batch.bad, list(batch.strangers), batch.generated)
    return (*told, list(candidates.keys), list(candidates.contents), entries, readings)


def columns(reading: Reading) -> tuple[object, ...]:
    kept = (reading.columns.uids, reading.columns.ts, reading.account_ids)
    maps = (reading.columns.numbers, reading.columns.texts)
    ranks = None if reading.ranks is None else reading.ranks.tolist()
    return (
        reading.meter_id,
        *map(list, kept),
        *({code: list(each) for code, each in one.items()} for one in maps),
        ranks,
    )


def same(body: bytes, remembered: Uniform | None = None) -> bool:
    """Whether it is cut into columns; then it comes to what the reference says."""
    batch = uniform(body, remembered)
    if batch is not None:
        expected = table(reference(body))
        assert table(batch) == expected
        memory = memoryview(bytearray(ROOM))
        head = lay_out(batch, memory)
        assert head is not None
        assert table(take_up(head, memory)) == expected
    return batch is not None


# ------------------------------------------------------------------------------------------------ what is drawn

STYLES = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")])
QUOTED = st.text(alphabet="ab{}[],: .-09", max_size=9).map(json.dumps)
FEW_HOSTILE = 0.03


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A request of members written alike; now and then a value is of any other kind."""
    comma, colon = draw(STYLES)
    meter = draw(st.sampled_from(["llm", "bare", "timed", "none"]))
    declared = METERS.get(meter, METERS["llm"]).data_fields
    order = draw(st.permutations(["uid", "meter", "account", "ts", "maps"]))
    hostile = draw(st.booleans())

    def value(usual: st.SearchStrategy[str], other: st.SearchStrategy[str]) -> str:
        return draw(other if hostile and draw(st.floats(0, 1)) < FEW_HOSTILE else usual)

    def member(number: int) -> str:
        maps: dict[str, dict[str, str]] = {}
        for each in declared:
            plain = st.decimals(-99, 99, places=draw(st.integers(0, 2))).map(str)
            text = value(plain, NUMBERS) if each.category.numeric else value(QUOTED, TEXTS)
            maps.setdefault(each.category.value.lower(), {})[each.code] = text
        parts = {
            "uid": value(st.just(f'"u-{number}"'), UIDS),
            "meter": f'"{meter}"',
            "account": value(
                st.sampled_from(['"acme"', '"b}, {"']), st.sampled_from(['"short"', '"nobody"', '""', "7"])
            ),
            "ts": value(st.just(f'"2025-06-01T10:00:00.{number:03d}Z"'), TIMES.map(json.dumps)),
        }
        pairs = [
            pair
            for name in order
            for pair in ([(name, parts[name])] if name in parts else [(m, joined(each)) for m, each in maps.items()])
        ]
        return joined(dict(pairs))

    def joined(pairs: Mapping[str, str]) -> str:
        return "{" + comma.join(f'"{name}"{colon}{text}' for name, text in pairs.items()) + "}"

    members = [member(number) for number in range(draw(st.integers(1, 12)))]
    return f'{{"measurements"{colon}[{comma.join(members)}]}}'.encode("utf-8", "surrogatepass")


@given(bodies(), bodies())
@settings(**drawing(60))
def test_it_comes_to_what_reading_each_member_comes_to(first: bytes, second: bytes) -> None:
    remembered = Uniform(ALL_KNOWN)
    for body in (first, second, first):
        same(body, remembered)


@given(body=bodies(), data=st.data())
@settings(**drawing(80))
def test_a_sign_more_or_less_or_another_anywhere(body: bytes, data: st.DataObject) -> None:
    remembered = Uniform(ALL_KNOWN)
    same(body, remembered)
    at = data.draw(st.integers(0, len(body) - 1))
    sign = data.draw(
        st.sampled_from([b"", b'"', b",", b"}", b"{", b"]", b"\\", b" ", b"0", b"-", b".", b"\n", b"\xc3"])
    )
    changed = body[:at] + sign + body[at + data.draw(st.integers(0, 1)) :]
    try:
        split(changed)
    except Refusal:
        assert uniform(changed, remembered) is None
        assert uniform(changed) is None
    else:
        same(changed, remembered)
        same(changed)


# -------------------------------------------------------------------------------------------------- what is taken

USUAL = {"uid": "u", "meter": "bare", "account": "acme", "ts": "2025-06-01T10:00:00Z", "income": {"n": 1.5}}


def sent(*changes: Member, number: int = 3) -> bytes:
    """So many usual members, and then one for each of the changes."""
    members = [USUAL | {"uid": f"u{at}"} for at in range(number)] + [USUAL | each for each in changes]
    return json.dumps({"measurements": members}).encode()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"uid": "\x20x"},
        {"account": "b}, {"},
        {"ts": "2025-06-01 12:00:00+02:00"},
        {"ts": "2025-06-01"},  # UTC, and not what Arrow reads
        {"income": {"n": 0}},
        {"income": {"n": -0.0625}},
        {"income": {"n": 1e-05}},
        {"income": {"n": 99999999999999999999}},
    ],
)
def test_values_of_any_kind_are_taken(change: Member) -> None:
    assert same(sent(change))


@pytest.mark.parametrize(
    "change",
    [
        {"uid": ""},
        {"uid": "u" * 51},
        {"uid": "\x7f"},
        {"uid": "ü"},
        {"uid": 'a"b'},
        {"uid": None},
        {"account": "nobody"},
        {"account": ""},
        {"account": "short"},
        {"ts": "2025-06-01T12:10:00.1Z"},  # too far ahead
        {"ts": "yesterday"},
        {"meter": "none"},
        {"meter": "timed", "income": None, "measure": {"n": 1}},
        {"income": {"n": "1"}},
        {"income": {"n": 1e30}},
        {"income": {"n": 100000000000000000000}},
        {"income": {"n": 1.5, "m": 2}},
        {"income": {"m": 2}},
        {"ets": "2025-06-01T10:00:00Z"},
        {"colour": "red"},
    ],
)
def test_a_member_that_is_another_or_may_not_count_is_left_to_the_reference(change: Member) -> None:
    assert uniform(sent(change)) is None
    assert uniform(sent(change, number=0)) is None


@pytest.mark.parametrize("number", ["01", "1.", ".5", "-", "+1", "1e", "1e+", "0x1", "1_0", "- 1", "1.2.3", "", "NaN"])
def test_what_is_no_number_is_left_to_the_reference(number: str) -> None:
    body = sent().replace(b"1.5", number.encode(), 1)
    assert uniform(body) is None
    remembered = Uniform(ALL_KNOWN)
    assert same(sent(), remembered)
    assert uniform(body, remembered) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"measurements"', b'{"a": 1, "measurements"'),
        (b"]}", b'], "measurements": []}'),
        (b"]}", b"]}\x0c"),
        (b"]}", b"]} {}"),
        (b"]}", b"]]}"),
        (b"]}", b",]}"),
        (b'"uid": "u1"', b'"uid": "u1", "uid": "u1"'),
        (b'"uid"', b'"uid": "twice", "uid"'),
    ],
)
def test_a_request_of_another_form_is_left_to_the_reference(before: bytes, after: bytes) -> None:
    remembered = Uniform(ALL_KNOWN)
    assert same(sent(), remembered)
    body = sent().replace(before, after)
    assert body != sent()
    assert uniform(body) is None
    assert uniform(body, remembered) is None


def test_long_members_and_as_many_as_there_may_be() -> None:
    notes = ["n" * 256, "", "n" * 31, "n" * 32]
    models = ["m" * 1024, "m", ""]
    members = [
        {
            "uid": f"u{at}",
            "meter": "llm",
            "account": "acme",
            "ts": "2025-06-01T10:00:00Z",
            "what": {"model": models[at % 3 if at < 9 else 1]},
            "metadata": {"note": notes[at % 4 if at < 16 else 1]},
            "measure": {"tokens": at},
            "cost": {"usd": -at / 8},
        }
        for at in range(MAX_MEASUREMENTS)
    ]
    assert same(written(members))
    assert uniform(written([*members, members[0]])) is None
    members[3]["metadata"] = {"note": "n" * 257}
    assert uniform(written(members)) is None


def written(members: Sequence[Member]) -> bytes:
    return json.dumps({"measurements": members}).encode()


def test_of_a_meter_with_derived_fields_no_columns_are_kept() -> None:
    members = [{**USUAL, "uid": f"u{at}", "meter": "timed", "measure": {"n": at}} for at in range(20)]
    for each in members:
        del each["income"]
    batch = uniform(written(members))
    assert batch is not None
    assert batch.candidates.readings == []
    assert table(batch) == table(reference(written(members)))


def test_some_layouts_are_remembered() -> None:
    remembered = Uniform(ALL_KNOWN)
    spaced, dense = sent(), sent().replace(b" ", b"")
    for body in (spaced, dense, spaced):
        assert same(body, remembered)
    assert len(remembered._layouts) == 2
    for spaces in range(10):
        assert same(sent().replace(b'"uid":', b'"uid":' + b" " * spaces), remembered)
    assert len(remembered._layouts) == 4
