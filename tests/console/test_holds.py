"""Held bills in the console: seen where bills are, released with a reason; and the policy that holds them."""

from __future__ import annotations

import time
from datetime import date, timedelta

import httpx
import pytest
from storefront import Storefront, read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

HOSTILE = "<b>why</b>"
WHY = "SUM of bytes was 400 on 2025-01-25, usually 10"


@pytest.fixture
def bill(http: httpx.Client, admin: Visitor) -> str:
    """The bill of a January with ten bytes a day, and forty times as many on the 25th, held by a policy."""
    shop = Storefront(http)
    account = shop.ids["/accounts"]
    ticked = {"times": "3", "leastMeasurements": "50", "alertFor": "SPIKE", "holdFor": "SPIKE", "accountId": account}
    policy = read(http.get("/anomalypolicies"))["data"][0]
    admin.post("/settings/anomalies", {**ticked, "version": str(policy["version"])})
    days = [date(2025, 1, 1) + timedelta(days=each) for each in range(31)]
    fields = {"meter": "traffic", "account": "acme", "where": {"region": "eu"}, "metadata": {"file": "a"}}
    shop.measure(
        *(
            {"uid": f"{day}", "ts": f"{day}T12:00:00Z", "measure": {"bytes": 400 if day.day == 25 else 10}, **fields}
            for day in days
        )
    )
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}))
    until = time.monotonic() + 30
    while job["status"] != "COMPLETE":
        assert time.monotonic() < until, job
        time.sleep(0.05)
        job = read(http.get(f"/billjobs/{job['id']}"))
    return str(job["billIds"][0])


def test_a_held_bill_is_seen_everywhere_and_released_with_a_reason(
    bill: str, admin: Visitor, organization: Tenant
) -> None:
    page = admin.get(f"/bills/{bill}")
    assert WHY in page
    assert ">Approve<" not in page
    listed = admin.get("/bills")
    assert "Held</span>" in listed
    assert f'value="{bill}"' not in listed, "it cannot be chosen for approval"
    assert WHY in admin.get("/holds")
    assert f"/bills/{bill}" in admin.get("/holds")
    assert "Spike" in admin.get("/anomalies?kind=SPIKE&from=2025-01-25&to=2025-01-25")
    assert "Nothing was out of the ordinary" in admin.get("/anomalies?kind=SPIKE&to=2025-01-24")
    assert "is held since" in admin.post(f"/bills/{bill}/approve", status=422)
    reader = signed_in(organization, Role.READ_ONLY)
    assert "Release</button>" not in reader.get(f"/bills/{bill}")
    assert reader.send(f"/bills/{bill}/release", {"reason": "BUG"}).status_code == 403

    released = admin.post(f"/bills/{bill}/release", {"reason": "GROWTH", "note": HOSTILE})
    assert "The bill is released." in released
    assert "&lt;b&gt;why&lt;/b&gt;" in released
    assert HOSTILE not in released
    assert "Growth" in admin.get("/holds?state=RELEASED")
    assert "No bill is held." in admin.get("/holds")
    assert "The bill is approved." in admin.post(f"/bills/{bill}/approve")


def test_people_hold_bills(bill: str, admin: Visitor) -> None:
    admin.post(f"/bills/{bill}/release", {"reason": "BUG"})
    assert "note: is needed" in admin.post(f"/bills/{bill}/hold", {}, status=422)
    held = admin.post(f"/bills/{bill}/hold", {"note": HOSTILE})
    assert "&lt;b&gt;why&lt;/b&gt;" in held
    assert "Release</button>" in held


def test_the_policy_of_the_organisation_and_of_an_account(bill: str, admin: Visitor, http: httpx.Client) -> None:
    assert "Acme</a>" in admin.get("/settings/anomalies"), "the account with a policy of its own is named"
    wrong = admin.post("/settings/anomalies", {"times": "1", "leastMeasurements": "50"}, status=422)
    assert "times: must be from 1.1" in wrong
    saved = {"times": "4.5", "leastMeasurements": "9", "alertFor": ["SPIKE", "FAILURES"], "holdFor": ["FAILURES"]}
    assert "The policy is saved." in admin.post("/settings/anomalies", saved)
    own = next(each for each in read(http.get("/anomalypolicies"))["data"] if not each.get("accountId"))
    assert (own["times"], own["alertFor"], own["holdFor"]) == (read(http.get("/anomalypolicies/inforce"))["times"], [
        "SPIKE", "FAILURES"], ["FAILURES"])  # fmt: skip
    account = read(http.get("/accounts"))["data"][0]["id"]
    of_account = next(each for each in read(http.get("/anomalypolicies"))["data"] if each.get("accountId"))
    page = admin.post(f"/anomalypolicies/{of_account['id']}/delete")
    assert "no policy of its own" in page
    assert 'value="4.5"' in admin.get(f"/settings/anomalies?accountId={account}")
    admin.get("/settings/anomalies?accountId=00000000-0000-4000-8000-000000000000", status=404)
