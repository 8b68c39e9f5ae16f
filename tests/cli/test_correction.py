"""`tallystick correction`: duplicates in a file are withdrawn, a locked bill gets a memo, and the memo is issued."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from storefront import Storefront

from tenant import Tenant

Run = Callable[..., str]


@pytest.fixture
def locked(organization: Tenant) -> str:
    """January of acme, locked: a standing charge of 20.00 and 40 + 40 + 8 bytes at 0.25: 42.00."""
    with organization.http() as http:
        return Storefront(http).locked_january()


def test_a_file_of_duplicates_becomes_a_memo(command: Run, locked: str, tmp_path: Path) -> None:
    """u1-again goes, u2 becomes 4: 40 + 4 bytes are 11.00, which is 11.00 less than the 22.00 that were billed."""
    file = tmp_path / "wrong.csv"
    file.write_text("uid,measure.bytes\nu1-again,\nu2,4\nunknown,\n")
    told = command("correction", "draft", "--reason", "sent twice", "--file", str(file))
    assert "DRAFT, 2 withdrawn, 1 added, 1 left out" in told
    assert "USD: open bills 0, memos -11" in told
    (row,) = [line for line in told.splitlines() if locked in line]
    assert row.split() == ["acme", "2025-01-01", "to", "2025-02-01", locked, "MEMO", "42.00", "31.00", "-11.00", "USD"]
    (made,) = json.loads(command("correction", "list", "--status", "DRAFT", "--json"))
    entries = command("correction", "entries", made["id"])
    assert "left out: uid: no measurement was accepted under 'unknown'" in entries
    assert "replaces u2" in entries
    assert "APPLIED" in command("correction", "apply", made["id"])
    (memo,) = json.loads(command("correction", "memos", "--correction", made["id"], "--json"))
    assert (memo["total"], memo["correctedTotal"], memo["billId"]) == (-11, 31, locked)
    assert "ISSUED" in command("correction", "issue", memo["id"], "--bill-date", "2025-02-10")
    assert "DISCARDED" in command("correction", "drop", memo["id"])
    assert "APPLIED" in command("correction", "list")


def test_a_draft_is_discarded(command: Run, locked: str) -> None:
    made = json.loads(command("correction", "draft", "--reason", "a test", "u2", "--json"))
    assert (made["status"], made["withdrawals"]) == ("DRAFT", 1)
    assert "DISCARDED" in command("correction", "discard", made["id"])
    assert "this is for one that is DRAFT" in command("correction", "apply", made["id"], code=1)
    assert json.loads(command("correction", "show", made["id"], "--json"))["status"] == "DISCARDED"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name\nx\n", "there is no part 'name' of a measurement"),
        ("uid,measure.bytes\nu1,many\n", "row 1: must be a number, got 'many'"),
        ("uid,measure.bytes\n,\n", "row 1: has no uid"),
    ],
)
def test_a_file_that_says_nothing_clear_is_refused(command: Run, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "wrong.csv"
    file.write_text(text)
    assert said in command("correction", "draft", "--reason", "x", "--file", str(file), code=1)
    assert "name the measurements" in command("correction", "draft", "--reason", "x", code=1)
    assert "must be a day" in command("correction", "issue", "x", "--bill-date", "soon", code=1)
