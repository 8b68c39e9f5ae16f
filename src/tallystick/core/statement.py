"""A statement: the usage behind a bill, stretch by stretch, as JSON and as CSV (docs/decisions/0170-statements.md)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import assert_never

import msgspec

from tallystick.core.bill import BillRecord
from tallystick.core.csv_text import csv_bytes
from tallystick.core.period import BEGINNING, Frequency, Instant, Period, day_start, intersect, local_day
from tallystick.core.quantity import plain
from tallystick.core.statement_types import StatementDefinition, StatementFrequency

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute a text that begins so


class StatementRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One number of the usage behind a bill: a function of a field of a meter, in one stretch of time and for one
    combination of dimensions (None where a measurement has no such field). `end_date` is exclusive.

    `value` is None where nothing was measured. `price_per_unit` is the average of the one line that charges this
    number, in the pricing's currency and for the line's unit.
    """

    meter_id: str
    meter_code: str
    measure: str
    aggregation: str
    start_date: Instant
    end_date: Instant
    value: Decimal | None
    measurements: int
    unit: str | None = None
    dimensions: dict[str, str | None] | None = None
    price_per_unit: Decimal | None = None


class StatementLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A usage line of the bill, as far as a statement shows it."""

    line_item_id: str
    sequence_number: int
    description: str
    quantity: Decimal
    units: Decimal
    unit: str
    currency: str
    subtotal: Decimal
    price_per_unit: Decimal | None = None
    meter_id: str | None = None


class Statement(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The usage behind one bill. `up_to` is the journal position that the bill, and so the statement, reads up to;
    `digest` that of the bill it was made of."""

    bill_id: str
    account_id: str
    account_code: str
    start_date: date
    end_date: date
    billing_frequency: Frequency
    timezone: str
    currency: str
    bill_total: Decimal
    aggregation_frequency: StatementFrequency
    up_to: int
    digest: str
    usage: tuple[StatementRow, ...]
    statement_definition_id: str | None = None
    line_items: tuple[StatementLine, ...] | None = None


def charged_windows(record: BillRecord) -> dict[str, tuple[Period, ...]]:
    """Per meter, the stretches of the billing period whose usage the bill asked about: merged, in order."""
    period = Period(record.bill.start_date_time_utc, record.bill.end_date_time_utc)
    found: dict[str, list[Period]] = {}
    for answer in record.evidence.answers:
        window = intersect(answer.question.period, period)
        if window is not None:
            found.setdefault(answer.question.meter_id, []).append(window)
    return {meter: merged(windows) for meter, windows in found.items()}


def merged(windows: Iterable[Period]) -> tuple[Period, ...]:
    """The same time without overlaps, in order."""
    kept: list[Period] = []
    for window in sorted(windows):
        if kept and window.start <= kept[-1].end:
            kept[-1] = Period(kept[-1].start, max(kept[-1].end, window.end))
        else:
            kept.append(window)
    return tuple(kept)


def accounts_of(record: BillRecord) -> tuple[str, ...]:
    """The accounts whose usage the bill asked about: its own, and those that are pooled with it."""
    pooled = {each for answer in record.evidence.answers for each in answer.question.accounts or ()}
    return tuple(sorted(pooled | {record.bill.account_id}))


def stretches(window: Period, frequency: StatementFrequency, zone: str) -> list[tuple[Instant, Period]]:
    """The stretches of a window, in order: where each begins on the calendar, and the part of it in the window."""
    if frequency is StatementFrequency.WHOLE_PERIOD:
        return [(BEGINNING, window)]
    found: list[tuple[Instant, Period]] = []
    first = first_day(local_day(window.start, zone), frequency)
    while day_start(first, zone) < window.end:
        following = next_first_day(first, frequency)
        whole = Period(day_start(first, zone), day_start(following, zone))
        part = intersect(whole, window)
        if part is not None and part.start < part.end:  # a day that a time zone skipped has no time in it
            found.append((whole.start, part))
        first = following
    return found


def first_day(day: date, frequency: StatementFrequency) -> date:
    """The first day of the stretch that a day is in."""
    match frequency:
        case StatementFrequency.DAY | StatementFrequency.WHOLE_PERIOD:
            return day
        case StatementFrequency.WEEK:
            return day - timedelta(days=day.weekday())
        case StatementFrequency.MONTH:
            return day.replace(day=1)
        case StatementFrequency.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case StatementFrequency.YEAR:
            return day.replace(month=1, day=1)
        case _:
            assert_never(frequency)


def next_first_day(first: date, frequency: StatementFrequency) -> date:
    """The first day of the stretch after the one that begins on `first`."""
    longest = {
        StatementFrequency.DAY: 1,
        StatementFrequency.WHOLE_PERIOD: 1,
        StatementFrequency.WEEK: 7,
        StatementFrequency.MONTH: 31,
        StatementFrequency.QUARTER: 92,
        StatementFrequency.YEAR: 366,
    }
    return first_day(first + timedelta(days=longest[frequency]), frequency)


def lines_of(record: BillRecord, definition: StatementDefinition, meters: frozenset[str] | None) -> list[StatementLine]:
    """The usage lines of the bill: those of some meters, or all."""
    return [
        StatementLine(
            line_item_id=line.id,
            sequence_number=line.sequence_number,
            description=line.description,
            quantity=line.quantity,
            units=line.units,
            unit=line.unit,
            currency=line.currency,
            subtotal=line.subtotal,
            price_per_unit=line.average_unit_price if definition.include_price_per_unit else None,
            meter_id=line.meter_id,
        )
        for line in record.bill.line_items
        if line.aggregation_id is not None or line.compound_aggregation_id is not None
        if meters is None or line.meter_id in meters
    ]


def as_csv(statement: Statement) -> bytes:
    """The usage of a statement as CSV (RFC 4180, UTF-8): a header, then a row per number, with a column per dimension.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; numbers are written as they are.
    """
    names = list(dict.fromkeys(name for row in statement.usage for name in row.dimensions or ()))
    priced = any(row.price_per_unit is not None for row in statement.usage)
    header = ["billId", "accountCode", "meter", "measure", "aggregation", "unit", "startDate", "endDate"]
    header += [safe_text(name) for name in names] + ["value", "measurements"] + (["pricePerUnit"] if priced else [])
    lines = [header]
    for row in statement.usage:
        texts = [statement.bill_id, statement.account_code, row.meter_code, row.measure, row.aggregation, row.unit]
        dimensions = [(row.dimensions or {}).get(name) for name in names]
        cells = [safe_text(each) for each in texts] + [row.start_date.wire(), row.end_date.wire()]
        cells += [safe_text(each) for each in dimensions] + [_number(row.value), str(row.measurements)]
        lines.append(cells + ([_number(row.price_per_unit)] if priced else []))
    return csv_bytes(lines)


def safe_text(text: str | None) -> str:
    """A text that no spreadsheet computes."""
    if text is None:
        return ""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _number(value: Decimal | None) -> str:
    return "" if value is None else plain(value)
