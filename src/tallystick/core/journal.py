"""Journal entries: double entry, one currency each, made of the documents they come from and never changed.

A document first becomes drafts, which name what an amount is for (a role); an entry names the account of the ledger
that had this role when it was posted. What is posted and no longer right is reversed by an entry of its own
(docs/decisions/0500-journal-entries.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256

import msgspec

from tallystick.core.accounting import AccountingConfig, Role
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, negate, subtract, tidy, total
from tallystick.core.wire import encode

ENTRIES, SOURCES = "journalentry", "journalsource"
Day = date


class SourceType(StrEnum):
    """The documents that entries come from."""

    BILL = "BILL"
    BALANCE_TRANSACTION = "BALANCE_TRANSACTION"
    COMMITMENT = "COMMITMENT"  # what was paid for it beforehand
    BREAKAGE = "BREAKAGE"  # credit that expired
    PAYMENT = "PAYMENT"  # of a bill


class EntryType(StrEnum):
    """What an entry does."""

    BILL = "BILL"
    RECOGNITION = "RECOGNITION"  # of a bill's lines, in a month that is not the bill's
    CREDIT = "CREDIT"  # added to a balance, or paid for a commitment beforehand
    BREAKAGE = "BREAKAGE"
    PAYMENT = "PAYMENT"
    REVERSAL = "REVERSAL"


class ProductOf(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The accounting product of a line."""

    id: str
    code: str
    name: str


