"""A spike holds a bill on the running server, and somebody releases it: step by step, with the official client."""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from m3ter import M3ter
from storefront import NOWHERE, Storefront, read, refused, send

SPIKE_DAY = date(2025, 1, 25)
HOLD = {"holdFor": ["SPIKE", "DROP_TO_ZERO"]}


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    """Ten bytes a day in January, and forty times as many on one day."""
    shop = Storefront(http)
    days = [date(2025, 1, 1) + timedelta(days=each) for each in range(31)]
    shop.measure(
        *(
            {
                "uid": f"{day}",
                "meter": "traffic",
                "account": "acme",
                "ts": f"{day}T12:00:00Z",
                "measure": {"bytes": 400 if day == SPIKE_DAY else 10},
                "where": {"region": "eu"},
                "metadata": {"file": "a"},
            }
            for day in days
        )
    )
    return shop


def january(client: M3ter) -> Any:
    """The bill of January."""
    job = client.bill_jobs.create(last_date_in_billing_period="2025-01-31")
    while job.status not in {"COMPLETE", "CANCELLED"}:
        time.sleep(0.05)
        job = client.bill_jobs.retrieve(job.id)
    (id_,) = job.bill_ids or []
    return client.bills.retrieve(id_)


def policy(http: httpx.Client, shop: Storefront, **more: object) -> None:
    path = f"/anomalypolicies/{shop.ids['/anomalypolicies']}"
    read(send(http, "PUT", path, {"accountId": shop.ids["/accounts"], **more}))


def events(http: httpx.Client, name: str, **more: str) -> list[dict[str, Any]]:
    return [each["m3terEvent"] for each in read(http.get("/events", params={"eventName": name, **more}))["data"]]


def test_a_forty_fold_spike_holds_a_bill_until_it_is_released(
    client: M3ter, http: httpx.Client, shop: Storefront
) -> None:
    """20.00 and 30 × 10 + 400 bytes at 0.25: 195.00, which nobody approves before somebody has looked."""
    policy(http, shop, **HOLD)
    bill = january(client)
    assert (bill.bill_total, bill.status) == (195, "PENDING")
    hold = read(http.get(f"/bills/{bill.id}/hold"))
    (found,) = hold["anomalies"]
    assert (hold["state"], hold["heldBy"]) == ("HELD", "anomalies")
    assert (found["kind"], found["day"], found["measured"], found["usual"]) == ("SPIKE", "2025-01-25", 400, 10)
    assert (found["method"], found["field"], found["accountId"]) == ("SUM", "bytes", shop.ids["/accounts"])

    # Nothing approves it: not by name, not by day, not by status, and it cannot be locked.
    for method, path, body in (
        ("POST", "/bills/approve", {"billIds": [bill.id]}),
        ("PUT", f"/bills/{bill.id}/status", {"status": "APPROVED"}),
        ("PUT", f"/bills/{bill.id}/lock", None),
    ):
        reply = refused(send(http, method, path, body) if body else http.request(method, path))
        assert reply["code"] == "bill_held", path
        assert "SUM of bytes was 400 on 2025-01-25, usually 10" in reply["message"]
    by_day = {"accountIds": shop.ids["/accounts"]}
    assert read(http.post("/bills/approve", params=by_day, content=b"{}"))["message"] == "0 bills are APPROVED"
    assert client.bills.retrieve(bill.id).status == "PENDING"

    # A run over it again leaves it held, and tells of it no second time.
    assert january(client).id == bill.id
    assert [each["billId"] for each in read(http.get("/billholds", params={"state": "HELD"}))["data"]] == [bill.id]

    assert refused(send(http, "POST", f"/bills/{bill.id}/release", {"reason": "BECAUSE"}))["field"] == "reason"
    lifted = read(send(http, "POST", f"/bills/{bill.id}/release", {"reason": "GROWTH", "note": "launch day"}))
    assert (lifted["state"], lifted["releases"][0]["reason"], lifted["releases"][0]["note"]) == (
        "RELEASED",
        "GROWTH",
        "launch day",
    )
    assert refused(send(http, "POST", f"/bills/{bill.id}/release", {"reason": "BUG"}))["code"] == "bill_state"
    january(client)  # what was released does not hold it again
    client.bills.approve(bill_ids=[bill.id])
    client.bills.lock(bill.id)
    assert client.bills.retrieve(bill.id).locked

    told = [events(http, name, resourceId=bill.id) for name in ("bill.held", "bill.released")]
    assert [[each["reason"] for each in one] for one in told] == [
        ["SUM of bytes was 400 on 2025-01-25, usually 10"],
        ["GROWTH"],
    ]
    assert [each["kind"] for each in events(http, "anomaly.found")] == ["SPIKE"]
    entries = read(http.get("/audit", params={"entityType": "billhold", "entityId": bill.id}))["data"]
    assert [each["action"] for each in entries] == ["UPDATE", "HOLD"]
    changed = {each["field"]: each.get("after") for each in entries[0]["changes"]}
    assert changed["state"] == "RELEASED"


def test_without_a_policy_that_holds_a_spike_is_told_of_and_the_bill_goes_on(
    client: M3ter, http: httpx.Client, shop: Storefront
) -> None:
    bill = january(client)
    assert http.get(f"/bills/{bill.id}/hold").status_code == 404
    client.bills.approve(bill_ids=[bill.id])


def test_people_hold_bills_and_release_them(client: M3ter, http: httpx.Client, shop: Storefront) -> None:
    bill = january(client)
    assert refused(send(http, "POST", f"/bills/{bill.id}/hold", {"note": ""}))["field"] == "note"
    hold = read(send(http, "POST", f"/bills/{bill.id}/hold", {"note": "the customer asked"}))
    assert (hold["state"], hold["note"]) == ("HELD", "the customer asked")
    assert (
        "the customer asked"
        in refused(send(http, "PUT", f"/bills/{bill.id}/status", {"status": "APPROVED"}))["message"]
    )
    read(send(http, "POST", f"/bills/{bill.id}/release", {"reason": "BUG"}))
    client.bills.approve(bill_ids=[bill.id])
    assert refused(send(http, "POST", f"/bills/{bill.id}/hold", {"note": "too late"}))["code"] == "bill_state"
    assert http.post(f"/bills/{NOWHERE}/hold", content=b'{"note": "x"}').status_code == 404


def test_policies_are_one_for_each_account_and_one_for_the_organisation(http: httpx.Client, shop: Storefront) -> None:
    account = shop.ids["/accounts"]
    assert refused(send(http, "POST", "/anomalypolicies", {"accountId": account}))["field"] == "accountId"
    read(send(http, "POST", "/anomalypolicies", {"holdFor": ["FAILURES"], "times": 4}))
    assert "a policy without accountId" in refused(send(http, "POST", "/anomalypolicies", {}))["message"]
    in_force = "/anomalypolicies/inforce"
    assert read(http.get(in_force))["times"] == 4
    assert read(http.get(in_force, params={"accountId": account}))["times"] == 5
    assert read(http.get(in_force, params={"accountId": NOWHERE}))["holdFor"] == ["FAILURES"]
    moved = {**shop.body("/anomalypolicies"), "accountId": None}
    path = f"/anomalypolicies/{shop.ids['/anomalypolicies']}"
    assert refused(send(http, "PUT", path, moved))["field"] == "accountId"
