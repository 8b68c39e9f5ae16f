"""Rows and columns become files: CSV and JSON lines, compressed, and Parquet. Numbers stay exact in all of them.

A file is written under another name and gets its own once all of it is on disk.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from decimal import Context, Decimal, Inexact, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from tallystick.core import wire
from tallystick.core.csv_text import csv_bytes
from tallystick.core.export_job import ColumnType, ExportColumn
from tallystick.core.export_types import ExportFileFormat
from tallystick.core.quantity import plain

ROWS_AT_ONCE = 5_000
UNFINISHED = ".part"  # the end of the name of a file that is being written
_LEVEL = 3  # of gzip: the next ones cost twice the time for a twentieth of the size
_TIME = pa.timestamp("us", "UTC")
_TYPES: dict[ColumnType, pa.DataType] = {
    ColumnType.TEXT: pa.string(),
    ColumnType.WHOLE: pa.int64(),
    ColumnType.TRUTH: pa.bool_(),
    ColumnType.TIME: _TIME,
    ColumnType.DATE: pa.date32(),
    ColumnType.JSON: pa.string(),
}
_NUMBER, _WIDE = (38, 18), (76, 38)
_EXACT, _ROUNDED = Context(prec=200, traps=[InvalidOperation, Inexact]), Context(prec=200, traps=[InvalidOperation])

Row = Sequence[Any]  # a value for each column, None where there is none


class TooWide(Exception):
    """A number has more digits than the type of its column holds."""


class TableFile(Protocol):
    """A file of rows that is being written."""

    def add(self, table: pa.Table) -> None:
        """Rows as columns, of the types of `schema_of` in Parquet; elsewhere numbers are texts."""

    def close(self) -> None: ...


def schema_of(columns: Sequence[ExportColumn], *, wide: bool) -> pa.Schema:
    """The types of columns in Parquet: numbers as decimal128(38, 18), or decimal256(76, 38) where they are wide."""
    number = pa.decimal256(*_WIDE) if wide else pa.decimal128(*_NUMBER)
    return pa.schema([(column.name, _TYPES.get(column.type, number)) for column in columns])


def table_of(columns: Sequence[ExportColumn], rows: Sequence[Row], form: ExportFileFormat, *, wide: bool) -> pa.Table:
    """Rows as a table for `TableFile.add`. Raises TooWide where a number does not fit."""
    schema = schema_of(columns, wide=wide)
    if form is not ExportFileFormat.PARQUET:
        schema = _as_text(schema, columns)
    arrays = []
    for place, (column, field) in enumerate(zip(columns, schema, strict=True)):
        values = [row[place] for row in rows]
        if column.type is ColumnType.JSON:
            values = [None if value is None else wire.encode(value).decode() for value in values]
        elif column.type in {ColumnType.NUMBER, ColumnType.QUOTIENT}:
            values = _numbers(values, column, field.type)
        arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=schema)


def written(
    path: Path, columns: Sequence[ExportColumn], form: ExportFileFormat, tables: Iterator[pa.Table], *, wide: bool
) -> tuple[int, int, str]:
    """Write a file; answers its rows, its bytes and its SHA-256. Nothing is left of it where writing fails."""
    unfinished = path.with_name(path.name + UNFINISHED)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = 0
    try:
        with unfinished.open("wb") as out:
            file = _OPEN[form](out, columns, wide)
            try:
                for table in tables:
                    file.add(table)
                    rows += table.num_rows
            finally:  # while there is something to write into
                file.close()
            out.flush()
            os.fsync(out.fileno())
        digest = sha256()
        with unfinished.open("rb") as made:
            while block := made.read(1 << 20):
                digest.update(block)
        size = unfinished.stat().st_size
        unfinished.rename(path)
        _sync_names(path.parent)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    return rows, size, digest.hexdigest()


class ParquetFile:
    """Parquet with zstd: rows in groups, so that readers need not hold a file."""

    def __init__(self, out: BinaryIO, columns: Sequence[ExportColumn], wide: bool) -> None:
        self._schema = schema_of(columns, wide=wide)
        self._writer = parquet.ParquetWriter(out, self._schema, compression="zstd")

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


class CsvFile:
    """CSV by RFC 4180 with a line of names; what is absent is empty. Texts are as they are, for programs: a spreadsheet
    may run what begins as a formula does."""

    def __init__(self, out: BinaryIO, columns: Sequence[ExportColumn], wide: bool) -> None:
        del wide
        self._out = _compressed(out)
        self._out.write(csv_bytes([[column.name for column in columns]]))

    def add(self, table: pa.Table) -> None:
        for batch in table.to_batches(ROWS_AT_ONCE):
            cells = [_quoted(_texts(column)) for column in batch.columns]
            lines = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
            self._out.write(("\r\n".join(lines.to_pylist()) + "\r\n").encode() if len(lines) else b"")

    def close(self) -> None:
        self._out.close()


class JsonLinesFile:
    """A JSON object for each row; what is absent is left out. Numbers have all their digits."""

    def __init__(self, out: BinaryIO, columns: Sequence[ExportColumn], wide: bool) -> None:
        del wide
        self._raw = {column.name for column in columns if column.type in _RAW}
        self._out = _compressed(out)

    def add(self, table: pa.Table) -> None:
        for batch in table.to_batches(ROWS_AT_ONCE):
            names = batch.schema.names
            parts = [_members(name, batch.column(name), raw=name in self._raw) for name in names]
            lines = _joined(parts, batch.num_rows)
            self._out.write(("{" + "}\n{".join(lines.to_pylist()) + "}\n").encode() if len(lines) else b"")

    def close(self) -> None:
        self._out.close()


_RAW = {ColumnType.NUMBER, ColumnType.QUOTIENT, ColumnType.JSON, ColumnType.WHOLE, ColumnType.TRUTH}
_OPEN: dict[ExportFileFormat, Callable[[BinaryIO, Sequence[ExportColumn], bool], TableFile]] = {
    ExportFileFormat.CSV: CsvFile,
    ExportFileFormat.JSONL: JsonLinesFile,
    ExportFileFormat.PARQUET: ParquetFile,
}


def _compressed(out: BinaryIO) -> gzip.GzipFile:
    """Without name and time: the same rows are the same bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=out, mtime=0)


