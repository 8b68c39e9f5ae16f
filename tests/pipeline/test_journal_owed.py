"""The books of what is owed: bills that were void and are made anew, and commitments that end before they are paid."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from billing_desk import Desk
from books_desk import APRIL, approve, billed, closing, control

from billing_world import ACCOUNT, World, at
from credit_world import commitment, metered
from tallystick.control import bills, paid_states
from tallystick.core.bill import BillStatus
from tallystick.core.credit_types import CommitmentFee
from tallystick.core.paid_state import Told
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.journal import post_all

Opener = Callable[[World], Desk]


@pytest.fixture
def desk(open_desk: Opener) -> Desk:
    """A fee of 50 and 100 calls at 0.10 in March 2023: a bill over 60, approved and posted."""
    desk = billed(open_desk)
    approve(desk)
    return desk


def tell(desk: Desk, type: Told, amount: str | None = None, day: str = "2023-04-10") -> None:
    """Something is told of the payment of the bill; it is posted."""
    told = paid_states.PaymentRequest(type=type, amount=None if amount is None else Decimal(amount), paid_at=at(day))
    paid_states.tell_payment(control(desk, "2023-04-10"), desk.bills()[0].id, told)
    post_all(desk.records, at("2023-04-10"))


WRITTEN_OFF = {Told.VOID: "4910", Told.UNCOLLECTIBLE: "6200"}


@pytest.mark.parametrize("outcome", list(WRITTEN_OFF))
def test_what_was_written_off_of_a_bill_goes_with_it(desk: Desk, outcome: Told) -> None:
    tell(desk, outcome)
    assert closing(desk) == {WRITTEN_OFF[outcome]: "60", "4000": "-60"}
    bill = desk.bills()[0]
    bills.set_status(control(desk), bill.id, BillStatus.PENDING)
    post_all(desk.records, at("2023-04-11"))
    assert closing(desk) == {}  # no revenue, and nothing to stand against it
    approve(desk, "2023-04-12")
    assert closing(desk) == {WRITTEN_OFF[outcome]: "60", "4000": "-60"}
    remove_bill(desk.records, bill.id, actor_id="ada", at=at("2023-04-13"))
    post_all(desk.records, at("2023-04-13"))
    assert closing(desk) == {}


def test_what_was_paid_for_a_bill_that_is_no_more_is_the_customers(desk: Desk) -> None:
    tell(desk, Told.PAYMENT, "25", "2023-04-09")
    tell(desk, Told.VOID)
    assert closing(desk) == {"1000": "25", "4910": "35", "4000": "-60"}
    remove_bill(desk.records, desk.bills()[0].id, actor_id="ada", at=at("2023-04-13"))
    post_all(desk.records, at("2023-04-13"))
    assert closing(desk) == {"1000": "25", "1200": "-25"}


def test_a_void_bill_that_is_made_anew_is_written_off_at_its_new_amount(desk: Desk) -> None:
    tell(desk, Told.VOID)
    desk.use("acme", "2023-03-11", calls=50)  # came late: 65
    desk.recalculate([desk.bills()[0].id], now="2023-04-11T06:00:00Z")
    post_all(desk.records, at("2023-04-11"))
    assert closing(desk) == {}
    approve(desk, "2023-04-12")
    assert closing(desk) == {"4910": "65", "4000": "-65"}


# ------------------------------------------------------------------------------------------------------ commitments


def fee(day: str, amount: str) -> CommitmentFee:
    return CommitmentFee(
        date=date.fromisoformat(day),
        amount=Decimal(amount),
        service_period_start_date=at(day),
        service_period_end_date=at(day),
    )


def test_no_more_of_a_commitment_is_earned_by_its_end_than_was_billed_for_it(open_desk: Opener) -> None:
    # 100 agreed until 1 March, billed in two parts: 40 in February, 60 in March. 30 are used.
    world = metered("0.10")
    commitment(
        world,
        amount=Decimal(100),
        end_date=date(2023, 3, 1),
        fee_dates=(fee("2023-02-05", "40"), fee("2023-03-05", "60")),
    )
    desk = open_desk(world)
    desk.use(ACCOUNT, "2023-02-10", calls=300)
    desk.run("2023-03-01T06:00:00Z")
    approve(desk, "2023-03-02")
    assert closing(desk) == {"1200": "40", "2410": "-10", "4000": "-30"}
    post_all(desk.records, at("2023-03-10"))
    assert closing(desk) == {"1200": "40", "4000": "-30", "4800": "-10"}  # 10 were paid for and not used
    desk.run("2023-04-01T06:00:00Z")
    approve(desk, APRIL)
    assert closing(desk) == {"1200": "100", "4000": "-30", "4800": "-70"}
    bills.set_status(control(desk), desk.bills()[-1].id, BillStatus.PENDING)
    post_all(desk.records, at("2023-04-03"))
    assert sum(map(Decimal, closing(desk).values())) == 0
    approve(desk, "2023-04-04")
    assert closing(desk) == {"1200": "100", "4000": "-30", "4800": "-70"}
    assert post_all(desk.records, at("2023-05-04")) == 0


def test_a_commitment_that_nobody_paid_earns_nothing_by_its_end(open_desk: Opener) -> None:
    world = metered("0.10")
    agreed = commitment(world, amount=Decimal(100), end_date=date(2023, 3, 1))
    desk = open_desk(world)
    desk.use(ACCOUNT, "2023-02-10", calls=300)
    desk.run("2023-03-01T06:00:00Z")
    approve(desk, "2023-03-10")
    assert closing(desk) == {"2410": "30", "4000": "-30"}  # used, and nothing came for it yet
    # It was paid beforehand after all: 30 are used, the rest is earned.
    world.add(msgspec.structs.replace(agreed.value, amount_pre_paid=Decimal(80)), "commitment")
    desk.save()
    post_all(desk.records, at("2023-03-11"))
    assert closing(desk) == {"1000": "80", "4000": "-30", "4800": "-50"}
