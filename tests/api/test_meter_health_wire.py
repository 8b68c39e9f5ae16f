"""Meter health on the running server, over HTTP, from the command line and on its pages; and an exclusion rule."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from storefront import Storefront, read, refused, send

from tallystick.cli.main import run
from tenant import Tenant

RULE = "region == 'test'"


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    """Three calls of yesterday, one of them from a test, one sent twice; one fails, one is of a meter nobody knows."""
    shop = Storefront(http)
    read(send(http, "PUT", f"/meters/{shop.ids['/meters']}", {**shop.body("/meters"), "excludeFilter": RULE}))
    ts = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    fields: dict[str, Any] = {"meter": "traffic", "account": "acme", "ts": ts, "measure": {"bytes": 4}}

    def sent(uid: str, region: str = "eu", **more: object) -> dict[str, Any]:
        return {**fields, "uid": uid, "where": {"region": region}, "metadata": {"file": "a"}, **more}

    members = [sent("a"), sent("b"), sent("t", "test"), sent("a"), sent("x", measure={}), sent("n", meter="nobody")]
    http.post("/measurements", json={"measurements": members})
    return shop


def health(http: httpx.Client, shop: Storefront, **query: str) -> dict[str, Any]:
    """Once all is projected."""
    until = time.monotonic() + 30
    while True:
        found: dict[str, Any] = read(http.get(f"/meters/{shop.ids['/meters']}/health", params=query))
        if found["measurements"] == 3:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.05)


def test_health_over_http(http: httpx.Client, shop: Storefront) -> None:
    found = health(http, shop, sourceField="region")
    assert (found["excluded"], found["duplicates"], found["conflicts"], found["failures"]) == (1, 1, 0, 1)
    assert (found["unattributed"], found["unbilled"], found["missingDays"]) == (0, 0, [])
    assert found["definition"] == (
        "Takes measurements with the number Bytes (By) and the texts Region and File, without those where "
        "region == 'test'."
    )
    assert 23 * 3_600_000 < found["drift"]["median"] < 25 * 3_600_000
    assert [(each["source"], each["measurements"]) for each in found["sources"]] == [("eu", 2), ("test", 1)]
    (listed,) = read(http.get("/meterhealth", params={"codes": "traffic"}))["data"]
    assert (listed["measurements"], listed["excluded"]) == (3, 1)
    assert refused(http.get(f"/meters/{shop.ids['/meters']}/health?sourceField=bytes"))["field"] == "sourceField"


def test_what_is_excluded_is_on_no_bill_and_says_so(http: httpx.Client, shop: Storefront) -> None:
    """Two of the three calls of 4 bytes at 0.25 each, and 20.00: the third is from a test."""
    health(http, shop)
    preview = read(send(http, "POST", "/bills/preview", {"accountIds": [shop.ids["/accounts"]]}))
    today = datetime.now(UTC)
    if today.day > 1:  # yesterday is of the period that is open
        assert preview["billTotal"] == 22
    wrong = {**shop.body("/meters"), "excludeFilter": "bytes + 1"}
    reply = refused(send(http, "PUT", f"/meters/{shop.ids['/meters']}", wrong))
    assert (reply["field"], reply["code"]) == ("excludeFilter", "rule_broken")


def test_health_from_the_command_line(
    organization: Tenant,
    http: httpx.Client,
    shop: Storefront,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    health(http, shop)
    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)
    assert run(["meter", "health", "traffic", "--source", "region"]) == 0
    said = capsys.readouterr().out
    assert "2 of eu" in said
    assert run(["meter", "health"]) == 0
    assert run(["meter", "list"]) == 0
    assert "Takes measurements with the number Bytes" in capsys.readouterr().out
    assert run(["meter", "health", "nobody"]) == 1
