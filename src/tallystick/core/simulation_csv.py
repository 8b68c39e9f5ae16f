"""The bills of a simulation as CSV for people: a row for each bill, amounts exact, no text that a spreadsheet runs."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from tallystick.core.csv_text import csv_bytes, spreadsheet_safe
from tallystick.core.simulated_bill import SimulatedBill

HEADS = (
    "account",
    "frequency",
    "from",
    "until",
    "currency",
    "outcome",
    "old total",
    "new total",
    "difference",
    "old charges",
    "new charges",
    "failure",
    "capped total",
    "cost of the cap",
    "income",
    "cost",
    "segments",
)


def simulation_csv(bills: Iterable[SimulatedBill]) -> bytes:
    """A row for each bill, in the order given; `until` does not belong to the period."""
    return csv_bytes([HEADS, *map(_row, bills)])


def _row(bill: SimulatedBill) -> list[str]:
    return [
        spreadsheet_safe(bill.account_code),
        bill.billing_frequency.value,
        bill.start_date_time_utc.wire(),
        bill.end_date_time_utc.wire(),
        spreadsheet_safe(bill.currency),
        bill.outcome.value,
        _amount(bill.old_total),
        _amount(bill.new_total),
        _amount(bill.difference),
        _amount(bill.old_charges),
        _amount(bill.new_charges),
        spreadsheet_safe(bill.failure or ""),
        _amount(bill.capped_total),
        _amount(bill.cap_cost),
        _amount(bill.income),
        _amount(bill.cost),
        spreadsheet_safe("; ".join(f"{by}: {value}" for by, value in (bill.segments or {}).items())),
    ]


def _amount(value: Decimal | None) -> str:
    return "" if value is None else f"{value:f}"
