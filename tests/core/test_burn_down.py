"""How credit burns down, by hand: 100.00 added on 1 May, 30.00 drawn by the bill of 10 May, 60.00 left on 12 May."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from tallystick.core.burn_down import burn_down, daily_rate
from tallystick.core.csv_text import csv_bytes, spreadsheet_safe
from tallystick.core.ledger import CreditKind, LedgerCause, LedgerEntry
from tallystick.core.period import Instant, Period

NOW = Instant.parse("2025-05-12T10:00:00Z")


def entry(amount: int, when: str) -> LedgerEntry:
    at = Instant.parse(when)
    return LedgerEntry(
        id=when,
        credit_kind=CreditKind.BALANCE,
        credit_id="wallet",
        account_id="acme",
        amount=Decimal(amount),
        currency="USD",
        applied_date=at,
        transaction_date=at,
        entity_type=LedgerCause.USER,
        entity_id="someone",
        created=at,
        created_by="someone",
    )


def test_days_are_those_of_the_customers_zone() -> None:
    """The draw of 10 May 22:30 UTC is on 11 May in Berlin: at the end of the 10th there is still 100."""
    entries = [entry(100, "2025-05-01T00:00:00Z"), entry(-30, "2025-05-10T22:30:00Z")]
    burning = burn_down(entries, Decimal(60), Decimal(25), now=NOW, zone="Europe/Berlin", back=2, ahead=3)
    assert burning.days == tuple(date(2025, 5, day) for day in (10, 11, 12, 13, 14, 15))
    assert burning.left == (100, 70, 60, None, None, None)
    assert burning.expected == (None, None, 60, 35, 10, 0)
    assert burning.runs_out == date(2025, 5, 15), "60 at 25 a day are two days and a part of the third"


@pytest.mark.parametrize(
    ("live", "rate", "runs_out"),
    [("60", "20", date(2025, 5, 15)), ("60", "0", None), ("0", "20", None), ("-5", "20", None), ("60", "0.001", None)],
)
def test_what_does_not_run_out_says_no_day(live: str, rate: str, runs_out: date | None) -> None:
    burning = burn_down([], Decimal(live), Decimal(rate), now=NOW, zone="UTC", back=1, ahead=1)
    assert burning.runs_out == runs_out
    if not Decimal(rate) or Decimal(live) <= 0:
        assert set(burning.expected) == {None}


@pytest.mark.parametrize(
    ("now", "rate"),
    [("2025-05-05T00:00:00Z", "10"), ("2025-05-01T06:00:00Z", "40"), ("2025-05-01T00:00:00Z", "40")],
)
def test_the_rate_of_a_first_day_is_not_blown_up(now: str, rate: str) -> None:
    """40 in four days are 10 a day; 40 within six hours are 40 a day, not 160."""
    period = Period(Instant.parse("2025-05-01"), Instant.parse("2025-06-01"))
    assert daily_rate(Decimal(40), period, Instant.parse(now)) == Decimal(rate)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t1", " =1", "\r1", "＝1", "\xa0=1", "\n"])
def test_no_text_in_a_csv_is_run(text: str) -> None:
    assert spreadsheet_safe(text) == "'" + text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a;=1", "a;'=1"),
        ('a; "-1;b', "a; \"'-1;b"),
        ("a\n@x", "a\n'@x"),
        ("=a\t+1", "'=a\t'+1"),
        ("a;b=1", "a;b=1"),
        ("\t=1", "'\t'=1"),
    ],
)
def test_no_part_of_a_text_is_run_where_semicolons_part_cells(text: str, safe: str) -> None:
    assert spreadsheet_safe(text) == safe


def test_plain_texts_stay_as_they_are() -> None:
    for text in ("", "Storage", "a=b", "3 items", "'quoted"):
        assert spreadsheet_safe(text) == text
    assert csv_bytes([[spreadsheet_safe('=HYPERLINK("x")')]]) == b'"\'=HYPERLINK(""x"")"\r\n'
