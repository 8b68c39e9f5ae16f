"""Measurements as a file: CSV for spreadsheets, JSON lines for programs.

As many as one file may have, the latest first. Read page by page, so that no more than a page is held as rows; texts
that a spreadsheet would run stay texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum

from tallystick.control.usage_query import checked_query, page_of_rows, raw_rows
from tallystick.core import wire
from tallystick.core.csv_text import csv_bytes, spreadsheet_safe
from tallystick.core.meter import Meter
from tallystick.core.period import Instant
from tallystick.core.quantity import plain
from tallystick.core.usage_request import UsageRequest
from tallystick.ports import OrganizationRecords, OrganizationUsage, UsagePlace

MOST = 50_000  # measurements of one file
AT_ONCE = 5_000
OWN = ("uid", "meterCode", "accountCode", "ts", "ets", "dtReceived", "journalPosition")


class ExportFormat(StrEnum):
    """What the file is."""

    CSV = "csv"
    JSONL = "jsonl"

    @property
    def media_type(self) -> str:
        """As HTTP calls it."""
        return "text/csv; charset=utf-8" if self is ExportFormat.CSV else "application/x-ndjson"


def export(
    records: OrganizationRecords, usage: OrganizationUsage, request: UsageRequest, form: ExportFormat, most: int = MOST
) -> Iterator[bytes]:
    """The file in parts; Refusals as those of a usage query come with the first. Aggregations are left out of account:
    a file is of measurements."""
    query, _ = checked_query(records, request)
    query = replace(query, columns=(), groups=(), limit=min(AT_ONCE, most))
    fields = _fields(records, query.meter_ids)
    if form is ExportFormat.CSV:
        yield csv_bytes([[*OWN, *map(spreadsheet_safe, fields), "undeclared"]])
    left = most
    while left > 0:
        rows, token = page_of_rows(usage, replace(query, limit=min(query.limit, left)))
        shown = raw_rows(records, rows)
        if form is ExportFormat.CSV:
            yield csv_bytes(_cells(each, fields) for each in shown)
        else:
            yield b"".join(wire.encode(each) + b"\n" for each in shown)
        if token is None:
            return
        left -= len(rows)
        query = replace(query, before=UsagePlace(ts=rows[-1].ts, position=rows[-1].position))


def _fields(records: OrganizationRecords, meter_ids: tuple[str, ...] | None) -> list[str]:
    """The fields of the meters that are asked about, or of all, each once."""
    meters = records.every(Meter) if meter_ids is None else records.get_many(Meter, meter_ids).values()
    return list(dict.fromkeys(field.code for meter in meters for field in meter.value.fields))


def _cells(row: dict[str, object], fields: list[str]) -> list[str]:
    values = row["fields"]
    assert isinstance(values, dict)
    undeclared = row.get("undeclared")
    extra = bytes(undeclared).decode() if undeclared is not None else ""  # type: ignore[call-overload]  # raw JSON
    return [
        *(_cell(row.get(name)) for name in OWN),
        *(_cell(values.get(code)) for code in fields),
        spreadsheet_safe(extra),
    ]


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return plain(value)
        case Instant():
            return value.wire()
        case int():
            return str(value)
        case _:
            return spreadsheet_safe(str(value))
