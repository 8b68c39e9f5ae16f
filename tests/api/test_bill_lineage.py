"""From a bill down to its measurements over HTTP, and what changed since the bill before."""

from __future__ import annotations

import httpx
from m3ter import M3ter
from storefront import Storefront, read, refused
from test_late_usage_wire import billed, used


def test_a_line_leads_to_its_days_and_its_measurements(client: M3ter, http: httpx.Client) -> None:
    shop = Storefront(http)
    for uid, ts, amount in (
        ("a", "2025-01-10T00:00:00Z", 40),
        ("b", "2025-01-10T23:59:59Z", 2),
        ("c", "2025-01-31", 8),
    ):
        used(shop, uid, ts, amount)
    bill = billed(client, "2025-01-31")
    (line,) = [each for each in bill.line_items if each.line_item_type == "USAGE"]
    used(shop, "late", "2025-01-20", 1000)
    days = read(http.get(f"/bills/{bill.id}/lineitems/{line.id}/days"))
    (one,) = days["inputs"]
    shown = {each["day"]: (each["total"], each["measurements"]) for each in one["days"] if each["measurements"]}
    assert shown == {"2025-01-10": (42, 2), "2025-01-31": (8, 1)}
    assert (one["total"], one["addsUp"], one["method"]) == (50, True, "SUM")
    path = f"/bills/{bill.id}/lineitems/{line.sequence_number}/measurements"
    first = read(http.get(path, params={"pageSize": 2}))
    rest = read(http.get(path, params={"pageSize": 2, "nextToken": first["nextToken"]}))
    assert [each["uid"] for each in first["data"] + rest["data"]] == ["c", "b", "a"]
    assert first["data"][0]["fields"] == {"bytes": 8, "region": "eu", "file": "a"}
    assert "nextToken" not in rest
    day = read(http.get(path, params={"day": "2025-01-10"}))["data"]
    assert [each["uid"] for each in day] == ["b", "a"]
    assert refused(http.get(path, params={"input": 2}), 404)["field"] == "input"
    assert refused(http.get(path, params={"nextToken": "x"}))["code"] == "invalid_page"


def test_a_bill_says_what_changed_since_the_one_before(client: M3ter, http: httpx.Client) -> None:
    """January: 20.00 and 40 bytes at 0.25 are 30.00. February: 20.00 and 60 bytes are 35.00."""
    shop = Storefront(http)
    used(shop, "a", "2025-01-10T00:00:00Z", 40)
    used(shop, "b", "2025-02-10T00:00:00Z", 60)
    january, february = billed(client, "2025-01-31"), billed(client, "2025-02-28")
    found = read(http.get(f"/bills/{february.id}/comparison"))
    assert (found["billBeforeId"], found["totalBefore"], found["difference"]) == (january.id, 30, 5)
    assert found["sentence"] == (
        "Up 17% (+5.00 USD) against 2025-01-01 to 2025-01-31: 20 more By of Bytes stored (+5.00 USD)."
    )
    assert [(part["kind"], part["amount"], part["unitsNow"]) for part in found["parts"]] == [("VOLUME", 5, 60)]
    assert read(http.get(f"/bills/{january.id}/comparison"))["parts"] == []
