"""What bills draw of credit is booked once, and moves with the bills."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from billing_desk import Desk
from ledger_desk import WALLET, draws, entries, month, top_up, totals

from billing_world import ACCOUNT, World, at, id_of
from credit_world import balance, commitment, metered
from tallystick.core.account import ChildBillingMode
from tallystick.core.bill import approve, lock
from tallystick.core.credit_types import CommitmentFee
from tallystick.core.ledger import LedgerCause
from tallystick.pipeline.bill import Run, preview, remove_bill
from tallystick.pipeline.periods import account_periods, holding
from tallystick.pipeline.verify import verify_bill

OpenDesk = Callable[[World], Desk]


@pytest.fixture
def wallet(open_desk: OpenDesk) -> Desk:
    """A wallet of 500 and usage of 200 a month at 1."""
    world = metered(1)
    balance(world)
    desk = open_desk(world)
    top_up(desk, 500)
    for number in range(1, 13):
        desk.use(ACCOUNT, f"2023-{number:02}-10", calls=200)
    return desk


def test_a_wallet_of_500_stops_at_zero(wallet: Desk) -> None:
    for number in (1, 2, 3, 4):
        month(wallet, number)
    assert totals(wallet) == ["0.00", "0.00", "100.00", "200.00"]
    assert draws(wallet) == [("2023-02-01", "-200.00"), ("2023-03-01", "-200.00"), ("2023-04-01", "-100.00")]


def test_a_year_of_commitment(open_desk: OpenDesk) -> None:
    world = metered("0.46")
    plan = next(id_ for kind, id_ in world.entities if kind == "plan")
    commitment(world, billing_plan_id=plan, overage_surcharge_percent=Decimal(1))
    desk = open_desk(world)
    for number in range(1, 13):
        desk.use(ACCOUNT, f"2023-{number:02}-10", calls=20_000)
        month(desk, number)
    assert totals(desk) == ["1250.00", "4684.00", *["10542.00"] * 10]
    assert sum(Decimal(each) for each in totals(desk)) == Decimal("111354.00")
    assert draws(desk) == [("2023-02-01", "-9200.00"), ("2023-03-01", "-5800.00")]
    for record in desk.bill_records():
        found = verify_bill(desk.records, desk.usage, record)
        assert found.verified, found.difference


def test_run_again_changes_nothing(wallet: Desk) -> None:
    for number in (1, 2, 3):
        month(wallet, number)
    before, book = wallet.bodies(), entries(wallet)
    for number in (3, 1, 2):
        month(wallet, number)
    assert wallet.bodies() == before
    assert entries(wallet) == book


def test_bills_made_out_of_order_draw_in_order(wallet: Desk) -> None:
    """March first has 200 to draw; once January and February are billed, 100 are left for it."""
    for number in (3, 2, 1):
        month(wallet, number)
    assert totals(wallet) == ["0.00", "0.00", "100.00"]
    assert draws(wallet) == [("2023-02-01", "-200.00"), ("2023-03-01", "-200.00"), ("2023-04-01", "-100.00")]


def test_late_usage_of_an_earlier_bill_moves_the_later_draws(wallet: Desk) -> None:
    for number in (1, 2, 3):
        month(wallet, number)
    wallet.use(ACCOUNT, "2023-01-20", calls=150)
    wallet.recalculate([wallet.bills()[0].id])
    assert totals(wallet) == ["0.00", "50.00", "200.00"]
    assert draws(wallet) == [("2023-02-01", "-350.00"), ("2023-03-01", "-150.00")]
    for record in wallet.bill_records():
        found = verify_bill(wallet.records, wallet.usage, record)
        assert found.verified, found.difference


def test_a_locked_bill_keeps_what_it_drew(wallet: Desk) -> None:
    for number in (1, 2, 3):
        month(wallet, number)
    record = wallet.bill_records()[1]
    locked = lock(approve(record.bill, by="ada", at=at("2023-05-01")), by="ada", at=at("2023-05-01"))
    wallet.put(msgspec.structs.replace(record, bill=locked))
    wallet.use(ACCOUNT, "2023-01-20", calls=1_000)
    wallet.recalculate([wallet.bills()[0].id])
    assert draws(wallet) == [("2023-02-01", "-300.00"), ("2023-03-01", "-200.00")]
    assert totals(wallet) == ["900.00", "0.00", "200.00"]


def test_what_is_put_in_later_stays_for_what_a_locked_bill_drew(wallet: Desk) -> None:
    """500, and 100 more in February: a locked February drew 300, so January can draw 300 of its own 500."""
    top_up(wallet, 100, "2023-02-05")
    wallet.use(ACCOUNT, "2023-02-20", calls=100)
    month(wallet, 2)
    record = wallet.bill_records()[0]
    locked = lock(approve(record.bill, by="ada", at=at("2023-05-01")), by="ada", at=at("2023-05-01"))
    wallet.put(msgspec.structs.replace(record, bill=locked))
    wallet.use(ACCOUNT, "2023-01-20", calls=1_000)
    month(wallet, 1)
    assert draws(wallet) == [("2023-02-01", "-300.00"), ("2023-03-01", "-300.00")]


def test_a_deleted_bill_gives_back_what_it_drew(wallet: Desk) -> None:
    for number in (1, 2, 3):
        month(wallet, number)
    remove_bill(wallet.records, wallet.bills()[0].id, actor_id="ada", at=at("2023-06-01"))
    assert draws(wallet) == [("2023-03-01", "-200.00"), ("2023-04-01", "-200.00")]
    assert totals(wallet) == ["0.00", "0.00"]
    month(wallet, 1)
    assert totals(wallet) == ["0.00", "0.00", "100.00"]


def test_a_preview_draws_without_writing(wallet: Desk) -> None:
    month(wallet, 1)
    periods = account_periods(wallet.records, holding(at("2023-02-15")))
    run = Run(job_id="", as_of=at("2023-02-15"), up_to=wallet.usage_store.mark, actor_id="ada")
    (record,) = preview(wallet.records, wallet.usage, periods, run)
    assert [str(line.line_item_type) for line in record.bill.line_items] == ["USAGE", "BALANCE_CONSUMED"]
    assert draws(wallet) == [("2023-02-01", "-200.00")]


def test_what_is_put_in_after_the_period_is_not_there_for_its_bill(wallet: Desk) -> None:
    top_up(wallet, 1_000, "2023-04-01")
    for number in (1, 2, 3, 4):
        month(wallet, number)
    assert totals(wallet) == ["0.00", "0.00", "100.00", "0.00"]


def test_a_missing_rate_fails_that_account_alone(open_desk: OpenDesk) -> None:
    world = metered(1)
    balance(world, currency="EUR")
    world.account("other")
    world.account_plan(account="other")
    desk = open_desk(world)
    top_up(desk, 500)
    desk.use(ACCOUNT, "2023-01-10", calls=10)
    desk.use("other", "2023-01-10", calls=10)
    month(desk, 1)
    assert [bill.account_code for bill in desk.bills()] == ["other"]


def test_a_ledger_that_was_changed_by_hand_does_not_verify(wallet: Desk) -> None:
    month(wallet, 1)
    (entry,) = (each for each in entries(wallet) if each.entity_type is LedgerCause.BILL)
    with wallet.records.transaction() as write:
        write.remove_document("ledgerentry", entry.id)
    found = verify_bill(wallet.records, wallet.usage, wallet.bill_records()[0])
    assert found.difference == f"the credit {WALLET}: the ledger says 0 was drawn, the replay 200"


def test_fees_are_billed_without_a_plan_of_their_own(open_desk: OpenDesk) -> None:
    """The account has no plan; the fees come with every other quarter of the plan that bills them."""
    world = World()
    world.template(bill_frequency_interval=3)
    plan = world.plan()
    world.account()
    commitment(world, billing_plan_id=plan.id, billing_interval=2, billing_offset=1)
    desk = open_desk(world)
    for number in (3, 6, 9, 12):
        month(desk, number)
    assert totals(desk) == ["7500.00"] * 2
    for record in desk.bill_records():
        found = verify_bill(desk.records, desk.usage, record)
        assert found.verified, found.difference


def test_agreed_fees_stand_on_bills_of_their_days(open_desk: OpenDesk) -> None:
    world = World()
    world.account()
    fees = tuple(
        CommitmentFee(
            date=date(2023, number, 1),
            amount=Decimal(amount),
            service_period_start_date=at("2023-01-01"),
            service_period_end_date=at("2024-01-01"),
        )
        for number, amount in ((2, 5_000), (7, 10_000))
    )
    commitment(world, fee_dates=fees)
    desk = open_desk(world)
    desk.run("2023-02-02T06:00:00Z")
    desk.run("2023-07-02T06:00:00Z")
    assert [(str(bill.billing_frequency), f"{bill.bill_total:.2f}") for bill in desk.bills()] == [
        ("AD_HOC", "5000.00"),
        ("AD_HOC", "10000.00"),
    ]


def test_children_share_what_their_parent_holds(open_desk: OpenDesk) -> None:
    """300 of the parent's: the first child's bill draws 200, the second's the rest, and all once the first is gone."""
    world = metered(1)
    world.account("one", parent_account_id=id_of("account", ACCOUNT))
    world.account("two", parent_account_id=id_of("account", ACCOUNT))
    world.account_plan(child_billing_mode=ChildBillingMode.CHILD)
    balance(world)
    desk = open_desk(world)
    top_up(desk, 300)
    for child in ("one", "two"):
        desk.use(child, "2023-01-10", calls=200)
    month(desk, 1)
    assert sorted(draws(desk)) == [("2023-02-01", "-100.00"), ("2023-02-01", "-200.00")]
    bills = {bill.id: bill for bill in desk.bills() if bill.account_code != ACCOUNT}
    first, second = sorted(bills)
    assert [f"{bills[each].bill_total:.2f}" for each in (first, second)] == ["0.00", "100.00"]
    remove_bill(desk.records, first, actor_id="ada", at=at("2023-06-01"))
    assert draws(desk) == [("2023-02-01", "-200.00")]
    assert [f"{bill.bill_total:.2f}" for bill in desk.bills() if bill.id == second] == ["0.00"]
    for record in desk.bill_records():
        found = verify_bill(desk.records, desk.usage, record)
        assert found.verified, found.difference


