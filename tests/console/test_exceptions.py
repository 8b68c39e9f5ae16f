"""Disputes and bespoke terms: over HTTP, on pages and by commands; what is given back, and what drifts."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from storefront import read, refused, send
from test_bill_pages import Books, own_books  # noqa: F401  # a fixture
from visitor import signed_in

from tallystick.cli.main import run as run_command
from tallystick.core import wire
from tallystick.core.user import Role

Run = Callable[..., str]


@pytest.fixture
def books(own_books: Books) -> Books:  # noqa: F811  # the fixture of that name
    return own_books


@pytest.fixture
def command(books: Books, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name, value in books.tenant.environment().items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, code: int = 0) -> str:
        answered = run_command(list(arguments))
        said = capsys.readouterr()
        assert answered == code, said.err
        return said.out + (said.err if code else "")

    return call


def test_a_dispute_on_a_locked_bill_ends_with_a_credit_on_the_next(books: Books, command: Run) -> None:
    """January is 30.00 and locked. Of its 10.00 for usage 4.00 are given back on February's bill, 35.00 until then."""
    january, february = books.bills[1], books.bills[2]
    desk = books.people[Role.BILLING]
    desk.get(f"/bills/{january}")
    desk.post(f"/bills/{january}/approve")
    desk.post(f"/bills/{january}/lock")
    locked = books.http.get(f"/bills/{january}").text
    lines = read(books.http.get(f"/bills/{january}"))["lineItems"]
    line = next(each for each in lines if each["lineItemType"] == "USAGE")
    desk.get(f"/disputes?billId={january}")
    fields = {"billId": january, "lineItemId": line["id"], "reason": "USAGE", "amount": "10", "description": "Not <us>"}
    page = desk.post("/disputes", fields)
    assert "Not &lt;us&gt;" in page
    (dispute,) = read(books.http.get("/disputes", params={"billId": january}))["data"]
    assert (dispute["state"], dispute["reason"], dispute["amount"]) == ("OPEN", "USAGE", 10)
    desk.post(f"/disputes/{dispute['id']}/state", {"state": "UNDER_REVIEW"})
    body = {"outcome": "PARTLY_ACCEPTED", "note": "Sixteen were ours", "credit": 4}
    path = f"/disputes/{dispute['id']}/resolution"
    assert refused(books.http.post(path, json=body))["code"] == "bill_locked", "the disputed bill stays as it is"
    said = command(
        "dispute", "resolve", dispute["id"], "PARTLY_ACCEPTED", "--note", "Sixteen were ours", "--credit", "4",
        "--on", february, "--json",
    )  # fmt: skip
    made = json.loads(said)
    assert (made["state"], made["outcome"], made["credited"]) == ("RESOLVED", "PARTLY_ACCEPTED", 4)
    assert read(books.http.get(f"/bills/{february}"))["billTotal"] == 31
    assert books.http.get(f"/bills/{january}").text == locked
    memos = read(books.http.get(f"/bills/{february}/creditlineitems"))["data"]
    (memo,) = [each for each in memos if each["id"] == made["memoId"]]
    assert (memo["referencedBillId"], memo["referencedLineItemId"]) == (january, line["id"])
    trail = read(books.http.get("/audit", params={"entityId": dispute["id"]}))["data"]
    assert [each["action"] for each in trail] == ["UPDATE", "UPDATE", "CREATE"]
    assert "4.00" in html.unescape(desk.get("/disputes"))
    assert refused(books.http.post(path, json=body))["message"].endswith("RESOLVED already")
    assert books.http.delete(f"/disputes/{dispute['id']}").status_code == 400


def test_a_dispute_that_is_rejected_or_withdrawn_gives_nothing(books: Books, command: Run) -> None:
    told = command("dispute", "open", "acme", "Too much", "--reason", "PRICE", "--line", "1")
    first = told.split()[-1]
    path = f"/disputes/{first}/resolution"
    wrong = {"outcome": "REJECTED", "note": "It was agreed", "credit": 1}
    assert "nothing is given back" in refused(books.http.post(path, json=wrong))["message"]
    assert read(books.http.post(path, json=wrong | {"credit": None}))["state"] == "RESOLVED"
    body = {"billId": books.bills[1], "reason": "OTHER", "description": "Of the whole"}
    second = read(send(books.http, "POST", "/disputes", body))["id"]
    assert refused(books.http.post(f"/disputes/{second}/state", json={"state": "RESOLVED"}))["field"] == "state"
    assert read(books.http.post(f"/disputes/{second}/state", json={"state": "WITHDRAWN"}))["state"] == "WITHDRAWN"
    listed = command("dispute", "list", "--state", "WITHDRAWN")
    assert second in listed
    assert first not in listed
    assert refused(books.http.post("/disputes", json=body | {"lineItemId": "0" * 36}), 404)["field"] == "id"
    assert refused(books.http.post("/disputes", json=body | {"amount": -1}))["field"] == "amount"


