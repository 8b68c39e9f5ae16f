"""Statements without any store: the stretches of time they show, and their CSV."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tallystick.core.period import Frequency, Instant, Period, day_start
from tallystick.core.statement import Statement, StatementRow, as_csv, merged, safe_text, stretches
from tallystick.core.statement_types import StatementFrequency

ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia")


def at(text: str) -> Instant:
    return Instant.parse(text)


def period(start: str, end: str) -> Period:
    return Period(at(start), at(end))


@pytest.mark.parametrize(
    ("frequency", "starts"),
    [
        ("DAY", ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04"]),
        ("WEEK", ["2024-02-28", "2024-03-04"]),
        ("MONTH", ["2024-02-28", "2024-03-01"]),
        ("QUARTER", ["2024-02-28"]),
        ("YEAR", ["2024-02-28"]),
        ("WHOLE_PERIOD", ["2024-02-28"]),
    ],
)
def test_stretches_begin_on_the_calendar(frequency: str, starts: list[str]) -> None:
    found = stretches(period("2024-02-28", "2024-03-05"), StatementFrequency(frequency), "UTC")
    assert [part.start for _, part in found] == [at(each) for each in starts]


@settings(max_examples=100, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    frequency=st.sampled_from(StatementFrequency),
    start=st.integers(0, 1460),
    length=st.integers(1, 400),
)
@example(
    zone="Pacific/Apia",
    frequency=StatementFrequency.DAY,
    start=date(2011, 12, 29).toordinal() - date(2010, 6, 1).toordinal(),
    length=3,
)
def test_stretches_tile_the_window(zone: str, frequency: StatementFrequency, start: int, length: int) -> None:
    first = date(2010, 6, 1).toordinal() + start
    window = Period(day_start(date.fromordinal(first), zone), day_start(date.fromordinal(first + length), zone))
    assume(window.start < window.end)  # the day that Apia skipped is no window
    parts = [part for _, part in stretches(window, frequency, zone)]
    assert (parts[0].start, parts[-1].end) == window
    assert all(one.end == other.start for one, other in pairwise(parts))
    assert all(part.start < part.end for part in parts)


def test_windows_are_merged() -> None:
    windows = [
        period("2025-01-10", "2025-01-20"),
        period("2025-01-01", "2025-01-10"),
        period("2025-02-01", "2025-02-02"),
    ]
    assert merged(windows) == (period("2025-01-01", "2025-01-20"), period("2025-02-01", "2025-02-02"))
    assert merged([period("2025-01-01", "2025-02-01"), period("2025-01-03", "2025-01-04")]) == (
        period("2025-01-01", "2025-02-01"),
    )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1"])
def test_what_a_spreadsheet_computes_gets_an_apostrophe(text: str) -> None:
    assert safe_text(text) == "'" + text


@pytest.mark.parametrize("text", ["", "eu", "a=1", "1-1", " =1", "ü"])
def test_other_texts_stay(text: str) -> None:
    assert safe_text(text) == text


def test_csv_quotes_what_needs_quotes_and_keeps_numbers_exact() -> None:
    row = StatementRow(
        meter_id="m",
        meter_code="calls",
        measure="n",
        aggregation="SUM",
        start_date=at("2025-01-01"),
        end_date=at("2025-01-02"),
        value=Decimal("-1E+3"),
        measurements=2,
        dimensions={"region": 'a,"b"', "=tier": None},
    )
    statement = Statement(
        bill_id="b",
        account_id="a",
        account_code="=acme",
        start_date=date(2025, 1, 1),
        end_date=date(2025, 2, 1),
        billing_frequency=Frequency.MONTHLY,
        timezone="UTC",
        currency="USD",
        bill_total=Decimal(1),
        aggregation_frequency=StatementFrequency.DAY,
        up_to=1,
        digest="d",
        usage=(row,),
    )
    assert as_csv(statement).decode().split("\r\n") == [
        "billId,accountCode,meter,measure,aggregation,unit,startDate,endDate,region,'=tier,value,measurements",
        'b,\'=acme,calls,n,SUM,,2025-01-01T00:00:00.000Z,2025-01-02T00:00:00.000Z,"a,""b""",,-1000,2',
        "",
    ]
