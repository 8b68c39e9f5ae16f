"""What a balance is worth now, with usage that no bill has drawn yet: stories of a wallet, by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from billing_desk import Desk

from billing_world import ACCOUNT, World, at, id_of
from credit_world import balance, commitment, metered
from tallystick.core.bill import approve, lock
from tallystick.core.bill_job import BillFailure
from tallystick.core.credit_types import Balance
from tallystick.core.ledger import CreditKind, LedgerCause, LedgerEntry
from tallystick.pipeline.ledger import document_of as entry_document
from tallystick.pipeline.watch import LiveValue, live_values

OpenDesk = Callable[[World], Desk]
WALLET = id_of("balance", "wallet")


def top_up(desk: Desk, amount: int, when: str = "2023-01-01") -> None:
    """Someone adds to the wallet."""
    moment = at(when)
    entry = LedgerEntry(
        id=id_of("entry", f"{when}/{amount}"),
        credit_kind=CreditKind.BALANCE,
        credit_id=WALLET,
        account_id=id_of("account", ACCOUNT),
        amount=Decimal(amount),
        currency="USD",
        applied_date=moment,
        transaction_date=moment,
        entity_type=LedgerCause.SERVICE_USER,
        entity_id="ada",
        created=moment,
        created_by="ada",
    )
    with desk.records.transaction() as write:
        write.put_documents("ledgerentry", [entry_document(entry)])


def month(desk: Desk, number: int) -> None:
    """Bill a month of 2023."""
    desk.run(f"{date(2023 + number // 12, number % 12 + 1, 1)}T06:00:00Z")


def worth(desk: Desk, now: str, credit: str = WALLET) -> LiveValue:
    entity = desk.records.get(Balance, credit)
    assert entity is not None
    (found,) = live_values(desk.records, desk.usage, (entity,), now=at(now), up_to=10**9)
    assert isinstance(found, LiveValue), found
    with desk.records.transaction() as anew:  # in which nothing is remembered
        assert live_values(anew, desk.usage, (entity,), now=at(now), up_to=10**9) == [found]
    return found


def value(desk: Desk, now: str) -> str:
    found = worth(desk, now)
    opened = sum((each.amount for each in found.open_draws), Decimal(0))
    assert found.value + found.expired <= found.ledger_value or opened == 0
    return f"{found.value:.2f}"


@pytest.fixture
def wallet(open_desk: OpenDesk) -> Desk:
    """A wallet of 500 for 2023, and calls at 1 each."""
    world = metered(1)
    balance(world)
    desk = open_desk(world)
    top_up(desk, 500)
    return desk


def test_usage_counts_when_it_arrives(wallet: Desk) -> None:
    assert value(wallet, "2023-01-05T00:00:00Z") == "500.00"
    wallet.use(ACCOUNT, "2023-01-06", calls=120)
    assert value(wallet, "2023-01-07T00:00:00Z") == "380.00"
    found = worth(wallet, "2023-01-07T00:00:00Z")
    assert found.ledger_value == 500, "nothing is booked before there is a bill"
    assert [(each.amount, each.start_date, each.end_date) for each in found.open_draws] == [
        (120, at("2023-01-01"), at("2023-02-01"))
    ]


def test_a_bill_changes_nothing_of_what_it_is_worth(wallet: Desk) -> None:
    wallet.use(ACCOUNT, "2023-01-10", calls=120)
    wallet.use(ACCOUNT, "2023-02-02", calls=30)
    before = worth(wallet, "2023-02-03T00:00:00Z")
    assert [each.amount for each in before.open_draws] == [120, 30], "January has no bill yet"
    month(wallet, 1)
    after = worth(wallet, "2023-02-03T00:00:00Z")
    assert (before.value, after.value) == (350, 350)
    assert (before.ledger_value, after.ledger_value) == (500, 380)
    assert [each.amount for each in after.open_draws] == [30]


def test_it_stops_at_zero_and_goes_on_when_filled_up(wallet: Desk) -> None:
    wallet.use(ACCOUNT, "2023-01-10", calls=700)
    assert value(wallet, "2023-01-11T00:00:00Z") == "0.00"
    top_up(wallet, 250, "2023-01-12")
    assert value(wallet, "2023-01-13T00:00:00Z") == "50.00"
    assert value(wallet, "2023-01-11T00:00:00Z") == "0.00", "what is added on the 12th is not there on the 11th"


def test_what_has_expired_is_not_there(wallet: Desk) -> None:
    wallet.use(ACCOUNT, "2023-12-10", calls=100)
    for number in range(1, 12):
        month(wallet, number)
    found = worth(wallet, "2024-01-01T00:00:00Z")
    assert (found.ledger_value, found.expired, found.value) == (500, 400, 0)
    assert [each.amount for each in found.open_draws] == [100]


def test_a_locked_bill_keeps_what_it_drew(wallet: Desk) -> None:
    wallet.use(ACCOUNT, "2023-01-10", calls=100)
    month(wallet, 1)
    record = wallet.bill_records()[0]
    final = lock(approve(record.bill, by="ada", at=at("2023-02-01")), by="ada", at=at("2023-02-01"))
    wallet.put(msgspec.structs.replace(record, bill=final))
    wallet.use(ACCOUNT, "2023-01-20", calls=50)
    assert value(wallet, "2023-01-31T00:00:00Z") == "400.00", "late usage of a locked bill does not draw here"


def test_other_credit_that_draws_first_counts(open_desk: OpenDesk) -> None:
    """Prepayments come first: 80 of 100 calls are the commitment's, 20 the wallet's."""
    world = metered(1)
    balance(world)
    commitment(world, amount=Decimal(80))
    desk = open_desk(world)
    top_up(desk, 500)
    desk.use(ACCOUNT, "2023-01-10", calls=100)
    assert value(desk, "2023-01-11T00:00:00Z") == "480.00"


def test_a_bill_that_cannot_be_made_says_why(open_desk: OpenDesk) -> None:
    world = metered(1)
    world.currency("TOK", 2)
    balance(world, currency="TOK")
    desk = open_desk(world)
    desk.use(ACCOUNT, "2023-01-10", calls=100)
    entity = desk.records.get(Balance, WALLET)
    assert entity is not None
    (found,) = live_values(desk.records, desk.usage, (entity,), now=at("2023-01-11"), up_to=10**9)
    assert isinstance(found, BillFailure)
    assert (found.code, found.account_id) == ("missing_conversion_rate", id_of("account", ACCOUNT))
    assert live_values(desk.records, desk.usage, (), now=at("2023-01-11"), up_to=10**9) == []


def test_looking_writes_nothing(wallet: Desk) -> None:
    wallet.use(ACCOUNT, "2023-01-10", calls=100)
    month(wallet, 1)
    before: Any = (wallet.bodies(), wallet.records.revision)
    worth(wallet, "2023-02-03T00:00:00Z")
    assert (wallet.bodies(), wallet.records.revision) == before


def test_what_children_use_counts_for_the_parents_wallet(open_desk: OpenDesk) -> None:
    """One child has no plan of its own and is pooled with the parent; the other has its own plan, and its own bill."""
    world = metered(1)
    parent = id_of("account", ACCOUNT)
    world.account("pooled", parent_account_id=parent)
    world.account("apart", parent_account_id=parent)
    world.account_plan(account="apart")
    balance(world)
    desk = open_desk(world)
    top_up(desk, 500)
    desk.use(ACCOUNT, "2023-01-10", calls=10)
    desk.use("pooled", "2023-01-11", calls=20)
    desk.use("apart", "2023-01-12", calls=40)
    before = worth(desk, "2023-01-20T00:00:00Z")
    month(desk, 1)
    after = worth(desk, "2023-02-01T00:00:00Z")
    assert before.value == after.value == after.ledger_value, "the bills drew what was foretold"
    assert before.value == 470, "the child with a plan of its own pays for itself"