def test_a_bill_of_another_engine_waits_for_its_next_run(wallet: Desk) -> None:
    for number in (1, 2, 3):
        month(wallet, number)
    record = wallet.bill_records()[2]
    wallet.put(msgspec.structs.replace(record, evidence=msgspec.structs.replace(record.evidence, engine_version="0")))
    wallet.use(ACCOUNT, "2023-01-20", calls=150)
    wallet.recalculate([wallet.bills()[0].id])
    assert totals(wallet) == ["0.00", "50.00", "100.00"]
    month(wallet, 3)
    assert totals(wallet) == ["0.00", "50.00", "200.00"]


def test_later_bills_draw_anew_from_credit_that_the_first_knew_nothing_of(open_desk: OpenDesk) -> None:
    """50 a month; 120 from January, another 50 from March. 40 more of January leave nothing of either for April."""
    world = metered(1)
    commitment(world, "first", amount=Decimal(120), end_date=date(2023, 12, 1))
    commitment(world, "second", amount=Decimal(50), start_date=date(2023, 3, 1))
    desk = open_desk(world)
    for number in range(1, 6):
        desk.use(ACCOUNT, f"2023-{number:02}-10", calls=50)
        month(desk, number)
    assert totals(desk) == ["0.00", "0.00", "0.00", "30.00", "50.00"]
    desk.use(ACCOUNT, "2023-01-20", calls=40)
    month(desk, 1)
    assert totals(desk) == ["0.00", "20.00", "0.00", "50.00", "50.00"]
    assert draws(desk) == [("2023-02-01", "-90.00"), ("2023-03-01", "-30.00"), ("2023-04-01", "-50.00")]
    assert all(verify_bill(desk.records, desk.usage, record).verified for record in desk.bill_records())


def test_credit_that_is_not_for_a_bill_any_more_gets_back_what_that_drew(wallet: Desk) -> None:
    month(wallet, 11)
    assert totals(wallet) == ["0.00"]
    balance(wallet.world, end_date=at("2023-06-01"))
    wallet.save()
    month(wallet, 11)
    assert (totals(wallet), draws(wallet)) == (["200.00"], [])
    assert all(verify_bill(wallet.records, wallet.usage, record).verified for record in wallet.bill_records())
