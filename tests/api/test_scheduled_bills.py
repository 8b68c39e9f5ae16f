"""Bills that the running server makes and approves by the clock, seen with the official client."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import httpx
from m3ter import M3ter
from storefront import Storefront, read, send

SECONDS = 20


def configure(http: httpx.Client, **changes: Any) -> dict[str, Any]:
    config = read(http.get("/organizationconfig"))
    kept = {name: value for name, value in config.items() if not name.startswith("dt") and name != "id"}
    changed: dict[str, Any] = read(send(http, "PUT", "/organizationconfig", {**kept, **changes}))
    return changed


def test_the_server_bills_by_itself_and_approves_after_the_grace_period(client: M3ter, http: httpx.Client) -> None:
    """Hourly runs: today's slot makes yesterday's bill, and a grace period of a minute is over since midnight."""
    shop = Storefront(http)
    account = shop.ids["/accounts"]
    today = datetime.now(UTC).date()
    daily = client.plan_templates.create(
        product_id=shop.ids["/products"],
        name="Daily",
        code="daily",
        currency="USD",
        bill_frequency="DAILY",
        standing_charge=3,
    )
    plan = client.plans.create(plan_template_id=daily.id, name="Daily", code="daily")
    configure(http, allowOverlappingPlans=True)
    client.account_plans.create(account_id=account, plan_id=plan.id, start_date="2025-01-01T00:00:00Z")
    said = configure(
        http,
        scheduledBillInterval=1,
        autoApproveBillsGracePeriod=1,
        autoApproveBillsGracePeriodUnit="MINUTES",
        lateUsage="ADJUST_NEXT_BILL",
    )
    assert said["lateUsage"] == "ADJUST_NEXT_BILL"
    deadline = time.monotonic() + SECONDS
    found: list[Any] = []
    while time.monotonic() < deadline and not [bill for bill in found if bill.status == "APPROVED"]:
        found = client.bills.list(billing_frequency="DAILY").data
        time.sleep(0.2)
    assert {bill.bill_total for bill in found} == {3}
    assert today in {bill.end_date for bill in found}
    assert {bill.approved_by for bill in found if bill.end_date == today} == {"scheduler"}
    jobs = client.bill_jobs.list().data
    assert len(jobs) in {1, 2}, "one job for a slot; two when the hour changed during the test"
    assert {job.created_by for job in jobs} == {"scheduler"}
