"""Post journal entries: what documents say by now, held against what is posted of them.

Each posting is one transaction: reversals of what is no longer so, entries for what is, and the tallies that trial
balances are made of. Doing it again posts nothing (docs/decisions/0500-journal-entries.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.accounting import AccountingConfig, Role
from tallystick.core.bill import Bill, BillStatus
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.journal import (
    ENTRIES,
    SOURCES,
    EntryDraft,
    JournalEntry,
    JournalSource,
    SourceType,
    Stamp,
    breakage_source,
    digest_of,
    entry_of,
    reversal_of,
)
from tallystick.core.journal_drafts import (
    bill_drafts,
    breakage_drafts,
    payment_drafts,
    prepayment_drafts,
    transaction_drafts,
)
from tallystick.core.journal_tallies import (
    CREDIT_TALLIES,
    TALLIES,
    CreditTally,
    Tally,
    added,
    credit_added,
    credit_tallies_of,
    tallies_of,
)
from tallystick.core.ledger import LedgerEntry, expired_at, value_of
from tallystick.core.money import DEFAULT_ROUNDING
from tallystick.core.organization import Currency
from tallystick.core.paid_state import KIND as PAYMENTS
from tallystick.core.paid_state import PaidBill
from tallystick.core.period import Instant, day_start, local_day
from tallystick.core.quantity import ZERO, add, negate, subtract, total
from tallystick.pipeline.journal_orders import credit_changed, order, read_sources, source_document
from tallystick.pipeline.ledger import KIND as LEDGER
from tallystick.pipeline.ledger import every_document
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Transaction
from tallystick.ports.founded import config_of

AT_ONCE = 100
NUMBERS = "journal"
T = TypeVar("T")


class StoredBill(msgspec.Struct, frozen=True):
    """The part of a stored bill that the books are made of."""

    bill: Bill


def accounting_config(records: OrganizationRecords) -> AccountingConfig:
    """The chart of accounts in force: the default one where nobody has set another."""
    config = records.get(AccountingConfig, records.organization_id)
    return AccountingConfig() if config is None else config.value


def decimals_of(records: OrganizationRecords) -> Callable[[str], int]:
    """The decimals of currencies, by code: the usual ones where the organisation has set none."""
    places = {each.value.code: each.value.max_decimal_places for each in records.every(Currency)}

    def decimals(currency: str) -> int:
        given = places.get(currency)
        return DEFAULT_ROUNDING.decimals if given is None else given

    return decimals


def post_waiting(records: OrganizationRecords, now: Instant) -> tuple[int, bool]:
    """Post some of what was ordered; answers how many entries were made, and whether there may be more to do."""
    waiting = records.documents(SOURCES, DocumentWhere(equal={"active": ["true"]}), Page(size=AT_ONCE)).rows
    if not waiting:
        return 0, False
    with records.transaction() as write:
        sources = list(read_sources(write, [each.id for each in waiting]).values())
        return _Posting(write, sources, now).post(), True


def post_all(records: OrganizationRecords, now: Instant) -> int:
    """Post everything that is due; answers how many entries were made."""
    order_due(records, now)
    made, more = 0, True
    while more:
        posted, more = post_waiting(records, now)
        made += posted
    return made


# ------------------------------------------------------------------------------------------------------ posting


class _Posting:
    """One transaction of postings."""

    def __init__(self, write: Transaction, sources: Sequence[JournalSource], now: Instant) -> None:
        self._write, self._sources, self._now = write, sources, now
        self._config = accounting_config(write)
        self._documents = _Documents(write, sources, self._config, now)
        self._codes = write.codes(Account, {each.account_id for each in sources})
        ids = [id_ for each in sources for id_ in each.entries]
        self._standing = _by_id(write, ENTRIES, ids, JournalEntry)
        self._made: list[JournalEntry] = []

    def post(self) -> int:
        """Bring what is posted to what the documents say; answers how many entries that took."""
        drafted = [(each, self._documents.drafts(each)) for each in self._sources]
        # What happened first has the lower number.
        drafted.sort(key=lambda each: (min((one.date for one in each[1]), default=date.max), each[0].id))
        after = [self._source(source, drafts) for source, drafts in drafted]
        write = self._write
        write.put_documents(SOURCES, [source_document(each, active=False) for each in after])
        write.put_documents(ENTRIES, [entry_document(each) for each in self._made])
        self._tally()
        credit_changed(write, self._credits_paid())
        return len(self._made)

    def _credits_paid(self) -> set[str]:
        """Credit that was just paid or billed for: what is earned by its end is looked at again."""
        return {
            line.credit_id
            for entry in self._made
            if entry.source_type in {SourceType.BILL, SourceType.COMMITMENT}
            for line in entry.lines
            if line.role is Role.PREPAID_CREDIT and line.credit_id is not None
        }

    def _source(self, source: JournalSource, drafts: Sequence[EntryDraft]) -> JournalSource:
        if digest_of(drafts) == source.digest:
            return source
        for id_ in source.entries:
            self._made.append(reversal_of(self._standing[id_], self._stamp(source), self._number()))
        revision = source.revision + 1 if drafts else source.revision
        fresh = msgspec.structs.replace(source, revision=revision, digest=digest_of(drafts))
        entries = [entry_of(each, self._stamp(fresh), self._number()) for each in drafts]
        self._made += entries
        return msgspec.structs.replace(fresh, entries=tuple(each.id for each in entries))

    def _stamp(self, source: JournalSource) -> Stamp:
        code = self._codes.get(source.account_id, "")
        return Stamp(source=source, account_code=code, config=self._config, now=self._now)

    def _number(self) -> int:
        return self._write.next_number(NUMBERS, 1)

    def _tally(self) -> None:
        write, organization_id = self._write, self._write.organization_id
        fresh = {named_id(organization_id, f"{TALLIES}/{key}"): each for key, each in tallies_of(self._made).items()}
        before = _by_id(write, TALLIES, fresh, Tally)
        write.put_documents(TALLIES, [tally_document(id_, added(before.get(id_), each)) for id_, each in fresh.items()])
        types = {each.id: each.type for each in self._standing.values()}
        credit = {
            named_id(organization_id, f"{CREDIT_TALLIES}/{key}"): each
            for key, each in credit_tallies_of(self._made, types).items()
        }
        known = _by_id(write, CREDIT_TALLIES, credit, CreditTally)
        write.put_documents(
            CREDIT_TALLIES,
            [credit_tally_document(id_, credit_added(known.get(id_), each)) for id_, each in credit.items()],
        )


class _Documents:
    """What the documents behind sources say now, read in bulk."""

    def __init__(
        self, write: Transaction, sources: Sequence[JournalSource], config: AccountingConfig, now: Instant
    ) -> None:
        self._write, self._config, self._now = write, config, now
        self._zone = config_of(write).value.timezone
        self._decimals = decimals_of(write)
        ids = {type_: [each.id for each in sources if each.type is type_] for type_ in SourceType}
        paid = [each.bill_id for each in sources if each.bill_id]
        self._bills = _by_id(write, "bill", (*ids[SourceType.BILL], *paid), StoredBill)
        self._transactions = _by_id(write, LEDGER, ids[SourceType.BALANCE_TRANSACTION], LedgerEntry)
        self._commitments = write.get_many(Commitment, ids[SourceType.COMMITMENT])
        self._paid = _by_id(write, PAYMENTS, paid, PaidBill)

    def drafts(self, source: JournalSource) -> tuple[EntryDraft, ...]:
        """The entries of a document as they should be; none where it is not approved, or is no more."""
        match source.type:
            case SourceType.BILL:
                bill = self._approved(source.id)
                return () if bill is None else bill_drafts(bill, self._decimals(bill.currency))
            case SourceType.BALANCE_TRANSACTION:
                entry = self._transactions.get(source.id)
                return () if entry is None else transaction_drafts(entry, self._zone)
            case SourceType.COMMITMENT:
                commitment = self._commitments.get(source.id)
                return () if commitment is None else prepayment_drafts(commitment)
            case SourceType.BREAKAGE:
                return self._breakage(source)
            case SourceType.PAYMENT:
                paid = self._paid.get(source.bill_id or "")
                if paid is None:
                    return ()
                return payment_drafts(paid, self._zone, owed=self._approved(paid.bill_id) is not None)

    def _approved(self, bill_id: str) -> Bill | None:
        stored = self._bills.get(bill_id)
        return stored.bill if stored is not None and stored.bill.status is BillStatus.APPROVED else None

    def _breakage(self, source: JournalSource) -> tuple[EntryDraft, ...]:
        assert source.credit_id is not None, "breakage is of a credit"
        commitment = self._write.get(Commitment, source.credit_id)
        if commitment is not None:
            return self._unused(commitment)
        balance = self._write.get(Balance, source.credit_id)
        return () if balance is None else self._expired(balance, carried=source.carried)

    def _unused(self, commitment: Entity[Commitment]) -> tuple[EntryDraft, ...]:
        value = commitment.value
        if not self._is_over(day_start(value.end_date, self._zone)):
            return ()
        # Nothing is earned by the end of what nobody has paid or was billed for.
        paid_for = min(value.amount, self._paid_for(commitment))
        left = add(paid_for, value_of(self._ledger(commitment.id)))
        return breakage_drafts(commitment.id, "Commitment", value.currency, max(left, ZERO), value.end_date)

    def _expired(self, balance: Entity[Balance], *, carried: bool) -> tuple[EntryDraft, ...]:
        value, entries = balance.value, self._ledger(balance.id)
        end = value.last_end if carried else value.end_date
        if not self._is_over(end) or (carried and value.rollover_end_date is None):
            return ()
        rolled = negate(value_of([each for each in entries if each.from_rollover]))
        left = value_of(entries)
        expired = expired_at(value, left, rolled, value.end_date)
        if carried:
            expired = subtract(max(left, ZERO), expired)
        return breakage_drafts(balance.id, value.name, value.currency, expired, _day_after(end, self._zone))

    def _paid_for(self, commitment: Entity[Commitment]) -> Decimal:
        """What was paid beforehand and billed as fees, by what is posted."""
        where = DocumentWhere(equal={"credit_id": [commitment.id]})
        tallies = (wire.decode(CreditTally, each.body) for each in every_document(self._write, CREDIT_TALLIES, where))
        return total(each.added for each in tallies if each.currency == commitment.value.currency)

    def _ledger(self, credit_id: str) -> list[LedgerEntry]:
        where = DocumentWhere(equal={"credit_id": [credit_id]})
        return [wire.decode(LedgerEntry, each.body) for each in every_document(self._write, LEDGER, where)]

    def _is_over(self, end: Instant) -> bool:
        return is_booked(end, self._config, self._now)


def is_booked(end: Instant, config: AccountingConfig, now: Instant) -> bool:
    """Whether credit that ended is so long over that what is left of it is breakage."""
    return now - end >= timedelta(days=config.breakage_after_days)


def _day_after(end: Instant, zone: str) -> date:
    """The first day after the last on which something of a credit was there."""
    day = local_day(end, zone)
    return day if day_start(day, zone) == end else day + timedelta(days=1)


# ------------------------------------------------------------------------------------------------------ falling due


def order_due(records: OrganizationRecords, now: Instant) -> bool:
    """Order what no change of a document orders: prepayments of commitments, and credit that expires. Answers whether
    there is any credit at all."""
    types = [SourceType.COMMITMENT.value, SourceType.BREAKAGE.value]
    documents = every_document(records, SOURCES, DocumentWhere(equal={"type": types}))
    known = {each.id: wire.decode(JournalSource, each.body) for each in documents}
    due = {each.id: each for each in (*_prepayments(records, known), *_ended(records, known, now))}
    wanted = [each for each in due.values() if each.id not in known or known[each.id].of_version != each.of_version]
    wanted += [each for each in known.values() if each.id not in due and each.entries]  # the credit is no more
    if wanted:
        with records.transaction() as write:
            order(write, wanted)
    return bool(due) or any(next(records.every(of), None) is not None for of in (Commitment, Balance))


def _prepayments(records: OrganizationRecords, known: Mapping[str, JournalSource]) -> Iterator[JournalSource]:
    for each in records.every(Commitment):
        if each.value.amount_pre_paid or each.id in known:
            account = each.value.account_id
            yield JournalSource(id=each.id, type=SourceType.COMMITMENT, account_id=account, of_version=each.version)


def _ended(records: OrganizationRecords, known: Mapping[str, JournalSource], now: Instant) -> Iterator[JournalSource]:
    """What expires of credit that is over; version 0 where something was posted of credit that no longer is."""
    config, zone = accounting_config(records), config_of(records).value.timezone
    ends: list[tuple[Entity[Any], Instant, bool]] = [
        (each, day_start(each.value.end_date, zone), False) for each in records.every(Commitment)
    ]
    for balance in records.every(Balance):
        ends.append((balance, balance.value.end_date, False))
        if balance.value.rollover_end_date is not None:
            ends.append((balance, balance.value.rollover_end_date, True))
    for entity, end, carried in ends:
        version = entity.version if is_booked(end, config, now) else 0
        source = breakage_source(entity.id, entity.value.account_id, carried=carried, of_version=version)
        if version or source.id in known:
            yield source


# ------------------------------------------------------------------------------------------------------ stored


def number_key(number: int) -> str:
    """The number of an entry as a text in the order of numbers."""
    return f"{number:012d}"


def entry_document(entry: JournalEntry) -> Document:
    """An entry as it is stored: in order of its day, then of its number."""
    number = number_key(entry.number)
    keys = {
        "source_id": entry.source_id,
        "account_id": entry.account_id,
        "date": entry.date.isoformat(),
        "type": entry.type.value,
        "currency": entry.currency,
        "number": number,
    }
    return Document(id=entry.id, sort=f"{entry.date.isoformat()}/{number}", keys=keys, body=wire.encode(entry))


def tally_document(id: str, tally: Tally) -> Document:
    """A tally as it is stored."""
    keys = {"month": tally.month, "role": tally.role.value}
    return Document(id=id, sort=tally.key, keys=keys, body=wire.encode(tally))


def credit_tally_document(id: str, tally: CreditTally) -> Document:
    """The tally of a credit as it is stored: by month."""
    keys = {"credit_id": tally.credit_id, "account_id": tally.account_id}
    return Document(id=id, sort=f"{tally.month}/{tally.credit_id}", keys=keys, body=wire.encode(tally))


def _by_id(records: OrganizationRecords, kind: str, ids: Iterable[str], of: type[T]) -> dict[str, T]:
    wanted, found = sorted(set(ids)), dict[str, T]()
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        rows = records.documents(kind, DocumentWhere(equal={"id": part}), Page(size=AT_ONCE)).rows
        found |= {each.id: wire.decode(of, each.body) for each in rows}
    return found
