"""Journal entries on real records: posted once, taken back when a document changes, never rewritten."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from billing_desk import Desk, calls_world
from books_desk import APRIL, approve, billed, closing, control, entries
from ledger_desk import WALLET

from billing_world import ACCOUNT, World, at, id_of
from credit_world import balance, commitment, metered
from tallystick.control import balance_transactions, bills
from tallystick.core import wire
from tallystick.core.accounting import AccountingConfig
from tallystick.core.bill import BillStatus
from tallystick.core.credit_types import Commitment
from tallystick.core.journal import SOURCES, EntryType, JournalEntry
from tallystick.core.ledger import BalanceTransaction
from tallystick.errors import Refusal
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.journal import order_due, post_all, post_waiting
from tallystick.pipeline.journal_reports import (
    EntryFilter,
    get_entry,
    list_entries,
    read_drawdowns,
    read_revenue,
    read_roll_forward,
    read_schedule,
    read_trial_balance,
)
from tallystick.ports import DocumentWhere, Page

Opener = Callable[[World], Desk]


@pytest.fixture
def desk(open_desk: Opener) -> Desk:
    """A fee of 50 and 100 calls at 0.10 in March 2023, billed."""
    return billed(open_desk)


def test_an_approved_bill_is_posted_once(desk: Desk) -> None:
    assert post_all(desk.records, at(APRIL)) == 0  # nobody has approved it
    approve(desk)
    assert closing(desk) == {"1200": "60", "4000": "-60"}
    kept = entries(desk)
    assert [(str(each.date), each.type, each.number, each.account_code) for each in kept] == [
        ("2023-03-31", EntryType.RECOGNITION, 1, "acme"),
        ("2023-04-01", EntryType.BILL, 2, "acme"),
    ]
    assert post_all(desk.records, at("2023-04-03")) == 0
    bills.lock_bill(control(desk), desk.bills()[0].id)
    assert post_all(desk.records, at("2023-04-03")) == 0
    assert entries(desk) == kept


def test_a_bill_that_is_reopened_is_taken_back_and_approved_again_posted_anew(desk: Desk) -> None:
    approve(desk)
    first = entries(desk)
    (bill,) = desk.bills()
    bills.set_status(control(desk), bill.id, BillStatus.PENDING)
    assert post_all(desk.records, at(APRIL)) == 2
    assert closing(desk) == {}
    assert [each.reverses for each in entries(desk, type=EntryType.REVERSAL)] == [each.id for each in first]
    approve(desk, "2023-04-03")
    assert closing(desk) == {"1200": "60", "4000": "-60"}
    fresh = [each for each in entries(desk) if each.revision == 2]
    assert len(fresh) == 2
    assert {each.id for each in fresh}.isdisjoint(each.id for each in first)
    assert [get_entry(desk.records, each.id) for each in first] == first  # never touched


def test_approved_again_before_it_was_posted_changes_nothing(desk: Desk) -> None:
    approve(desk)
    (bill,) = desk.bills()
    bills.set_status(control(desk), bill.id, BillStatus.PENDING)
    approve(desk)
    assert len(entries(desk)) == 2


def test_a_bill_that_is_recalculated_is_taken_back_and_posted_with_its_new_amount(desk: Desk) -> None:
    approve(desk)
    desk.use("acme", "2023-03-11", calls=50)  # came late
    desk.recalculate([desk.bills()[0].id], now="2023-04-05T06:00:00Z")
    post_all(desk.records, at("2023-04-05"))
    assert closing(desk) == {}  # PENDING again
    approve(desk, "2023-04-06")
    assert closing(desk) == {"1200": "65", "4000": "-65"}


def test_a_bill_that_is_deleted_is_taken_back(desk: Desk) -> None:
    approve(desk)
    remove_bill(desk.records, desk.bills()[0].id, actor_id="ada", at=at(APRIL))
    post_all(desk.records, at(APRIL))
    assert closing(desk) == {}
    desk.run("2023-04-04T06:00:00Z")
    approve(desk, "2023-04-05")
    assert closing(desk) == {"1200": "60", "4000": "-60"}
    assert max(each.revision for each in entries(desk)) == 2


def test_closed_books_take_no_entry(desk: Desk) -> None:
    books = desk.world.add(AccountingConfig(closed_through=date(2023, 3, 31)), "books")
    with desk.records.transaction() as write:  # the chart is the organisation's: it has its id
        write.insert(dataclasses.replace(books, id=desk.world.organization_id))
    approve(desk)
    found = entries(desk)
    assert {str(each.date) for each in found} == {"2023-04-01"}
    assert [str(each.source_date) for each in found] == ["2023-03-31", "2023-04-01"]
    march = read_trial_balance(desk.records, None, "2023-03")
    assert march == ()


def test_a_crash_while_posting_leaves_nothing_half(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    bills.approve_bills(control(desk), bills.BillFilter(status=BillStatus.PENDING))
    with monkeypatch.context() as broken:
        broken.setattr("tallystick.pipeline.journal.tallies_of", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            post_waiting(desk.records, at(APRIL))
    assert entries(desk) == []
    post_all(desk.records, at(APRIL))
    assert [each.number for each in entries(desk)] == [1, 2]


def test_many_bills_are_posted_in_several_transactions(open_desk: Opener) -> None:
    desk = open_desk(calls_world(*(f"a{number}" for number in range(130)), fee="1.00", start="2023-03-01"))
    desk.run("2023-04-01T06:00:00Z")
    approve(desk)
    assert closing(desk) == {"1200": "130", "4000": "-130"}
    assert sorted(each.number for each in entries(desk)) == list(range(1, 261))
    first = list_entries(desk.records, EntryFilter(), Page(size=100))
    assert (len(first.rows), first.rows[0].date, first.next_token is None) == (100, date(2023, 4, 1), False)
    assert [each.number for each in entries(desk, after=258)] == [259, 260]
    waiting = desk.records.documents(SOURCES, DocumentWhere(equal={"active": ["true"]}), Page())
    assert waiting.rows == ()


# ------------------------------------------------------------------------------------------------------ credit


def test_a_wallet_in_the_books_is_what_the_ledger_says_of_it(open_desk: Opener) -> None:
    world = metered("0.10")
    balance(world)
    desk = open_desk(world)
    transact(desk, "100")
    for month in range(1, 5):
        desk.use(ACCOUNT, f"2023-{month:02}-10", calls=300)
        desk.run(f"2023-{month + 1:02}-01T06:00:00Z")
    approve(desk, "2023-06-01")
    summary = balance_transactions.summary(desk.records, WALLET, at("2023-06-01"))
    # 30 a month of 100: the fourth month is paid for by 10, and 20 are owed.
    assert (summary.value, closing(desk)) == (0, {"1200": "20", "1250": "100", "4000": "-120"})
    rows = read_drawdowns(desk.records, Page(), credit_id=WALLET).rows
    assert [(each.month, f"{each.drawn:f}", f"{each.closing:f}") for each in reversed(rows)] == [
        ("2023-01", "30", "-30"),
        ("2023-02", "30", "-60"),
        ("2023-03", "30", "-90"),
        ("2023-04", "10", "-100"),
        ("2023-06", "0", "0"),  # when somebody typed the transaction in
    ]


def transact(desk: Desk, amount: str, now: str = "2023-06-01") -> None:
    value = BalanceTransaction(amount=Decimal(amount))
    balance_transactions.transact(control(desk, now), WALLET, value)


def test_what_is_left_of_a_wallet_expires_some_days_after_its_end(open_desk: Opener) -> None:
    world = metered("0.10")
    balance(world, end_date=at("2023-03-01"))
    desk = open_desk(world)
    transact(desk, "100", "2023-01-01")
    desk.use(ACCOUNT, "2023-02-10", calls=300)
    desk.run("2023-03-01T06:00:00Z")
    approve(desk, "2023-03-05")
    assert closing(desk)["2410"] == "-70"
    post_all(desk.records, at("2023-03-06"))
    assert closing(desk) == {"1250": "100", "4000": "-30", "4800": "-70"}
    (expired,) = entries(desk, type=EntryType.BREAKAGE)
    assert expired.date == date(2023, 2, 28)
    # The bill was wrong: more is drawn, so less has expired.
    desk.use(ACCOUNT, "2023-02-11", calls=200)
    desk.recalculate([desk.bills()[0].id], now="2023-03-07T06:00:00Z")
    approve(desk, "2023-03-08")
    assert closing(desk) == {"1250": "100", "4000": "-50", "4800": "-50"}
    assert post_all(desk.records, at("2023-05-08")) == 0


def test_what_is_added_after_the_end_expires_too(open_desk: Opener) -> None:
    world = metered("0.10")
    balance(world, end_date=at("2023-03-01"))
    desk = open_desk(world)
    assert post_all(desk.records, at("2023-03-10")) == 0  # nothing has expired: nothing was there
    transact(desk, "5", "2023-03-11")
    post_all(desk.records, at("2023-03-11"))
    assert closing(desk) == {"1250": "5", "4800": "-5"}


def test_what_is_carried_over_expires_later(open_desk: Opener) -> None:
    world = metered("0.10")
    balance(world, end_date=at("2023-03-01"), rollover_end_date=at("2023-04-01"), rollover_amount=Decimal(40))
    desk = open_desk(world)
    transact(desk, "100", "2023-01-01")
    post_all(desk.records, at("2023-03-10"))
    assert closing(desk) == {"1250": "100", "2410": "-40", "4800": "-60"}
    desk.use(ACCOUNT, "2023-03-10", calls=150)
    desk.run("2023-04-01T06:00:00Z")
    approve(desk, "2023-04-02")
    assert closing(desk) == {"1250": "100", "2410": "-25", "4000": "-15", "4800": "-60"}
    post_all(desk.records, at("2023-04-06"))
    assert closing(desk) == {"1250": "100", "4000": "-15", "4800": "-85"}


def test_a_commitment_is_paid_beforehand_drawn_and_expires(open_desk: Opener) -> None:
    world = metered("0.10")
    agreed = commitment(world, amount=Decimal(100), amount_pre_paid=Decimal(100), end_date=date(2023, 3, 1))
    desk = open_desk(world)
    desk.use(ACCOUNT, "2023-02-10", calls=300)
    desk.run("2023-03-01T06:00:00Z")
    approve(desk, "2023-03-02")
    assert closing(desk) == {"1000": "100", "2410": "-70", "4000": "-30"}
    assert order_due(desk.records, at("2023-03-02")) is True
    assert post_all(desk.records, at("2023-03-05")) == 0  # the day is not over
    post_all(desk.records, at("2023-03-06"))
    assert closing(desk) == {"1000": "100", "4000": "-30", "4800": "-70"}
    # It is prolonged: nothing of it has expired, until it ends again.
    change(desk, agreed.value, end_date=date(2023, 6, 1))
    post_all(desk.records, at("2023-03-07"))
    assert closing(desk) == {"1000": "100", "2410": "-70", "4000": "-30"}
    post_all(desk.records, at("2023-06-06"))
    assert closing(desk) == {"1000": "100", "4000": "-30", "4800": "-70"}
    assert {str(each.date) for each in entries(desk, type=EntryType.BREAKAGE)} == {"2023-02-28", "2023-05-31"}


def change(desk: Desk, value: Commitment, **to: Any) -> None:
    desk.world.add(msgspec.structs.replace(value, **to), "commitment")
    desk.save()


def test_a_prepayment_that_is_corrected_is_posted_anew(open_desk: Opener) -> None:
    world = metered("0.10")
    agreed = commitment(world, amount=Decimal(100), amount_pre_paid=Decimal(60))
    desk = open_desk(world)
    post_all(desk.records, at("2023-01-02"))
    change(desk, agreed.value, amount_pre_paid=Decimal(80))
    post_all(desk.records, at("2023-01-03"))
    assert closing(desk) == {"1000": "80", "2410": "-80"}
    change(desk, agreed.value, amount_pre_paid=None)
    post_all(desk.records, at("2023-01-04"))
    assert closing(desk) == {}


def test_a_commitment_that_is_deleted_is_taken_back(open_desk: Opener) -> None:
    world = metered("0.10")
    agreed = commitment(world, amount=Decimal(100), amount_pre_paid=Decimal(60), end_date=date(2023, 1, 2))
    desk = open_desk(world)
    post_all(desk.records, at("2023-01-20"))
    assert closing(desk) == {"1000": "60", "4800": "-60"}
    with desk.records.transaction() as write:
        write.remove(agreed, at=at("2023-01-21"), by="ada")
    post_all(desk.records, at("2023-01-21"))
    assert closing(desk) == {}
    assert post_all(desk.records, at("2023-01-22")) == 0


# ------------------------------------------------------------------------------------------------------ reports


def test_reports_say_the_same_as_the_entries(desk: Desk) -> None:
    approve(desk)
    bill = desk.bills()[0]
    lines = read_schedule(desk.records, Page(), bill_id=bill.id).rows
    assert {each.type.value: {one.month: str(one.amount) for one in each.months} for each in lines} == {
        "STANDING_CHARGE": {"2023-03": "50"},
        "USAGE": {"2023-03": "10"},
    }
    assert read_schedule(desk.records, Page(), account_id=id_of("account", "nobody")).rows == ()
    revenue = read_revenue(desk.records, "2023-03", "2023-03")
    assert [(each.month, f"{each.amount:f}", each.product and each.product.code) for each in revenue] == [
        ("2023-03", "60", "api")
    ]
    assert read_revenue(desk.records, "2023-04", None) == ()
    rolled = [
        (each.month, each.role.value, f"{each.closing:f}") for each in read_roll_forward(desk.records, None, None)
    ]
    assert rolled == [("2023-03", "UNBILLED", "60"), ("2023-04", "UNBILLED", "0")]
    april = {each.account_code: each for each in read_trial_balance(desk.records, "2023-04", "2023-04")}
    assert (april["1210"].opening, april["1210"].credit, april["1210"].closing) == (60, 60, 0)


def test_an_entry_that_is_not_there(desk: Desk) -> None:
    with pytest.raises(Refusal, match="there is no journal entry"):
        get_entry(desk.records, id_of("entry", "none"))


def test_stored_entries_keep_their_digits(desk: Desk) -> None:
    approve(desk)
    (first, *_) = entries(desk)
    assert wire.decode(JournalEntry, wire.encode(first)) == first
