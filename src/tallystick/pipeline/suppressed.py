"""Bills that were empty and are not kept: what they were computed from is, so that what comes late is not lost.

docs/decisions/0181-late-usage-of-suppressed-bills.md
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from tallystick.core import wire
from tallystick.core.bill import BillRecord, document_keys
from tallystick.pipeline.ledger import every_document
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Transaction

KIND = "emptybill"
KEYS = ("account_id", "billing_frequency", "end_date")


def empty_bills(
    records: OrganizationRecords,
    equal: Mapping[str, Collection[str]],
    making: Collection[str],
    between: Mapping[str, tuple[str | None, str | None]] | None = None,
) -> list[BillRecord]:
    """The suppressed bills that match, latest first. They are as final as locked ones, but for those (ids) that are
    being made right now."""
    if not all(equal.values()):
        return []
    where = DocumentWhere(equal=equal, between=between)
    found = (wire.decode(BillRecord, each.body) for each in every_document(records, KIND, where))
    return [each if each.bill.id in making else _final(each) for each in found]


def _final(record: BillRecord) -> BillRecord:
    return msgspec.structs.replace(record, bill=msgspec.structs.replace(record.bill, locked=True))


def keep_empty(write: Transaction, empty: Sequence[BillRecord], made: Collection[str]) -> None:
    """Keep what suppressed bills were computed from; of those (ids) that are bills by now nothing."""
    if made:
        for each in every_document(write, KIND, DocumentWhere(equal={"id": made})):
            write.remove_document(KIND, each.id)
    write.put_documents(KIND, [_document(each) for each in empty])


def _document(record: BillRecord) -> Document:
    keys = document_keys(record.bill, record.evidence.grouping)
    return Document(
        id=record.bill.id,
        sort=record.bill.end_date_time_utc.wire(),
        keys={name: keys[name] for name in KEYS},
        body=wire.encode(record),
    )
