"""Prepaid credit at the desk: what is refused, what runs by itself, and that nothing is made twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

from shop import NOWHERE, Shop, account_body, refused

from tallystick.control.accounts import ACCOUNTS
from tallystick.control.aggregations import AGGREGATIONS
from tallystick.control.balance_schedules import (
    CHARGE_SCHEDULES,
    TRANSACTION_SCHEDULES,
    charge_schedule_runs,
    transaction_schedule_runs,
)
from tallystick.control.balance_transactions import summary, transact
from tallystick.control.balances import BALANCES, amounts
from tallystick.control.charges import CHARGES
from tallystick.control.commitments import COMMITMENTS, amounts_spent
from tallystick.control.compound_aggregations import COMPOUND_AGGREGATIONS
from tallystick.control.contracts import CONTRACTS
from tallystick.control.currencies import CURRENCIES
from tallystick.control.ledger import entries_of, keep
from tallystick.control.picklists import TRANSACTION_TYPES
from tallystick.control.schedule_runs import balances_to_top_up, run_schedules, top_up
from tallystick.core.charge import Charge
from tallystick.core.ledger import BalanceTransaction, CreditKind, LedgerCause, LedgerEntry
from tallystick.core.period import Instant
from tallystick.core.schedule import run_id
from tallystick.ports import Actor

BILL = "00000000-0000-4000-8000-00000000b111"


def balance(shop: Shop, code: str = "wallet", **more: object) -> str:
    body = {
        "accountId": shop.account,
        "code": code,
        "name": "Wallet",
        "currency": "USD",
        "startDate": "2025-01-01T00:00:00Z",
        "endDate": "2026-01-01T00:00:00Z",
    }
    return shop.make(BALANCES, **{**body, **more})


def commitment(shop: Shop, **more: object) -> str:
    body = {"accountId": shop.account, "amount": 1000, "currency": "USD"}
    return shop.make(COMMITMENTS, **{**body, "startDate": "2025-01-01", "endDate": "2026-01-01", **more})


def contract(shop: Shop, account: str) -> str:
    body = {"accountId": account, "name": "Year", "startDate": "2025-01-01", "endDate": "2026-01-01"}
    return shop.make(CONTRACTS, **body)


def draw(shop: Shop, credit: str, amount: str, kind: CreditKind = CreditKind.BALANCE) -> None:
    """A bill draws."""
    entry = LedgerEntry(
        id=shop.desk.new_id(),
        credit_kind=kind,
        credit_id=credit,
        account_id=shop.account,
        amount=Decimal(amount),
        currency="USD",
        applied_date=shop.desk.now,
        transaction_date=shop.desk.now,
        entity_type=LedgerCause.BILL,
        entity_id=BILL,
        created=shop.desk.now,
        created_by="someone",
    )
    with shop.desk.records.transaction() as write:
        keep(write, (entry,))


def add(shop: Shop, of: str, amount: int, **more: Any) -> LedgerEntry:
    return transact(shop.desk, of, BalanceTransaction(amount=Decimal(amount), **more))


def held(shop: Shop, of: str) -> Decimal:
    return amounts(shop.desk.records, (BALANCES.retrieve(shop.desk.records, of),))[of]


# ----------------------------------------------------------------------------------------------------------- refusals


def test_a_contract_must_be_of_the_account_or_its_parent(shop: Shop) -> None:
    other = shop.make(ACCOUNTS, **account_body("other"))
    theirs, ours = contract(shop, other), contract(shop, shop.account)
    child = shop.make(ACCOUNTS, **account_body("child", parentAccountId=shop.account))
    for make in (balance, commitment):
        refusal = refused(lambda make=make: make(shop, contractId=theirs))  # type: ignore[misc]  # bound at once
        assert (refusal.code.name, refusal.field) == ("rule_broken", "contractId")
        assert other in refusal.message
        make(shop, contractId=ours)
        make(shop, accountId=child, contractId=ours, **({"code": "child"} if make is balance else {}))


def test_segments_are_those_of_the_aggregations(shop: Shop) -> None:
    by_region = shop.make(
        AGGREGATIONS,
        name="By region",
        code="by_region",
        meterId=shop.meter,
        targetField="bytes",
        aggregation="SUM",
        quantityPerUnit=1,
        rounding="NONE",
        unit="By",
        segmentedFields=["region"],
        segments=[{"region": "eu"}],
    )
    double = shop.make(
        COMPOUND_AGGREGATIONS,
        name="Double",
        code="double",
        calculation="aggregation.bytes_stored * 2",
        quantityPerUnit=1,
        rounding="NONE",
        unit="By",
    )
    balance(shop, aggregationIds=[shop.aggregation, by_region, double], segments=[{"region": "eu"}])
    in_use = refused(lambda: COMPOUND_AGGREGATIONS.delete(shop.desk, double))
    assert in_use.code.name == "in_use"
    unknown = refused(lambda: balance(shop, "unknown", aggregationIds=[NOWHERE]))
    assert (unknown.code.name, unknown.field) == ("unknown_reference", "aggregationIds")
    refusal = refused(lambda: balance(shop, "other", aggregationIds=[by_region], segments=[{"tier": "x"}]))
    assert refusal.field == "segments"
    assert "segmented by tier" in refusal.message


def test_what_names_credit_or_is_named_by_it_stays(shop: Shop) -> None:
    kind = shop.make(TRANSACTION_TYPES, name="Top-up", code="top_up")
    wallet = balance(shop, topUp={"threshold": 1, "amount": 1, "transactionTypeId": kind}, productIds=[shop.product])
    tokens = shop.make(CURRENCIES, name="Tokens", code="TOK")
    purse = balance(shop, "purse", currency="TOK")
    promise = commitment(shop, billingPlanId=shop.plan)
    for noun, id_, user in (
        (TRANSACTION_TYPES, kind, wallet),
        (CURRENCIES, tokens, purse),
        (AGGREGATIONS, shop.aggregation, balance(shop, "of one", aggregationIds=[shop.aggregation])),
    ):
        refusal = refused(lambda noun=noun, id_=id_: noun.delete(shop.desk, id_))  # type: ignore[misc]  # bound at once
        assert refusal.code.name == "in_use"
        assert user in refusal.message
    draw(shop, wallet, "-1")
    draw(shop, promise, "-1", CreditKind.COMMITMENT)
    for noun, id_ in ((BALANCES, wallet), (COMMITMENTS, promise)):
        refusal = refused(lambda noun=noun, id_=id_: noun.delete(shop.desk, id_))  # type: ignore[misc]  # bound at once
        assert (refusal.code.name, BILL in refusal.message) == ("in_use", True)
    BALANCES.delete(shop.desk, purse)


def test_money_in_the_ledger_keeps_its_account_and_currency(shop: Shop) -> None:
    shop.make(CURRENCIES, name="Tokens", code="TOK")
    other = shop.make(ACCOUNTS, **account_body("other"))
    wallet, promise = balance(shop), commitment(shop)
    shop.change(BALANCES, wallet, currency="TOK")
    shop.change(BALANCES, wallet, currency="USD")
    add(shop, wallet, 10)
    draw(shop, promise, "-400", CreditKind.COMMITMENT)
    for noun, id_, changes in (
        (BALANCES, wallet, {"currency": "TOK"}),
        (BALANCES, wallet, {"accountId": other}),
        (COMMITMENTS, promise, {"currency": "TOK"}),
        (COMMITMENTS, promise, {"amount": 399}),
    ):
        refusal = refused(lambda noun=noun, id_=id_, changes=changes: shop.change(noun, id_, **changes))  # type: ignore[misc]  # bound at once
        assert (refusal.code.name, refusal.field) == ("rule_broken", next(iter(changes)))
    shop.change(COMMITMENTS, promise, amount=400)
    spent = amounts_spent(shop.desk.records, (COMMITMENTS.retrieve(shop.desk.records, promise),))
    assert spent == {promise: 400}


def test_a_transaction_says_who_made_it_and_counts_from_the_start(shop: Shop) -> None:
    wallet = balance(shop)
    entry = add(shop, wallet, 10)
    assert (entry.applied_date.wire()[:10], entry.transaction_date) == ("2025-01-01", shop.desk.now)
    assert (entry.entity_type, entry.entity_id) == ("SERVICE_USER", "someone")
    shop.desk = replace(shop.desk, actor=Actor(id="operator", kind="OPERATOR"))
    assert add(shop, wallet, 1, applied_date=shop.desk.now).entity_type is LedgerCause.USER
    draw(shop, wallet, "-6")
    refusal = refused(lambda: add(shop, wallet, -6))
    assert (refusal.field, "holds 5 USD" in refusal.message) == ("amount", True)
    add(shop, wallet, -5)
    told = summary(shop.desk.records, wallet, shop.desk.now)
    assert (told.total_credit_amount, told.total_debit_amount, told.balance_consumed, told.value) == (11, 11, 6, 0)
    assert refused(lambda: add(shop, NOWHERE, 1)).code.name == "not_found"


# ------------------------------------------------------------------------------------------------- what runs by itself


def schedule(shop: Shop, wallet: str, **more: object) -> str:
    kind = shop.make(TRANSACTION_TYPES, name="Credit", code=f"credit_{len(more)}")
    body = {
        "balanceId": wallet,
        "name": "Credit",
        "code": "credit",
        "amount": 20,
        "transactionTypeId": kind,
        "transactionDescription": "Credit of the month",
        "frequency": "MONTHLY",
        "frequencyInterval": 1,
        "startDate": "2025-04-01T00:00:00Z",
        "endDate": "2025-09-01T00:00:00Z",
    }
    return shop.make(TRANSACTION_SCHEDULES, **{**body, **more})


def fees(shop: Shop, wallet: str, **more: object) -> str:
    body = {
        "balanceId": wallet,
        "name": "Fee",
        "code": "fee",
        "currency": "USD",
        "chargeDescription": "For keeping it",
        "billFrequency": "MONTHLY",
        "billFrequencyInterval": 1,
        "billInAdvance": False,
        "servicePeriodStartDate": "2025-04-01T00:00:00Z",
        "servicePeriodEndDate": "2025-09-01T00:00:00Z",
        "amount": 3,
    }
    return shop.make(CHARGE_SCHEDULES, **{**body, **more})


def charged(shop: Shop) -> list[tuple[str, Decimal | None]]:
    found = [each.value for each in shop.desk.records.every(Charge)]
    return [(charge.service_period_start_date.wire()[:10], charge.amount) for charge in found]


def test_a_transaction_schedule_adds_what_is_due_once(shop: Shop) -> None:
    wallet = balance(shop)
    id_ = schedule(shop, wallet)
    shop.later("2025-03-31T23:59:59Z")
    assert run_schedules(shop.desk) == (0, [])
    shop.later("2025-06-15T12:00:00Z")
    assert run_schedules(shop.desk) == (3, []), "April, May and June"
    assert run_schedules(shop.desk) == (0, [])
    assert held(shop, wallet) == 60
    runs = transaction_schedule_runs(shop.desk.records, TRANSACTION_SCHEDULES.retrieve(shop.desk.records, id_))
    assert (runs.previous, runs.next) == (Instant.parse("2025-06-01"), Instant.parse("2025-07-01"))
    shop.change(TRANSACTION_SCHEDULES, id_, amount=30, frequency="WEEKLY")
    shop.later("2025-06-17T00:00:00Z")
    assert run_schedules(shop.desk) == (3, []), "weeks from 1 April on, after the last run: 3, 10 and 17 June"
    assert held(shop, wallet) == 60 + 3 * 30
    shop.later("2026-01-01T00:00:00Z")
    run_schedules(shop.desk)
    after = transaction_schedule_runs(shop.desk.records, TRANSACTION_SCHEDULES.retrieve(shop.desk.records, id_))
    assert after.next is None
    TRANSACTION_SCHEDULES.delete(shop.desk, id_)
    assert held(shop, wallet) > 60, "what was added stays"


def test_a_charge_schedule_charges_what_is_due_once(shop: Shop) -> None:
    wallet = balance(shop)
    id_ = fees(shop, wallet)
    shop.later("2025-06-01T00:00:00Z")
    assert run_schedules(shop.desk) == (2, []), "April and May, at their ends"
    assert run_schedules(shop.desk) == (0, [])
    assert charged(shop) == [("2025-04-01", 3), ("2025-05-01", 3)]
    (april, may) = shop.desk.records.every(Charge)
    assert (april.value.schedule_id, april.value.entity_id, april.value.bill_date) == (
        id_,
        wallet,
        april.value.bill_date,
    )
    CHARGES.delete(shop.desk, may.id)
    assert run_schedules(shop.desk) == (0, []), "what people deleted is not made again"
    runs = charge_schedule_runs(shop.desk.records, CHARGE_SCHEDULES.retrieve(shop.desk.records, id_))
    assert (runs.previous, runs.next) == (Instant.parse("2025-05-01"), Instant.parse("2025-07-01"))
    shop.later("2025-12-01T00:00:00Z")
    assert run_schedules(shop.desk) == (3, []), "June, July and August"
    assert charged(shop)[1:] == [("2025-06-01", 3), ("2025-07-01", 3), ("2025-08-01", 3)]


def test_one_schedule_that_cannot_run_leaves_the_others(shop: Shop) -> None:
    """Somebody took the code that its charge would have."""
    wallet = balance(shop)
    bad, good = fees(shop, wallet, code="bad"), fees(shop, wallet, code="good")
    code = f"bad-20250401-{run_id(bad, Instant.parse('2025-04-01'))[:8]}"
    taken = shop.make(
        CHARGES,
        accountId=shop.account,
        name="Taken",
        code=code,
        currency="USD",
        entityType="AD_HOC",
        lineItemType="AD_HOC",
        servicePeriodStartDate="2025-04-01T00:00:00Z",
        servicePeriodEndDate="2025-05-01T00:00:00Z",
        amount=1,
    )
    shop.later("2025-05-01T00:00:00Z")
    made, problems = run_schedules(shop.desk)
    assert made == 1
    assert [bad in problem and code in problem for problem in problems] == [True]
    assert [each.value.schedule_id for each in shop.desk.records.every(Charge)] == [None, good]
    CHARGES.delete(shop.desk, taken)
    assert run_schedules(shop.desk) == (1, [])


def test_a_balance_is_topped_up_and_charged_for_once(shop: Shop) -> None:
    kind = shop.make(TRANSACTION_TYPES, name="Top-up", code="top_up")
    rule = {"threshold": 10, "amount": 50, "monthlyMaximum": 100, "transactionTypeId": kind}
    wallet = balance(shop, topUp=rule)
    balance(shop, "plain")
    assert [each.id for each in balances_to_top_up(shop.desk.records)] == [wallet]

    def look(left: str) -> int:
        return top_up(shop.desk, wallet, Decimal(left), entries_of(shop.desk.records, (wallet,))[wallet])

    assert look("10") == 0
    stale = entries_of(shop.desk.records, (wallet,))[wallet]
    assert look("9.99") == 1
    assert held(shop, wallet) == 50
    assert top_up(shop.desk, wallet, Decimal(0), stale) == 0, "the ledger has changed since"
    (charge,) = shop.desk.records.every(Charge)
    assert (charge.value.amount, charge.value.currency, charge.value.account_id) == (50, "USD", shop.account)
    assert (charge.value.entity_id, charge.value.line_item_type) == (wallet, "BALANCE_FEE")
    assert charge.value.bill_date is not None
    assert charge.value.bill_date.isoformat() == "2025-06-15"
    assert look("0") == 1
    assert look("0") == 0, "100 is the most for June"
    shop.later("2025-07-01T00:00:00Z")
    assert look("0") == 1
    made = entries_of(shop.desk.records, (wallet,))[wallet]
    assert {each.transaction_type_id for each in made} == {kind}
    assert len(list(shop.desk.records.every(Charge))) == len(made) == 3


def test_many_at_once_make_what_is_due_once(shop: Shop) -> None:
    """Eight workers look at the same moment."""
    kind = shop.make(TRANSACTION_TYPES, name="Top-up", code="top_up")
    wallet = balance(shop, topUp={"threshold": 10, "amount": 50, "monthlyMaximum": 50, "transactionTypeId": kind})
    schedule(shop, wallet)
    fees(shop, wallet)
    shop.later("2025-06-01T00:00:00Z")
    before = entries_of(shop.desk.records, (wallet,))[wallet]
    with ThreadPoolExecutor(max_workers=8) as together:
        filled = list(together.map(lambda _: top_up(shop.desk, wallet, Decimal(0), before), range(8)))
        made = list(together.map(lambda _: run_schedules(shop.desk), range(8)))
    assert sorted(filled) == [0] * 7 + [1]
    assert sum(number for number, _ in made) == 3 + 2
    assert [problems for _, problems in made] == [[]] * 8
    assert held(shop, wallet) == 50 + 3 * 20
    assert len(charged(shop)) == 1 + 2
