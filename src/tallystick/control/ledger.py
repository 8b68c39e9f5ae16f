"""The ledger of prepaid credit as it is stored: document kind `ledgerentry`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tallystick.control.journal_orders import order_transactions
from tallystick.core import wire
from tallystick.core.ledger import LedgerEntry, document_keys, place_of
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction

KIND = "ledgerentry"
CHUNK = 500


def document_of(entry: LedgerEntry) -> Document:
    """An entry as it is stored."""
    return Document(id=entry.id, sort=place_of(entry), keys=document_keys(entry), body=wire.encode(entry))


def read_entry(document: Document) -> LedgerEntry:
    """A stored entry."""
    return wire.decode(LedgerEntry, document.body)


def keep(write: Transaction, entries: Sequence[LedgerEntry]) -> None:
    """Put entries into the ledger; one with the id of a stored entry takes its place."""
    write.put_documents(KIND, [document_of(entry) for entry in entries])
    order_transactions(write, entries)


def entries_of(read: OrganizationRecords, credit_ids: Collection[str]) -> dict[str, list[LedgerEntry]]:
    """All entries of credits, by the credit's id, the latest first; every id asked for is there."""
    entries: dict[str, list[LedgerEntry]] = {credit_id: [] for credit_id in credit_ids}
    for entry in every(read, DocumentWhere(equal={"credit_id": tuple(entries)})) if entries else ():
        entries[entry.credit_id].append(entry)
    return entries


def every(read: OrganizationRecords, where: DocumentWhere) -> list[LedgerEntry]:
    """All entries that match, the latest first."""
    entries: list[LedgerEntry] = []
    page: Page | None = Page(size=CHUNK)
    while page is not None:
        found = list_entries(read, where, page)
        entries += found.rows
        page = None if found.next_token is None else Page(size=CHUNK, token=found.next_token)
    return entries


def list_entries(read: OrganizationRecords, where: DocumentWhere, page: Page) -> Found[LedgerEntry]:
    """One page of the entries that match, the latest first."""
    found = read.documents(KIND, where, page)
    return Found(tuple(read_entry(each) for each in found.rows), found.next_token)


def has_entries(read: OrganizationRecords, credit_id: str) -> bool:
    """Whether anything was ever added to a credit or drawn from it."""
    return bool(read.documents(KIND, DocumentWhere(equal={"credit_id": (credit_id,)}), Page(size=1)).rows)


def drawing_bills(read: OrganizationRecords, credit_id: str, most: int = 10) -> list[tuple[str, str]]:
    """The bills that draw from a credit, as (kind, id)."""
    where = DocumentWhere(equal={"credit_id": (credit_id,), "entity_type": ("BILL",)})
    found = list_entries(read, where, Page(size=most))
    return [("bill", bill_id) for bill_id in dict.fromkeys(entry.entity_id for entry in found.rows)]
