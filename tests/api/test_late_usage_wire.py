"""A measurement for a month whose bill is locked, seen with the official client: the next bill has it."""

from __future__ import annotations

import time
from typing import Any

import httpx
from m3ter import M3ter
from storefront import Storefront, read

from tallystick.core import wire


def used(shop: Storefront, uid: str, ts: str, amount: int) -> None:
    member = {"uid": uid, "meter": "traffic", "account": "acme", "ts": ts, "measure": {"bytes": amount}}
    shop.measure({**member, "where": {"region": "eu"}, "metadata": {"file": "a"}})


def billed(client: M3ter, last_day: str) -> Any:
    """The bill of the period that ends with a day."""
    job = client.bill_jobs.create(last_date_in_billing_period=last_day)
    while job.status not in {"COMPLETE", "CANCELLED"}:
        time.sleep(0.05)
        job = client.bill_jobs.retrieve(job.id)
    (id_,) = job.bill_ids or []
    return client.bills.retrieve(id_)


def test_late_usage_of_a_locked_bill_stands_on_the_next_one(client: M3ter, http: httpx.Client) -> None:
    """January: 20.00 and 40 bytes at 0.25, locked. Then 8 more bytes of January: February has 20.00 and 2.00."""
    shop = Storefront(http)
    used(shop, "u1", "2025-01-10T00:00:00Z", 40)
    january = billed(client, "2025-01-31")
    assert january.bill_total == 30
    client.bills.approve(bill_ids=[january.id])
    client.bills.lock(january.id)
    used(shop, "u2", "2025-01-20T00:00:00Z", 8)
    february = billed(client, "2025-02-28")
    assert february.bill_total == 22
    (line,) = [each for each in february.line_items if each.line_item_type == "MANUAL_ADJUSTMENT"]
    assert line.description == "Bytes stored, adjustment for 2025-01-01 to 2025-01-31"
    assert line.subtotal == 2
    assert (line.referenced_bill_id, line.service_period_start_date.isoformat()[:10]) == (january.id, "2025-01-01")
    for bill in (january, february):
        assert read(http.get(f"/bills/{bill.id}/verification"))["verified"] is True
    explained = wire.encode(read(http.get(f"/bills/{february.id}/explanation"))).decode()
    assert "comes to 12.00 now, less 10.00 billed, which is 2.00 USD" in explained
