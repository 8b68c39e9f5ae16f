"""Measurements from a table that people have: rows of CSV become what a client would send."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping

from tallystick.core import wire
from tallystick.core.meter import Meter
from tallystick.errors import Refusal

MOST_ROWS = 100_000
HEADS = ("uid", "account", "ts", "ets")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def members(text: str, meter: Meter, account: str | None) -> Iterator[bytes]:
    """A measurement for each row, as JSON. Columns are called `uid`, `account`, `ts`, `ets` or as a field of the meter.

    `account` is that of rows without one. What is not a number where one is expected is handed on as it is, so that
    it is refused with its reason and kept. Refusal `invalid_request` for a table that cannot be meant.
    """
    rows = csv.reader(io.StringIO(text), strict=True)
    try:
        head = [each.strip() for each in next(rows, [])]
        places = _places(head, meter)
        if account is None and "account" not in head:
            raise _wrong("the table has no column account; add it, or name the account of all rows")
        for number, cells in enumerate(rows, start=2):
            if number > MOST_ROWS + 1:
                raise _wrong(f"at most {MOST_ROWS:,} rows at once; use `tallystick import` for larger files")
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                raise _wrong(f"line {number} has {len(cells)} cells, the first line has {len(head)}")
            yield wire.encode(_measurement(dict(zip(head, cells, strict=True)), places, meter.code, account))
    except csv.Error as problem:
        raise _wrong(f"this is no CSV: {problem}") from None


def _places(head: list[str], meter: Meter) -> dict[str, str]:
    """The map of the measurement that each field's column belongs in."""
    declared = {each.code: each.category.lower() for each in meter.data_fields}
    unknown = [each for each in head if each not in declared and each not in HEADS]
    if "ts" not in head or len(set(head)) != len(head) or unknown:
        what = f"{unknown[0][:40]!r} is neither" if unknown else "ts is missing or a column is there twice; columns are"
        known = ", ".join([*HEADS, *declared])
        raise _wrong(f"the first line names the columns: {what} of {known}")
    return {each: declared[each] for each in head if each in declared}


def _measurement(
    row: Mapping[str, str], places: Mapping[str, str], meter: str, account: str | None
) -> dict[str, object]:
    made: dict[str, object] = {"meter": meter}
    given = {name: row.get(name, "").strip() for name in HEADS}
    given["account"] = given["account"] or account or ""
    made |= {name: value for name, value in given.items() if value}
    for field, place in places.items():
        cell = row[field].strip()
        if cell:
            values = made.setdefault(place, {})
            assert isinstance(values, dict)
            numeric = place in {"measure", "income", "cost"} and NUMBER.fullmatch(cell)
            values[field] = wire.number(cell) if numeric else cell
    return made


def _wrong(what: str) -> Refusal:
    return Refusal("invalid_request", f"rows: {what}", field="rows")
