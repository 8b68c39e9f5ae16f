"""Journal entries as CSV: a plain form, and those that NetSuite, Xero and QuickBooks Online import.

Each line of an entry is a row, and no text is one that a spreadsheet would run. Numbers are exact in the plain form;
the others have whole steps of the currency, as their readers want, and balance all the same.

Sources of the columns: NetSuite, the header and line field tables of journal entry imports in its help ("Journal Entry
and Intercompany Journal Entry Header Fields", "… Line-Level Fields": an account by number and name, as it is shown);
Xero, "Add or post multiple manual journals" and the template it offers (dates as day/month/year, debits above zero, 300
rows a file, in the currency of the books); QuickBooks Online, "Import journal entries" and its sample file (dates as
month/day/year, accounts by name).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from enum import StrEnum

from msgspec.structs import replace

from tallystick.core.accounting import AccountingConfig, Role
from tallystick.core.csv_text import csv_bytes, spreadsheet_safe
from tallystick.core.journal import JournalEntry, JournalLine
from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.quantity import ZERO, add, negate, subtract, tidy
from tallystick.core.revenue_schedule import ScheduledLine

XERO_ROWS = 300  # that a file may have


class JournalForm(StrEnum):
    """Who is to read a file of entries."""

    CSV = "CSV"
    NETSUITE = "NETSUITE"
    XERO = "XERO"
    QUICKBOOKS = "QUICKBOOKS"


Row = Sequence[str]

PLAIN = (
    *("entry", "number", "type", "date", "sourceDate", "currency", "description", "sourceType", "sourceId", "revision"),
    *("account", "ledgerAccount", "ledgerAccountName", "role", "product", "creditId", "debit", "credit", "reverses"),
)
NETSUITE = (
    *("External ID", "Subsidiary", "Currency", "Date", "Memo", "Account", "Debit", "Credit", "Line Memo", "Name"),
)
XERO = (
    *("*Narration", "*Date", "Description", "*AccountCode", "*TaxRate", "*Amount"),
    *("TrackingName1", "TrackingOption1", "TrackingName2", "TrackingOption2"),
)
QUICKBOOKS = (
    *("*JournalNo", "*JournalDate", "*AccountName", "*Debits", "*Credits"),
    *("Description", "Name", "Currency", "Location", "Class"),
)


def journal_csv(
    entries: Iterable[JournalEntry], form: JournalForm, config: AccountingConfig, decimals: Callable[[str], int]
) -> bytes:
    """Entries in a form, line by line. `decimals` gives those of a currency."""
    heads, row = _FORMS[form]
    exact = form is JournalForm.CSV
    shown = entries if exact else (in_whole_steps(each, decimals(each.currency)) for each in entries)
    return csv_bytes([heads, *(row(entry, line, config) for entry in shown for line in entry.lines)])


def in_whole_steps(entry: JournalEntry, decimals: int) -> JournalEntry:
    """An entry whose lines have no more than so many decimals: what they come to so far is rounded half up, line by
    line, so that they still come to nothing. Lines of which nothing is left are left out."""
    rounding = Rounding(decimals=decimals, mode=RoundingMode.HALF_UP)
    if all(round_money(each.amount, rounding) == each.amount for each in entry.lines):
        return entry
    lines: list[JournalLine] = []
    exact, before = ZERO, ZERO
    for line in entry.lines:
        exact = add(exact, line.amount)
        so_far = round_money(exact, rounding)
        amount, before = tidy(subtract(so_far, before)), so_far
        if amount:
            lines.append(replace(line, debit=max(amount, ZERO), credit=max(negate(amount), ZERO)))
    return replace(entry, lines=tuple(lines))


SCHEDULE = (
    *("bill", "lineItem", "account", "type", "role", "description", "product", "currency", "lineAmount"),
    *("billed", "month", "amount"),
)


def schedule_csv(lines: Iterable[ScheduledLine]) -> bytes:
    """The revenue schedule: a row for each line of a bill and each month that it belongs to."""
    rows = (
        [
            line.bill_id,
            line.line_item_id,
            spreadsheet_safe(line.account_code),
            line.type.value,
            line.role.value,
            spreadsheet_safe(line.description),
            spreadsheet_safe(line.product.code if line.product else ""),
            line.currency,
            f"{line.amount:f}",
            line.billed,
            each.month,
            f"{each.amount:f}",
        ]
        for line in lines
        for each in line.months
    )
    return csv_bytes([SCHEDULE, *rows])


def parts_of(entries: Iterable[JournalEntry], form: JournalForm) -> Iterator[list[JournalEntry]]:
    """Entries in as many files as the form wants; none is parted. Where it wants several they are in the order of their
    numbers, so that what is posted between two files of them comes last and shifts nothing."""
    part: list[JournalEntry] = []
    rows = 0
    for entry in sorted(entries, key=lambda each: each.number) if form is JournalForm.XERO else entries:
        if form is JournalForm.XERO and part and rows + len(entry.lines) > XERO_ROWS:
            yield part
            part, rows = [], 0
        part.append(entry)
        rows += len(entry.lines)
    yield part


def _plain(entry: JournalEntry, line: JournalLine, _: AccountingConfig) -> Row:
    return [
        entry.id,
        str(entry.number),
        entry.type.value,
        entry.date.isoformat(),
        entry.source_date.isoformat(),
        entry.currency,
        spreadsheet_safe(entry.description),
        entry.source_type.value,
        entry.source_id,
        str(entry.revision),
        spreadsheet_safe(entry.account_code),
        spreadsheet_safe(line.account_code),
        spreadsheet_safe(line.account_name),
        line.role.value,
        spreadsheet_safe(line.product.code if line.product else ""),
        line.credit_id or "",
        _amount(line.debit),
        _amount(line.credit),
        entry.reverses or "",
    ]


def _netsuite(entry: JournalEntry, line: JournalLine, config: AccountingConfig) -> Row:
    return [
        entry.id,
        spreadsheet_safe(config.netsuite_subsidiary or ""),
        entry.currency,
        f"{entry.date:%m/%d/%Y}",
        spreadsheet_safe(entry.description),
        spreadsheet_safe(f"{line.account_code} {line.account_name}"),
        _amount(line.debit),
        _amount(line.credit),
        spreadsheet_safe(_about(entry, line)),
        spreadsheet_safe(_customer(entry, line)),
    ]


def _xero(entry: JournalEntry, line: JournalLine, config: AccountingConfig) -> Row:
    return [
        spreadsheet_safe(f"{entry.number} {entry.description}"),
        f"{entry.date:%d/%m/%Y}",
        spreadsheet_safe(_about(entry, line)),
        spreadsheet_safe(line.account_code),
        spreadsheet_safe(config.xero_tax_rate),
        f"{line.amount:f}",
        *[""] * 4,
    ]


def _quickbooks(entry: JournalEntry, line: JournalLine, _: AccountingConfig) -> Row:
    return [
        str(entry.number),
        f"{entry.date:%m/%d/%Y}",
        spreadsheet_safe(line.account_name),
        _amount(line.debit),
        _amount(line.credit),
        spreadsheet_safe(_about(entry, line)),
        spreadsheet_safe(_customer(entry, line)),
        entry.currency,
        "",
        "",
    ]


def _about(entry: JournalEntry, line: JournalLine) -> str:
    return f"{entry.description}: {line.product.name}" if line.product else entry.description


def _customer(entry: JournalEntry, line: JournalLine) -> str:
    """Whose receivable it is: ledgers want to know."""
    return entry.account_code if line.role is Role.RECEIVABLE else ""


def _amount(amount: Decimal) -> str:
    return f"{amount:f}" if amount else ""


_FORMS: dict[JournalForm, tuple[Row, Callable[[JournalEntry, JournalLine, AccountingConfig], Row]]] = {
    JournalForm.CSV: (PLAIN, _plain),
    JournalForm.NETSUITE: (NETSUITE, _netsuite),
    JournalForm.XERO: (XERO, _xero),
    JournalForm.QUICKBOOKS: (QUICKBOOKS, _quickbooks),
}
