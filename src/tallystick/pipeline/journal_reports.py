"""What the books say: entries, trial balances, revenue by month, what is deferred, how credit is drawn down."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

from tallystick.core import wire
from tallystick.core.accounting import AccountingConfig, Role
from tallystick.core.journal import ENTRIES, EntryType, JournalEntry
from tallystick.core.journal_csv import JournalForm, journal_csv, parts_of
from tallystick.core.journal_tallies import (
    CREDIT_TALLIES,
    EARNED,
    HELD,
    TALLIES,
    CreditTally,
    DrawdownRow,
    RevenueRow,
    RollForwardRow,
    Tally,
    TrialBalanceRow,
    drawdowns,
    revenue_rows,
    roll_forward,
    trial_balance,
)
from tallystick.core.revenue_schedule import ScheduledLine, schedule_of
from tallystick.errors import Refusal
from tallystick.pipeline.journal import StoredBill, accounting_config, decimals_of, number_key
from tallystick.pipeline.ledger import every_document
from tallystick.ports import DocumentWhere, Found, OrganizationRecords, Page

MOST_IN_A_FILE = 50_000
MOST_LINES_IN_A_FILE = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries are wanted; days are inclusive. `after` is the number of the last one that is known already,
    `through` of the last one that is wanted."""

    start: date | None = None
    end: date | None = None
    account_id: str | None = None
    source_id: str | None = None
    type: EntryType | None = None
    currency: str | None = None
    after: int | None = None
    through: int | None = None

    def where(self) -> DocumentWhere:
        """The filter in the keys that stored entries have."""
        given = {
            "account_id": self.account_id,
            "source_id": self.source_id,
            "type": None if self.type is None else self.type.value,
            "currency": self.currency,
        }
        equal: dict[str, Collection[str]] = {name: (text,) for name, text in given.items() if text is not None}
        between: dict[str, tuple[str | None, str | None]] = {}
        if self.start is not None or self.end is not None:
            between["date"] = (
                None if self.start is None else self.start.isoformat(),
                None if self.end is None else self.end.isoformat(),
            )
        if self.after is not None or self.through is not None:
            between["number"] = (
                None if self.after is None else number_key(self.after + 1),
                None if self.through is None else number_key(self.through),
            )
        return DocumentWhere(equal=equal, between=between)


def list_entries(records: OrganizationRecords, wanted: EntryFilter, page: Page) -> Found[JournalEntry]:
    """A page of entries, the latest day first."""
    found = records.documents(ENTRIES, wanted.where(), page)
    return Found(tuple(wire.decode(JournalEntry, each.body) for each in found.rows), found.next_token)


def every_entry(records: OrganizationRecords, wanted: EntryFilter) -> list[JournalEntry]:
    """All entries that match, the earliest first; Refusal `invalid_request` where they are too many for a file."""
    found: list[JournalEntry] = []
    page: Page | None = Page(size=1_000)
    while page is not None:
        some = list_entries(records, wanted, page)
        found += some.rows
        if len(found) > MOST_IN_A_FILE:
            message = (
                f"throughNumber: a file takes at most {MOST_IN_A_FILE} entries; name a shorter time, an account, or the"
                " numbers of the first and the last entry"
            )
            raise Refusal("invalid_request", message, field="throughNumber")
        page = None if some.next_token is None else Page(size=1_000, token=some.next_token)
    found.reverse()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFiles:
    """The files that entries are imported by: `parts` has the entries of each."""

    form: JournalForm
    parts: Sequence[Sequence[JournalEntry]]
    config: AccountingConfig
    decimals: Callable[[str], int]

    def body(self, number: int) -> bytes:
        """The file of a number, from 1."""
        return journal_csv(self.parts[number - 1], self.form, self.config, self.decimals)

    def together(self, name: str) -> bytes:
        """All files in a ZIP archive, under a name and their numbers."""
        archive = BytesIO()
        with ZipFile(archive, "w", ZIP_DEFLATED) as into:
            for number in range(1, len(self.parts) + 1):
                into.writestr(f"{name}-{number}.csv", self.body(number))
        return archive.getvalue()


def ledger_files(held: OrganizationRecords, wanted: EntryFilter, form: JournalForm) -> LedgerFiles:
    """Entries in a form. `held` are records that hold still: numbers are given in the order in which entries are
    posted, so that whoever asks for what came after the highest number in the files misses none. Refusal
    `invalid_request` for too many, and for several currencies where the form has one."""
    entries = every_entry(held, wanted)
    currencies = sorted({each.currency for each in entries})
    if form is JournalForm.XERO and len(currencies) > 1:
        message = f"currency: Xero takes journals of one currency; name one of {', '.join(currencies)}"
        raise Refusal("invalid_request", message, field="currency")
    parts = tuple(parts_of(entries, form))
    return LedgerFiles(form=form, parts=parts, config=accounting_config(held), decimals=decimals_of(held))


