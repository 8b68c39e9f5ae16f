"""Files of a lookup table revision: rows read from CSV and from JSON lines, and written to them.

What is wrong with a file is a list of values, each naming row, field and rule: a file is taken whole or not at all.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.csv_text import csv_bytes
from tallystick.core.lookup_types import MAX_ROWS, FieldType, LookupTableRevision, Row, key_text

MAX_FAILURES = 100  # of one file that are kept; what comes after them is not read
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_ROW = re.compile(r"^row\.([^:]*): (.*)$", re.DOTALL)


class FileType(StrEnum):
    """The form of a file, by its media type."""

    JSONL = "application/jsonl"
    CSV = "text/csv"

    @property
    def ending(self) -> str:
        """How names of such files end."""
        return "csv" if self is FileType.CSV else "jsonl"


class RowFailure(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is wrong with a row of a file. Rows are counted from 1; the header of a CSV file is row 1."""

    row: int
    field: str | None = None
    message: str

    @property
    def sentence(self) -> str:
        """Row, field and rule as one text."""
        return f"row {self.row}{'' if self.field is None else f', {self.field[:80]}'}: {self.message}"


def read_file(
    revision: LookupTableRevision, form: FileType, body: bytes
) -> tuple[dict[str, Row], tuple[RowFailure, ...]]:
    """The rows of a file by key, in the order of the file, and what is wrong with it: at most MAX_FAILURES.

    An empty cell and a null are no value. A key must be there once.
    """
    rows: dict[str, Row] = {}
    places: dict[str, int] = {}
    failures: list[RowFailure] = []
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = body.count(b"\n", 0, problem.start) + 1
        return {}, (RowFailure(row=line, message="the file must be UTF-8"),)
    for place, given in _csv(revision, text) if form is FileType.CSV else _json_lines(text):
        found = given if isinstance(given, RowFailure) else _checked(revision, place, given)
        if not isinstance(found, RowFailure):
            key = revision.key_of(found)
            if key not in rows:
                rows[key], places[key] = found, place
                continue
            message = f"the key {key[:80]!r} is in row {places[key]} already"
            found = RowFailure(row=place, field=",".join(revision.keys), message=message)
        failures.append(found)
        if len(failures) >= MAX_FAILURES:
            break
    if not rows and not failures:
        failures.append(RowFailure(row=1, message="the file has no rows"))
    return rows, tuple(failures)


def write_file(revision: LookupTableRevision, form: FileType, rows: Iterable[Row]) -> bytes:
    """Rows as a file that `read_file` reads back. Texts stay as they are, so a spreadsheet may compute some."""
    if form is FileType.JSONL:
        return b"".join(wire.encode(row) + b"\n" for row in rows)
    names = [field.name for field in revision.fields]
    lines = ([key_text(row[name]) if name in row else "" for name in names] for row in rows)
    return csv_bytes([names, *lines])


def _json_lines(text: str) -> Iterator[tuple[int, Mapping[str, Any] | RowFailure]]:
    count = 0
    for place, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        count += 1
        if count > MAX_ROWS:
            yield place, _too_many(place)
            return
        try:
            yield place, wire.decode(dict[str, Any], line)
        except (msgspec.MsgspecError, ValueError) as problem:
            yield place, RowFailure(row=place, message=f"must be one JSON object: {problem}")


def _csv(revision: LookupTableRevision, text: str) -> Iterator[tuple[int, Mapping[str, Any] | RowFailure]]:
    reader = csv.reader((line + "\n" for line in text.split("\n")), strict=True)
    place = 1
    try:
        header = next(reader)
        wrong = _header_failure(revision, header)
        if wrong is not None:
            yield 1, wrong
            return
        count = 0
        for place, cells in enumerate(reader, 2):  # where csv.Error is raised
            if not cells:
                continue
            count += 1
            if count > MAX_ROWS:
                yield place, _too_many(place)
                return
            if len(cells) != len(header):
                message = f"must have {len(header)} cells as the header has, got {len(cells)}"
                yield place, RowFailure(row=place, message=message)
                continue
            given = zip(header, cells, strict=True)
            yield place, {name: _cell(revision, name, cell) for name, cell in given if cell}
    except csv.Error as problem:
        yield place + 1, RowFailure(row=place + 1, message=f"is no CSV: {problem}")


def _header_failure(revision: LookupTableRevision, header: list[str]) -> RowFailure | None:
    known = ", ".join(field.name for field in revision.fields)
    for name in header:
        if revision.type_of(name) is None:
            return RowFailure(row=1, field=name, message=f"is no field of the revision, which has {known}")
        if header.count(name) > 1:
            return RowFailure(row=1, field=name, message="is in the header twice")
    missing = next((key for key in revision.keys if key not in header), None)
    if missing is not None:
        return RowFailure(row=1, field=missing, message="is a key and must be in the header")
    return None


def _cell(revision: LookupTableRevision, name: str, cell: str) -> object:
    if revision.type_of(name) is not FieldType.NUMBER or not _NUMBER.fullmatch(cell.strip()):
        return cell
    return wire.number(cell.strip())


def _checked(revision: LookupTableRevision, place: int, given: Mapping[str, Any]) -> Row | RowFailure:
    try:
        return revision.row(given, "row")
    except ValueError as problem:
        match = _ROW.match(str(problem))
        if match is None:
            return RowFailure(row=place, message=str(problem))
        return RowFailure(row=place, field=match[1], message=match[2])


def _too_many(place: int) -> RowFailure:
    return RowFailure(row=place, message=f"a revision has at most {MAX_ROWS:,} rows; the file has more")
