"""Late usage in the console: where it was billed, and the policies of the organisation and of meters."""

from __future__ import annotations

import time

import httpx
from storefront import Storefront, read, send
from visitor import Visitor


def test_the_report_and_the_policies(admin: Visitor, http: httpx.Client) -> None:
    shop = Storefront(http)
    assert "Nothing came late" in admin.get("/late")
    fields = {"meter": "traffic", "account": "acme", "where": {"region": "eu"}, "metadata": {"file": "a"}}
    shop.measure({**fields, "uid": "one", "ts": "2025-01-10T00:00:00Z", "measure": {"bytes": 40}})
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}))
    until = time.monotonic() + 30
    while job["status"] != "COMPLETE":
        assert time.monotonic() < until, job
        time.sleep(0.05)
        job = read(http.get(f"/billjobs/{job['id']}"))
    page = admin.get("/late")
    assert "on the bill" in page
    assert f"/bills/{job['billIds'][0]}" in page
    assert "Nothing came late" in admin.get("/late?from=2025-02-02")

    meter = shop.ids["/meters"]
    assert "has a policy of its own" in admin.get("/settings/late")
    saved = admin.post("/settings/late", {"graceHours": "24", "allowanceMinutes": "5", "onClosedBill": "REPORT"})
    assert "The policy is saved." in saved
    assert 'value="24"' in saved
    wrong = admin.post("/settings/late", {"graceHours": "-1"}, status=422)
    assert "graceHours: must be a whole number" in wrong
    policy = next(each for each in read(http.get("/latepolicies"))["data"] if each.get("meterId"))
    assert 'value="60"' in admin.get(f"/settings/late?meterId={meter}")
    page = admin.post(f"/latepolicies/{policy['id']}/delete")
    assert "no policy of its own" in page
    assert 'value="24"' in page, "the organisation's holds"
