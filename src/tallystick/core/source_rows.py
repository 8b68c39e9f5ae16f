"""Rows of a second source, as measurements or as totals: which cell is what, and what is wrong with a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tallystick.core.period import Instant, require_iso_8601
from tallystick.core.quantity import parse_quantity
from tallystick.core.reconciliation import Reconciliation, SourceTimeUnit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_NUMBER = 100  # digits of a number that is written out
DAY_LENGTH = len("2026-03-01")
_PER_SECOND = {SourceTimeUnit.SECONDS: 1, SourceTimeUnit.MILLISECONDS: 1_000}


class SourceRecord(NamedTuple):
    """A row that is a measurement. `values` are in the order of the measures, None where it has none (or where the
    measure is of another meter); `account` is what the source calls it."""

    uid: str
    account: str
    meter: str
    ts: Instant | None
    values: tuple[Decimal | None, ...]


class SourceTotal(NamedTuple):
    """What the source counts of a measure (its place in the list) for an account and a day."""

    account: str
    measure: int
    day: date
    value: Decimal


def cell_of(cells: Mapping[str, object], column: str) -> object:
    """The cell of a column; in nested objects `a.b` leads inwards. None when absent or empty."""
    value: object = cells.get(column)
    if value is None and "." in column:
        value = cells
        for name in column.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    return None if value == "" else value


def text_of(value: object) -> str:
    """A cell as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Instant):
        return value.wire()
    # Of 1e999999999 the plain digits would fill the memory.
    plain = isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < LONGEST_NUMBER
    return f"{value:f}" if plain else str(value)


class RowReader:
    """Reads the rows of a reconciliation's source, whose times and days are those of `zone`."""

    def __init__(self, asked: Reconciliation, zone: str) -> None:
        self._asked = asked
        self._columns = asked.columns
        self._zone = ZoneInfo(zone)
        self._by_meter: dict[str, list[int]] = {}
        for place, each in enumerate(asked.measures):
            self._by_meter.setdefault(each.meter, []).append(place)
        self._only = next(iter(self._by_meter)) if len(self._by_meter) == 1 else None

    def record(self, cells: Mapping[str, object]) -> SourceRecord | None:
        """The measurement of a row; None where it is of a meter that is not compared. ValueError says what is wrong."""
        meter = self._meter(cells)
        if meter not in self._by_meter:
            return None
        values: list[Decimal | None] = [None] * len(self._asked.measures)
        for place in self._by_meter[meter]:
            values[place] = self._number(cells, self._asked.measures[place].read_from)
        ts = None if self._columns.ts is None else self._time(cells, self._columns.ts)
        uid, account = self._text(cells, self._columns.uid), self._text(cells, self._columns.account)
        return SourceRecord(uid, account, meter, ts, tuple(values))

    def totals(self, cells: Mapping[str, object]) -> Iterator[SourceTotal]:
        """The totals of a row: one for each measure that it has a value of. ValueError says what is wrong."""
        places = self._by_meter.get(self._meter(cells), ())
        account, day = self._text(cells, self._columns.account), self._day(cells)
        if self._columns.field is not None:
            assert self._columns.value is not None, "the long form names both columns"
            field = self._text(cells, self._columns.field)
            places = [place for place in places if self._asked.measures[place].read_from == field]
        for place in places:
            value = self._number(cells, self._columns.value or self._asked.measures[place].read_from)
            if value is not None:
                yield SourceTotal(account, place, day, value)

    def _meter(self, cells: Mapping[str, object]) -> str:
        if self._columns.meter is not None:
            return self._text(cells, self._columns.meter)
        if self._only is not None:
            return self._only
        assert self._columns.field is not None, "measures of several meters have a column that tells them apart"
        field = self._text(cells, self._columns.field)
        return next((each.meter for each in self._asked.measures if each.read_from == field), "")

    def _text(self, cells: Mapping[str, object], column: str) -> str:
        value = cell_of(cells, column)
        if value is None:
            raise ValueError(f"the column {column!r} is empty or missing")
        return text_of(value).strip()

    def _number(self, cells: Mapping[str, object], column: str) -> Decimal | None:
        value = cell_of(cells, column)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise ValueError(f"{column}: must be a number, got {text_of(value)[:40]!r}")
        try:
            return parse_quantity(value.strip() if isinstance(value, str) else value)
        except ValueError as problem:
            raise ValueError(f"{column}: {problem}") from None

    def _time(self, cells: Mapping[str, object], column: str) -> Instant:
        value = cell_of(cells, column)
        if isinstance(value, datetime):
            return self._instant(value)
        text = self._text(cells, column)
        try:
            if self._asked.time_unit is SourceTimeUnit.ISO:
                require_iso_8601(text)
                return self._instant(datetime.fromisoformat(text))
            micros = Fraction(parse_quantity(text)) * 1_000_000 // _PER_SECOND[self._asked.time_unit]
            return Instant.of(EPOCH + timedelta(microseconds=micros))
        except (ValueError, OverflowError):
            form = "an ISO 8601 date and time"
            wanted = (
                form if self._asked.time_unit is SourceTimeUnit.ISO else f"{self._asked.time_unit.lower()} since 1970"
            )
            raise ValueError(f"{column}: must be {wanted}, got {text[:40]!r}") from None

    def _instant(self, moment: datetime) -> Instant:
        return Instant.of(moment.replace(tzinfo=self._zone) if moment.tzinfo is None else moment)

    def _day(self, cells: Mapping[str, object]) -> date:
        column = self._columns.day
        value = cell_of(cells, column)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if not isinstance(value, datetime):
            text = self._text(cells, column)
            try:
                if len(text) == DAY_LENGTH:
                    return date.fromisoformat(text)
                require_iso_8601(text)
                value = datetime.fromisoformat(text)
            except ValueError:
                raise ValueError(f"{column}: must be a day such as 2026-03-01, got {text[:40]!r}") from None
        # A day that is written as its midnight without an offset is that day, wherever it is read.
        return value.date() if value.tzinfo is None else value.astimezone(self._zone).date()