def test_every_bespoke_term_is_counted_and_contracts_that_drift_are_named(books: Books, command: Run) -> None:
    """A discount of 15%, and a contract of January whose plan goes on without an end."""
    account = books.shop.ids["/accounts"]
    days = {"startDate": "2025-01-01T00:00:00Z", "endDate": "2095-01-01T00:00:00Z"}
    given = {"accountId": account, "name": "Loyal", "type": "PERCENT", "percent": 15, "code": "loyal", **days}
    discount = read(send(books.http, "POST", "/discounts", given))["id"]
    contract = {"accountId": account, "name": "Pilot", "startDate": "2024-01-01", "endDate": "2025-01-01"}
    contract["code"] = "pilot"
    pilot = read(send(books.http, "POST", "/contracts", contract))["id"]
    attached = read(books.http.get(f"/accountplans/{books.shop.ids['/accountplans']}"))
    read(books.http.put(f"/accountplans/{attached['id']}", content=wire.encode(attached | {"contractId": pilot})))
    rows = {each["id"]: each for each in read(books.http.get("/bespoketerms"))["data"]}
    assert rows[discount]["concerns"] == ["NO_OWNER", "NOT_APPROVED"]
    assert "RUNS_ON" in rows[pilot]["concerns"]
    drifting = read(books.http.get("/bespoketerms", params={"drift": "true"}))["data"]
    assert pilot in [each["id"] for each in drifting]
    assert all({"RUNS_ON", "OUTSIDE", "REPRICED"} & set(each["concerns"]) for each in drifting)

    desk = signed_in(books.tenant)
    desk.get("/bespoke")
    note = {"term": f"DISCOUNT {discount}", "owner": "Ann Lee", "reason": "Ten years", "reviewDate": "2090-01-01"}
    desk.post("/bespoke/notes", note)
    desk.post("/bespoke/notes", note | {"owner": "Ben Ash", "value": "1200", "currency": "USD"})
    page = desk.post("/bespoke/templates", {"name": "A fifth", "termKind": "DISCOUNT", "mostPercent": "20"})
    assert "Ben Ash" in page
    assert "Ann Lee" not in page
    found = read(books.http.get("/bespoketerms", params={"kind": "DISCOUNT", "accountId": account}))["data"]
    (loyal,) = [each for each in found if each["id"] == discount]
    assert (loyal["owner"], loyal["approvedBy"], loyal["value"]) == ("Ben Ash", "A fifth", 1200)
    assert "concerns" not in loyal
    counts = {each["kind"]: each for each in json.loads(command("exceptions", "count", "--json"))}
    assert counts["CONTRACT"]["drifting"] == len(drifting)
    assert "Pilot" in command("exceptions", "list", "--drift")
    assert "Loyal" not in command("exceptions", "list", "--drift")
    first = read(books.http.get("/bespoketerms", params={"pageSize": 1}))
    second = read(books.http.get("/bespoketerms", params={"pageSize": 100, "nextToken": first["nextToken"]}))
    assert len(first["data"]) + len(second["data"]) == len(rows)
    for wrong in ({"nextToken": "x"}, {"kind": "X"}, {"concern": "X"}):
        assert books.http.get("/bespoketerms", params=wrong).status_code == 400


def test_the_scorecard_of_a_month(books: Books, command: Run) -> None:
    """January's one bill was made years after its end, and one dispute is on it: both red. Nothing was reconciled."""
    body = {"billId": books.bills[1], "reason": "OTHER", "description": "Of the whole"}
    send(books.http, "POST", "/disputes", body)
    found = read(books.http.get("/scorecard", params={"month": "2025-01"}))
    scores = {each["measure"]: each for each in found["scores"]}
    assert {name: each["light"] for name, each in scores.items()} == {
        "METERING_ACCURACY": "NOT_MEASURED",
        "INGEST_TO_VISIBLE": "NOT_MEASURED",
        "PERIOD_END_TO_BILL": "RED",
        "DISPUTES_PER_BILL": "RED",
        "DECISION_TO_LIVE": scores["DECISION_TO_LIVE"]["light"],
    }
    assert (scores["DISPUTES_PER_BILL"]["value"], scores["DISPUTES_PER_BILL"]["of"]) == (100, 1)
    bill = read(books.http.get(f"/bills/{books.bills[1]}"))
    made, ended = (datetime.fromisoformat(bill[name]) for name in ("createdDate", "endDateTimeUTC"))
    hours = Decimal((made - ended) // timedelta(microseconds=1)) / Decimal(3_600_000_000)
    assert scores["PERIOD_END_TO_BILL"]["value"] == round(hours, 2)
    february = {each["measure"]: each for each in read(books.http.get("/scorecard?month=2025-02"))["scores"]}
    assert (february["DISPUTES_PER_BILL"]["light"], february["DISPUTES_PER_BILL"]["value"]) == ("GREEN", 0)
    present = {each["measure"]: each for each in read(books.http.get("/scorecard"))["scores"]}
    assert present["INGEST_TO_VISIBLE"]["light"] in {"GREEN", "AMBER"}
    assert present["PERIOD_END_TO_BILL"]["light"] == "NOT_MEASURED"
    page = books.page("/scorecard?month=2025-01")
    assert "Disputes per bill" in page
    assert "Red" in page
    assert "DISPUTES_PER_BILL" in command("scorecard", "--month", "2025-01")
    for wrong in ("2025", "2025-13", "x", "2025-1-"):
        assert books.http.get("/scorecard", params={"month": wrong}).status_code == 400, wrong
