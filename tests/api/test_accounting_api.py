"""The books over HTTP: a bill is approved, and its entries are there, balanced, in every form."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from storefront import NOWHERE, read, refused, send

from tallystick.cli.launch import Server
from tallystick.cli.main import run
from tallystick.core import wire
from tenant import Tenant, new_tenant


class Books:
    """An organisation that charges 90 USD a quarter in advance: the first bill, of January to March 2025, has them for
    its own quarter and for the next."""

    def __init__(self, tenant: Tenant, http: httpx.Client) -> None:
        self.tenant, self.http = tenant, http
        self.product = self.made("/products", {"name": "Access", "code": "access"})
        template = {
            "name": "Quarter",
            "code": "quarter",
            "productId": self.product,
            "currency": "USD",
            "billFrequency": "MONTHLY",
            "billFrequencyInterval": 3,
            "standingCharge": 90,
            "standingChargeBillInAdvance": True,
        }
        plan = {"name": "Basic", "code": "basic", "planTemplateId": self.made("/plantemplates", template)}
        account = self.made("/accounts", {"name": "Acme", "code": "acme", "emailAddress": "a@acme.example"})
        start = {"accountId": account, "planId": self.made("/plans", plan), "startDate": "2025-01-01T00:00:00Z"}
        self.made("/accountplans", start)
        job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-03-31"}))
        while read(http.get(f"/billjobs/{job['id']}"))["status"] != "COMPLETE":
            time.sleep(0.05)
        self.bill = read(http.get("/bills"))["data"][0]
        read(send(http, "POST", "/bills/approve", {"billIds": [self.bill["id"]]}))
        until = time.monotonic() + 20
        while not self.rows("journalentries"):  # the server posts by itself
            assert time.monotonic() < until, "nothing was posted"
            time.sleep(0.05)

    def made(self, path: str, body: dict[str, Any]) -> str:
        return str(read(send(self.http, "POST", path, body))["id"])

    def rows(self, what: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = read(self.http.get(f"/accounting/{what}", params=query))["data"]
        return found

    def file(self, **query: str) -> list[list[str]]:
        answer = self.http.get("/accounting/journalfile", params=query)
        assert answer.headers["content-type"].startswith("text/csv")
        assert "attachment" in answer.headers["content-disposition"]
        return list(csv.reader(StringIO(answer.text)))


@pytest.fixture(scope="module")
def books(server: Server) -> Iterator[Books]:
    tenant = new_tenant(server)
    with tenant.http() as http:
        yield Books(tenant, http)


def test_the_entries_of_an_approved_bill_balance(books: Books) -> None:
    entries = books.rows("journalentries", sourceId=books.bill["id"])
    # Billed on 1 April. The quarter before has 90 days: a dollar each. Of the 91 days of the next one, 30 are in April,
    # 29.67 (29.670…), and 61 before June, 60.33 (60.329…).
    assert [(each["date"], each["type"], str(each["amount"])) for each in entries] == [
        ("2025-06-30", "RECOGNITION", "29.67"),
        ("2025-05-31", "RECOGNITION", "30.66"),
        ("2025-04-01", "BILL", "180"),
        ("2025-03-31", "RECOGNITION", "31"),
        ("2025-02-28", "RECOGNITION", "28"),
        ("2025-01-31", "RECOGNITION", "31"),
    ]
    for entry in entries:
        assert sum(line["debit"] - line["credit"] for line in entry["lines"]) == 0
        assert read(books.http.get(f"/accounting/journalentries/{entry['id']}")) == entry
    assert entries[0]["lines"][1]["product"] == {"id": books.product, "code": "access", "name": "Access"}
    total = sum(line["credit"] for each in entries for line in each["lines"] if line["role"] == "REVENUE")
    assert total == books.bill["billTotal"]
    assert read(books.http.post("/accounting/post")) == {"entries": 0}


def test_lists_are_paged_and_filtered(books: Books) -> None:
    first = read(books.http.get("/accounting/journalentries", params={"pageSize": 2}))
    rest = books.rows("journalentries", pageSize="2", nextToken=first["nextToken"])
    assert [each["date"][5:7] for each in (*first["data"], *rest)] == ["06", "05", "04", "03"]
    assert [each["type"] for each in books.rows("journalentries", type="BILL")] == ["BILL"]
    assert len(books.rows("journalentries", startDate="2025-02-28", endDate="2025-03-31")) == 2
    assert books.rows("journalentries", afterNumber="6") == []
    assert books.rows("journalentries", currency="EUR") == []
    assert sorted(each["number"] for each in books.rows("journalentries", afterNumber="1", throughNumber="3")) == [2, 3]
    assert {row[1] for row in books.file(afterNumber="1", throughNumber="3")} == {"number", "2", "3"}
    one = read(books.http.get("/accounting/trialbalance", params={"pageSize": 1}))
    assert len(one["data"]) == 1
    assert one["nextToken"] == "1"


def test_trial_balance_revenue_roll_forward_and_schedule(books: Books) -> None:
    balance = {each["accountCode"]: each for each in books.rows("trialbalance", endMonth="2025-04")}
    assert {code: str(each["closing"]) for code, each in balance.items()} == {
        "1200": "180",
        "1210": "0",
        "2400": "-60.33",
        "4000": "-119.67",
    }
    months = {"2025-01": "31", "2025-02": "28", "2025-03": "31"}
    later = {"2025-04": "29.67", "2025-05": "30.66", "2025-06": "29.67"}
    assert {each["month"]: str(each["amount"]) for each in books.rows("revenue")} == months | later
    parts = ("month", "opening", "added", "released", "closing")
    deferred = [each for each in books.rows("rollforward") if each["role"] == "DEFERRED_REVENUE"]
    assert [tuple(str(each[name]) for name in parts) for each in deferred] == [
        ("2025-04", "0", "60.33", "0", "60.33"),
        ("2025-05", "60.33", "0", "30.66", "29.67"),
        ("2025-06", "29.67", "0", "29.67", "0"),
    ]
    lines = books.rows("revenueschedule", billId=books.bill["id"])
    scheduled = [{one["month"]: str(one["amount"]) for one in each["months"]} for each in lines]
    assert sorted(scheduled, key=min) == [months, later]
    assert books.rows("drawdowns") == []


@pytest.mark.parametrize(
    ("form", "head", "debit", "credit"),
    [
        ("CSV", "entry", 16, 17),
        ("NETSUITE", "External ID", 6, 7),
        ("QUICKBOOKS", "*JournalNo", 3, 4),
    ],
)
def test_files_balance(books: Books, form: str, head: str, debit: int, credit: int) -> None:
    heads, *rows = books.file(format=form)
    assert heads[0] == head
    sums = [sum(Decimal(row[place] or 0) for row in rows) for place in (debit, credit)]
    assert sums == [Decimal("330.33")] * 2  # 180 and all months but April
    assert all(len(row) == len(heads) for row in rows)


def test_a_file_for_xero_has_signed_amounts(books: Books) -> None:
    heads, *rows = books.file(format="XERO")
    assert heads[:2] == ["*Narration", "*Date"]
    assert sum(Decimal(row[5]) for row in rows) == 0
    assert rows[0][1] == "31/01/2025"  # the earliest first


def test_what_is_asked_wrongly_is_refused(books: Books) -> None:
    for path, field in (
        ("journalentries?type=X", "type"),
        ("trialbalance?startMonth=2025-13", "startMonth"),
        ("trialbalance?nextToken=x", "nextToken"),
        ("journalfile?format=SAGE", "format"),
        ("journalfile?part=2", "part"),
        ("journalentries?afterNumber=-1", "afterNumber"),
    ):
        assert refused(books.http.get(f"/accounting/{path}"))["field"] == field
    assert refused(books.http.get(f"/accounting/journalentries/{NOWHERE}"), 404)["code"] == "not_found"


def test_the_chart_of_accounts_is_set_and_holds_for_what_comes(books: Books) -> None:
    config = read(books.http.get("/accounting/config"))
    assert config["receivable"] == {"code": "1200", "name": "Accounts receivable"}
    own = {"productId": books.product, "code": "4100", "name": "Access"}
    changed = read(send(books.http, "PUT", "/accounting/config", {**config, "revenueAccounts": [own]}))
    assert changed["version"] == config["version"] + 1
    assert refused(send(books.http, "PUT", "/accounting/config", config))["code"] == "version_mismatch"
    wrong = {**changed, "revenueAccounts": [{**own, "productId": NOWHERE}]}
    assert refused(send(books.http, "PUT", "/accounting/config", wrong))["field"] == "revenueAccounts"
    twice = {**changed, "revenueAccounts": [own, own]}
    assert "only once" in refused(send(books.http, "PUT", "/accounting/config", twice))["message"]
    assert {each["accountCode"] for each in books.rows("revenue")} == {"4000"}  # as it was posted
    read(send(books.http, "PUT", f"/bills/{books.bill['id']}/status", {"status": "PENDING"}))
    read(books.http.post("/accounting/post"))
    assert [each["closing"] for each in books.rows("trialbalance") if each["closing"]] == []
    read(send(books.http, "PUT", f"/bills/{books.bill['id']}/status", {"status": "APPROVED"}))
    read(books.http.post("/accounting/post"))
    closing = {each["accountCode"]: each["closing"] for each in books.rows("trialbalance") if each["closing"]}
    assert closing == {"1200": 180, "4100": -180}


def test_what_is_paid_is_cash(books: Books) -> None:
    told = {"type": "PAYMENT", "amount": 180, "paidAt": "2025-05-02T10:00:00Z"}
    read(send(books.http, "POST", f"/bills/{books.bill['id']}/payments", told))
    read(books.http.post("/accounting/post"))
    closing = {each["accountCode"]: each["closing"] for each in books.rows("trialbalance") if each["closing"]}
    assert closing == {"1000": 180, "4100": -180}
    (entry,) = books.rows("journalentries", type="PAYMENT")
    assert (entry["date"], entry["amount"], entry["accountCode"]) == ("2025-05-02", 180, "acme")


def test_the_command_line(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in books.tenant.environment().items():
        monkeypatch.setenv(name, value)

    def told(*words: str) -> str:
        assert run(["accounting", *words]) == 0
        return capsys.readouterr().out

    assert told("post") == "0 journal entries were posted\n"
    assert wire.decode(dict[str, int], told("post", "--json")) == {"entries": 0}
    assert "Accounts receivable" in told("entries", "--source", books.bill["id"])
    assert "4100" in told("trial-balance", "--until", "2025-12")
    assert "Access" in told("revenue", "--from", "2025-01")
    assert "DEFERRED_REVENUE" in told("roll-forward")
    path = tmp_path / "journal.csv"
    told("export", str(path), "--for", "xero", "--from", "2025-01-01")
    assert path.read_text().startswith("*Narration,*Date")
    told("schedule", str(path))
    amounts = [Decimal(row.split(",")[-1]) for row in path.read_text().splitlines()[1:]]
    assert (len(amounts), sum(amounts)) == (6, 180)
    assert run(["accounting", "export", str(tmp_path / "none" / "journal.csv")]) == 1
    assert "cannot write" in capsys.readouterr().err
