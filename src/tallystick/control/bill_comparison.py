"""A bill against the one before it of the same account, frequency and grouping."""

from __future__ import annotations

from tallystick.control.bills import KIND, get_bill
from tallystick.core import wire
from tallystick.core.bill import BillRecord
from tallystick.core.bridge import Bridge, bridge_between
from tallystick.core.comparison import Comparison, compare
from tallystick.ports import DocumentWhere, OrganizationRecords, Page

LOOKED_AT = 40  # bills of the account, among which those of other series are passed over


def compare_bill(records: OrganizationRecords, id: str) -> Comparison:
    """What makes the difference between a bill and the one before it.

    Refusals: `not_found`; `rule_broken` where the two are in different currencies.
    """
    record = get_bill(records, id)
    return compare(bill_before(records, record), record)


def bridge_to_bill(records: OrganizationRecords, id: str) -> Bridge:
    """The steps from the total of the bill before to that of this one. Refusals as `compare_bill`."""
    record = get_bill(records, id)
    return bridge_between(bill_before(records, record), record)


def bill_before(records: OrganizationRecords, record: BillRecord) -> BillRecord | None:
    """The latest bill of the same series that ended by the start of this one; None where it is the first.

    Bills are in the order of their ends: those of the account are looked at from this one's start backwards.
    """
    bill = record.bill
    own = DocumentWhere(
        equal={"account_id": (bill.account_id,)}, between={"sort": (None, bill.start_date_time_utc.wire())}
    )
    for document in records.documents(KIND, own, Page(size=LOOKED_AT)).rows:
        if document.keys.get("billing_frequency") != bill.billing_frequency or document.id == bill.id:
            continue
        found = wire.decode(BillRecord, document.body)
        same = found.bill.bill_frequency_interval == bill.bill_frequency_interval
        if same and found.evidence.grouping == record.evidence.grouping:
            return found
    return None
