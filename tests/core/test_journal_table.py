"""What each kind of document is booked as, reckoned by hand: a table that has every kind there is."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from billing_world import id_of
from golden_journals import COMMITMENT, GIFTS, WALLET, bill, commitment, line, posted, transaction
from tallystick.core.accounting import AccountingConfig, Role
from tallystick.core.bill import Bill, LineItemType
from tallystick.core.journal import JournalEntry, SourceType, breakage_source, open_day, payments_source
from tallystick.core.journal_drafts import bill_drafts, breakage_drafts, prepayment_drafts, transaction_drafts
from tallystick.core.revenue_schedule import months_between, schedule_of

REVENUE, AGAINST, MEMO = "4000", "4900", "4910"
CREDIT: dict[str, Any] = {"commitment_id": COMMITMENT}
WALLET_: dict[str, Any] = {"balance_id": WALLET}


def book(entries: list[JournalEntry]) -> list[tuple[str, str]]:
    """(day, "account amount, …") of each entry, debits above zero."""
    return [
        (f"{each.date:%m-%d}", ", ".join(f"{one.account_code} {one.amount:f}" for one in each.lines))
        for each in entries
    ]


# The line of a bill of March 2024, dated 1 April, by its type: an amount, whether it is for March, and the account.
ARREARS: list[tuple[str, str, bool, str]] = [
    ("STANDING_CHARGE", "30.00", True, REVENUE),
    ("USAGE", "30.00", True, REVENUE),
    ("USAGE", "-30.00", True, REVENUE),  # a correction that makes usage negative
    ("USAGE_CREDIT", "-30.00", True, AGAINST),
    ("MINIMUM_SPEND", "30.00", True, REVENUE),
    ("MINIMUM_SPEND_REFUND", "-30.00", True, REVENUE),
    ("COMMITMENT_FEE", "30.00", False, "2410"),
    ("COMMITMENT_CONSUMED", "-30.00", True, "2410"),
    ("OVERAGE_SURCHARGE", "30.00", True, REVENUE),
    ("OVERAGE_USAGE", "30.00", True, REVENUE),
    ("BALANCE_CONSUMED", "-30.00", True, "2410"),
    ("BALANCE_FEE", "30.00", False, "1250"),
    ("AD_HOC", "30.00", True, REVENUE),
    ("COUNTER_RUNNING_TOTAL_CHARGE", "30.00", True, REVENUE),
    ("COUNTER_ADJUSTMENT_DEBIT", "30.00", True, REVENUE),
    ("COUNTER_ADJUSTMENT_CREDIT", "-30.00", True, REVENUE),
    ("CREDIT_MEMO", "-30.00", True, MEMO),
    ("DEBIT_MEMO", "30.00", True, REVENUE),
    ("CREDIT_DEDUCTION", "-30.00", True, AGAINST),
    ("MANUAL_ADJUSTMENT", "-30.00", True, REVENUE),
]


@pytest.mark.parametrize(("type_", "amount", "for_march", "account"), ARREARS)
def test_a_line_of_a_bill_in_arrears(type_: str, amount: str, for_march: bool, account: str) -> None:
    made = bill("2024-03-01", "2024-04-01", line(type_, amount, "2024-03-01", "2024-04-01", **credit_of(type_)))
    found = book(posted(bill_drafts(made, 2)))
    if amount.startswith("-"):
        wanted = [("03-31", f"{account} 30, 1210 -30"), ("04-01", "1210 30, 1200 -30")]
        at_once = [("04-01", f"{account} 30, 1200 -30")]
    else:
        wanted = [("03-31", f"1210 30, {account} -30"), ("04-01", "1200 30, 1210 -30")]
        at_once = [("04-01", f"1200 30, {account} -30")]
    assert found == (wanted if for_march else at_once)


def test_the_table_has_every_type_of_line() -> None:
    assert {each[0] for each in ARREARS} == {each.value for each in LineItemType}


def credit_of(type_: str) -> dict[str, Any]:
    """The credit that a line of this type is of."""
    return CREDIT if type_.startswith("COMMITMENT") else WALLET_ if type_.startswith("BALANCE") else {}


# A bill dated 1 March 2024 for what is served in March and April: 61 days, a dollar each. Corrections are of the bill's
# last day, 29 February; fees of its date.
ADVANCE = {
    "STANDING_CHARGE": [("03-01", "1200 61, 2400 -30, 4000 -31"), ("04-30", "2400 30, 4000 -30")],
    "MINIMUM_SPEND": [("03-01", "1200 61, 2400 -30, 4000 -31"), ("04-30", "2400 30, 4000 -30")],
    "COMMITMENT_FEE": [("03-01", "1200 61, 2410 -61")],
    "BALANCE_FEE": [("03-01", "1200 61, 1250 -61")],
    "DEBIT_MEMO": [("02-29", "1210 61, 4000 -61"), ("03-01", "1200 61, 1210 -61")],
}


@pytest.mark.parametrize("type_", ADVANCE)
def test_a_line_of_a_bill_in_advance(type_: str) -> None:
    charge = line(type_, "61.00", "2024-03-01", "2024-05-01", **credit_of(type_))
    assert book(posted(bill_drafts(bill("2024-02-01", "2024-03-01", charge), 2))) == ADVANCE[type_]


def test_credit_that_pays_for_what_is_deferred_is_deferred_with_it() -> None:
    made = bill(
        "2024-02-01",
        "2024-03-01",
        line("STANDING_CHARGE", "61.00", "2024-03-01", "2024-05-01", product="Prepaid"),
        line("COMMITMENT_CONSUMED", "-61.00", "2024-03-01", "2024-05-01", product="Prepaid", **CREDIT),
    )
    # Nothing is owed and nothing deferred: in each month prepaid credit becomes revenue.
    assert book(posted(bill_drafts(made, 2))) == [("03-01", "2410 31, 4000 -31"), ("04-30", "2410 30, 4000 -30")]


# (zone, decimals, amount, days) of a standing charge, and its months.
ZONES: list[tuple[str, int, str, tuple[str, str], dict[str, str]]] = [
    # Months in the zone of the bill: midnight in Berlin is 23:00 of the day before in UTC, or 22:00 in summer.
    ("Europe/Berlin", 2, "31.00", ("2024-03-01", "2024-04-01"), {"2024-03": "31"}),
    ("America/New_York", 2, "31.00", ("2024-03-01", "2024-04-01"), {"2024-03": "31"}),
    ("Pacific/Kiritimati", 2, "31.00", ("2024-03-01", "2024-04-01"), {"2024-03": "31"}),
    # The hour that is put forward or back is in the day: 30 of 61 days, 31 of 61 days.
    ("Europe/Berlin", 2, "61.00", ("2024-03-01", "2024-05-01"), {"2024-03": "31", "2024-04": "30"}),
    ("Europe/Berlin", 2, "61.00", ("2024-10-01", "2024-12-01"), {"2024-10": "31", "2024-11": "30"}),
    # A day that never was: Samoa had no 30 December 2011. The calendar counts it.
    ("Pacific/Apia", 2, "62.00", ("2011-12-01", "2012-02-01"), {"2011-12": "31", "2012-01": "31"}),
    # February of a leap year, and of another.
    ("UTC", 2, "60.00", ("2024-01-01", "2024-03-01"), {"2024-01": "31", "2024-02": "29"}),
    ("UTC", 2, "59.00", ("2023-01-01", "2023-03-01"), {"2023-01": "31", "2023-02": "28"}),
    # One day of 32: 3.66 / 32 = 0.114375.
    ("UTC", 2, "3.66", ("2024-02-29", "2024-04-01"), {"2024-02": "0.11", "2024-03": "3.55"}),
    # Yen and dinars: 100 / 61 × 31 = 50.8197 yen; 1.000 / 61 × 31 = 0.508197 dinars.
    ("UTC", 0, "100", ("2024-03-01", "2024-05-01"), {"2024-03": "51", "2024-04": "49"}),
    ("UTC", 3, "1.000", ("2024-03-01", "2024-05-01"), {"2024-03": "0.508", "2024-04": "0.492"}),
    ("UTC", 0, "1", ("2024-03-01", "2024-06-01"), {"2024-04": "1"}),  # 0.34, 0.66, 1: half of it is over in April
    ("UTC", 2, "-0.01", ("2024-03-01", "2024-05-01"), {"2024-03": "-0.01"}),  # -0.00508: the greater half
]


@pytest.mark.parametrize(("zone", "decimals", "amount", "days", "wanted"), ZONES)
def test_months_of_a_line(zone: str, decimals: int, amount: str, days: tuple[str, str], wanted: dict[str, str]) -> None:
    made = bill("2024-02-01", "2024-03-01", line("STANDING_CHARGE", amount, *days, zone=zone), zone=zone)
    (scheduled,) = schedule_of(made, decimals)
    assert {each.month: str(each.amount) for each in scheduled.months} == wanted


def in_euros(type_: str, dollars: str, euros: str) -> Bill:
    """A bill in EUR of which a wallet in USD pays, beside usage of the same in EUR."""
    used = line("USAGE", euros.removeprefix("-"), "2024-03-01", "2024-04-01", currency="EUR")
    paid = line(
        type_,
        dollars,
        "2024-03-01",
        "2024-04-01",
        converted_subtotal=Decimal(euros),
        conversion_rate=Decimal("0.9"),
        **WALLET_,
    )
    return bill("2024-03-01", "2024-04-01", used, paid, currency="EUR")


def test_credit_in_another_currency_goes_over_the_exchange_in_its_month() -> None:
    entries = posted(bill_drafts(in_euros("BALANCE_CONSUMED", "-20.00", "-18.00"), 2))
    assert [(each.currency, *book([each])[0]) for each in entries] == [
        ("EUR", "03-31", "1290 18, 4000 -18"),
        ("USD", "03-31", "2410 20, 1290 -20"),
    ]
    assert [one.credit_id for each in entries for one in each.lines if one.role is Role.PREPAID_CREDIT] == [WALLET]


# What is added to a wallet in USD, with what else is said of it: the entries.
TRANSACTIONS: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("100", {}, [("01-07", "1250 100, 2410 -100")]),
    ("-30", {}, [("01-07", "2410 30, 1250 -30")]),
    ("100", {"paid": "100", "currency_paid": "USD"}, [("01-07", "1000 100, 2410 -100")]),
    ("100", {"paid": "80", "currency_paid": "USD"}, [("01-07", "1000 80, 4900 20, 2410 -100")]),
    ("100", {"paid": "120", "currency_paid": "USD"}, [("01-07", "1000 120, 4900 -20, 2410 -100")]),  # more was paid
    ("100", {"paid": "0", "currency_paid": "USD"}, [("01-07", "4900 100, 2410 -100")]),
    (
        "100",
        {"paid": "90", "currency_paid": "EUR"},
        [("01-07", "1290 100, 2410 -100"), ("01-07", "1000 90, 1290 -90")],
    ),
    ("100", {"paid": "0", "currency_paid": "EUR"}, [("01-07", "1290 100, 2410 -100")]),
    ("100", {"transaction_type_id": id_of("type", "gift")}, [("01-07", "6100 100, 2410 -100")]),
    ("100", {"transaction_type_id": id_of("type", "other")}, [("01-07", "1250 100, 2410 -100")]),
]


@pytest.mark.parametrize(("amount", "said", "wanted"), TRANSACTIONS)
def test_a_transaction_on_a_balance(amount: str, said: dict[str, Any], wanted: list[tuple[str, str]]) -> None:
    said = {name: Decimal(each) if name == "paid" else each for name, each in said.items()}
    entries = posted(transaction_drafts(transaction(amount, "2024-01-07", **said), "UTC"), config=GIFTS)
    assert book(entries) == wanted


def test_prepayments_and_what_expires() -> None:
    agreed = commitment("1200", "1000", "2024-01-01", "2025-01-01")
    assert book(posted(prepayment_drafts(agreed))) == [("01-01", "1000 1000, 2410 -1000")]
    unpaid = msgspec.structs.replace(agreed.value, amount_pre_paid=None)
    assert prepayment_drafts(dataclasses.replace(agreed, value=unpaid)) == ()
    expired = breakage_drafts(WALLET, "Wallet", "USD", Decimal("12.5"), date(2024, 3, 1))
    assert book(posted(expired)) == [("02-29", "2410 12.5, 4800 -12.5")]
    assert breakage_drafts(WALLET, "Wallet", "USD", Decimal(0), date(2024, 3, 1)) == ()


@pytest.mark.parametrize(
    ("closed", "day", "booked"),
    [
        (None, "2024-03-31", "2024-03-31"),
        ("2024-03-30", "2024-03-31", "2024-03-31"),
        ("2024-03-31", "2024-03-31", "2024-04-01"),
        ("2024-02-29", "2023-12-31", "2024-03-01"),
        ("2024-12-31", "2024-03-31", "2025-01-01"),
    ],
)
def test_the_day_of_the_books(closed: str | None, day: str, booked: str) -> None:
    config = AccountingConfig(closed_through=None if closed is None else date.fromisoformat(closed))
    assert open_day(date.fromisoformat(day), config) == date.fromisoformat(booked)


def test_sources_of_one_document_differ() -> None:
    sources = [
        breakage_source(WALLET, carried=False),
        breakage_source(WALLET, carried=True),
        payments_source(WALLET, ""),
    ]
    assert len({WALLET, *(each.id for each in sources)}) == 4
    assert [each.type for each in sources] == [SourceType.BREAKAGE, SourceType.BREAKAGE, SourceType.PAYMENT]


def test_months_between_two_days() -> None:
    found = months_between(date(2023, 12, 31), date(2024, 3, 1))
    assert [(month, str(until)) for month, until in found] == [
        ("2023-12", "2024-01-01"),
        ("2024-01", "2024-02-01"),
        ("2024-02", "2024-03-01"),
    ]
    assert months_between(date(2024, 1, 5), date(2024, 1, 5)) == []
