"""A bill against the one before it of the same account, frequency and grouping."""

from __future__ import annotations

from tallystick.control.bills import KIND, get_bill
from tallystick.core import wire
from tallystick.core.bill import BillRecord
from tallystick.core.comparison import Comparison, compare
from tallystick.ports import DocumentWhere, OrganizationRecords, Page

LOOKED_AT = 20  # bills before, among which those of other groupings are passed over


def compare_bill(records: OrganizationRecords, id: str) -> Comparison:
    """What makes the difference between a bill and the one before it.

    Refusals: `not_found`; `rule_broken` where the two are in different currencies.
    """
    record = get_bill(records, id)
    return compare(bill_before(records, record), record)


def bill_before(records: OrganizationRecords, record: BillRecord) -> BillRecord | None:
    """The latest bill of the same series that ended by the start of this one; None where it is the first."""
    bill = record.bill
    start = bill.start_date.isoformat()
    series = DocumentWhere(
        equal={"account_id": (bill.account_id,), "billing_frequency": (bill.billing_frequency.value,)},
        between={"end_date": (None, start)},
    )
    for document in records.documents(KIND, series, Page(size=LOOKED_AT)).rows:
        found = wire.decode(BillRecord, document.body)
        same = found.bill.bill_frequency_interval == bill.bill_frequency_interval
        if same and found.evidence.grouping == record.evidence.grouping and found.bill.id != bill.id:
            return found
    return None