def _joined(parts: Sequence[pa.Array], rows: int) -> pa.Array:
    """The members of each row with commas between them. Of a row in which all are absent the library makes no text but
    leaves the row out: unless one is always there, each row gets an empty one, and loses the comma behind it."""
    if any(part.null_count == 0 for part in parts):
        return pc.binary_join_element_wise(*parts, ",", null_handling="skip")
    empty = pa.array([""] * rows, pa.string())
    return pc.replace_substring_regex(pc.binary_join_element_wise(empty, *parts, ",", null_handling="skip"), "^,", "")


def _members(name: str, column: pa.Array, *, raw: bool) -> pa.Array:
    """`"name":value` for each row; null where there is no value."""
    texts = _texts(column)
    if not raw:
        texts = pc.binary_join_element_wise('"', _escaped(texts), '"', "")
    return pc.binary_join_element_wise(msgspec.json.encode(name).decode() + ":", texts, "")


def _escaped(texts: pa.Array) -> pa.Array:
    """Texts as they are within the quotes of JSON: few have anything to escape."""
    special = pc.match_substring_regex(texts, '["\\\\\\x00-\\x1f]')
    if not pc.any(special).as_py():
        return texts
    escaped = [
        text if text is None or not marked else msgspec.json.encode(text).decode()[1:-1]
        for text, marked in zip(texts.to_pylist(), special.to_pylist(), strict=True)
    ]
    return pa.array(escaped, pa.string())


def _quoted(texts: pa.Array) -> pa.Array:
    """Cells of CSV, in quotes where they must be."""
    special = pc.match_substring_regex(texts, '[,"\r\n]')
    if not pc.any(special).as_py():
        return texts
    inside = pc.replace_substring(texts, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', inside, '"', ""), texts)


def _texts(column: pa.Array) -> pa.Array:
    """A column as texts, as the wire has them."""
    if pa.types.is_timestamp(column.type):
        moments = pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ")
        return pc.replace_substring_regex(moments, "000Z$", "Z")
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def _as_text(schema: pa.Schema, columns: Sequence[ExportColumn]) -> pa.Schema:
    numbers = {ColumnType.NUMBER, ColumnType.QUOTIENT}
    return pa.schema(
        [
            (each.name, pa.string() if each.type in numbers else field.type)
            for each, field in zip(columns, schema, strict=True)
        ]
    )


def _numbers(values: list[Any], column: ExportColumn, of: pa.DataType) -> list[Any]:
    if pa.types.is_string(of):
        return [None if value is None else plain(Decimal(value)) for value in values]
    return [None if value is None else _fitted(Decimal(value), column, of) for value in values]


def _fitted(value: Decimal, column: ExportColumn, of: pa.DataType) -> Decimal:
    step = Decimal((0, (1,), -of.scale))
    try:
        context = _ROUNDED if column.type is ColumnType.QUOTIENT else _EXACT
        fitted = value.quantize(step, context=context)
    except Inexact:
        if of.precision == _NUMBER[0]:
            raise TooWide(column.name) from None
        fitted = value.quantize(step, context=_ROUNDED)  # no type of Parquet holds more
    if len(fitted.as_tuple().digits) > of.precision:
        raise TooWide(column.name)
    return fitted


def _sync_names(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
