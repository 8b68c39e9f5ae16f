"""The lines of a bill as CSV, for spreadsheets: exact numbers, and no text that one would take for a formula."""

from __future__ import annotations

from tallystick.core.bill import Bill, LineItem
from tallystick.core.csv_text import csv_bytes, harmless
from tallystick.core.quantity import plain

HEADS = (
    "line", "type", "description", "product", "child account", "segment", "quantity", "units", "unit",
    "average unit price", "subtotal", "currency", "conversion rate", "amount", "bill currency", "from", "to",
)  # fmt: skip


def csv_of(bill: Bill) -> bytes:
    """A head, then a row for each line in the order of the bill. `to` does not belong to the service period."""
    return csv_bytes((HEADS, *(tuple(map(harmless, _row(bill, line))) for line in bill.line_items)))


def _row(bill: Bill, line: LineItem) -> tuple[str, ...]:
    start, end = line.service_period_start_date, line.service_period_end_date
    return (
        str(line.sequence_number),
        line.line_item_type.value,
        line.description,
        line.product_name or "",
        line.child_account_code or "",
        "; ".join(f"{name} = {value}" for name, value in (line.segment or {}).items()),
        plain(line.quantity),
        plain(line.units),
        line.unit,
        plain(line.average_unit_price),
        plain(line.subtotal),
        line.currency,
        plain(line.conversion_rate),
        plain(line.converted_subtotal),
        bill.currency,
        "" if start is None else start.wire(),
        "" if end is None else end.wire(),
    )
