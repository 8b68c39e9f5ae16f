"""Read what accounts hold of credit, and book what bills draw of it, inside the transaction that keeps the bills.

A bill's draws have ids made of the bill and the credit, so that making the bill again takes their place. What is there
for a bill is what was added by the end of its period less what bills of earlier periods have drawn; bills are in the
order of the ends of their periods, then of their ids (docs/decisions/0124-the-ledger-and-the-order-of-bills.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tallystick.core import wire
from tallystick.core.bill import Bill, digest_of_text
from tallystick.core.catalog import Product
from tallystick.core.credit import Credit
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.drawing import Draw
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.ledger import LedgerCause, LedgerEntry, Opening, document_keys, place_of
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, negate, tidy, total
from tallystick.core.terms import Terms
from tallystick.pipeline.agreements import many
from tallystick.pipeline.journal_orders import credit_changed
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Transaction, Where

KIND = "ledgerentry"
PAGE = 1_000
Place = tuple[Instant, str]  # of a bill among all of the account: the end of its period, and its id


def read_credits(records: OrganizationRecords, account_ids: Collection[str]) -> dict[str, list[Entity[Any]]]:
    """The commitments and balances of accounts, by account, oldest first."""
    found: dict[str, list[Entity[Any]]] = {}
    if account_ids:
        where = Where(equal={"account_id": account_ids})
        for commitment in records.every(Commitment, where):
            found.setdefault(commitment.value.account_id, []).append(commitment)
        for balance in records.every(Balance, where):
            found.setdefault(balance.value.account_id, []).append(balance)
    return found


def accounting_products(records: OrganizationRecords, held: Iterable[Entity[Any]]) -> dict[str, Entity[Product]]:
    """The products that the lines of credit are booked on, by id."""
    names = (
        "accounting_product_id",
        "fees_accounting_product_id",
        "drawdowns_accounting_product_id",
        "consumptions_accounting_product_id",
    )
    ids = (getattr(each.value, name, None) for each in held for name in names)
    return {each.id: each for each in many(records, Product, ids)}


class Book:
    """The entries of some credits, and what is changed of them until it is written."""

    def __init__(self, entries: Iterable[LedgerEntry], fixed: Collection[str], credit_ids: Iterable[str] = ()) -> None:
        self._entries: dict[str, dict[str, LedgerEntry]] = {id_: {} for id_ in credit_ids}
        self._drawn: dict[str, dict[str, LedgerEntry]] = {}  # the draws among them, by bill
        for entry in entries:
            self._keep(entry)
        self._fixed = set(fixed)
        self._changed: dict[str, LedgerEntry | None] = {}
        self._touched: set[str] = set()  # credits of which something else is drawn by now

    def missing(self, credit_ids: Iterable[str]) -> set[str]:
        """Those of these credits whose entries the book does not have."""
        return set(credit_ids) - self._entries.keys()

    def take_in(self, other: Book) -> None:
        """Add the entries of more credits, as they are stored."""
        assert not self._entries.keys() & other._entries.keys(), "what is in the book may have been changed already"
        self._entries |= other._entries
        for bill_id, draws in other._drawn.items():
            self._drawn.setdefault(bill_id, {}).update(draws)
        self._fixed |= other._fixed

    def state(self, credit_ids: Iterable[str]) -> str:
        """A digest of all that the book says of credits: as long as it is the same, so is what can be drawn of them."""
        found = [entry for id_ in credit_ids for entry in self._entries.get(id_, {}).values()]
        found.sort(key=lambda entry: entry.id)
        return digest_of_text(wire.encode((found, [each.entity_id in self._fixed for each in found])))

    def is_fixed(self, bill_id: str) -> bool:
        """Whether what a bill has drawn stays, whatever happens to bills before it."""
        return bill_id in self._fixed

    def openings(self, terms: Terms) -> dict[str, Opening]:
        """What of each credit of the terms is there for their bill, by id."""
        place = (terms.period.end, terms.bill_id)
        return {credit.id: self._opening(credit, place) for credit in terms.credits}

    def _opening(self, credit: Credit, place: Place) -> Opening:
        entries = self._entries.get(credit.id, {}).values()
        draws = sorted((each for each in entries if each.entity_type is LedgerCause.BILL), key=_place)
        earlier = [each for each in draws if _place(each) < place]
        later = [each for each in draws if _place(each) > place and each.entity_id in self._fixed]
        taken = total(each.amount for each in earlier)
        value = add(self._added(credit, place[0]), taken)
        for each in later:  # what a later bill has drawn for good must not be drawn again
            taken = add(taken, each.amount)
            value = min(value, add(self._added(credit, each.applied_date), taken))
        rolled = negate(total(each.amount for each in (*earlier, *later) if each.from_rollover))
        return Opening(credit_id=credit.id, value=tidy(value), rolled=tidy(rolled))

    def _added(self, credit: Credit, until: Instant) -> Decimal:
        """What was put in before a moment, or by the start of the credit."""
        first = credit.commitment.amount if credit.commitment else ZERO
        entries, start = self._entries.get(credit.id, {}).values(), credit.window.start
        added = (each for each in entries if each.entity_type is not LedgerCause.BILL)
        counted = (each.amount for each in added if each.applied_date < until or each.applied_date <= start)
        return add(first, total(counted))

    def drawn_by(self, bill_id: str) -> dict[str, LedgerEntry]:
        """The entries of a bill, by id."""
        return dict(self._drawn.get(bill_id, {}))

    def later_bills(self, credit_ids: Collection[str], place: Place) -> set[str]:
        """The bills after a place that draw from credits and whose draws are not fixed."""
        return {
            each.entity_id
            for id_ in credit_ids
            for each in self._entries.get(id_, {}).values()
            if each.entity_type is LedgerCause.BILL and _place(each) > place and each.entity_id not in self._fixed
        }

    def book(self, bill_id: str, fresh: Sequence[LedgerEntry]) -> set[str]:
        """Let these entries be all that a bill draws; returns the credits of which it now draws something else."""
        before = self.drawn_by(bill_id)
        after = {each.id: each for each in fresh}
        touched = set()
        for id_ in before.keys() | after.keys():
            old, new = before.get(id_), after.get(id_)
            credit_id = (new or before[id_]).credit_id
            if old is None or new is None or old.amount != new.amount:
                touched.add(credit_id)
            self._entries.setdefault(credit_id, {}).pop(id_, None)
            self._drawn.get(bill_id, {}).pop(id_, None)
            if new is not None:
                self._keep(new)
            self._changed[id_] = new
        self._touched |= touched
        return touched

    def _keep(self, entry: LedgerEntry) -> None:
        self._entries.setdefault(entry.credit_id, {})[entry.id] = entry
        if entry.entity_type is LedgerCause.BILL:
            self._drawn.setdefault(entry.entity_id, {})[entry.id] = entry

    def write(self, write: Transaction) -> None:
        """Write what was changed."""
        kept = [document_of(each) for each in self._changed.values() if each is not None]
        for id_, entry in self._changed.items():
            if entry is None:
                write.remove_document(KIND, id_)
        write.put_documents(KIND, kept)
        credit_changed(write, self._touched)
        self._changed, self._touched = {}, set()


def read_book(records: OrganizationRecords, credit_ids: Collection[str], *, keep_approved: bool = False) -> Book:
    """The ledger of credits as it stands. What locked bills drew stays, and with `keep_approved` approved ones too."""
    if not credit_ids:
        return Book([], [])
    found = every_document(records, KIND, DocumentWhere(equal={"credit_id": sorted(credit_ids)}))
    entries = [wire.decode(LedgerEntry, each.body) for each in found]
    bills = sorted({each.entity_id for each in entries if each.entity_type is LedgerCause.BILL})
    fixed: list[Document] = []
    if bills:
        fixed += every_document(records, "bill", DocumentWhere(equal={"id": bills, "locked": ("true",)}))
    if bills and keep_approved:
        fixed += every_document(records, "bill", DocumentWhere(equal={"id": bills, "status": ("APPROVED",)}))
    return Book(entries, [each.id for each in fixed], credit_ids)


def read_draws(records: OrganizationRecords, bill_id: str) -> list[LedgerEntry]:
    """What a bill has drawn."""
    where = DocumentWhere(equal={"bill_id": (bill_id,)})
    return [wire.decode(LedgerEntry, each.body) for each in every_document(records, KIND, where)]


def entries_of(bill: Bill, draws: Sequence[Draw], owners: Mapping[str, str]) -> list[LedgerEntry]:
    """What a bill draws as entries of the ledger. `owners` has the account of each credit."""
    by = bill.last_calculated_date, bill.last_modified_by
    return entries_made((bill.end_date_time_utc, bill.id), draws, owners, by)


def entries_made(
    place: Place, draws: Sequence[Draw], owners: Mapping[str, str], by: tuple[Instant, str]
) -> list[LedgerEntry]:
    """What the bill at a place draws as entries of the ledger, made `by` somebody (when, who)."""
    return [
        LedgerEntry(
            id=named_id(place[1], f"draw/{draw.credit_id}/{draw.from_rollover}"),
            credit_kind=draw.kind,
            credit_id=draw.credit_id,
            account_id=owners[draw.credit_id],
            amount=negate(draw.amount),
            currency=draw.currency,
            applied_date=place[0],
            transaction_date=place[0],
            entity_type=LedgerCause.BILL,
            entity_id=place[1],
            created=by[0],
            created_by=by[1],
            description=draw.description,
            line_item_id=draw.line_item_id,
            from_rollover=draw.from_rollover,
        )
        for draw in draws
    ]


def document_of(entry: LedgerEntry) -> Document:
    """An entry as it is stored."""
    return Document(id=entry.id, sort=place_of(entry), keys=document_keys(entry), body=wire.encode(entry))


def _place(entry: LedgerEntry) -> Place:
    return entry.applied_date, entry.entity_id


def every_document(records: OrganizationRecords, kind: str, where: DocumentWhere) -> list[Document]:
    """All documents that match, in falling order."""
    found: list[Document] = []
    page: Page | None = Page(size=PAGE)
    while page is not None:
        some = records.documents(kind, where, page)
        found += some.rows
        page = None if some.next_token is None else Page(size=PAGE, token=some.next_token)
    return found
