"""From rows to measurements: the map, the parts, and uids that come out the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tallystick.cli.failure import Failure
from tallystick.cli.mapping import read_map
from tallystick.core import wire
from tallystick.core.row_mapping import ColumnMap, TimeUnit, measurement
from tallystick.occurrences import Occurrences

TOKENS = ["ts=TIMESTAMP", "measure.input_tokens=ContextTokens", "measure.output_tokens=GeneratedTokens"]
ROW = {"TIMESTAMP": "2023-11-16 18:15:46.6805900", "ContextTokens": "374", "GeneratedTokens": "44"}


@pytest.fixture
def met() -> Iterator[Occurrences]:
    counts = Occurrences()
    yield counts
    counts.close()


def tokens(**changes: object) -> ColumnMap:
    return read_map(TOKENS, **{"meter": "llm", "account": "code", **changes})  # type: ignore[arg-type]  # test data


def uids(rows: list[dict[str, str]], columns: ColumnMap) -> list[str]:
    counts = Occurrences()
    made = [str(measurement(row, columns, counts)["uid"]) for row in rows]
    counts.close()
    return made


def test_a_row_becomes_a_measurement(met: Occurrences) -> None:
    made = measurement(ROW, tokens(), met)
    made.pop("uid")
    assert wire.encode(made) == (
        b'{"meter":"llm","account":"code","ts":"2023-11-16T18:15:46.680590Z",'
        b'"measure":{"input_tokens":374,"output_tokens":44}}'
    )


@pytest.mark.parametrize(
    ("part", "cell", "expected"),
    [
        ("measure.n", "0.10", b'{"measure":{"n":0.10}}'),
        ("measure.n", " 5 ", b'{"measure":{"n":5}}'),
        ("measure.n", "-1.5e-3", b'{"measure":{"n":-0.0015}}'),
        ("measure.n", ".5", b'{"measure":{"n":0.5}}'),
        ("measure.n", Decimal("1e-05"), b'{"measure":{"n":0.00001}}'),
        ("measure.n", 12345678901234567890123, b'{"measure":{"n":12345678901234567890123}}'),
        ("income.n", "7", b'{"income":{"n":7}}'),
        ("cost.n", "7", b'{"cost":{"n":7}}'),
        # What is no number goes as it is, so that the server keeps it and says what is wrong with it.
        ("measure.n", "1,234", b'{"measure":{"n":"1,234"}}'),
        ("measure.n", "NaN", b'{"measure":{"n":"NaN"}}'),
        ("measure.n", Decimal("NaN"), b'{"measure":{"n":"NaN"}}'),
        ("measure.n", True, b'{"measure":{"n":"true"}}'),
        ("measure.n", "", b"{}"),
        ("measure.n", None, b"{}"),
        ("who.user", "ada", b'{"who":{"user":"ada"}}'),
        ("what.model", 4, b'{"what":{"model":"4"}}'),
        ("where.zone", Decimal("1.50"), b'{"where":{"zone":"1.50"}}'),
        ("metadata.flag", False, b'{"metadata":{"flag":"false"}}'),
        ("uid", 77, b'{"uid":"77"}'),
        ("ets", "2025-01-31", b'{"ets":"2025-01-31T00:00:00.000Z"}'),
    ],
)
def test_cells_become_parts(met: Occurrences, part: str, cell: object, expected: bytes) -> None:
    columns = read_map(["ts=when", f"{part}=cell"], meter="m", account="a")
    made = measurement({"cell": cell}, columns, met)
    for name in {"meter", "account"} | ({"uid"} - {part}):
        made.pop(name)
    assert wire.encode(made) == expected


@pytest.mark.parametrize(
    ("unit", "cell", "expected"),
    [
        ("ISO", "2023-11-16 18:15:46.6805900", "2023-11-16T18:15:46.680590Z"),
        ("ISO", "2023-11-16 18:15:46.6805909", "2023-11-16T18:15:46.680590Z"),  # cut, not rounded
        ("ISO", "2023-11-16T18:15:46+01:00", "2023-11-16T17:15:46.000Z"),
        ("ISO", "2023-11-16", "2023-11-16T00:00:00.000Z"),
        ("SECONDS", "1700000000", "2023-11-14T22:13:20.000Z"),
        ("SECONDS", Decimal("1700000000.1234567"), "2023-11-14T22:13:20.123456Z"),
        ("MILLISECONDS", 1700000000123, "2023-11-14T22:13:20.123Z"),
        ("MICROSECONDS", 1700000000123456, "2023-11-14T22:13:20.123456Z"),
        ("NANOSECONDS", 1700000000123456789, "2023-11-14T22:13:20.123456Z"),
        ("ISO", "yesterday", "yesterday"),
        ("SECONDS", "2023-11-16", "2023-11-16"),
        ("SECONDS", "1" + "0" * 20, "1" + "0" * 20),
    ],
)
def test_times(met: Occurrences, unit: str, cell: object, expected: str) -> None:
    columns = read_map(["ts=when"], meter="m", account="a", time_unit=TimeUnit(unit))
    sent = wire.decode(dict[str, str], wire.encode(measurement({"when": cell}, columns, met)))
    assert sent["ts"] == expected


def test_a_dot_leads_into_nested_objects_unless_a_column_has_that_name(met: Occurrences) -> None:
    columns = read_map(["ts=t", "measure.a=usage.tokens", "measure.b=x.y"], meter="m", account="a")
    made = measurement({"t": "2025-01-01", "usage": {"tokens": 5}, "x.y": 6, "x": {"y": 7}}, columns, met)
    assert made["measure"] == {"a": 5, "b": 6}


def test_meter_and_account_may_stand_in_columns(met: Occurrences) -> None:
    columns = read_map(["ts=t", "account=customer", "meter=kind"])
    made = measurement({"t": "2025-01-01", "customer": "acorn", "kind": "api"}, columns, met)
    assert (made["account"], made["meter"]) == ("acorn", "api")


@pytest.mark.parametrize(
    ("entries", "constants", "message"),
    [
        (["ts"], {}, "write PART=COLUMN"),
        (["ts="], {}, "write PART=COLUMN"),
        (["time=t"], {}, "'time' is no part of a measurement"),
        (["measure.=t"], {}, "is no part of a measurement"),
        (["sum.n=t"], {}, "is no part of a measurement"),
        (["ts=a", "ts=b"], {}, "ts is mapped twice"),
        (["measure.n=a", "measure.n=b"], {}, "measure.n is mapped twice"),
        (["measure.n=a"], {"meter": "m", "account": "a"}, "say where the time stands"),
        (["ts=a"], {"meter": "m"}, "give the account once"),
        (["ts=a"], {"account": "a"}, "give the meter once"),
        (["ts=a", "account=b"], {"meter": "m", "account": "a"}, "give the account once"),
    ],
)
def test_a_wrong_map_is_a_failure_that_names_the_entry(
    entries: list[str], constants: dict[str, str], message: str
) -> None:
    with pytest.raises(Failure, match=message):
        read_map(entries, **constants)  # type: ignore[arg-type]  # a row of the table above


def test_reading_a_file_again_gives_the_same_uids() -> None:
    rows = [ROW, {**ROW, "ContextTokens": "375"}, ROW]
    assert uids(rows, tokens()) == uids(rows, tokens())


def test_equal_rows_count_separately_and_no_other_row_has_their_uids() -> None:
    made = uids([ROW, ROW, {**ROW, "ContextTokens": "375"}, ROW], tokens())
    assert len(set(made)) == 4
    assert [uid.removeprefix(made[0]) for uid in (made[1], made[3])] == ["-2", "-3"]


@pytest.mark.parametrize(
    "other",
    [tokens(account="conv"), tokens(meter="other"), tokens(source="second export")],
    ids=["account", "meter", "source"],
)
def test_the_same_row_elsewhere_is_another_measurement(other: ColumnMap) -> None:
    assert uids([ROW], tokens()) != uids([ROW], other)


def test_a_column_that_is_not_mapped_still_tells_rows_apart() -> None:
    first, second = uids([{**ROW, "request": "1"}, {**ROW, "request": "2"}], tokens())
    assert not second.startswith(first)


@settings(max_examples=50, deadline=None)
@given(rows=some.lists(some.integers(0, 3)), order=some.randoms(use_true_random=False))
def test_sorting_a_file_or_appending_to_it_keeps_the_uids_of_its_rows(rows: list[int], order: object) -> None:
    cells = [{**ROW, "ContextTokens": str(value)} for value in rows]
    shuffled = list(cells)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    made = uids(cells, tokens())
    assert len(set(made)) == len(made)
    assert sorted(uids(shuffled, tokens())) == sorted(made)
    assert uids([*cells, ROW], tokens())[: len(made)] == made
