"""Bills by the clock: each slot once, late usage for a day, dates that were given by hand, approval after grace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from threading import Thread
from typing import Any

import pytest
from billing_desk import NOVEMBER, Desk, calls_world

from billing_world import World, at
from tallystick.control.auto_approval import approve_due_bills
from tallystick.control.bills import set_status
from tallystick.control.desk import Desk as Writing
from tallystick.core.bill import BillStatus
from tallystick.core.organization import GracePeriodUnit, LateUsage
from tallystick.pipeline.bill_clock import SCHEDULER, start_due_job
from tallystick.ports import DocumentWhere, Page

Opener = Callable[[World], Desk]
HOURLY: dict[str, Any] = {"scheduled_bill_interval": Decimal(1)}
GRACE: dict[str, Any] = {
    "auto_approve_bills_grace_period": 12,
    "auto_approve_bills_grace_period_unit": GracePeriodUnit.HOURS,
}


def clock_world(**config: Any) -> World:
    world = calls_world(start="2023-10-01")
    world.config(**config)
    return world


def tick(desk: Desk, now: str) -> list[str]:
    """The clock is looked at; returns the ids of the bills that were looked at, or nothing."""
    job_id = start_due_job(desk.records, now=at(now), up_to=desk.usage_store.mark)
    return [] if job_id is None else list(desk.go_on(job_id).bill_ids)


def approve_due(desk: Desk, now: str) -> int:
    return approve_due_bills(Writing(records=desk.records, actor=SCHEDULER, now=at(now)))


def test_a_month_is_billed_when_it_is_over(open_desk: Opener) -> None:
    desk = open_desk(clock_world(**HOURLY))
    desk.use("acme", "2023-11-05", calls=100)
    assert tick(desk, "2023-11-30T23:59:00Z") == []
    assert len(tick(desk, "2023-12-01T00:00:30Z")) == 1
    (bill,) = desk.bills()
    assert (bill.end_date, bill.bill_date, bill.due_date, bill.external_invoice_date) == (
        date(2023, 12, 1),
        date(2023, 12, 1),
        date(2023, 12, 31),
        date(2023, 12, 1),
    )
    assert str(bill.bill_total) == "15.00"
    assert bill.created_by == "scheduler"


def test_usage_that_arrives_within_a_day_joins_the_bill(open_desk: Opener) -> None:
    desk = open_desk(clock_world(**HOURLY))
    tick(desk, "2023-12-01T00:00:30Z")
    for now, total in (("2023-12-01T09:00:00Z", "15.00"), ("2023-12-02T00:00:00Z", "25.00")):
        desk.use("acme", "2023-11-05", calls=100)
        tick(desk, now)
        assert str(desk.bills()[0].bill_total) == total
    desk.use("acme", "2023-11-05", calls=100)
    assert tick(desk, "2023-12-02T01:00:00Z") == [], "later usage waits for a bill job"
    assert str(desk.bills()[0].bill_total) == "25.00"


def test_a_slot_runs_once_however_often_it_is_looked_at(open_desk: Opener) -> None:
    desk = open_desk(clock_world(**HOURLY))
    first = start_due_job(desk.records, now=at("2023-12-01T00:00:30Z"), up_to=0)
    assert first is not None
    assert start_due_job(desk.records, now=at("2023-12-01T00:59:59Z"), up_to=0) is None
    assert start_due_job(desk.records, now=at("2023-12-01T01:00:00Z"), up_to=0) not in {None, first}


def test_two_workers_start_a_slot_once(open_desk: Opener) -> None:
    desk = open_desk(clock_world(**HOURLY))
    started: list[str | None] = []

    def work() -> None:
        started.append(start_due_job(desk.records, now=at("2023-12-01T00:00:30Z"), up_to=0))

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([each for each in started if each]) == 1
    assert len(desk.records.documents("billjob", DocumentWhere(), Page()).rows) == 1


def test_what_was_missed_is_made_up_for(open_desk: Opener) -> None:
    desk = open_desk(clock_world(**HOURLY))
    tick(desk, "2023-11-01T00:30:00Z")
    assert len(tick(desk, "2024-02-05T11:00:00Z")) == 4  # October to January
    assert [bill.end_date.month for bill in desk.bills()] == [11, 12, 1, 2]


def test_dates_given_by_hand_hold(open_desk: Opener) -> None:
    desk = open_desk(clock_world(**HOURLY))
    desk.run("2023-12-01T00:10:00Z", due_date=date(2024, 3, 1), external_invoice_date=date(2023, 12, 24), **NOVEMBER)
    desk.use("acme", "2023-11-05", calls=100)
    tick(desk, "2023-12-01T02:00:00Z")
    (bill,) = desk.bills()
    assert (str(bill.bill_total), bill.due_date, bill.external_invoice_date) == (
        "15.00",
        date(2024, 3, 1),
        date(2023, 12, 24),
    )


def test_without_an_interval_nothing_runs(open_desk: Opener) -> None:
    for config in ({}, {"scheduled_bill_interval": Decimal(0)}):
        assert tick(open_desk(clock_world(**config)), "2023-12-01T00:00:30Z") == []


def test_bills_are_approved_after_the_grace_period(open_desk: Opener) -> None:
    desk = open_desk(clock_world(**HOURLY, **GRACE))
    tick(desk, "2023-12-01T00:00:30Z")
    assert approve_due(desk, "2023-12-01T11:59:59Z") == 0
    assert approve_due(desk, "2023-12-01T12:00:00Z") == 1
    (bill,) = desk.bills()
    assert (bill.status, bill.approved_by, bill.dt_approved) == (
        BillStatus.APPROVED,
        "scheduler",
        at("2023-12-01T12:00:00Z"),
    )
    assert approve_due(desk, "2023-12-01T13:00:00Z") == 0


def test_a_bill_that_is_taken_back_has_its_grace_period_again(open_desk: Opener) -> None:
    desk = open_desk(clock_world(**HOURLY, **GRACE))
    (id_,) = tick(desk, "2023-12-01T00:00:30Z")
    approve_due(desk, "2023-12-01T12:00:00Z")
    writing = Writing(records=desk.records, actor=SCHEDULER, now=at("2023-12-01T15:00:00Z"))
    set_status(writing, id_, BillStatus.PENDING)
    assert approve_due(desk, "2023-12-02T02:59:59Z") == 0
    assert approve_due(desk, "2023-12-02T03:00:00Z") == 1


@pytest.mark.parametrize(
    ("late_usage", "status", "total"),
    [
        (None, BillStatus.APPROVED, "5.00"),  # the default where bills are approved automatically
        (LateUsage.ADJUST_NEXT_BILL, BillStatus.APPROVED, "5.00"),
        (LateUsage.RECALCULATE, BillStatus.PENDING, "15.00"),
    ],
)
def test_an_automatic_approval_undoes_itself_only_where_it_shall(
    open_desk: Opener, late_usage: LateUsage | None, status: BillStatus, total: str
) -> None:
    desk = open_desk(clock_world(**HOURLY, **GRACE, late_usage=late_usage))
    tick(desk, "2023-12-01T00:00:30Z")
    approve_due(desk, "2023-12-01T12:00:00Z")
    desk.use("acme", "2023-11-05", calls=100)
    tick(desk, "2023-12-01T13:00:00Z")
    (bill,) = desk.bills()
    assert (bill.status, str(bill.bill_total)) == (status, total)
    desk.recalculate([bill.id], "2023-12-01T13:30:00Z")  # when somebody asks for it, it is always calculated again
    assert (desk.bills()[0].status, str(desk.bills()[0].bill_total)) == (BillStatus.PENDING, "15.00")
