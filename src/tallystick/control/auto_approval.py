"""Approve bills whose grace period is over (source: reference 3.11; docs/decisions/0151-scheduled-bills.md)."""

from __future__ import annotations

from datetime import timedelta

from tallystick.control.bill_holds import holds_of
from tallystick.control.bills import BillFilter, approve_bills, list_bills
from tallystick.control.desk import Desk
from tallystick.control.late_policies import in_time, read_late_policies
from tallystick.core.bill import BillStatus
from tallystick.core.bill_schedule import approved_from
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.ports import Page

CHUNK = 200


def approve_due_bills(desk: Desk) -> int:
    """Approve every PENDING bill whose grace period is over by the desk's clock, but those that are held
    or wait for late usage; returns how many."""
    config = desk.records.get(OrganizationConfig, desk.records.organization_id)
    if config is None or config.value.auto_approve_bills_grace_period is None:
        return 0
    now = Instant.of(desk.now)
    tomorrow = now.date() + timedelta(days=1)  # where it is later than in UTC
    wanted = BillFilter(status=BillStatus.PENDING, locked=False, bill_dates=(None, tomorrow))
    due: list[str] = []
    late = read_late_policies(desk.records)
    page: Page | None = Page(size=CHUNK)
    while page is not None:
        found = list_bills(desk.records, wanted, page)
        for bill in found.rows:
            moment = approved_from(config.value, bill)
            if moment is not None and moment <= now and in_time(late, bill, now):
                due.append(bill.id)
        page = Page(size=CHUNK, token=found.next_token) if found.next_token else None
    approved = 0
    for first in range(0, len(due), CHUNK):
        # One that was deleted, or approved by somebody, in the meantime is no longer among them.
        still = BillFilter(ids=due[first : first + CHUNK], status=BillStatus.PENDING, locked=False)
        held = holds_of(desk.records, due[first : first + CHUNK])
        ids = [bill.id for bill in list_bills(desk.records, still, Page(size=CHUNK)).rows if bill.id not in held]
        approved += approve_bills(desk, BillFilter(ids=ids)) if ids else 0
    return approved
