"""Rows of a file, read as a stream: CSV, NDJSON (each also gzipped) and Parquet. Numbers stay exact."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, AnyStr, Protocol

import msgspec

from tallystick import decoders
from tallystick.core import wire
from tallystick.core.period import Instant

PARQUET_ROWS = 2_000  # decoded at once
LONGEST_CELL = 1_048_576  # characters; a longer one is an unclosed quote, not data
LONGEST_LINE = 16_777_216  # characters or bytes; a longer one has no end
FORMATS = ("csv", "ndjson", "parquet")
_ENDINGS = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}


class Unreadable(ValueError):
    """A file that is not what it is said to be; the text says why, and where."""


Cell = str | int | bool | Decimal | datetime | None
Cells = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number in the file (the first row of data is 1), and its cells by column; or why it has none."""

    number: int
    cells: Cells
    problem: str | None = None


class Reader(Protocol):
    """An open file: its size and how far it was read, in the same unit (bytes or rows), and its rows."""

    total: int

    def done(self) -> int: ...
    def rows(self) -> Generator[Row, None, None]: ...


def format_of(path: Path) -> str:
    """The format that the file's name tells; Unreadable when it tells none."""
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending not in _ENDINGS:
        raise Unreadable(f"{path.name}: cannot tell its format from its name")
    return _ENDINGS[ending]


@contextmanager
def open_rows(path: Path, format: str, *, local: bool = False) -> Iterator[Reader]:
    """The rows of a file in one of `FORMATS`, read from beginning to end in bounded memory. Times without an offset are
    UTC, unless they are `local`: then they stay as they are."""
    try:
        with path.open("rb") as file:
            yield _ParquetReader(file, path, local) if format == "parquet" else _TextReader(file, path, format)
    except OSError as problem:
        raise Unreadable(f"{path}: {problem.strerror or problem}") from None


class _TextReader:
    """CSV and NDJSON, by bytes of the file as it lies on the disk."""

    def __init__(self, file: IO[bytes], path: Path, format: str) -> None:
        self.total = path.stat().st_size
        self._file = file
        self._path = path
        self._format = format

    def done(self) -> int:
        return self._file.tell()

    def rows(self) -> Generator[Row, None, None]:
        plain: Any = gzip.GzipFile(fileobj=self._file) if self._path.name.endswith(".gz") else self._file
        try:
            yield from self._csv(plain) if self._format == "csv" else self._ndjson(plain)
        except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
            raise Unreadable(f"{self._path}: broken gzip: {problem}") from None

    def _csv(self, plain: IO[bytes]) -> Iterator[Row]:
        text = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")
        csv.field_size_limit(LONGEST_CELL)
        lines = csv.reader(self._lines(text), delimiter="\t" if ".tsv" in self._path.suffixes else ",", strict=True)
        try:
            columns = next(lines, None)
            if columns is None:
                raise Unreadable(f"{self._path}: is empty: the first line must name the columns")
            twice = {column for column in columns if columns.count(column) > 1}
            if twice:
                raise Unreadable(f"{self._path}: the column {min(twice)!r} is named twice")
            number = 0
            for cells in lines:
                if not cells:
                    continue  # an empty line is no row
                number += 1
                fits = len(cells) == len(columns)
                problem = None if fits else f"has {len(cells)} cells where the header names {len(columns)} columns"
                yield Row(number, dict(zip(columns, cells, strict=False)), problem)
        except (csv.Error, UnicodeDecodeError) as problem:
            raise Unreadable(f"{self._path}: near line {max(lines.line_num, 1)}: {problem}") from None
        finally:
            text.detach()  # else it would close the file when it goes

    def _ndjson(self, plain: IO[bytes]) -> Iterator[Row]:
        decoder = decoders.build(dict[str, Any], float_hook=wire.number)
        number = 0
        for line in self._lines(plain):
            if not line.strip():
                continue
            number += 1
            try:
                yield Row(number, decoder.decode(line))
            except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
                yield Row(number, {}, f"is not a JSON object: {problem}")

    def _lines(self, text: IO[AnyStr]) -> Iterator[AnyStr]:
        """The lines, none of which may fill the memory."""
        while line := text.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise Unreadable(f"{self._path}: a line has {LONGEST_LINE:,} characters or more")
            yield line


class _ParquetReader:
    """Parquet, by rows, a group of a few thousand at a time."""

    def __init__(self, file: IO[bytes], path: Path, local: bool) -> None:
        import pyarrow as arrow  # here: other formats need none of it
        from pyarrow import parquet

        try:
            self._parquet = parquet.ParquetFile(file)
        except (arrow.ArrowException, OSError) as problem:
            raise Unreadable(f"{path}: not readable as Parquet: {problem}") from None
        self.total = int(self._parquet.metadata.num_rows)
        self._done = 0
        self._path = path
        self._local = local

    def done(self) -> int:
        return self._done

    def rows(self) -> Generator[Row, None, None]:
        for batch in self._batches():
            columns = {name: _values(batch.column(name), self._local) for name in batch.schema.names}
            for index in range(batch.num_rows):
                self._done += 1
                yield Row(self._done, {name: values[index] for name, values in columns.items()})

    def _batches(self) -> Iterator[Any]:
        import pyarrow as arrow

        try:
            yield from self._parquet.iter_batches(batch_size=PARQUET_ROWS)
        except (arrow.ArrowException, OSError) as problem:
            raise Unreadable(f"{self._path}: broken behind row {self._done:,}: {problem}") from None


def _values(column: Any, local: bool) -> list[object]:
    """A column as Python values: nanoseconds are cut to microseconds, floats are read by their shortest text."""
    import pyarrow as arrow

    kind = column.type
    if arrow.types.is_timestamp(kind):
        column = column.cast(arrow.timestamp("us", tz=kind.tz), safe=False)
    values: list[object] = column.to_pylist()
    if arrow.types.is_floating(kind):
        return [None if value is None else Decimal(str(value)) for value in values]
    if arrow.types.is_timestamp(kind) and not (local and kind.tz is None):
        return [Instant.of(value) if isinstance(value, datetime) else value for value in values]
    return values