def get_entry(records: OrganizationRecords, id: str) -> JournalEntry:
    """One entry; Refusal `not_found`."""
    document = records.document(ENTRIES, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no journal entry {id[:40]!r} in this organization", field="id")
    return wire.decode(JournalEntry, document.body)


def read_trial_balance(records: OrganizationRecords, start: str | None, end: str | None) -> tuple[TrialBalanceRow, ...]:
    """The trial balance of months such as 2024-03, both inclusive. It is of one moment, and so zero, where the records
    hold still, or few accounts have few months."""
    return trial_balance(_tallies(records, frozenset(Role), end), start, end)


def read_revenue(records: OrganizationRecords, start: str | None, end: str | None) -> tuple[RevenueRow, ...]:
    """Revenue by month and product."""
    return revenue_rows(_tallies(records, EARNED, end, start), start, end)


def read_roll_forward(records: OrganizationRecords, start: str | None, end: str | None) -> tuple[RollForwardRow, ...]:
    """What is deferred, prepaid and unbilled, month by month."""
    return roll_forward(_tallies(records, HELD, end), start, end)


def read_drawdowns(
    records: OrganizationRecords, page: Page, *, account_id: str | None = None, credit_id: str | None = None
) -> Found[DrawdownRow]:
    """A page of what became of credit by month, the latest first."""
    given = {"account_id": account_id, "credit_id": credit_id}
    where = DocumentWhere(equal={name: (text,) for name, text in given.items() if text is not None})
    found = records.documents(CREDIT_TALLIES, where, page)
    rows = [wire.decode(CreditTally, each.body) for each in found.rows]
    ids = sorted({each.credit_id for each in rows})
    every = every_document(records, CREDIT_TALLIES, DocumentWhere(equal={"credit_id": ids})) if ids else []
    return Found(drawdowns(rows, [wire.decode(CreditTally, each.body) for each in every]), found.next_token)


def read_schedule(
    records: OrganizationRecords,
    page: Page,
    *,
    account_id: str | None = None,
    bill_id: str | None = None,
    days: tuple[date | None, date | None] = (None, None),
) -> Found[ScheduledLine]:
    """The lines of approved bills and the months that they belong to: a page has the lines of so many bills. `days` are
    the first and the last on which a bill may end, both inclusive."""
    equal: dict[str, Collection[str]] = {"status": ("APPROVED",)}
    if account_id is not None:
        equal["account_id"] = (account_id,)
    if bill_id is not None:
        equal["id"] = (bill_id,)
    first, last = (None if day is None else _day_after(day).isoformat() for day in days)  # their ends are exclusive
    between = {"end_date": (first, last)} if first or last else None
    found = records.documents("bill", DocumentWhere(equal=equal, between=between), page)
    bills = [wire.decode(StoredBill, each.body).bill for each in found.rows]
    decimals = decimals_of(records)
    rows = [line for bill in bills for line in schedule_of(bill, decimals(bill.currency))]
    return Found(tuple(rows), found.next_token)


def every_scheduled_line(
    records: OrganizationRecords,
    *,
    account_id: str | None = None,
    days: tuple[date | None, date | None] = (None, None),
) -> Iterator[ScheduledLine]:
    """The same of all approved bills whose last day is one of `days` (both inclusive), the latest period first. Refusal
    `invalid_request` where they are too many for a file."""
    page: Page | None = Page(size=200)
    count = 0
    while page is not None:
        found = read_schedule(records, page, account_id=account_id, days=days)
        count += len(found.rows)
        if count > MOST_LINES_IN_A_FILE:
            message = f"startDate: a file takes at most {MOST_LINES_IN_A_FILE} lines of bills; name some days of bills"
            raise Refusal("invalid_request", message, field="startDate")
        yield from found.rows
        page = None if found.next_token is None else Page(size=200, token=found.next_token)


def _day_after(day: date) -> date:
    return min(day, date.max - timedelta(days=1)) + timedelta(days=1)


def _tallies(
    records: OrganizationRecords, roles: Collection[Role], end: str | None, start: str | None = None
) -> list[Tally]:
    where = DocumentWhere(
        equal={"role": sorted(each.value for each in roles)},
        between={"month": (start, end)} if start or end else None,
    )
    return [wire.decode(Tally, each.body) for each in every_document(records, TALLIES, where)]
