"""Spend alerts on the running server: the worker fires them from the same estimate that a preview answers."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from storefront import Storefront, read, refused, send

SECONDS = 120  # a server of many organisations asks each in turn
USED = {"meter": "traffic", "account": "acme", "where": {"region": "eu"}, "metadata": {"file": "a.txt"}}


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    return Storefront(http)


def use(shop: Storefront, uid: str, quantity: int) -> None:
    shop.measure({**USED, "uid": uid, "ts": datetime.now(UTC).isoformat(), "measure": {"bytes": quantity}})


def events(http: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(http.get("/events", params={"eventName": "spendalert.fired"}))["data"]
    return found


def fired(http: httpx.Client, alert: str) -> dict[str, Any]:
    until = time.monotonic() + SECONDS
    while (shown := read(http.get(f"/spendalerts/{alert}")))["armed"]:
        assert time.monotonic() < until, shown
        time.sleep(0.1)
    return dict(shown)


def test_an_alert_fires_once_from_what_a_preview_says(http: httpx.Client, shop: Storefront) -> None:
    """A standing charge of 20 and 400 units at 0.25 are 120.00; the thresholds are 120 and 120.01."""
    at, above = (
        read(
            send(
                http, "POST", "/spendalerts", shop.body("/spendalerts", type="SPEND_ABOVE", balanceId=None, threshold=t)
            )
        )
        for t in ("120", "120.01")
    )
    assert (at["currency"], at["armed"], "firedAt" in at) == ("USD", True, False)
    use(shop, "first", 400)
    preview = read(send(http, "POST", "/bills/preview", {"accountIds": [shop.ids["/accounts"]]}))
    assert preview["billTotal"] == 120
    shown = fired(http, at["id"])
    assert shown["firedValue"] == preview["billTotal"]
    (event,) = events(http)
    told = event["m3terEvent"]
    assert (told["alertId"], told["accountId"], told["threshold"], told["value"]) == (
        at["id"],
        shop.ids["/accounts"],
        120,
        120,
    )
    assert event["eventTime"] == shown["firedAt"]
    use(shop, "second", 4)  # 121.00: the other alert fires too, the first not again
    fired(http, above["id"])
    assert [each["m3terEvent"]["alertId"] for each in events(http)] == [above["id"], at["id"]]
    types = read(http.get("/events/fields", params={"eventName": "spendalert.fired"}))["events"]
    assert {f"new.{name}" for name in told} - {"new.eventName"} <= types["spendalert.fired"].keys()


def test_a_forecast_names_its_method(http: httpx.Client, shop: Storefront) -> None:
    """400 units at 0.25 and a standing charge of 20 are 120.00 so far; at this pace it is no less."""
    use(shop, "first", 400)
    until = time.monotonic() + SECONDS
    path = f"/accounts/{shop.ids['/accounts']}/forecast"
    while (found := read(http.get(path)))["periods"][0]["soFar"] != 120:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    (period,) = found["periods"]
    assert (found["method"], found["problems"], period["currency"]) == ("PACE", [], "USD")
    assert period["forecast"] is None or period["forecast"] >= 120


def test_what_an_alert_may_be_about(http: httpx.Client, shop: Storefront) -> None:
    other = read(send(http, "POST", "/accounts", shop.body("/accounts", code="other")))["id"]
    for changes, field in (
        ({"accountId": other}, "balanceId"),
        ({"currency": "USD"}, "currency"),
        ({"type": "SPEND_ABOVE"}, "balanceId"),
        ({"balanceId": None, "currency": "XXX"}, "currency"),
        (
            {
                "accountId": other,
                "type": "COMMITMENT_ABOVE",
                "balanceId": None,
                "commitmentId": shop.ids["/commitments"],
            },
            "commitmentId",
        ),
    ):
        reply = refused(send(http, "POST", "/spendalerts", shop.body("/spendalerts", **changes)))
        assert reply["field"] == field
    alert = read(http.get(f"/spendalerts/{shop.ids['/spendalerts']}"))
    assert alert["currency"] == "TOK", "the balance's own"
    moved = {**shop.body("/spendalerts", accountId=other), "balanceId": None}
    assert refused(send(http, "PUT", f"/spendalerts/{alert['id']}", moved))["field"] == "accountId"
    for _ in range(19):
        read(send(http, "POST", "/spendalerts", shop.body("/spendalerts")))
    assert "20 alerts" in refused(send(http, "POST", "/spendalerts", shop.body("/spendalerts")))["message"]
