"""What tests of the books do on a billing desk: approve, post, and read what each account comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billing_desk import ADA, Desk, calls_world

from billing_world import World, at
from tallystick.control import bills
from tallystick.control.desk import Desk as ControlDesk
from tallystick.core.bill import BillStatus
from tallystick.core.journal import JournalEntry
from tallystick.core.quantity import total
from tallystick.pipeline.journal import post_all
from tallystick.pipeline.journal_reports import EntryFilter, every_entry, read_trial_balance

APRIL = "2023-04-02"


def billed(open_desk: Callable[[World], Desk]) -> Desk:
    """A desk with a fee of 50 and 100 calls at 0.10 in March 2023, billed over 60."""
    desk = open_desk(calls_world(fee="50.00", start="2023-03-01"))
    desk.use("acme", "2023-03-10", calls=100)
    desk.run("2023-04-01T06:00:00Z")
    return desk


def control(desk: Desk, now: str = APRIL) -> ControlDesk:
    return ControlDesk(records=desk.records, actor=ADA, now=at(now))


def approve(desk: Desk, now: str = APRIL) -> None:
    """Approve all bills that are PENDING, and post."""
    bills.approve_bills(control(desk, now), bills.BillFilter(status=BillStatus.PENDING))
    post_all(desk.records, at(now))


def closing(desk: Desk) -> dict[str, str]:
    """What each account comes to; in each currency all of them come to nothing."""
    rows = read_trial_balance(desk.records, None, None)
    for currency in {each.currency for each in rows}:
        assert total(each.closing for each in rows if each.currency == currency) == 0
    return {each.account_code: f"{each.closing:f}" for each in rows if each.closing}


def entries(desk: Desk, **wanted: Any) -> list[JournalEntry]:
    return every_entry(desk.records, EntryFilter(**wanted))
