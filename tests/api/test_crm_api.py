"""Accounts and contracts from files of CRMs, through the command line and the API; and what CRMs are told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from storefront import Storefront, read, refused, send

from tallystick.cli.launch import Server
from tallystick.cli.main import run
from tenant import Tenant, new_tenant

Run = Callable[..., str]
ACCOUNTS = """Id,Name,AccountNumber,BillingEmail__c,BillingCity
001Dn00000Aa1Bc,Birch,BIRCH,pay@birch.example,Berlin
001Dn00000Aa1BdIAJ,Cedar,,pay@cedar.example,
001Dn00000Aa1Be,Broken,BROKEN,,
001Dn00000Aa1Bf,Acme of theirs,acme,,
"""
CONTRACTS = {
    "records": [
        {
            "Id": "800Dn0000000001",
            "Name": "Year of Birch",
            "ContractNumber": "00000101",
            "AccountId": "001Dn00000Aa1BcIAJ",
            "StartDate": "2025-01-01",
            "EndDate": "2025-12-31",
            "Status": "Activated",
        },
        {"Id": "800Dn0000000002", "AccountId": "001Dn00000Aa1BcIAJ", "Status": "Draft"},
        {"Id": "800Dn0000000003", "AccountId": "001Dn000000none", "StartDate": "2025-01-01", "ContractTerm": 12},
    ]
}


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return new_tenant(server)


@pytest.fixture(scope="module")
def http(tenant: Tenant) -> Iterator[httpx.Client]:
    """An organisation that has the account acme, on a plan."""
    with tenant.http() as client:
        Storefront(client)
        yield client


@pytest.fixture
def crm(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name, value in tenant.environment().items():
        monkeypatch.setenv(name, value)

    def call(*words: str, code: int = 0) -> str:
        assert run(["crm", *words]) == code
        said = capsys.readouterr()
        return said.out + said.err

    return call


def told(crm: Run, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """What became of the rows of a pull."""
    text = crm("pull", *words, "--json", code=code)
    rows: list[dict[str, Any]] = json.loads(text.splitlines()[0])["rows"]
    return rows


def outcomes(rows: list[dict[str, Any]]) -> list[str]:
    return [each["outcome"] for each in rows]


def account(http: httpx.Client, code: str) -> dict[str, Any] | None:
    return next(iter(read(http.get("/accounts", params={"codes": code}))["data"]), None)


def test_accounts_and_contracts_are_pulled_once(http: httpx.Client, crm: Run, tmp_path: Path) -> None:
    accounts, contracts = tmp_path / "accounts.csv", tmp_path / "contracts.json"
    accounts.write_text(ACCOUNTS)
    contracts.write_text(json.dumps(CONTRACTS))
    of_accounts = (str(accounts), "--from", "salesforce", "--table", "account")
    of_contracts = (str(contracts), "--from", "Salesforce", "--table", "Contract")

    dry = told(crm, *of_accounts, "--dry-run", code=1)
    assert outcomes(dry) == ["CREATED", "CREATED", "REFUSED", "UPDATED"]
    assert account(http, "BIRCH") is None

    first = told(crm, *of_accounts, code=1)
    assert outcomes(first) == outcomes(dry)
    assert first[2]["reason"].startswith("emailAddress: the row has none")
    assert (first[1]["code"], first[3]["changes"]) == ("cedar-1bdiaj", ["name", "externalMapping"])
    birch = account(http, "BIRCH")
    assert birch is not None
    assert birch["address"]["locality"] == "Berlin"
    mapped = read(http.get("/externalmappings/externalid/Salesforce/Account/001Dn00000Aa1BcIAJ"))["data"]
    assert [each["m3terId"] for each in mapped] == [birch["id"]]

    again = told(crm, *of_accounts, "--default", "emailAddress=all@us.example")
    assert outcomes(again) == ["UNCHANGED", "UNCHANGED", "CREATED", "UNCHANGED"]

    of_birch = told(crm, *of_contracts, code=1)
    assert outcomes(of_birch) == ["CREATED", "SKIPPED", "REFUSED"]
    assert "no account is mapped to" in of_birch[2]["reason"]
    contract = read(http.get(f"/contracts/{of_birch[0]['id']}"))
    assert (contract["accountId"], contract["startDate"], contract["endDate"], contract["code"]) == (
        birch["id"],
        "2025-01-01",
        "2026-01-01",
        "00000101",
    )
    assert outcomes(told(crm, *of_contracts, code=1)) == ["UNCHANGED", "SKIPPED", "REFUSED"]
    assert len(read(http.get("/contracts", params={"accountId": birch["id"]}))["data"]) == 1


def test_what_changes_there_changes_here(http: httpx.Client, crm: Run, tmp_path: Path) -> None:
    file = tmp_path / "companies.json"
    company = {"id": "77", "properties": {"name": "Dill", "city": "Rome", "billing_email": "pay@dill.example"}}
    words = (str(file), "--from", "hubspot", "--table", "companies")

    def brought() -> dict[str, Any]:
        file.write_text(json.dumps({"results": [company]}))
        (row,) = told(crm, *words)
        return row

    assert brought()["outcome"] == "CREATED"
    company["properties"] |= {"city": "Milan", "name": ""}  # type: ignore[operator]  # a cell that is blank says nothing
    row = brought()
    assert (row["outcome"], row["changes"]) == ("UPDATED", ["address"])
    dill = account(http, row["code"])
    assert dill is not None
    assert (dill["name"], dill["address"]["locality"], dill["version"]) == ("Dill", "Milan", 2)
    assert brought()["outcome"] == "UNCHANGED"
    read(http.delete(f"/accounts/{dill['id']}"))
    file.write_text(json.dumps([company]))
    (row,) = told(crm, *words, code=1)
    assert "is no more; delete the mapping" in row["reason"]


def test_one_bad_row_harms_no_other(http: httpx.Client) -> None:
    rows = [
        {"Id": "001000000000a01", "Name": "One", "AccountNumber": "n1", "Email": "a@one.example"},
        {"Id": "001000000000a02", "Name": "Two", "AccountNumber": "n2", "Email": "no address"},
        {"Id": "001000000000a03", "Name": "x" * 300, "AccountNumber": "n3", "Email": "a@three.example"},
        {"Id": "001000000000a04", "Name": "Four", "AccountNumber": "n4", "Email": "a@four.example", "ParentId": "?"},
        {"Name": "Five"},
        {"Id": "001000000000a06", "Name": "Six", "AccountNumber": "n6", "Email": "a@six.example"},
    ]
    body = {"system": "Salesforce", "table": "Account", "rows": rows}
    found = read(send(http, "POST", "/crm/pull", body))
    assert outcomes(found["rows"]) == ["CREATED", "REFUSED", "REFUSED", "REFUSED", "REFUSED", "CREATED"]
    assert (found["created"], found["refused"], found["dryRun"]) == (2, 4, False)
    for row, word in zip(found["rows"][1:5], ("emailAddress", "$.name", "parentId", "externalId"), strict=True):
        assert word in row["reason"]
    assert account(http, "n4") is None
    assert refused(send(http, "POST", "/crm/pull", {**body, "table": "deals"}))["code"] == "invalid_request"


def test_commands_say_what_is_wrong(crm: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('{"rows": []}')
    assert "no array of rows" in crm("pull", str(file), "--from", "hubspot", "--table", "deals", code=1)
    assert "must be one of" in crm("pull", str(file), "--from", "pipedrive", "--table", "deals", code=1)
    assert "FIELD=VALUE" in crm("pull", str(file), "--from", "hubspot", "--table", "deals", "--column", "name", code=1)
    missing = str(tmp_path / "none.json")
    assert "cannot read" in crm("pull", missing, "--from", "hubspot", "--table", "deals", code=1)
    file.write_text("[]")
    assert "0 created" in crm("pull", str(file), "--from", "hubspot", "--table", "deals")


def listening(http: httpx.Client) -> None:
    """A webhook that CRMs are told by."""
    hook = {"name": "crm", "url": "https://hooks.example/crm"}
    made = read(send(http, "POST", "/integrationdestinations/webhooks", hook))["id"]
    link = {"entityType": "Event", "destination": "WEBHOOK", "destinationId": made, "name": "crm"}
    read(send(http, "POST", "/integrationconfigs", {**link, "configData": {"eventNames": ["crm.*"]}}))


def test_a_crm_is_told_of_each_bill_that_is_approved(http: httpx.Client, crm: Run) -> None:
    acme = account(http, "acme")
    assert acme is not None
    row = {"Id": "001Dn00000Aa1Bf", "Name": "Acme", "AccountNumber": "acme"}
    read(send(http, "POST", "/crm/pull", {"system": "Salesforce", "table": "Account", "rows": [row]}))
    assert refused(http.post(f"/accounts/{acme['id']}/crmsummary"))["code"] == "bill_state"
    listening(http)
    measured = {"uid": "one", "meter": "traffic", "account": "acme", "ts": "2025-01-10T12:00:00Z"}
    more = {"measure": {"bytes": 40}, "where": {"region": "eu"}, "metadata": {"file": "a"}}
    read(send(http, "POST", "/measurements", {"measurements": [measured | more]}))
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31", "accountIds": [acme["id"]]}))
    while read(http.get(f"/billjobs/{job['id']}"))["status"] != "COMPLETE":
        time.sleep(0.05)
    bill = read(http.get(f"/bills/latest/{acme['id']}"))
    read(send(http, "PUT", f"/bills/{bill['id']}/status", {"status": "APPROVED"}))
    (event,) = read(http.get("/events", params={"eventName": "crm.account.summary"}))["data"]
    said = event["m3terEvent"]
    # 20.00 a month and 40 bytes at 0.25.
    assert (said["billId"], said["billTotal"], said["billedToDate"], said["bills"]) == (bill["id"], 30, 30, 1)
    assert [(each["quantity"], each["amount"]) for each in said["usage"]] == [(40, 10)]
    assert said["externalIds"][0]["externalId"].startswith("001Dn00000Aa1Bf")
    deadline = time.monotonic() + 20
    while not (runs := read(http.get("/integrationruns"))["data"]):
        assert time.monotonic() < deadline, "it was not handed over"
        time.sleep(0.1)
    (handed_over,) = runs
    assert (handed_over["eventId"], handed_over["destination"]) == (event["id"], "WEBHOOK")
    assert "new.billedToDate" in read(http.get("/events/fields"))["events"]["crm.account.summary"]

    assert crm("tell", "acme").startswith("told as the event ")
    asked = read(http.get("/events", params={"eventName": "crm.account.summary"}))["data"]
    assert len(asked) == 2
    assert asked[0]["m3terEvent"] == said
