"""Late usage on the running server: a bill waits for it, and the report says where it was billed."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from storefront import Storefront, read, refused, send

from tallystick.cli.main import run
from tenant import Tenant

FIELDS = {"meter": "traffic", "account": "acme", "where": {"region": "eu"}, "metadata": {"file": "a"}}


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    return Storefront(http)


def bill_until(http: httpx.Client, last_day: date) -> dict[str, Any]:
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": last_day.isoformat()}))
    until = time.monotonic() + 30
    while job["status"] != "COMPLETE":
        assert time.monotonic() < until, job
        time.sleep(0.05)
        job = read(http.get(f"/billjobs/{job['id']}"))
    found: dict[str, Any] = read(http.get(f"/bills/{job['billIds'][0]}"))
    return found


def use(shop: Storefront, uid: str, ts: str, number: int) -> None:
    shop.measure({**FIELDS, "uid": uid, "ts": ts, "measure": {"bytes": number}})


def test_a_bill_waits_for_late_usage_before_it_is_approved(http: httpx.Client, shop: Storefront) -> None:
    """The month before this one ended a month ago at most; 1,000 hours are longer than that."""
    last_day = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    use(shop, "one", f"{last_day}T12:00:00Z", 4)
    bill = bill_until(http, last_day)
    policy = f"/latepolicies/{shop.ids['/latepolicies']}"
    read(send(http, "PUT", policy, {**shop.body("/latepolicies"), "graceHours": 1000}))
    for method, path, body in (
        ("POST", "/bills/approve", {"billIds": [bill["id"]]}),
        ("PUT", f"/bills/{bill['id']}/status", {"status": "APPROVED"}),
    ):
        reply = refused(send(http, method, path, body))
        assert reply["code"] == "bill_waits"
        assert "waits for late usage: it can be approved from" in reply["message"]
    by_account = {"accountIds": shop.ids["/accounts"]}
    assert "0 bills" in read(http.post("/bills/approve", params=by_account, content=b"{}"))["message"]
    read(send(http, "PUT", policy, {**shop.body("/latepolicies"), "graceHours": 0}))
    assert "1 bills" in read(http.post("/bills/approve", params=by_account, content=b"{}"))["message"]


def test_the_report_names_what_came_late_and_where_it_was_billed(
    organization: Tenant,
    http: httpx.Client,
    shop: Storefront,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All of January 2025 comes late by now: 40 bytes before the bill, 8 after it is locked, at 0.25 each."""
    use(shop, "one", "2025-01-10T00:00:00Z", 40)
    january = bill_until(http, date(2025, 1, 31))
    (row,) = read(http.get(f"/bills/{january['id']}/lateusage"))["data"]
    assert (row["late"], row["afterBill"], row["outcome"], row["adjustedOn"]) == (1, 0, "ON_THE_BILL", [])
    read(send(http, "POST", "/bills/approve", {"billIds": [january["id"]]}))
    read(http.put(f"/bills/{january['id']}/lock"))
    use(shop, "two", "2025-01-20T00:00:00Z", 8)
    february = bill_until(http, date(2025, 2, 28))
    (row,) = read(http.get("/lateusage", params={"billDateEnd": "2025-02-01"}))["data"]
    assert (row["billId"], row["late"], row["afterBill"], row["outcome"]) == (january["id"], 2, 1, "ADJUSTED")
    assert row["adjustedOn"] == [{"billId": february["id"], "amount": 2}]
    assert read(http.get("/lateusage", params={"billDateStart": "2025-02-02"}))["data"] == []
    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)
    assert run(["late", "acme"]) == 0
    assert f"ADJUSTED: 2.00 on {february['id']}" in capsys.readouterr().out.replace("\n", " ")


def test_policies_are_one_for_each_meter_and_one_for_the_organisation(http: httpx.Client, shop: Storefront) -> None:
    assert refused(send(http, "POST", "/latepolicies", shop.body("/latepolicies")))["field"] == "meterId"
    read(send(http, "POST", "/latepolicies", {"onClosedBill": "REPORT"}))
    assert "a policy without meterId" in refused(send(http, "POST", "/latepolicies", {}))["message"]
    moved = f"/latepolicies/{shop.ids['/latepolicies']}"
    assert refused(send(http, "PUT", moved, {"graceHours": 1}))["field"] == "meterId"