class Posting(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An amount for a role: above zero a debit, below it a credit. `type_id` is a type of transaction."""

    role: Role
    amount: Decimal
    product: ProductOf | None = None
    credit_id: str | None = None
    type_id: str | None = None


class EntryDraft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry before it is posted: what happened on `date`, in one currency. Its postings add up to zero."""

    type: EntryType
    date: date
    currency: str
    description: str
    postings: tuple[Posting, ...]


class JournalLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A line of an entry: either `debit` or `credit` is above 0."""

    role: Role
    account_code: str
    account_name: str
    debit: Decimal
    credit: Decimal
    product: ProductOf | None = None
    credit_id: str | None = None

    @property
    def amount(self) -> Decimal:
        """Above zero for a debit."""
        return subtract(self.debit, self.credit)


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An entry as it is posted: document kind `journalentry`. `number` counts the organisation's entries.

    `date` is the day of the books, `source_date` the day that it is about: earlier where the books of that day were
    closed. `revision` counts how often its source was posted, from 1; a reversal names the entry that it `reverses`.
    """

    id: str
    number: int
    type: EntryType
    date: date
    source_date: Day
    currency: str
    amount: Decimal
    description: str
    source_type: SourceType
    source_id: str
    revision: int
    account_id: str
    account_code: str
    lines: tuple[JournalLine, ...]
    dt_posted: Instant
    reverses: str | None = None

    @property
    def month(self) -> str:
        """The month of the books: 2024-03."""
        return month_of(self.date)


class JournalSource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is posted of a document: document kind `journalsource`. `revision` is 0, and `digest` empty, before anything
    was; `entries` are the ids of those that stand, none where all were reversed. Of breakage `credit_id` says whose,
    and `carried` that it is what was carried over; of payments `bill_id` says of which bill. `of_version` is the
    version of the credit that was looked at."""

    id: str
    type: SourceType
    account_id: str
    revision: int = 0
    digest: str = ""
    entries: tuple[str, ...] = ()
    credit_id: str | None = None
    bill_id: str | None = None
    carried: bool = False
    of_version: int = 0


def breakage_source(credit_id: str, account_id: str = "", *, carried: bool, of_version: int = 0) -> JournalSource:
    """The source of what expires of a credit at its end, or (`carried`) of what was carried over that."""
    return JournalSource(
        id=named_id(credit_id, "breakage/carried" if carried else "breakage"),
        type=SourceType.BREAKAGE,
        account_id=account_id,
        credit_id=credit_id,
        carried=carried,
        of_version=of_version,
    )


def payments_source(bill_id: str, account_id: str) -> JournalSource:
    """The source of what is paid for a bill."""
    return JournalSource(
        id=named_id(bill_id, "payments"), type=SourceType.PAYMENT, account_id=account_id, bill_id=bill_id
    )


def month_of(day: date) -> str:
    """The month of a day: 2024-03."""
    return day.isoformat()[:7]


def draft(
    type: EntryType, day: date, currency: str, description: str, postings: Iterable[Posting]
) -> EntryDraft | None:
    """A draft of these postings, those for the same in one, debits first; None where nothing is left of them."""
    sums: dict[tuple[str, str, str, str, bool], Posting] = {}
    for each in postings:
        product = each.product.id if each.product else ""
        drawn = each.role is Role.PREPAID_CREDIT and each.amount > 0  # apart from what is put in
        key = (each.role, product, each.credit_id or "", each.type_id or "", drawn)
        before = sums.get(key)
        sums[key] = each if before is None else msgspec.structs.replace(each, amount=add(before.amount, each.amount))
    left = tuple(
        msgspec.structs.replace(each, amount=tidy(each.amount))
        for _, each in sorted(sums.items(), key=lambda item: (item[1].amount < 0, item[0]))
        if each.amount
    )
    assert not total(each.amount for each in left), f"{description} does not balance: {left}"
    if not left:
        return None
    return EntryDraft(type=type, date=day, currency=currency, description=description, postings=left)


def digest_of(drafts: Sequence[EntryDraft]) -> str:
    """What tells whether a document is posted as it stands: SHA-256 of its drafts, whatever they are called (a bill may
    get its number later); empty where there are none."""
    if not drafts:
        return ""
    return sha256(encode([msgspec.structs.replace(each, description="") for each in drafts])).hexdigest()


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What every entry of one posting has: the source at its new revision, the chart, and when."""

    source: JournalSource
    account_code: str
    config: AccountingConfig
    now: Instant


def entry_of(drafted: EntryDraft, stamp: Stamp, number: int) -> JournalEntry:
    """A draft as it is posted. Its id is made of the source, its revision, what the entry does, its day and its
    currency: the same whenever this is done again."""
    source = stamp.source
    name = f"journal/{source.revision}/{drafted.type}/{drafted.date}/{drafted.currency}"
    return JournalEntry(
        id=named_id(source.id, name),
        number=number,
        type=drafted.type,
        date=open_day(drafted.date, stamp.config),
        source_date=drafted.date,
        currency=drafted.currency,
        amount=tidy(total(each.amount for each in drafted.postings if each.amount > 0)),
        description=drafted.description,
        source_type=source.type,
        source_id=source.id,
        revision=source.revision,
        account_id=source.account_id,
        account_code=stamp.account_code,
        lines=tuple(_line(each, stamp.config) for each in drafted.postings),
        dt_posted=stamp.now,
    )


def reversal_of(entry: JournalEntry, stamp: Stamp, number: int) -> JournalEntry:
    """The entry that takes another back: debits and credits exchanged, on the same accounts, on its day (or the first
    one that is open)."""
    return msgspec.structs.replace(
        entry,
        id=named_id(entry.id, "reversal"),
        number=number,
        type=EntryType.REVERSAL,
        date=open_day(entry.date, stamp.config),
        source_date=entry.source_date,
        description=f"Reversal of {entry.number}: {entry.description}",
        lines=tuple(msgspec.structs.replace(each, debit=each.credit, credit=each.debit) for each in entry.lines),
        dt_posted=stamp.now,
        reverses=entry.id,
    )


def open_day(day: date, config: AccountingConfig) -> date:
    """The day itself, or the first day of the books that is open."""
    closed = config.closed_through
    return day if closed is None or day > closed else closed + timedelta(days=1)


def _line(posting: Posting, config: AccountingConfig) -> JournalLine:
    account = config.account(posting.role, posting.product.id if posting.product else None, posting.type_id)
    return JournalLine(
        role=posting.role,
        account_code=account.code,
        account_name=account.name,
        debit=max(posting.amount, ZERO),
        credit=max(negate(posting.amount), ZERO),
        product=posting.product,
        credit_id=posting.credit_id,
    )
