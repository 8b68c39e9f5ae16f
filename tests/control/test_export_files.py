"""Files of exports: other programs read what was written, to the last digit, and as the golden files say."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from effort import drawing
from tallystick.control.export_files import Row, TooWide, table_of, written
from tallystick.core.export_job import ColumnType, ExportColumn
from tallystick.core.export_types import ExportFileFormat

GOLDEN = Path(__file__).parent.parent / "golden" / "exports"
COLUMNS = tuple(ExportColumn(each.value.lower(), each) for each in ColumnType)
CSV, JSONL, PARQUET = ExportFileFormat.CSV, ExportFileFormat.JSONL, ExportFileFormat.PARQUET
NOON = datetime(2024, 2, 29, 12, 0, 0, 123_000, tzinfo=UTC)
# A value for each column: TEXT, NUMBER, QUOTIENT, WHOLE, TRUTH, TIME, DATE, JSON.
ROWS: list[Row] = [
    ("plain", Decimal("1.50"), Decimal(1) / Decimal(4), 7, True, NOON, date(2024, 2, 29), {"a": [1, None]}),
    (
        'a "b", c\r\nd;e',
        Decimal("-0.000000000000000001"),
        Decimal("0.1"),
        -1,
        False,
        NOON.replace(microsecond=1),
        None,
        [],
    ),
    ("=1+1", Decimal(99999999999999999999), Decimal("1E-18"), 2**63 - 1, None, NOON.replace(microsecond=0), None, "t"),
    (
        "\x00\u2028é\\\t",
        Decimal("1E+3"),
        Decimal(0),
        0,
        None,
        datetime(1970, 1, 1, tzinfo=UTC),
        date(1970, 1, 1),
        {"é": "<"},
    ),
    (None,) * 8,
]


def made(path: Path, form: ExportFileFormat, rows: Sequence[Row], *, at_once: int = 2, wide: bool = False) -> bytes:
    """The file of rows, written some at a time."""

    def tables() -> Iterator[pa.Table]:
        for start in range(0, len(rows), at_once):
            yield table_of(COLUMNS, rows[start : start + at_once], form, wide=wide)

    count, size, digest = written(path, COLUMNS, form, tables(), wide=wide)
    content = path.read_bytes()
    assert (count, size, digest) == (len(rows), len(content), sha256(content).hexdigest())
    assert list(path.parent.iterdir()) == [path], "nothing is left of what was unfinished"
    return content


@pytest.mark.parametrize("form", [CSV, JSONL])
def test_a_text_file_reads_as_its_golden_file(tmp_path: Path, form: ExportFileFormat) -> None:
    text = gzip.decompress(made(tmp_path / "file", form, ROWS))
    assert text == (GOLDEN / f"rows.{form.value.lower()}").read_bytes()


def test_the_types_of_parquet_are_those_of_the_golden_file(tmp_path: Path) -> None:
    made(tmp_path / "file", PARQUET, ROWS)
    made_wide = tmp_path / "wide"
    made_wide.mkdir()
    made(made_wide / "file", PARQUET, ROWS, wide=True)
    narrow, wide = (parquet.read_schema(path) for path in (tmp_path / "file", made_wide / "file"))
    lines = [f"{name:<10}{narrow.field(name).type!s:<26}{wide.field(name).type}\n" for name in narrow.names]
    assert "".join(lines) == (GOLDEN / "parquet_types.txt").read_text(encoding="utf-8")


def test_the_same_rows_are_the_same_bytes_however_they_come(tmp_path: Path) -> None:
    for form in (CSV, JSONL):
        first, second = tmp_path / f"{form}1", tmp_path / f"{form}2"
        first.mkdir(), second.mkdir()
        assert made(first / "f", form, ROWS, at_once=1) == made(second / "g", form, ROWS, at_once=5)


# ------------------------------------------------------------------------------------------------------ any rows

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NUMBERS = st.decimals(Decimal("-1E20"), Decimal("1E20"), allow_nan=False, places=18).filter(
    lambda each: abs(each) < 10**20
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.integers(0, 290 * 365 * 86_400_000_000).map(lambda each: EPOCH + timedelta(microseconds=each))
MEMBERS = st.dictionaries(
    TEXTS, st.one_of(TEXTS, st.integers(-5, 5), st.none(), st.lists(TEXTS, max_size=2)), max_size=3
)
VALUES = (TEXTS, NUMBERS, NUMBERS, st.integers(-(2**63), 2**63 - 1), st.booleans(), TIMES, st.dates(), MEMBERS)
ANY_ROWS = st.lists(st.tuples(*(st.one_of(st.none(), each) for each in VALUES)), max_size=6)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def from_texts(row: dict[str, Any]) -> list[Any]:
    """A row of texts as values, by what each column holds."""
    read = (str, Decimal, Decimal, int, lambda text: text == "true", moment, date.fromisoformat, json.loads)
    return [None if row[each.name] is None else how(row[each.name]) for each, how in zip(COLUMNS, read, strict=True)]


@settings(**drawing(60))
@given(ANY_ROWS)
def test_any_rows_are_read_back_from_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    text = gzip.decompress(made(tmp_path_factory.mktemp("csv") / "file", CSV, rows)).decode()
    heads, *lines = csv.reader(StringIO(text, newline=""), strict=True)
    assert heads == [each.name for each in COLUMNS]
    found = [from_texts({name: cell or None for name, cell in zip(heads, line, strict=True)}) for line in lines]
    assert found == [[each or None if place == 0 else each for place, each in enumerate(row)] for row in rows]


@settings(**drawing(60))
@given(ANY_ROWS)
def test_any_rows_are_read_back_from_json_lines(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    text = gzip.decompress(made(tmp_path_factory.mktemp("jsonl") / "file", JSONL, rows)).decode()
    lines = [json.loads(line, parse_float=Decimal, parse_int=int) for line in text.split("\n")[:-1]]
    assert all(None not in line.values() for line in lines), "what is absent is left out"
    found = [[line.get(each.name) for each in COLUMNS] for line in lines]
    for line in found:
        line[5] = None if line[5] is None else moment(line[5])
        line[6] = None if line[6] is None else date.fromisoformat(line[6])
    assert found == [list(row) for row in rows]


@settings(**drawing(60))
@given(ANY_ROWS)
def test_any_rows_are_read_back_from_parquet(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.mktemp("parquet") / "file"
    made(path, PARQUET, rows)
    found = [list(row.values()) for row in parquet.read_table(path).to_pylist()]
    for line in found:
        line[7] = None if line[7] is None else json.loads(line[7])
    assert found == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("number", "wide"),
    [
        ("1E-19", True),
        ("1E20", True),
        ("123456789012345678901", True),
        ("1E38", None),
        ("99999999999999999999.9", False),
    ],
)
def test_a_number_that_does_not_fit_is_told_and_never_cut(tmp_path: Path, number: str, wide: bool | None) -> None:
    """`wide` is whether it wants the wider type; None where no type of Parquet has it."""
    row = (None, Decimal(number), *[None] * 6)
    if wide is not False:
        with pytest.raises(TooWide, match="number"):
            made(tmp_path / "file", PARQUET, [row])
        assert list(tmp_path.iterdir()) == []
    if wide is None:
        with pytest.raises(TooWide):
            made(tmp_path / "file", PARQUET, [row], wide=True)
        return
    made(tmp_path / "file", PARQUET, [row], wide=wide)
    assert parquet.read_table(tmp_path / "file").column("number").to_pylist() == [Decimal(number)]


def test_only_quotients_are_rounded_half_to_even() -> None:
    third = Decimal(1) / Decimal(3)
    row = (None, None, third, *[None] * 5)
    (found,) = table_of(COLUMNS, [row], PARQUET, wide=False).column("quotient").to_pylist()
    assert found == Decimal("0.333333333333333333")
    half = (None, None, Decimal("0.0000000000000000025"), *[None] * 5)
    assert table_of(COLUMNS, [half], PARQUET, wide=False).column("quotient").to_pylist() == [Decimal("2E-18")]
    with pytest.raises(TooWide):
        table_of(COLUMNS, [(None, third, *[None] * 6)], PARQUET, wide=False)
