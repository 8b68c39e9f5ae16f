"""Tell CRMs of accounts that they have: an event for each bill that is approved, and again when somebody asks.

Only accounts that are mapped to a CRM are told of (docs/decisions/0503-told-to-a-crm.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tallystick.core.bill import Bill, BillStatus
from tallystick.core.crm import CrmSystem
from tallystick.core.crm_summary import EVENT_TYPE, summary_event
from tallystick.core.event import Event
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.period import Instant
from tallystick.outbox import event_document, put_events
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Transaction, Where

SYSTEMS = tuple(each.value for each in CrmSystem)
AT_ONCE = 500
MOST_BILLS = 10_000
_OF_CRMS = Where(equal={"m3ter_entity": ("Account",), "external_system": SYSTEMS})


def tell_crm(write: Transaction, bills: Sequence[Bill], now: Instant) -> None:
    """Tell of bills that were just approved, in the transaction that approves them."""
    approved = [each for each in bills if each.status is BillStatus.APPROVED]
    if not approved or not write.find(ExternalMapping, _OF_CRMS, Page(size=1)).rows:
        return
    mapped = _mapped(write, sorted({each.account_id for each in approved}))
    told = [
        _document(_event(write, each, mapped[each.account_id], now, f"approved/{each.version}"))
        for each in approved
        if each.account_id in mapped
    ]
    put_events(write, told)


def tell_again(write: Transaction, bill: Bill, now: Instant) -> Event:
    """Tell of an approved bill once more, also of an account that no CRM is known to have."""
    mappings = _mapped(write, [bill.account_id]).get(bill.account_id, [])
    event = _event(write, bill, mappings, now, f"asked/{now.wire()}")
    put_events(write, [_document(event)])
    return event


def _event(write: Transaction, bill: Bill, mappings: list[ExternalMapping], now: Instant, times: str) -> Event:
    where = DocumentWhere(equal={"account_id": [bill.account_id], "status": [BillStatus.APPROVED.value]})
    rows = write.keys_of("bill", where, ("currency", "total"), MOST_BILLS)
    totals = [(currency or "", Decimal(total or 0)) for currency, total in rows[:MOST_BILLS]]
    return summary_event(bill, mappings, totals, now, times=times)


def _mapped(read: OrganizationRecords, account_ids: Sequence[str]) -> dict[str, list[ExternalMapping]]:
    """What CRMs call these accounts, by account."""
    found: dict[str, list[ExternalMapping]] = {}
    for start in range(0, len(account_ids), AT_ONCE):
        ids = account_ids[start : start + AT_ONCE]
        where = Where(equal={"m3ter_entity": ("Account",), "external_system": SYSTEMS, "m3ter_id": ids})
        for each in read.every(ExternalMapping, where):
            found.setdefault(each.value.m3ter_id, []).append(each.value)
    return found


def _document(event: Event) -> Document:
    account_id = str(event.m3ter_event["accountId"])
    return event_document(event, event_type=EVENT_TYPE, account_id=account_id, resource_id=account_id)
