"""What a balance is worth, what became of its money, and when its own rule fills it up: ledgers told as tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core import wire
from tallystick.core.credit_types import Balance, Commitment, TopUp
from tallystick.core.entity import Entity
from tallystick.core.ledger import (
    BalanceTransaction,
    CreditKind,
    LedgerCause,
    LedgerEntry,
    document_keys,
    expired_at,
    summary_of,
    value_of,
)
from tallystick.core.period import Instant
from tallystick.core.top_up import top_ups_due

BALANCE_ID = "00000000-0000-4000-8000-000000000001"
ACCOUNT = "00000000-0000-4000-8000-000000000002"
KIND = "00000000-0000-4000-8000-000000000003"
MADE = Instant.parse("2025-01-01T00:00:00Z")
END, ROLLED_OUT = "2026-01-01", "2026-04-01"


def balance(**more: Any) -> Balance:
    fields: dict[str, Any] = {"start_date": Instant.parse("2025-01-01"), "end_date": Instant.parse(END), **more}
    return Balance(account_id=ACCOUNT, code="wallet", name="Wallet", currency="USD", **fields)


def entry(amount: str, applied: str = "2025-01-01", cause: str = "USER", **more: Any) -> LedgerEntry:
    moment = Instant.parse(applied)
    fields: dict[str, Any] = {"id": f"{amount}/{applied}/{cause}", "entity_id": ACCOUNT, **more}
    return LedgerEntry(
        credit_kind=CreditKind.BALANCE,
        credit_id=BALANCE_ID,
        account_id=ACCOUNT,
        amount=Decimal(amount),
        currency="USD",
        applied_date=moment,
        transaction_date=moment,
        entity_type=LedgerCause(cause),
        created=MADE,
        created_by=ACCOUNT,
        **fields,
    )


def draw(amount: str, applied: str = "2025-06-01", *, carried: bool = False) -> LedgerEntry:
    return entry(amount, applied, "BILL", from_rollover=carried)


# What is held at the end, what rolls over at most, what was drawn afterwards, when one looks, what has expired by then.
EXPIRIES: tuple[tuple[str, dict[str, Any], list[LedgerEntry], str, str], ...] = (
    ("before the end", {}, [], "2025-12-31T23:59:59Z", "0"),
    ("at the end without rollover", {}, [], END, "70"),
    ("all rolls over", {"rollover_end_date": ROLLED_OUT}, [], END, "0"),
    ("all rolled over is gone later", {"rollover_end_date": ROLLED_OUT}, [], ROLLED_OUT, "70"),
    ("a part rolls over", {"rollover_end_date": ROLLED_OUT, "rollover_amount": "25"}, [], END, "45"),
    ("more could roll over", {"rollover_end_date": ROLLED_OUT, "rollover_amount": "90"}, [], END, "0"),
    (
        "a part of the part is drawn",
        {"rollover_end_date": ROLLED_OUT, "rollover_amount": "25"},
        [draw("-10", END, carried=True)],
        "2026-02-01",
        "45",
    ),
    (
        "the rest of the part is gone too",
        {"rollover_end_date": ROLLED_OUT, "rollover_amount": "25"},
        [draw("-10", END, carried=True)],
        ROLLED_OUT,
        "60",
    ),
    ("overdrawn, so nothing is left to expire", {}, [draw("-80")], END, "0"),
)


@pytest.mark.parametrize(
    ("terms", "more", "now", "expired"), [row[1:] for row in EXPIRIES], ids=[row[0] for row in EXPIRIES]
)
def test_what_has_expired(terms: dict[str, Any], more: list[LedgerEntry], now: str, expired: str) -> None:
    """100 were added and 30 drawn before the end."""
    fields = dict(terms)
    if "rollover_end_date" in fields:
        fields["rollover_end_date"] = Instant.parse(fields["rollover_end_date"])
    if "rollover_amount" in fields:
        fields["rollover_amount"] = Decimal(fields["rollover_amount"])
    summary = summary_of(balance(**fields), [entry("100"), draw("-30"), *more], Instant.parse(now))
    assert summary.expired_balance_amount == Decimal(expired)
    assert summary.available == summary.value - Decimal(expired)


def test_a_summary_says_what_became_of_the_money() -> None:
    entries = [
        entry("50", "2025-02-01"),
        entry("100", "2025-01-15"),
        entry("-5", "2025-03-01"),
        draw("-60"),
        draw("-20", "2026-01-31", carried=True),
    ]
    rolling = balance(rollover_end_date=Instant.parse(ROLLED_OUT))
    summary = summary_of(rolling, entries, Instant.parse("2026-02-01"))
    assert (summary.total_credit_amount, summary.total_debit_amount) == (150, 85)
    assert summary.initial_credit_amount == 100, "the credit that counted first"
    assert (summary.balance_consumed, summary.rollover_consumed) == (60, 20)
    assert (summary.value, summary.expired_balance_amount, summary.available) == (65, 0, 65)
    empty = summary_of(rolling, [], Instant.parse("2026-02-01"))
    assert (empty.total_credit_amount, empty.initial_credit_amount, empty.value) == (0, 0, 0)


AMOUNTS = st.decimals(min_value=0, max_value=1000, places=2)


@settings(max_examples=100, deadline=None)
@given(added=st.lists(AMOUNTS), drawn=AMOUNTS, later=AMOUNTS, limit=st.none() | AMOUNTS, day=st.integers(1, 500))
def test_nothing_is_lost(added: list[Decimal], drawn: Decimal, later: Decimal, limit: Decimal | None, day: int) -> None:
    """Credits less debits is what is held, and what is held is available or expired, whenever one looks."""
    total = sum(added, Decimal(0))
    drawn = min(drawn, total)
    later = min(later, total - drawn, total if limit is None else limit)
    terms = balance(rollover_end_date=Instant.parse(ROLLED_OUT), rollover_amount=limit)
    entries = [
        *(entry(str(amount), id=str(number)) for number, amount in enumerate(added)),
        draw(str(-drawn)),
        draw(str(-later), "2026-01-31", carried=True),
    ]
    now = Instant.of(Instant.parse("2025-01-01").fromordinal(Instant.parse("2025-01-01").toordinal() + day))
    summary = summary_of(terms, entries, now)
    assert summary.total_credit_amount - summary.total_debit_amount == summary.value == value_of(entries)
    assert summary.balance_consumed + summary.rollover_consumed == summary.total_debit_amount
    assert summary.available + summary.expired_balance_amount == summary.value
    assert summary.available >= 0
    assert summary.expired_balance_amount == expired_at(terms, summary.value, later, now) >= 0


def test_an_entry_is_found_by_its_credit_its_cause_and_its_type() -> None:
    bills = document_keys(draw("-1"))
    assert bills == {
        "credit_id": BALANCE_ID,
        "account_id": ACCOUNT,
        "entity_type": "BILL",
        "entity_id": ACCOUNT,
        "bill_id": ACCOUNT,
    }
    assert document_keys(entry("1", transaction_type_id=KIND))["transaction_type_id"] == KIND
    assert "bill_id" not in document_keys(entry("1"))
    kept = entry("1.50", paid=Decimal("1.2"), currency_paid="EUR")
    assert wire.decode(LedgerEntry, wire.encode(kept)) == kept


# ------------------------------------------------------------------------------------------------------------ top-ups


def filled(
    left: str,
    rule: dict[str, Any],
    entries: list[LedgerEntry] | None = None,
    now: str = "2025-06-15",
    zone: str = "UTC",
) -> list[Decimal]:
    fields: dict[str, Any] = {"threshold": Decimal(10), "amount": Decimal(50), **rule}
    entity = Entity(
        id=BALANCE_ID,
        version=1,
        value=balance(top_up=TopUp(**fields)),
        created=MADE,
        created_by="someone",
        modified=MADE,
        modified_by="someone",
    )
    due = top_ups_due(entity, Decimal(left), entries or [], Instant.parse(now), zone)
    assert len({each.entry.id for each in due} | {each.charge_id for each in due}) == 2 * len(due)
    assert len({each.charge.code for each in due}) == len(due)
    for each in due:
        assert each.charge.amount == each.entry.amount
        assert (each.charge.line_item_type, each.charge.entity_id) == ("BALANCE_FEE", BALANCE_ID)
        assert (each.entry.entity_type, each.entry.entity_id) == ("SCHEDULER", BALANCE_ID)
    return [each.entry.amount for each in due]


def topped_up(amount: str, applied: str, number: int) -> LedgerEntry:
    return entry(amount, applied, "SCHEDULER", id=f"top-up {number}", entity_id=BALANCE_ID)


TOP_UPS: tuple[tuple[str, str, dict[str, Any], list[LedgerEntry], str, int], ...] = (
    ("enough is left", "10", {}, [], "2025-06-15", 0),
    ("a cent too little", "9.99", {}, [], "2025-06-15", 1),
    ("overdrawn far", "-95", {}, [], "2025-06-15", 3),
    ("the month allows two", "-95", {"monthly_maximum": Decimal(120)}, [], "2025-06-15", 2),
    (
        "one was made this month",
        "-95",
        {"monthly_maximum": Decimal(120)},
        [topped_up("50", "2025-06-01", 1)],
        "2025-06-15",
        1,
    ),
    (
        "those of last month do not count",
        "-95",
        {"monthly_maximum": Decimal(120)},
        [topped_up("50", "2025-05-31T23:59:59Z", 1), topped_up("50", "2025-05-01", 2)],
        "2025-06-15",
        2,
    ),
    (
        "what people added does not count",
        "0",
        {"monthly_maximum": Decimal(50)},
        [entry("50", "2025-06-01")],
        "2025-06-15",
        1,
    ),
    ("the balance has not started", "0", {}, [], "2024-12-31", 0),
    ("the balance has ended", "0", {}, [], END, 0),
    ("threshold nought, overdrawn", "-1", {"threshold": Decimal(0)}, [], "2025-06-15", 1),
)


@pytest.mark.parametrize(
    ("left", "rule", "entries", "now", "times"), [row[1:] for row in TOP_UPS], ids=[row[0] for row in TOP_UPS]
)
def test_a_balance_is_filled_up(
    left: str, rule: dict[str, Any], entries: list[LedgerEntry], now: str, times: int
) -> None:
    assert filled(left, rule, entries, now) == [Decimal(50)] * times


def test_the_month_of_a_maximum_is_local() -> None:
    """At 23:30 UTC on 30 June it is July in Berlin: the June top-up no longer counts."""
    made = [topped_up("50", "2025-06-30T12:00:00Z", 1)]
    rule = {"monthly_maximum": Decimal(50)}
    assert filled("0", rule, made, "2025-06-30T23:30:00Z", "UTC") == []
    assert filled("0", rule, made, "2025-06-30T23:30:00Z", "Europe/Berlin") == [Decimal(50)]


# -------------------------------------------------------------------------------------------------- what is malformed

COMMITMENT: dict[str, object] = {
    "accountId": ACCOUNT,
    "amount": 1000,
    "currency": "USD",
    "startDate": "2025-01-01",
    "endDate": "2026-01-01",
}
BALANCE: dict[str, object] = {
    "accountId": ACCOUNT,
    "code": "wallet",
    "name": "Wallet",
    "currency": "USD",
    "startDate": "2025-01-01T00:00:00Z",
    "endDate": "2026-01-01T00:00:00Z",
}
FEE = {
    "date": "2025-01-01",
    "amount": 1,
    "servicePeriodStartDate": "2025-01-01T00:00:00Z",
    "servicePeriodEndDate": "2025-01-01T00:00:00Z",
}
MALFORMED: tuple[tuple[type[Any], dict[str, object], str], ...] = (
    (Commitment, {"amount": 0}, "amount: must be above 0"),
    (Commitment, {"endDate": "2025-01-01"}, "endDate: must be after startDate"),
    (Commitment, {"amountPrePaid": -1}, "amountPrePaid: must be 0 or more"),
    (Commitment, {"amountPrePaid": 1001}, "amountPrePaid: must not be above the amount, 1000"),
    (Commitment, {"amountFirstBill": 400}, "amountFirstBill: only with a billingPlanId"),
    (Commitment, {"billingInterval": 2}, "billingInterval: only with a billingPlanId"),
    (Commitment, {"billingOffset": 1, "feeDates": [FEE]}, "billingOffset: only with a billingPlanId"),
    (Commitment, {"billEpoch": "2025-01-01", "feeDates": [FEE]}, "billEpoch: only with a billingPlanId"),
    (Commitment, {"amountPrePaid": 600, "amountFirstBill": 401}, "amountFirstBill: must not be above"),
    (Commitment, {"billingInterval": 366}, "$.billingInterval"),
    (Commitment, {"billingOffset": 365}, "$.billingOffset"),
    (Commitment, {"billingPlanId": ACCOUNT, "feeDates": [FEE]}, "give billingPlanId or feeDates, not both"),
    (Commitment, {"feeDates": [{**FEE, "amount": 0}]}, "amount: must be above 0"),
    (Commitment, {"feeDates": [{**FEE, "servicePeriodStartDate": "2025-01-02"}]}, "must not be before"),
    (Commitment, {"lineItemTypes": ["AD_HOC"]}, "lineItemTypes: a commitment cannot pay for AD_HOC"),
    (Commitment, {"lineItemTypes": ["USAGE", "USAGE"]}, "lineItemTypes: each only once"),
    (Commitment, {"lineItemTypes": ["COMMITMENT_FEE"]}, "$.lineItemTypes[0]"),
    (Commitment, {"productIds": [ACCOUNT] * 2}, "productIds: each only once"),
    (Commitment, {"productIds": [f"{n:036d}" for n in range(101)]}, "productIds: at most 100"),
    (Commitment, {"overageSurchargePercent": -101}, "must be -100 or more"),
    (Commitment, {"overageSurchargePercent": 1, "separateOverageUsage": True}, "only without an overageSurcharge"),
    (Commitment, {"overageDescription": "x" * 201}, "$.overageDescription"),
    (Balance, {"endDate": "2025-01-01T00:00:00Z"}, "endDate: must be after startDate"),
    (Balance, {"rolloverAmount": 1}, "rolloverAmount: only with a rolloverEndDate"),
    (Balance, {"rolloverEndDate": "2026-01-01T00:00:00Z"}, "rolloverEndDate: must be after endDate"),
    (Balance, {"rolloverEndDate": "2026-02-01T00:00:00Z", "rolloverAmount": -1}, "rolloverAmount: must be 0"),
    (Balance, {"code": " wallet"}, "$.code"),
    (Balance, {"name": ""}, "$.name"),
    (Balance, {"lineItemTypes": ["BALANCE_FEE"]}, "$.lineItemTypes[0]"),
    (Balance, {"priority": -1}, "$.priority"),
    (Balance, {"segments": [{"region": "eu"}]}, "segments: only with aggregationIds"),
    (Balance, {"segments": [{}], "aggregationIds": [ACCOUNT]}, "segments: each names at least one field"),
    (Balance, {"topUp": {"threshold": -1, "amount": 1}}, "threshold: must be 0 or more"),
    (Balance, {"topUp": {"threshold": 1, "amount": 0}}, "amount: must be above 0"),
    (Balance, {"topUp": {"threshold": 1, "amount": 9, "monthlyMaximum": 8}}, "no top-up could ever be made"),
    (BalanceTransaction, {"amount": 0}, "amount: must not be 0"),
    (BalanceTransaction, {"amount": 1, "currencyPaid": "EUR"}, "paid: give it together with currencyPaid"),
)


def test_a_commitment_without_a_billing_plan_may_repeat_the_defaults() -> None:
    said = {"amountFirstBill": 0, "billingInterval": 1, "billingOffset": 0}
    assert wire.decode(Commitment, wire.encode({**COMMITMENT, **said})).billing_plan_id is None


@pytest.mark.parametrize(("of", "changes", "says"), MALFORMED)
def test_what_makes_no_sense_is_refused(of: type[Any], changes: dict[str, object], says: str) -> None:
    good: dict[type[Any], dict[str, object]] = {Commitment: COMMITMENT, Balance: BALANCE, BalanceTransaction: {}}
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the decoder's own type; the message is what counts
        wire.decode(of, wire.encode({**good[of], **changes}))
    assert says in str(caught.value)
