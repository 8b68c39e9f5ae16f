"""`make bench`, short: every part runs against real servers, its totals hold, and every figure is written."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pages import names

from tallystick.core import wire

BENCH = Path(__file__).parent.parent.parent / "bench"
TIMEOUT_SECONDS = 600  # it takes half a minute on a machine that has nothing else to do

# name → the limits that it is compared with
FIGURES = {
    "emit": [],
    "may it be used, from the gate": [],
    "may it be used, looked at anew": [],
    "emit, written ahead": [],
    "ingest, batches of 1,000": [
        "bare chDB insert of the same JSON",
        "append and fdatasync",
    ],
    "ingest, batches: processor time": [],
    "acknowledged to visible": [],
    "projection behind at the end": [],
    "memory, idle": [],
    "memory, full ingest": [],
    "usage query, one account's month": ["the bare SQL, p50"],
    "usage query, fleet by account": ["the bare SQL, p50"],
    "ingest, single measurements": ["GET /health"],
    "ingest, single measurements: processor time": [],
    "bill run": ["rating in memory, one core, no stores"],
    "bill run: processor time": [],
    "bill run, 1 pricing, 20 accounts": [],
    "bill run, 10 pricings, 20 accounts": [],
    "bill run, 100 pricings, 20 accounts": ["ten times a bill with 10 pricings"],
    "bill run, 10 pricings, 200 accounts": ["a bill of 20 accounts"],
    "restart, 2,000 journaled": ["an empty data directory"],
    "restart, 2,000 journaled, index behind": ["an empty data directory"],
    "one account's month, 2,000 stored": ["the bare SQL, p50"],
    "one account's month, 2,000 stored: processor time": [],
    "fleet by account, 2,000 stored": ["the bare SQL, p50"],
    "fleet by account, 2,000 stored: processor time": [],
    "live balance, SUM": ["reading all usage again, p50"],
    "live balance, SUM: processor time": [],
    "live balance, UNIQUE": ["reading all usage again, p50"],
    "live balance, UNIQUE: processor time": [],
    "live balance, PERCENTILE": ["reading all usage again, p50"],
    "live balance, PERCENTILE: processor time": [],
    "live balance, SUM, tiers span the plan": ["reading all usage again, p50"],
    "live balance, SUM, tiers span the plan: processor time": [],
    "pages, all": ["the limit"],
    "simulation of a month": ["the most it may take"],
    "simulation of a month: processor time": [],
    **{f"page {name}": ["the limit", "the server's processor time for a visit"] for name in names()},
}
WITH_PERCENTILES = {
    "emit",
    "emit, written ahead",
    "may it be used, from the gate",
    "may it be used, looked at anew",
    "ingest, batches of 1,000",
    "acknowledged to visible",
    "usage query, one account's month",
    "usage query, fleet by account",
    "ingest, single measurements",
    "one account's month, 2,000 stored",
    "fleet by account, 2,000 stored",
    "live balance, SUM",
    "live balance, UNIQUE",
    "live balance, PERCENTILE",
    "live balance, SUM, tiers span the plan",
    "pages, all",
    *(f"page {name}" for name in names()),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("bench")
    path = directory / "results.json"
    command = [sys.executable, str(BENCH / "run.py"), "--quick", "--seconds", "0.5", "--accounts", "50"]
    command += ["--measurements", "2000", "--stored", "2000"]
    command += ["--results", str(path), "--directory", str(directory)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "bill run" in run.stdout, "the table is printed"
    assert list(directory.glob("tallystick-bench-*")) == [], "the data is removed"
    return wire.decode(dict[str, Any], path.read_bytes())


def test_every_figure_is_there_with_what_it_is_compared_with(results: dict[str, Any]) -> None:
    found = {each["name"]: [other["name"] for other in each["compared_with"]] for each in results["figures"]}
    assert found == FIGURES


def test_a_figure_states_its_workload_and_unit(results: dict[str, Any]) -> None:
    for figure in results["figures"]:
        assert len(figure["workload"]) > 20, figure["name"]
        assert figure["unit"], figure["name"]
        assert figure["value"] >= 0, figure["name"]


def test_answers_have_percentiles_in_order(results: dict[str, Any]) -> None:
    spread = {each["name"]: (each["p50"], each["p99"]) for each in results["figures"] if each["p50"] is not None}
    assert spread.keys() == WITH_PERCENTILES
    assert spread["acknowledged to visible"][0] >= 0  # where nothing else waits, it may be seen with its own answer
    assert all(p50 <= p99 and (p50 > 0 or name == "acknowledged to visible") for name, (p50, p99) in spread.items())


def test_a_ratio_is_the_value_over_the_limit(results: dict[str, Any]) -> None:
    for figure in results["figures"]:
        for other in figure["compared_with"]:
            exact = Decimal(figure["value"]) / Decimal(other["value"])
            assert abs(exact / Decimal(other["ratio"]) - 1) < Decimal("0.05"), (figure["name"], other)


def test_the_machine_and_the_time_are_named(results: dict[str, Any]) -> None:
    assert results["machine"].keys() == {"cpu", "cores", "memory_gib", "disk", "kernel", "python", "load"}
    assert all(value != "" for value in results["machine"].values())
    assert results["when"].endswith("+00:00")
    assert results["quick"] is True
