"""A bill as CSV for people: a row for each line, numbers exact, and no text that a spreadsheet would run."""

from __future__ import annotations

from decimal import Decimal

from tallystick.core.bill import Bill, LineItem
from tallystick.core.csv_text import csv_bytes, spreadsheet_safe
from tallystick.core.period import Instant

HEADS = (
    "bill",
    "invoice",
    "line",
    "type",
    "description",
    "product",
    "account",
    "from",
    "until",
    "quantity",
    "units",
    "unit",
    "amount",
    "currency",
)


def bill_csv(bill: Bill) -> bytes:
    """The lines in the bill's order, and its total last. `until` does not belong to the period; amounts are in the
    currency of the bill."""
    rows = [_row(bill, line) for line in bill.line_items]
    total = [
        bill.id,
        bill.sequential_invoice_number or "",
        "",
        "TOTAL",
        *[""] * 8,
        f"{bill.bill_total:f}",
        bill.currency,
    ]
    return csv_bytes([HEADS, *rows, [*map(spreadsheet_safe, total[:-2]), total[-2], spreadsheet_safe(total[-1])]])


def _row(bill: Bill, line: LineItem) -> list[str]:
    return [
        bill.id,
        spreadsheet_safe(bill.sequential_invoice_number or ""),
        str(line.sequence_number),
        line.line_item_type.value,
        spreadsheet_safe(line.description),
        spreadsheet_safe(line.product_name or ""),
        spreadsheet_safe(line.child_account_code or bill.account_code),
        _moment(line.service_period_start_date),
        _moment(line.service_period_end_date),
        _number(line.quantity),
        _number(line.units),
        spreadsheet_safe(line.unit),
        f"{line.converted_subtotal:f}",
        spreadsheet_safe(bill.currency),
    ]


def _moment(at: Instant | None) -> str:
    return "" if at is None else at.wire()


def _number(value: Decimal) -> str:
    return f"{value:f}"
