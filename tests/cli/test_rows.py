"""Files of usage, read row by row."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from tallystick.cli.failure import Failure
from tallystick.cli.rows import Row, format_of, open_rows


def read(path: Path, format: str | None = None) -> list[Row]:
    with open_rows(path, format or format_of(path)) as reader:
        rows = list(reader.rows())
        assert reader.done() == reader.total, "the progress bar ends at the end"
    return rows


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("usage.csv", "csv"),
        ("usage.CSV", "csv"),
        ("usage.tsv", "csv"),
        ("usage.csv.gz", "csv"),
        ("usage.ndjson", "ndjson"),
        ("usage.jsonl", "ndjson"),
        ("usage.jsonl.gz", "ndjson"),
        ("usage.parquet", "parquet"),
    ],
)
def test_the_name_tells_the_format(name: str, expected: str) -> None:
    assert format_of(Path(name)) == expected


def test_a_name_that_tells_nothing_is_a_failure() -> None:
    with pytest.raises(Failure, match="give --format"):
        format_of(Path("usage.dat"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", [Row(1, {"a": "1", "b": "2"})]),
        ("\ufeffa,b\r\n1,2\r\n", [Row(1, {"a": "1", "b": "2"})]),
        ('a,b\n"1,5","x\ny"\n', [Row(1, {"a": "1,5", "b": "x\ny"})]),
        ("a,b\n1,\n\n,2\n", [Row(1, {"a": "1", "b": ""}), Row(2, {"a": "", "b": "2"})]),
        ("a,b\n", []),
    ],
    ids=["plain", "byte order mark and CRLF", "quoted", "empty cells and lines", "header alone"],
)
def test_csv(tmp_path: Path, text: str, expected: list[Row]) -> None:
    assert read(write(tmp_path / "usage.csv", text)) == expected


def test_a_csv_row_of_another_width_says_so_and_the_next_is_read(tmp_path: Path) -> None:
    short, long, good = read(write(tmp_path / "usage.csv", "a,b\n1\n1,2,3\n4,5\n"))
    assert short.problem == "has 1 cells where the header names 2 columns"
    assert long.problem == "has 3 cells where the header names 2 columns"
    assert good == Row(3, {"a": "4", "b": "5"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,a\n1,2\n", "the column 'a' is named twice"),
        ('a,b\n1,"2\n', "near line 2"),
        (b"a,b\n1,\xff\n", "near line 1: .*utf-8"),
    ],
    ids=["empty", "column twice", "open quote", "not UTF-8"],
)
def test_a_csv_file_that_cannot_be_read_is_a_failure(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(Failure, match=message):
        read(write(tmp_path / "usage.csv", text))


def test_tabs_separate_a_tsv(tmp_path: Path) -> None:
    assert read(write(tmp_path / "usage.tsv", "a\tb\n1,5\t2\n")) == [Row(1, {"a": "1,5", "b": "2"})]


def test_ndjson_keeps_numbers_exact(tmp_path: Path) -> None:
    text = '{"a": 1e-05, "b": 0.10, "c": 12345678901234567890123}\n\n{"a": {"b": "x"}}\n'
    first, second = read(write(tmp_path / "usage.ndjson", text))
    assert first.cells == {"a": Decimal("0.00001"), "b": Decimal("0.10"), "c": 12345678901234567890123}
    assert second == Row(2, {"a": {"b": "x"}})


@pytest.mark.parametrize("line", ["[1]", "{", "1", '{"a": NaN}'])
def test_a_line_that_is_no_json_object_says_so_and_the_next_is_read(tmp_path: Path, line: str) -> None:
    bad, good = read(write(tmp_path / "usage.ndjson", f'{line}\n{{"a": 1}}\n'))
    assert bad.problem is not None
    assert bad.problem.startswith("is not a JSON object")
    assert good == Row(2, {"a": 1})


def test_gzipped_text_reads_as_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "usage.csv.gz", gzip.compress(b"a,b\n1,2\n"))
    assert read(path) == [Row(1, {"a": "1", "b": "2"})]


def test_a_truncated_gzip_is_a_failure(tmp_path: Path) -> None:
    path = write(tmp_path / "usage.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:-12])
    with pytest.raises(Failure, match="broken gzip"):
        read(path)


def test_parquet(tmp_path: Path) -> None:
    moment = datetime(2025, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
    nanoseconds = int(moment.timestamp()) * 10**9 + 123_456_789
    table = arrow.table(
        {
            "time": arrow.array([nanoseconds, None], arrow.timestamp("ns")),
            "whole": arrow.array([2**62, 0], arrow.int64()),
            "float": arrow.array([0.1, None], arrow.float64()),
            "exact": arrow.array([Decimal("1.50"), Decimal("2.00")], arrow.decimal128(10, 2)),
            "text": ["a", ""],
        }
    )
    path = tmp_path / "usage.parquet"
    parquet.write_table(table, path)
    first, second = read(path)
    assert first.cells == {
        "time": moment,
        "whole": 2**62,
        "float": Decimal("0.1"),
        "exact": Decimal("1.50"),
        "text": "a",
    }
    assert second.cells == {"time": None, "whole": 0, "float": None, "exact": Decimal("2.00"), "text": ""}


def test_parquet_is_read_in_groups_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "usage.parquet"
    parquet.write_table(arrow.table({"n": list(range(5_001))}), path)
    assert [(row.number, row.cells["n"]) for row in read(path)] == [(n + 1, n) for n in range(5_001)]


@pytest.mark.parametrize(("name", "message"), [("absent.csv", "No such file"), ("broken.parquet", "not readable")])
def test_a_file_that_cannot_be_opened_is_a_failure(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path / "broken.parquet", "this is no parquet")
    with pytest.raises(Failure, match=message):
        read(tmp_path / name)


BROKEN = bytearray(gzip.compress("".join(f'{{"n":{each}}}\n' for each in range(40_000)).encode()))
BROKEN[len(BROKEN) // 2 : len(BROKEN) // 2 + 40] = bytes(40)


def parquet_without_its_middle(path: Path) -> Path:
    parquet.write_table(arrow.table({"n": list(range(50_000))}), path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    return write(path, bytes(content))


def test_a_file_that_is_broken_anywhere_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="broken gzip"):
        read(write(tmp_path / "a.ndjson.gz", bytes(BROKEN)))
    with pytest.raises(Failure, match="broken behind row"):
        read(parquet_without_its_middle(tmp_path / "a.parquet"))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.ndjson.gz"])
def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path, name: str) -> None:
    with pytest.raises(Failure, match="a line has 16,777,216 characters or more"):
        read(write(tmp_path / name, gzip.compress(b"a" * 17_000_000)))


@pytest.mark.parametrize(
    "line", ['{"n": 1e99999999999999999999}', '{"n": ' + "[" * 100_000, '{"n": ' + "1" * 5_000 + "}"]
)
def test_a_line_of_json_that_cannot_be_read_is_a_problem_of_its_own(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "a.ndjson", f'{{"n": 1}}\n{line}\n{{"n": 2}}\n')
    first, bad, last = read(path)
    assert (first.cells, last.cells) == ({"n": 1}, {"n": 2})
    assert bad.problem is not None
