"""Members of requests of every kind, and three meters that they are held against."""

from __future__ import annotations

import json
from collections.abc import Iterable

from hypothesis import strategies as st

from tallystick.core.measurement import Schema, fields_of
from tallystick.core.meter import Category, DataField, DerivedField, Meter
from tallystick.core.organization import OrganizationConfig
from tallystick.pipeline.ingest.columns import Form, Forms
from tallystick.pipeline.ingest.known import Known


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
            "2025-06-01T10:00:020Z",  # a slip
            "2025-06-01T10:00:00\\u0000Z",
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
    change = draw(st.sampled_from(["", "", "", *CHANGES]))
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
