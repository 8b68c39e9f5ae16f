"""The demo: the same seed gives the same traffic, and the whole thing runs."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from tallystick.cli.demo_data import CUSTOMERS, Month, measurements
from tallystick.cli.main import run

JANUARY = Month(date(2025, 1, 1))


def test_the_same_seed_gives_the_same_traffic_and_another_seed_another() -> None:
    assert measurements(JANUARY, 1) == measurements(JANUARY, 1)
    assert measurements(JANUARY, 1) != measurements(JANUARY, 2)


def test_the_traffic_is_a_month_of_three_customers_in_order_each_with_its_uid() -> None:
    traffic = measurements(JANUARY, 1)
    times = [str(each["ts"]) for each in traffic]
    assert times == sorted(times)
    assert times[0] >= "2025-01-01"
    assert times[-1] < "2025-02-01"
    assert len({each["uid"] for each in traffic}) == len(traffic) > 10_000
    assert {each["account"] for each in traffic} == {customer.code for customer in CUSTOMERS}


@pytest.mark.parametrize(
    ("today", "first", "last"),
    [
        ("2025-03-01", "2025-02-01", "2025-02-28"),
        ("2024-03-31", "2024-02-01", "2024-02-29"),
        ("2025-01-15", "2024-12-01", "2024-12-31"),
    ],
)
def test_the_last_month_that_is_over(today: str, first: str, last: str) -> None:
    month = Month.before(date.fromisoformat(today))
    assert (month.first.isoformat(), month.last.isoformat()) == (first, last)


def test_it_runs_prints_a_bill_and_shows_the_same_when_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["demo", "--exit", "--data", str(tmp_path / "demo"), "--month", "2025-01"]
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert run(arguments) == 0
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if "Server" not in line] == [
        line for line in said.splitlines() if "Server" not in line
    ]
    for customer in CUSTOMERS:
        assert re.search(rf"{customer.code} +2025-01-01 +2025-02-01 +[\d,.]+ +USD +PENDING", said), said
    assert re.search(r"cedar .* 60\.00 ", said), "the smallest customer pays the minimum"
    assert "Platform fee" in said
    credentials = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert sorted(credentials) == ["apiKey", "apiSecret", "email", "orgId", "password", "url"]
    assert (tmp_path / "demo" / "demo.json").stat().st_mode & 0o077 == 0
