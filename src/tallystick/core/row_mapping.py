"""From a row to a measurement: which column is which part, and a uid that is the same every time the row is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from tallystick.core import wire
from tallystick.core.meter import Category
from tallystick.core.period import Instant
from tallystick.core.source_rows import cell_of, text_of

Cells = Mapping[str, object]

PLAIN_PARTS = ("uid", "account", "meter", "ts", "ets")
CATEGORIES = {category.value.lower(): category for category in Category}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UID_BYTES = 16


class TimeUnit(StrEnum):
    """What a time column holds: ISO 8601 text, or a number counted from the start of 1970, UTC."""

    ISO = "ISO"
    SECONDS = "SECONDS"
    MILLISECONDS = "MILLISECONDS"
    MICROSECONDS = "MICROSECONDS"
    NANOSECONDS = "NANOSECONDS"


_PER_SECOND = {
    TimeUnit.SECONDS: 1,
    TimeUnit.MILLISECONDS: 1_000,
    TimeUnit.MICROSECONDS: 1_000_000,
    TimeUnit.NANOSECONDS: 1_000_000_000,
}


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """One declared field: its category's map on the wire, its code, and the column that holds it."""

    category: Category
    code: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """What of a measurement stands in which column, and what is the same in every row."""

    plain: Mapping[str, str]
    fields: tuple[FieldColumn, ...]
    meter: str | None = None
    account: str | None = None
    time_unit: TimeUnit = TimeUnit.ISO
    source: str = ""

    @property
    def columns(self) -> set[str]:
        """Every column that is read."""
        return {*self.plain.values(), *(each.column for each in self.fields)}


class Counts(Protocol):
    """How many times each key was met."""

    def count(self, key: bytes) -> int:
        """Count the key once more; 1 when it is new."""


class BadPart(ValueError):
    """A part of a map that cannot be: which, and why."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(why)
        self.part = part


def columns_of(
    parts: Iterable[tuple[str, str]],
    *,
    meter: str | None = None,
    account: str | None = None,
    time_unit: TimeUnit = TimeUnit.ISO,
    source: str = "",
) -> ColumnMap:
    """The map that pairs of part and column say; BadPart where one is unknown or named twice."""
    plain: dict[str, str] = {}
    fields: dict[tuple[Category, str], FieldColumn] = {}
    for part, column in parts:
        group, dot, code = part.partition(".")
        category = CATEGORIES.get(group)
        if part in PLAIN_PARTS and part not in plain:
            plain[part] = column
        elif dot and code and category is not None and (category, code) not in fields:
            fields[category, code] = FieldColumn(category, code, column)
        elif part in plain or (category is not None and (category, code) in fields):
            raise BadPart(part, f"{part} is mapped twice")
        else:
            known = ", ".join([*PLAIN_PARTS, *(f"{name}.CODE" for name in CATEGORIES)])
            raise BadPart(part, f"{part!r} is no part of a measurement; the parts are {known}")
    return ColumnMap(
        plain=plain, fields=tuple(fields.values()), meter=meter, account=account, time_unit=time_unit, source=source
    )


def parts_of(cells: Cells, columns: ColumnMap) -> dict[str, object]:
    """The measurement of a row as far as its columns say: without a uid where none is mapped. What cannot be read as
    its part is sent as the text it is: the server says what is wrong, and keeps it. Empty cells are left out."""
    made: dict[str, object] = {"meter": columns.meter, "account": columns.account}
    for part, column in columns.plain.items():
        value = cell_of(cells, column)
        if value is not None:
            made[part] = _time(value, columns.time_unit) if part in {"ts", "ets"} else text_of(value)
    for each in columns.fields:
        value = cell_of(cells, each.column)
        if value is not None:
            group = made.setdefault(each.category.value.lower(), {})
            assert isinstance(group, dict)
            group[each.code] = _number(value) if each.category.numeric else text_of(value)
    return {name: value for name, value in made.items() if value is not None}


def measurement(cells: Cells, columns: ColumnMap, met: Counts) -> dict[str, object]:
    """The measurement of a row of a file, with its own uid or one of its content."""
    made = parts_of(cells, columns)
    made.setdefault("uid", uid(cells, columns, met))
    return made


def uid(cells: Cells, columns: ColumnMap, met: Counts) -> str:
    """A digest of meter, account, source and the whole row, and how many equal rows came before it in the file.

    The file's name and the row's place are no part of it: a file that was renamed, sorted or appended to gives
    its old rows their old uids.
    """
    content = wire.canonical([columns.source, columns.meter, columns.account, cells])
    key = hashlib.blake2b(content, digest_size=UID_BYTES)
    times = met.count(key.digest())
    return f"import-{key.hexdigest()}" + ("" if times == 1 else f"-{times}")


def _number(value: object) -> object:
    """An exact number where the cell is one."""
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        return Decimal(value.strip())
    if isinstance(value, Decimal) and not value.is_finite():
        return str(value)
    return value if isinstance(value, int | Decimal) and not isinstance(value, bool) else text_of(value)


def _time(value: object, unit: TimeUnit) -> object:
    """An instant where the cell is one; digits below the microsecond are cut off, as every reader does it."""
    if isinstance(value, datetime):
        return Instant.of(value)
    text = text_of(value).strip()
    try:
        if unit is TimeUnit.ISO:
            return Instant.parse(text)
        if NUMBER.fullmatch(text):
            return Instant.of(EPOCH + timedelta(microseconds=int(Decimal(text) * 1_000_000 // _PER_SECOND[unit])))
    except (ValueError, ArithmeticError):
        pass
    return text
