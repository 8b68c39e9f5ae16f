"""Two years, day by day, in five time zones: whatever the calendar does, periods follow each other without gap or
overlap, each unit of usage is on one bill, and the ledger balances after every step of the clock."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from billing_desk import Desk
from calendar_world import END, FIRST, HAVE, Series, build, days, midnight, series
from ledger_desk import entries, top_up

from billing_world import id_of
from tallystick.core import wire
from tallystick.core.bill import Bill, BillRecord, LineItem, LineItemType
from tallystick.core.bill_job import BillJob
from tallystick.core.commitment import Commitment
from tallystick.core.credit_types import Balance
from tallystick.core.ledger import LedgerCause, LedgerEntry, summary_of
from tallystick.core.period import Frequency, Instant
from tallystick.core.quantity import negate, total
from tallystick.pipeline.bill import read_bills
from tallystick.pipeline.bill_clock import start_due_job
from tallystick.pipeline.verify import verify_bill

# Time zones, and every how many days the clock is looked at: what it has missed is made up for in one run.
ZONES = {"Europe/Berlin": 4, "Asia/Kolkata": 6, "America/Havana": 7, "UTC": 12, "Pacific/Auckland": 14}
# Each day there is one run in these weeks, with a leap day and the change of each zone's clock.
EACH_DAY = (date(2024, 2, 28), date(2024, 4, 8))
AGAIN_EACH = 84  # days between runs that make the latest bills again, which must change nothing
MOMENT = timedelta(milliseconds=1)
Key = tuple[str, Frequency]


@dataclass
class Books:
    """What has been billed and used so far, in one time zone."""

    desk: Desk
    zone: str
    bills: dict[str, Bill] = field(default_factory=dict)
    used: list[tuple[str, Instant, int]] = field(default_factory=list)
    drawn: dict[tuple[str, str | None, bool], Decimal] = field(default_factory=dict)  # by bill and credit

    def use(self, day: date, chance: random.Random) -> None:
        """Usage at the edges of days: at the first instant of this one, and at the last of the day before."""
        start = midnight(day, self.zone)
        for account, _, _ in HAVE:
            if account != "year" and (day.day in {1, 29, 31} or chance.random() < 0.15):
                at = chance.choice([start, Instant.of(start - MOMENT)]) if day > FIRST else start
                quantity = chance.randint(1, 400)
                self.desk.use(account, at.wire(), calls=quantity)
                self.used.append((account, at, quantity))

    def run(self, now: Instant) -> None:
        """Bill what the clock says."""
        job_id = start_due_job(self.desk.records, now=now, up_to=self.desk.usage_store.mark)
        assert job_id is not None
        self._keep(self.desk.go_on(job_id))

    def run_again(self, now: Instant) -> None:
        """Bill the latest periods once more."""
        self._keep(self.desk.run(now.wire()))

    def _keep(self, job: BillJob) -> None:
        """Every bill adds up, and one that was made before stays as it was, byte for byte."""
        assert job.failures == ()
        for id_, record in read_bills(self.desk.records, job.bill_ids).items():
            if id_ in self.bills:
                assert self.bills[id_] == record.bill
                continue
            self.bills[id_] = record.bill
            self._draw(record.bill)
            assert record.bill.bill_total == total(line.converted_subtotal for line in record.bill.line_items)

    def _draw(self, bill: Bill) -> None:
        for line in bill.line_items:
            if line.line_item_type in {LineItemType.COMMITMENT_CONSUMED, LineItemType.BALANCE_CONSUMED}:
                key = (bill.id, line.commitment_id or line.balance_id, "carried over" in line.description)
                self.drawn[key] = self.drawn.get(key, Decimal(0)) + negate(line.subtotal)

    def of(self, account: str, frequency: Frequency) -> list[Bill]:
        """The bills of one series, in order."""
        mine = (each for each in self.bills.values() if each.account_id == id_of("account", account))
        return sorted(
            (each for each in mine if each.billing_frequency is frequency), key=lambda each: each.start_date_time_utc
        )


def periods_follow_each_other(books: Books, each: Series, now: Instant) -> None:
    """One bill for each period that has ended, and each where the calendar has it."""
    wanted = [
        (start, end, midnight(start, books.zone), midnight(end, books.zone))
        for start, end in pairwise(each.starts)
        if midnight(end, books.zone) <= now
    ]
    found = [
        (bill.start_date, bill.end_date, bill.start_date_time_utc, bill.end_date_time_utc)
        for bill in books.of(each.account, each.frequency)
    ]
    assert found == wanted


def services_follow_each_other(books: Books, each: Series) -> None:
    """Fees and usage of a series are charged for all time from the first day on, once."""
    bills = books.of(each.account, each.frequency)
    for kind in (LineItemType.STANDING_CHARGE, LineItemType.USAGE):
        lines = [line for bill in bills for line in bill.line_items if line.line_item_type is kind]
        spans = sorted({_span(line) for line in lines})
        assert all(one[1] <= other[0] for one, other in pairwise(spans)), (each, kind)
        assert len(spans) == len(lines), "nothing is charged twice"
        if kind is LineItemType.STANDING_CHARGE:  # without usage there is no line for it
            assert all(one[1] == other[0] for one, other in pairwise(spans)), each
            assert spans[0][0] == midnight(each.first, books.zone)
            assert spans[-1][1] >= bills[-1].end_date_time_utc


def _span(line: LineItem) -> tuple[Instant, Instant]:
    assert line.service_period_start_date is not None
    assert line.service_period_end_date is not None
    return line.service_period_start_date, line.service_period_end_date


def usage_is_billed_once(books: Books, each: Series) -> None:
    """The quantities on the bills of a series add up to what was used until the last of them ended."""
    bills = books.of(each.account, each.frequency)
    lines = [line for bill in bills for line in bill.line_items if line.line_item_type is LineItemType.USAGE]
    if lines:
        end = bills[-1].end_date_time_utc
        used = sum(quantity for account, at, quantity in books.used if account == each.account and at < end)
        assert sum(line.quantity for line in lines) == used


def ledger_balances(books: Books, now: Instant) -> None:
    """The ledger has what bills say and nothing else, nothing is overdrawn, and nothing is lost."""
    book = entries(books.desk)
    booked = {
        (each.entity_id, each.credit_id, each.from_rollover): negate(each.amount)
        for each in book
        if each.entity_type is LedgerCause.BILL
    }
    assert booked == books.drawn
    for commitment in books.desk.world.of(Commitment).values():
        spent = negate(total(each.amount for each in book if each.credit_id == commitment.id))
        assert 0 <= spent <= commitment.value.amount
    for balance in books.desk.world.of(Balance).values():
        _is_conserved(balance.value, [each for each in book if each.credit_id == balance.id], now)


def _is_conserved(balance: Balance, mine: list[LedgerEntry], now: Instant) -> None:
    summary = summary_of(balance, mine, now)
    put_in = total(each.amount for each in mine if each.entity_type is not LedgerCause.BILL)
    taken = summary.balance_consumed + summary.rollover_consumed
    assert put_in == taken + summary.available + summary.expired_balance_amount
    assert summary.available >= 0
    assert summary.rollover_consumed <= (balance.rollover_amount or 0)


def live(books: Books) -> None:
    """Live through the two years, and hold the books to what must be true at every step."""
    chance, everything = random.Random(books.zone), series()
    for number, day in enumerate(days()):
        now = Instant.of(midnight(day, books.zone) + timedelta(minutes=5))
        books.use(day, chance)
        if day.day == 1:
            top_up(books.desk, 40, midnight(day, books.zone).wire(), id_of("balance", "wallet"), "wallet")
        if number % ZONES[books.zone] == 0 or day == END or EACH_DAY[0] <= day < EACH_DAY[1]:
            books.run(now)
            ledger_balances(books, now)
        if number % AGAIN_EACH == 0 or day == END:
            books.run_again(now)
            for each in everything:
                periods_follow_each_other(books, each, now)
                usage_is_billed_once(books, each)
            ledger_balances(books, now)


@pytest.fixture(params=ZONES)
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    """The books of two years in a time zone."""
    desk = Desk(tmp_path, build(request.param))
    yield Books(desk, request.param)
    desk.close()


def test_two_years(books: Books) -> None:
    live(books)
    for each in series():
        services_follow_each_other(books, each)
    assert any(bill.start_date == date(2024, 2, 29) for bill in books.of("day", Frequency.DAILY))
    assert [str(bill.start_date) for bill in books.of("month", Frequency.MONTHLY)][7:11] == [
        "2023-12-31",
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
    ]
    assert [str(bill.end_date) for bill in books.of("year", Frequency.ANNUALLY)] == ["2024-02-29", "2025-02-28"]
    fees = [
        line.converted_subtotal
        for bill in books.of("day", Frequency.DAILY)
        for line in bill.line_items
        if line.line_item_type is LineItemType.STANDING_CHARGE
    ]
    assert (len(fees), sum(fees)) == (731, 731), "each day from 2023-06-15 to 2025-06-14"
    shown = {line.line_item_type for bill in books.bills.values() for line in bill.line_items}
    assert {LineItemType.COMMITMENT_CONSUMED, LineItemType.BALANCE_CONSUMED, LineItemType.COMMITMENT_FEE} <= shown
    assert any(each.from_rollover for each in entries(books.desk))
    latest = [books.of(each.account, each.frequency)[-1].id for each in series()]
    for id_ in latest:
        document = books.desk.records.document("bill", id_)
        assert document is not None
        found = verify_bill(books.desk.records, books.desk.usage, wire.decode(BillRecord, document.body))
        assert found.verified, found.difference
