"""Journal entries balance, add up to what was billed, and read as the golden journals do."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import at, id_of
from effort import drawing
from golden_journals import (
    COMMITMENT,
    FILES,
    STORIES,
    WALLET,
    Story,
    bill,
    line,
    posted,
    render,
    taken_back,
    transaction,
)
from tallystick.core.accounting import AccountingConfig, RevenueAccount, Role
from tallystick.core.bill import Bill, LineItem
from tallystick.core.journal import EntryType, JournalEntry, digest_of, draft
from tallystick.core.journal_drafts import bill_drafts, last_day, payment_drafts, transaction_drafts
from tallystick.core.journal_tallies import (
    credit_tallies_of,
    drawdowns,
    revenue_rows,
    roll_forward,
    tallies_of,
    trial_balance,
)
from tallystick.core.paid_state import PaymentEntry, Told, owed, tell
from tallystick.core.quantity import total
from tallystick.core.revenue_schedule import schedule_of, spread


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_golden_journal_reads_as_its_file(story: Story) -> None:
    assert render(story) == (FILES / f"{story.name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_golden_journal_comes_to_what_was_reckoned_by_hand(story: Story) -> None:
    rows = trial_balance(tuple(tallies_of(story.entries()).values()), None, None)
    found = {f"{each.currency} {each.account_code}": each.closing for each in rows}
    assert found.keys() <= story.closing.keys()
    assert {name: found.get(name, 0) for name in story.closing} == {
        name: Decimal(amount) for name, amount in story.closing.items()
    }
    for currency in {each.currency for each in rows}:
        assert total(each.closing for each in rows if each.currency == currency) == 0


def test_every_golden_file_has_its_story() -> None:
    assert {path.stem for path in FILES.glob("*.txt")} == {story.name for story in STORIES}


# ------------------------------------------------------------------------------------------------------ spreading

DAYS = st.dates(date(2023, 1, 1), date(2027, 12, 31))
AMOUNTS = st.decimals(-10_000, 10_000, places=2)


@settings(**drawing(60))
@given(AMOUNTS, DAYS, st.integers(0, 800))
def test_months_add_up_and_are_right_to_half_a_cent(amount: Decimal, first: date, days: int) -> None:
    end = first + timedelta(days=days)
    months = {each.month: each.amount for each in spread(amount, first, end, 2)}
    assert sum(map(Fraction, months.values())) == Fraction(amount)
    # By another way: day by day, without rounding.
    so_far, exact, day = Fraction(0), Fraction(0), first
    while day < end:
        exact += Fraction(amount) / days
        day += timedelta(days=1)
        if day.day == 1 or day == end:
            so_far += Fraction(months.get((day - timedelta(days=1)).isoformat()[:7], Decimal(0)))
            assert abs(so_far - exact) <= Fraction(1, 200)


@pytest.mark.parametrize(
    ("amount", "first", "end", "decimals", "wanted"),
    [
        ("90.00", "2024-01-01", "2024-04-01", 2, {"2024-01": "30.66", "2024-02": "28.68", "2024-03": "30.66"}),  # of 91
        ("-90.00", "2023-01-01", "2023-04-01", 2, {"2023-01": "-31", "2023-02": "-28", "2023-03": "-31"}),
        ("1", "2024-01-31", "2024-02-02", 0, {"2024-01": "1"}),  # half a yen is rounded up, and nothing is left
        ("12.34", "2024-05-05", "2024-05-05", 2, {"2024-05": "12.34"}),  # a moment: the month of its day
        ("0.005", "2024-01-31", "2024-02-02", 2, {"2024-02": "0.005"}),  # finer than the currency: kept whole
    ],
)
def test_spreading(amount: str, first: str, end: str, decimals: int, wanted: dict[str, str]) -> None:
    found = spread(Decimal(amount), date.fromisoformat(first), date.fromisoformat(end), decimals)
    assert {each.month: str(each.amount) for each in found} == wanted


def test_a_bill_is_scheduled_line_by_line() -> None:
    made = bill(
        "2024-01-01",
        "2024-02-01",
        line("STANDING_CHARGE", "90.00", "2024-02-01", "2024-05-01"),  # 29, 31 and 30 days: a dollar each
        line("USAGE", "10.00", "2024-01-01", "2024-02-01"),
        line("USAGE", "0.00", "2024-01-01", "2024-02-01"),
    )
    lines = schedule_of(made, 2)
    assert [(str(each.type), {one.month: str(one.amount) for one in each.months}) for each in lines] == [
        ("STANDING_CHARGE", {"2024-02": "29", "2024-03": "31", "2024-04": "30"}),
        ("USAGE", {"2024-01": "10"}),
    ]
    assert {each.billed for each in lines} == {"2024-02"}


# ------------------------------------------------------------------------------------------------------ any bill

CHARGED = ("STANDING_CHARGE", "USAGE", "MINIMUM_SPEND", "COUNTER_RUNNING_TOTAL_CHARGE", "OVERAGE_USAGE", "AD_HOC")
AGAINST = ("CREDIT_DEDUCTION", "CREDIT_MEMO", "USAGE_CREDIT", "MANUAL_ADJUSTMENT")
PREPAID = ("COMMITMENT_FEE", "COMMITMENT_CONSUMED")


@st.composite
def lines(drawing: Any) -> LineItem:
    type_ = drawing(st.sampled_from((*CHARGED, *AGAINST, *PREPAID)))
    first = drawing(st.dates(date(2023, 11, 1), date(2024, 3, 31)))
    end = first + timedelta(days=drawing(st.integers(0, 400)))
    amount = drawing(AMOUNTS)
    credit = {"commitment_id": COMMITMENT} if type_ in PREPAID else {}
    product = drawing(st.sampled_from(("API", "Storage")))
    return line(type_, str(amount), str(first), str(end), product=product, **credit)


@st.composite
def bills(drawing: Any) -> Bill:
    found = drawing(st.lists(lines(), max_size=6))
    on = drawing(st.dates(date(2023, 12, 1), date(2024, 4, 30)))
    zone = drawing(st.sampled_from(("UTC", "Europe/Berlin", "America/New_York")))
    return bill("2024-01-01", "2024-02-01", *found, on=str(on), zone=zone)


def amount_of(entries: list[JournalEntry], *roles: Role) -> Decimal:
    """What entries come to on roles: above zero for a debit."""
    return total(each.amount for entry in entries for each in entry.lines if each.role in roles)


@settings(**drawing(60))
@given(st.lists(bills(), min_size=1, max_size=3))
def test_any_bills_balance_and_come_to_what_was_billed(made: list[Bill]) -> None:
    entries = posted(*(bill_drafts(each, 2) for each in made))
    for entry in entries:
        assert total(each.amount for each in entry.lines) == 0
        assert all((each.debit > 0) != (each.credit > 0) for each in entry.lines)
        assert entry.amount == total(each.debit for each in entry.lines)
    by_type = {
        type_: total(each.converted_subtotal for one in made for each in one.line_items if each.line_item_type == type_)
        for type_ in (*CHARGED, *AGAINST, *PREPAID)
    }
    assert amount_of(entries, Role.RECEIVABLE) == total(each.bill_total for each in made)
    assert -amount_of(entries, Role.PREPAID_CREDIT) == total(by_type[each] for each in PREPAID)
    earned = (Role.REVENUE, Role.DISCOUNTS, Role.CREDIT_MEMOS)
    assert -amount_of(entries, *earned) == total(by_type[each] for each in (*CHARGED, *AGAINST))
    assert amount_of(entries, Role.UNBILLED) == amount_of(entries, Role.DEFERRED_REVENUE) == 0  # in the end
    # The schedule says the same as the entries, by month.
    scheduled: dict[str, Decimal] = {}
    for each in (one for every in made for one in schedule_of(every, 2) if one.role in earned):
        for month in each.months:
            scheduled[month.month] = scheduled.get(month.month, Decimal(0)) + month.amount
    booked: dict[str, Decimal] = {}
    for row in revenue_rows(tallies_of(entries).values(), None, None):
        booked[row.month] = booked.get(row.month, Decimal(0)) + row.amount
    assert {month: amount for month, amount in scheduled.items() if amount} == {
        month: amount for month, amount in booked.items() if amount
    }


@settings(**drawing(60))
@given(st.lists(bills(), min_size=1, max_size=3))
def test_what_is_deferred_is_billed_and_for_later_months(made: list[Bill]) -> None:
    """By another way: from the schedule, line by line. What is unbilled is likewise for months before the bill."""
    tallies = tallies_of(posted(*(bill_drafts(each, 2) for each in made))).values()
    closing: dict[tuple[str, str], Decimal] = {}
    for row in roll_forward(tallies, None, None):
        key = (row.role.value, row.month)
        closing[key] = closing.get(key, Decimal(0)) + row.closing
    for month in {each.month for each in tallies}:
        deferred = unbilled = Decimal(0)
        for each in (one for every in made for one in schedule_of(every, 2)):
            later = total(one.amount for one in each.months if one.month > month)
            earlier = total(one.amount for one in each.months if one.month <= month)
            deferred += later if each.billed <= month else 0
            unbilled += earlier if each.billed > month else 0
        found = (closing.get((role, month), Decimal(0)) for role in ("DEFERRED_REVENUE", "UNBILLED"))
        assert tuple(found) == (deferred, unbilled)


@settings(**drawing(60))
@given(st.lists(bills(), min_size=1, max_size=3))
def test_what_is_taken_back_leaves_nothing(made: list[Bill]) -> None:
    entries = posted(*(bill_drafts(each, 2) for each in made))
    every = [*entries, *taken_back(entries, len(entries))]
    tallies = tuple(tallies_of(every).values())
    assert all(each.debit == each.credit for each in tallies)
    types = {each.id: each.type for each in entries}
    credit = credit_tallies_of(every, types).values()
    assert all((each.added, each.drawn, each.expired) == (0, 0, 0) for each in credit)


@settings(**drawing(60))
@given(st.lists(bills(), min_size=1, max_size=3), st.sampled_from(("2023-12", "2024-02", "2024-09")))
def test_trial_balance_and_roll_forward_of_any_months(made: list[Bill], month: str) -> None:
    tallies = tuple(tallies_of(posted(*(bill_drafts(each, 2) for each in made))).values())
    before, after = trial_balance(tallies, None, month), trial_balance(tallies, month, None)
    for rows in (before, after):
        assert total(each.debit for each in rows) == total(each.credit for each in rows)
        assert total(each.opening for each in rows) == total(each.closing for each in rows) == 0
        assert all(each.opening + each.debit - each.credit == each.closing for each in rows)
    rolled = roll_forward(tallies, None, None)
    for one, next_one in pairwise(rolled):
        assert one.opening + one.added - one.released == one.closing
        same = (one.role, one.currency, one.product) == (next_one.role, next_one.currency, next_one.product)
        assert not same or one.closing == next_one.opening
    # A part of the months is the whole, cut.
    assert roll_forward(tallies, month, None) == tuple(each for each in rolled if each.month >= month)


def test_a_wallet_is_drawn_down_month_by_month() -> None:
    story = next(each for each in STORIES if each.name == "wallet")
    tallies = tuple(credit_tallies_of(story.entries(), {}).values())
    rows = [
        (each.month, *(str(amount) for amount in (each.opening, each.added, each.drawn, each.expired, each.closing)))
        for each in drawdowns(sorted(tallies, key=lambda one: one.month), tallies)
    ]
    assert rows == [
        ("2024-01", "0", "170", "0", "0", "170"),
        ("2024-02", "170", "0", "130", "0", "40"),
        ("2024-03", "40", "0", "0", "40", "0"),
    ]


def test_what_is_taken_off_a_balance_is_less_that_was_added() -> None:
    entries = posted(transaction_drafts(transaction("-30", "2024-01-05"), "UTC"))
    (tally,) = credit_tallies_of(entries, {}).values()
    assert (tally.credit_id, tally.added, tally.drawn) == (WALLET, -30, 0)


# ------------------------------------------------------------------------------------------------------ entries


def test_ids_are_the_same_whenever_it_is_done_again_and_differ_by_revision() -> None:
    drafts = bill_drafts(bill("2024-01-01", "2024-02-01", line("USAGE", "5.00", "2024-01-01", "2024-02-01")), 2)
    first, again = posted(drafts), posted(drafts)
    assert [each.id for each in first] == [each.id for each in again]
    assert len({each.id for each in (*first, *taken_back(first, 2))}) == 4


def test_the_number_that_a_bill_gets_later_changes_nothing() -> None:
    made = bill("2024-01-01", "2024-02-01", line("USAGE", "5.00", "2024-01-01", "2024-02-01"))
    numbered = msgspec.structs.replace(made, sequential_invoice_number="INV-7")
    assert digest_of(bill_drafts(numbered, 2)) == digest_of(bill_drafts(made, 2))
    assert bill_drafts(numbered, 2)[0].description.startswith("Bill INV-7 of acme")
    assert digest_of(bill_drafts(bill("2024-01-01", "2024-02-01"), 2)) == ""


def test_a_product_may_have_an_account_of_its_own() -> None:
    own = AccountingConfig(
        revenue_accounts=(RevenueAccount(product_id=id_of("product", "Storage"), code="4100", name="Storage"),)
    )
    made = bill(
        "2024-01-01",
        "2024-02-01",
        line("USAGE", "5.00", "2024-01-01", "2024-02-01"),
        line("USAGE", "7.00", "2024-01-01", "2024-02-01", product="Storage"),
    )
    entries = posted(bill_drafts(made, 2), config=own)
    rows = trial_balance(tuple(tallies_of(entries).values()), "2024-01", "2024-01")
    assert {each.account_code: str(each.closing) for each in rows} == {"1210": "12", "4000": "-5", "4100": "-7"}


def paid(*entries: tuple[str, str, str]) -> list[list[str]]:
    """What payments of a bill over 100.00 make: (type, amount or none, moment) each; by day, the lines."""
    standing = owed(
        bill_id=id_of("bill", "paid"),
        account_id=id_of("account", "acme"),
        currency="USD",
        bill_total=Decimal(100),
        due_date=date(2024, 3, 1),
    )
    for number, (type_, amount, when) in enumerate(entries):
        entry = PaymentEntry(
            id=id_of("payment", str(number)),
            type=Told(type_),
            at=at(when),
            told=at(when),
            by="ada",
            reference="in_1" if type_ == "SETTLED" else None,
            amount=Decimal(amount) if amount else None,
            reverses=id_of("payment", "0") if type_ == "REVERSED" else None,
        )
        standing = tell(standing, entry)
    posted_ = posted(payment_drafts(standing, "Europe/Berlin", owed=True))
    return [[str(each.date), *(f"{one.role} {one.amount}" for one in each.lines)] for each in posted_]


def test_payments_settle_the_receivable() -> None:
    in_parts = paid(("PAYMENT", "60", "2024-03-01T12:00:00Z"), ("PAYMENT", "40", "2024-03-04T23:30:00Z"))
    assert in_parts == [
        ["2024-03-01", "CASH 60", "RECEIVABLE -60"],
        ["2024-03-05", "CASH 40", "RECEIVABLE -40"],  # half past midnight in Berlin
    ]
    same_day = paid(("PAYMENT", "60", "2024-03-01"), ("PAYMENT", "50", "2024-03-01T01:00:00Z"))
    assert same_day == [["2024-03-01", "CASH 110", "RECEIVABLE -110"]]  # ten too many: they are the customer's
    assert paid(("PAYMENT", "60", "2024-03-01"), ("REVERSED", "", "2024-03-02")) == []
    assert paid(("FAILED", "", "2024-03-01")) == []


def test_what_nobody_pays_any_more_is_written_off() -> None:
    assert paid(("SETTLED", "97", "2024-03-01")) == [["2024-03-01", "CASH 97", "CREDIT_MEMOS 3", "RECEIVABLE -100"]]
    assert paid(("VOID", "", "2024-03-01")) == [["2024-03-01", "CREDIT_MEMOS 100", "RECEIVABLE -100"]]
    assert paid(("UNCOLLECTIBLE", "", "2024-03-01"), ("PAYMENT", "30", "2024-03-02")) == [
        ["2024-03-01", "BAD_DEBT 100", "RECEIVABLE -100"],
        ["2024-03-02", "CASH 30", "RECEIVABLE 70", "BAD_DEBT -100"],  # it is owed again: somebody pays
    ]


def test_what_is_paid_in_another_currency_goes_over_the_exchange() -> None:
    entries = posted(transaction_drafts(transaction("100", "2024-01-07", paid=Decimal(90), currency_paid="EUR"), "UTC"))
    assert [(each.currency, [(one.role, str(one.amount)) for one in each.lines]) for each in entries] == [
        ("USD", [("EXCHANGE", "100"), ("PREPAID_CREDIT", "-100")]),
        ("EUR", [("CASH", "90"), ("EXCHANGE", "-90")]),
    ]


def test_a_transaction_is_of_the_day_in_the_zone_of_the_organisation() -> None:
    late = msgspec.structs.replace(transaction("1", "2024-01-31"), transaction_date=at("2024-01-31T23:30:00Z"))
    assert transaction_drafts(late, "Europe/Berlin")[0].date == date(2024, 2, 1)


def test_what_does_not_balance_is_a_bug() -> None:
    (added,) = transaction_drafts(transaction("1", "2024-01-05"), "UTC")
    with pytest.raises(AssertionError, match="does not balance"):
        draft(EntryType.BILL, added.date, "USD", "Wrong", added.postings[:1])


def test_the_last_day_of_a_month() -> None:
    assert [last_day(each).day for each in ("2024-02", "2023-02", "2024-12", "2024-04")] == [29, 28, 31, 30]
