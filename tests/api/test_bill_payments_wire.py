"""The paid state of bills on the running server: told by hand by API and command line, listed, overdue, audited."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from m3ter import M3ter
from storefront import NOWHERE, Storefront, read, refused, send

from tallystick.cli.main import run
from tenant import Tenant


@pytest.fixture
def bills(http: httpx.Client, client: M3ter) -> list[str]:
    """Three approved bills of one account: 20.00 for each of January, February and March 2025; the latest first."""
    Storefront(http)
    ids = []
    for day in ("2025-03-31", "2025-02-28", "2025-01-31"):
        job = client.bill_jobs.create(last_date_in_billing_period=day)
        until = time.monotonic() + 30
        while job.status not in {"COMPLETE", "CANCELLED"}:
            assert time.monotonic() < until, job
            time.sleep(0.05)
            job = client.bill_jobs.retrieve(job.id)
        ids += job.bill_ids or []
    read(send(http, "POST", "/bills/approve", {"billIds": ids}))
    return ids


@pytest.fixture
def pay(http: httpx.Client) -> Callable[..., Any]:
    """Tells something of a bill, and answers how it stands then."""
    return lambda bill, **told: read(send(http, "POST", f"/bills/{bill}/payments", told))


@pytest.fixture
def command(
    organization: Tenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs a command and answers the JSON that it prints."""
    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)

    def running(*arguments: str) -> Any:
        assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return running


def listed(http: httpx.Client, path: str = "/bills", **query: str) -> list[str]:
    """The ids of a list, read in pages of one."""
    ids: list[str] = []
    token: str | None = None
    while True:
        page = read(http.get(path, params={**query, "pageSize": "1", **({"nextToken": token} if token else {})}))
        ids += [each["id"] if path == "/bills" else each["billId"] for each in page["data"]]
        token = page.get("nextToken")
        if token is None:
            return ids


def test_payments_are_kept_beside_a_locked_bill(
    http: httpx.Client, client: M3ter, bills: list[str], pay: Callable[..., Any]
) -> None:
    march = bills[0]
    client.bills.lock(march)
    before = http.get(f"/bills/{march}").content
    standing = read(http.get(f"/bills/{march}/payments"))
    assert (standing["paidState"], standing["paid"], standing["billTotal"]) == ("UNPAID", 0, 20)
    assert standing["overdue"], "it was due in 2025"

    sent = {"amount": 5, "system": "BANK", "reference": "T-1", "paidAt": "2025-04-02T10:00:00Z", "idempotencyKey": "a"}
    part = pay(march, **sent)
    assert (part["paidState"], part["paid"], part["overdue"]) == ("PARTIALLY_PAID", 5, True)
    assert pay(march, **sent) == part, "sent again it counts once"
    other = refused(send(http, "POST", f"/bills/{march}/payments", {**sent, "amount": 6}))
    assert (other["code"], "idempotencyKey" in other["message"]) == ("rule_broken", True)
    now = pay(march, amount="15.00", idempotencyKey="b")
    assert pay(march, amount="15.00", idempotencyKey="b") == now, "without a moment too"
    assert (now["paidState"], now["paid"], now["overdue"], len(now["payments"])) == ("PAID", 20, False, 2)
    first = now["payments"][0]
    assert {"type": "PAYMENT", "amount": 5, "system": "BANK", "reference": "T-1"}.items() <= first.items()
    assert http.get(f"/bills/{march}").content == before, "the bill itself is as it was, byte for byte"
    assert client.bills.retrieve(march).locked

    ahead = refused(send(http, "POST", f"/bills/{march}/payments", {"amount": 1, "paidAt": "2199-01-01T00:00:00Z"}))
    assert (ahead["code"], ahead["message"].split(":")[0]) == ("rule_broken", "paidAt")
    late = refused(send(http, "POST", f"/bills/{march}/payments", {"type": "VOID"}))
    assert (late["code"], "reverse what is wrong" in late["message"]) == ("bill_state", True)
    back = read(send(http, "POST", f"/bills/{march}/payments/{first['id']}/reversal", {"note": "bounced"}))
    assert (back["paidState"], back["paid"]) == ("PARTIALLY_PAID", 15)
    again = refused(send(http, "POST", f"/bills/{march}/payments/{first['id']}/reversal", {}))
    assert again["code"] == "bill_state"


