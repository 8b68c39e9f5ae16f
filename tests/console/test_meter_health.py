"""Meter health in the console, and an exclusion rule typed on the form of a meter."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx
from storefront import Storefront, read, send
from visitor import Visitor


def test_health_pages_and_the_exclusion_rule(admin: Visitor, http: httpx.Client) -> None:
    shop = Storefront(http)
    meter = shop.ids["/meters"]
    version = str(read(http.get(f"/meters/{meter}"))["version"])
    form = {
        "name": "Traffic",
        "code": "traffic",
        "productId": shop.ids["/products"],
        "version": version,
        "fieldCode": ["bytes", "region", "file"],
        "fieldName": ["Bytes", "Region", "File"],
        "fieldCategory": ["MEASURE", "WHERE", "METADATA"],
        "fieldUnit": ["By", "", ""],
        "excludeFilter": "region == 'test' AND bytes > 0",
    }
    admin.get(f"/meters/{meter}/edit")
    saved = admin.post(f"/meters/{meter}/edit", form)
    assert "without those where region == &#39;test&#39; AND bytes &gt; 0" in saved
    ts = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    fields = {"meter": "traffic", "account": "acme", "ts": ts, "measure": {"bytes": 4}, "metadata": {"file": "a"}}
    members = [{**fields, "uid": uid, "where": {"region": region}} for uid, region in (("a", "eu"), ("t", "test"))]
    read(send(http, "POST", "/measurements", {"measurements": members}))
    until = time.monotonic() + 30
    while "<data" not in (page := admin.get(f"/meters/{meter}/health?sourceField=region")) or ">eu<" not in page:
        assert time.monotonic() < until, page[-2000:]
        time.sleep(0.05)
    assert "by the meter" in page
    assert "Every measurement has the declared fields" in page
    listed = admin.get("/meters/health")
    assert f"/meters/{meter}/health" in listed
    assert "has no text field" in admin.get(f"/meters/{meter}/health?sourceField=bytes", status=400)
    wrong = {**form, "version": "2", "excludeFilter": "bytes"}
    assert "must be true or false" in admin.post(f"/meters/{meter}/edit", wrong, status=422)
