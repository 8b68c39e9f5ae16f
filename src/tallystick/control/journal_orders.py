"""Documents that the books are made of: what becomes of their journal entries is ordered where they are changed.

`pipeline.journal` posts what was ordered (docs/decisions/0500-journal-entries.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core import wire
from tallystick.core.bill import Bill
from tallystick.core.journal import SOURCES, JournalSource, SourceType, breakage_source, payments_source
from tallystick.core.ledger import LedgerEntry
from tallystick.core.paid_state import PaidBill
from tallystick.ports import Document, DocumentWhere, Page, Transaction

AT_ONCE = 200


def order_bills(write: Transaction, bills: Sequence[Bill]) -> None:
    """Have bills posted whose status changed: approved ones are booked, others are taken back, and so is what was
    written off of them."""
    _order(write, [JournalSource(id=each.id, type=SourceType.BILL, account_id=each.account_id) for each in bills])
    payments = [payments_source(each.id, each.account_id).id for each in bills]
    _order(write, list(_known(write, payments).values()))


def order_transactions(write: Transaction, entries: Sequence[LedgerEntry]) -> None:
    """Have posted what was added to balances, or taken from them; and look again at what is posted as expired."""
    fresh = [
        JournalSource(id=each.id, type=SourceType.BALANCE_TRANSACTION, account_id=each.account_id) for each in entries
    ]
    ended = {
        source.id: source
        for each in entries
        for carried in (False, True)
        for source in [breakage_source(each.credit_id, each.account_id, carried=carried)]
    }
    _order(write, fresh)
    _order(write, list(_known(write, list(ended)).values()))


def order_payments(write: Transaction, paid: Sequence[PaidBill]) -> None:
    """Have posted what was told of the payment of bills."""
    _order(write, [payments_source(each.bill_id, each.account_id) for each in paid if each.entries])


def _order(write: Transaction, sources: Sequence[JournalSource]) -> None:
    known = _known(write, [each.id for each in sources])
    write.put_documents(SOURCES, [_document(known.get(each.id, each)) for each in sources])


def _known(write: Transaction, ids: Sequence[str]) -> dict[str, JournalSource]:
    found: dict[str, JournalSource] = {}
    for start in range(0, len(ids), AT_ONCE):
        where = DocumentWhere(equal={"id": ids[start : start + AT_ONCE]})
        rows = write.documents(SOURCES, where, Page(size=AT_ONCE)).rows
        found |= {each.id: wire.decode(JournalSource, each.body) for each in rows}
    return found


def _document(source: JournalSource) -> Document:
    keys = {"active": "true", "type": source.type.value, "account_id": source.account_id}
    return Document(id=source.id, sort=source.id, keys=keys, body=wire.encode(source))