def test_bills_are_listed_by_their_payment(
    http: httpx.Client, bills: list[str], pay: Callable[..., Any], command: Callable[..., Any]
) -> None:
    march, february, january = bills
    pay(february, amount=20)
    pay(january, type="FAILED", note="card declined")
    assert listed(http, paidState="PAID") == [february]
    assert listed(http, paidState="UNPAID") == [march]
    assert listed(http, paidState="FAILED") == listed(http, paidState="FAILED", overdue="true") == [january]
    assert listed(http, overdue="true") == [march, january]
    assert listed(http, overdue="true", paidState="PAID") == []
    assert listed(http, "/billpayments") == bills
    assert listed(http, paidState="PAID", status="PENDING") == []
    assert listed(http, paidState="PAID", ids=march) == []
    assert refused(http.get("/bills", params={"paidState": "LATE"}))["code"] == "invalid_request"

    assert [each["billId"] for each in command("payment", "list", "--overdue")] == [march, january]
    assert command("payment", "record", march, "--amount", "20", "--once", "x")["paidState"] == "PAID"
    shown = command("payment", "show", march)
    assert (shown["paidState"], len(shown["payments"])) == ("PAID", 1)
    assert command("payment", "reverse", march, shown["payments"][0]["id"])["paidState"] == "UNPAID"
    assert command("payment", "record", january, "--told", "void")["paidState"] == "VOID"
    assert run(["payment", "show", january]) == run(["payment", "list"]) == 0


def test_each_change_is_told_in_events_and_in_the_audit(
    http: httpx.Client, bills: list[str], pay: Callable[..., Any]
) -> None:
    march = bills[0]
    pay(march, amount=5, idempotencyKey="a")
    pay(march, amount=5, idempotencyKey="a")
    done = pay(march, amount=15)
    send(http, "POST", f"/bills/{march}/payments/{done['payments'][1]['id']}/reversal", {})
    told = read(http.get("/events", params={"eventType": "BillPayment"}))["data"]
    assert [(each["eventName"], each["m3terEvent"]["paid"]) for each in told] == [
        ("billing.bill.partiallypaid", 5),
        ("billing.bill.paid", 20),
        ("billing.bill.partiallypaid", 5),
    ]
    assert told[1]["m3terEvent"]["billId"] == march
    fields = read(http.get("/events/fields", params={"eventName": "billing.bill.paid"}))["events"]
    known = set(fields["billing.bill.paid"])
    assert {f"new.{name}" for name in told[1]["m3terEvent"] if name != "eventName"} <= known
    entries = read(http.get("/audit", params={"entityType": "bill", "entityId": march}))["data"]
    assert [each["action"] for each in entries if "PAY" in each["action"]] == ["REVERSE_PAYMENT", "PAY", "PAY"]


def test_what_is_refused(http: httpx.Client, bills: list[str]) -> None:
    path = f"/bills/{bills[0]}/payments"
    for told, code in (
        ({"amount": 0}, "rule_broken"),
        ({"amount": -1}, "rule_broken"),
        ({}, "rule_broken"),
        ({"amount": "1e30"}, "invalid_request"),
        ({"type": "SETTLED", "amount": 5, "reference": "in_1"}, "rule_broken"),
        ({"type": "VOID", "amount": 5}, "rule_broken"),
        ({"type": "PAID"}, "invalid_request"),
    ):
        assert refused(send(http, "POST", path, told))["code"] == code, told
    assert refused(send(http, "POST", f"/bills/{NOWHERE}/payments", {"amount": 1}), 404)["code"] == "not_found"
    assert refused(send(http, "POST", f"{path}/{NOWHERE}/reversal", {}), 404)["code"] == "not_found"
    assert read(http.get(path))["payments"] == []


def test_a_bill_that_is_made_anew_asks_for_what_it_comes_to_now(
    http: httpx.Client, client: M3ter, bills: list[str], pay: Callable[..., Any]
) -> None:
    """20.00 are paid; then 40 bytes at 0.25 come late and the bill is made again: 30.00, of which 20.00 are paid."""
    march = bills[0]
    assert pay(march, amount=20)["paidState"] == "PAID"
    late = {"uid": "late", "meter": "traffic", "account": "acme", "ts": "2025-03-05T00:00:00Z"}
    fields = {"measure": {"bytes": 40}, "where": {"region": "eu"}, "metadata": {"file": "a"}}
    read(send(http, "POST", "/measurements", {"measurements": [{**late, **fields}]}))
    read(send(http, "POST", "/billjobs/recalculate", {"billIds": [march]}))
    until = time.monotonic() + 30
    while read(http.get(f"/bills/{march}"))["billTotal"] != 30:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert read(http.get(f"/bills/{march}/payments"))["paidState"] == "PARTIALLY_PAID"
    read(send(http, "POST", "/bills/approve", {"billIds": [march]}))
    assert listed(http, paidState="PARTIALLY_PAID") == [march]
    assert pay(march, amount=10)["paidState"] == "PAID"
