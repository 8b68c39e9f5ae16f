"""Bills that were approved or locked are to be sealed: ordered in the transaction that approves them."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core import wire
from tallystick.core.bill import BillRecord
from tallystick.core.seal import KIND, BillSeal
from tallystick.ports import Document, DocumentWhere, Page, Transaction

AT_ONCE = 500


def order_seals(write: Transaction, records: Sequence[BillRecord]) -> None:
    """Have these bills sealed. A bill that is sealed as it stands keeps its seal: a new one would be made of what the
    usage store says now."""
    for start in range(0, len(records), AT_ONCE):
        part = {each.bill.id: each for each in records[start : start + AT_ONCE]}
        there = write.documents(KIND, DocumentWhere(equal={"id": sorted(part)}), Page(size=AT_ONCE)).rows
        kept = {seal.bill_id: seal.digest for seal in (wire.decode(BillSeal, each.body) for each in there)}
        ordered = [
            seal_document(BillSeal(bill_id=id_, digest=each.evidence.digest))
            for id_, each in part.items()
            if kept.get(id_) != each.evidence.digest
        ]
        if ordered:
            write.put_documents(KIND, ordered)


def seal_document(seal: BillSeal) -> Document:
    """A seal as it is stored."""
    active = "true" if seal.dt_sealed is None else "false"
    return Document(id=seal.bill_id, sort=seal.bill_id, keys={"active": active}, body=wire.encode(seal))
