"""Invoice numbers: given when a bill is first kept, in order and without gaps, and kept for a bill that is deleted.

Each prefix has numbers of its own, so that none is given twice (docs/decisions/0180-invoice-numbers.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tallystick.core import wire
from tallystick.core.bill import Bill, BillRecord
from tallystick.core.organization import OrganizationConfig
from tallystick.pipeline.ledger import every_document
from tallystick.ports import Document, DocumentWhere, Transaction

KIND = "invoicenumber"  # documents: by the id of a deleted bill, the number it had


def numbered(
    write: Transaction, config: OrganizationConfig, record: BillRecord, taken_back: Mapping[str, str]
) -> BillRecord:
    """The bill with an invoice number, if the organisation numbers its bills and it has none yet."""
    if record.bill.sequential_invoice_number is not None:
        return record
    number = next_number(write, config, record.bill.id, taken_back)
    if number is None:
        return record
    return msgspec.structs.replace(record, bill=msgspec.structs.replace(record.bill, sequential_invoice_number=number))


def next_number(
    write: Transaction, config: OrganizationConfig, bill_id: str, taken_back: Mapping[str, str]
) -> str | None:
    """The number of a bill that had none, if the organisation numbers its bills: the one that it had before it was
    deleted, else the next; the first is one above the start, and a start that is raised later counts from then on."""
    if not config.bill_prefix:
        return None
    start = (config.sequence_start_number or 0) + 1
    return taken_back.get(bill_id) or f"{config.bill_prefix}{write.next_number(f'invoice/{config.bill_prefix}', start)}"


def numbers_of_deleted(write: Transaction, bill_ids: Sequence[str]) -> dict[str, str]:
    """The numbers that these bills had before they were deleted, by bill id."""
    if not bill_ids:
        return {}
    found = every_document(write, KIND, DocumentWhere(equal={"id": bill_ids}))
    return {each.id: wire.decode(str, each.body) for each in found}


def keep_number(write: Transaction, bill: Bill) -> None:
    """Remember the number of a bill that is deleted."""
    number = bill.sequential_invoice_number
    if number is not None:
        write.put_documents(KIND, [Document(id=bill.id, sort=number, keys={}, body=wire.encode(number))])
