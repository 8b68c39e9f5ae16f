"""Rollouts and insights in the console: set up with forms, and what they have come to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from storefront import BANDS, FIELDS, Storefront, read, send
from visitor import Visitor

from tenant import Tenant

Shop = tuple[Storefront, str]


@pytest.fixture
def shop(organization: Tenant) -> Iterator[Shop]:
    """January of acme: 20.00 and 40 bytes at 0.25, 30.00; each byte costs 0.1. Another plan: 20.00 and 0.5 a byte."""
    with organization.http() as http:
        shop = Storefront(http)
        spent = {"code": "spent", "name": "Spent", "category": "COST", "unit": "USD"}
        meter = shop.body("/meters", dataFields=[*FIELDS, spent])
        read(send(http, "PUT", f"/meters/{shop.ids['/meters']}", meter))
        one = {"uid": "u1", "meter": "traffic", "account": "acme", "ts": "2025-01-10T12:00:00Z", "cost": {"spent": 4}}
        shop.measure(one | {"measure": {"bytes": 40}, "where": {"region": "eu"}, "metadata": {"file": "a"}})
        other = str(shop.make("/plans", code="other", name="Other")["id"])
        shop.make("/pricings", planId=other, pricingBands=[BANDS[0] | {"unitPrice": Decimal("0.5")}])
        yield shop, other


def billed(shop: Storefront) -> None:
    job = read(send(shop.http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}))
    eventually(lambda: read(shop.http.get(f"/billjobs/{job['id']}"))["status"] == "COMPLETE")


def eventually(ask: Callable[[], Any]) -> Any:
    until = time.monotonic() + 30
    while not (found := ask()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)
    return found


def values(page: str) -> list[str]:
    return re.findall(r'data-value="([^"]+)"', page[page.index("<main") :])


def test_a_shadow_plan_is_set_up_watched_and_switched(admin: Visitor, shop: Shop) -> None:
    store, other = shop
    admin.get("/shadowplans/new")
    typed = {"name": "Next prices", "code": "next", "planId": store.ids["/plans"], "shadowPlanId": other}
    page = admin.post("/shadowplans", {**typed, "startDate": "2025-01-01", "accounts": "nobody"}, status=422)
    assert "there is no account with the code" in page
    admin.post("/shadowplans", {**typed, "startDate": "2025-01-01", "accounts": "acme"})
    (made,) = read(store.http.get("/shadowplans"))["data"]
    billed(store)
    eventually(lambda: read(store.http.get(f"/shadowplans/{made['id']}/bills"))["data"])
    page = admin.get(f"/shadowplans/{made['id']}")
    assert values(page)[:3] == ["30", "40", "10"]
    assert "Margin, shadow" in page
    assert "<svg" in page
    assert "Next prices" in admin.get("/rollouts")
    page = admin.post(f"/shadowplans/{made['id']}", {"version": "1", "switchDate": "2025-06-01"})
    eventually(lambda: read(store.http.get(f"/shadowplans/{made['id']}/moves"))["data"])
    assert "1 went over" in admin.get(f"/shadowplans/{made['id']}")
    admin.post(f"/shadowplans/{made['id']}/delete", {})
    assert read(store.http.get("/shadowplans"))["data"] == []


def test_an_experiment_and_its_outcome(admin: Visitor, shop: Shop) -> None:
    store, other = shop
    admin.get("/experiments/new")
    typed = {"name": "Spring", "code": "spring", "startDate": "2025-01-01"}
    variants = {"variant1": "now", "planId1": store.ids["/plans"], "weight1": "1"}
    variants |= {"variant2": "next", "planId2": other, "weight2": "1000000"}
    assert "weight2" in admin.post("/experiments", {**typed, **variants, "weight2": "0"}, status=422)
    admin.post("/experiments", {**typed, **variants})
    (made,) = read(store.http.get("/experiments"))["data"]
    store.make("/accounts", code="newcomer")
    eventually(lambda: read(store.http.get(f"/experiments/{made['id']}/assignments"))["data"])
    page = admin.get(f"/experiments/{made['id']}")
    assert "newcomer" in page
    assert values(page)[:6] == ["1", "0", "0", "1000000", "1", "0"]  # weight, accounts, churned of each
    admin.post(f"/experiments/{made['id']}/delete", {})


def test_a_migration_is_looked_at_and_then_made(admin: Visitor, shop: Shop) -> None:
    store, other = shop
    admin.get("/planmigrations/new")
    typed = {"name": "To other", "code": "m", "fromPlanId": store.ids["/plans"], "toPlanId": other}
    typed |= {"renewal": "BILLING_PERIOD", "notBefore": "2090-01-15", "accounts": "acme"}
    page = admin.post("/planmigrations", {**typed, "look": "1"})
    assert "Who would be moved" in page
    assert "acme" in page
    assert read(store.http.get("/planmigrations"))["data"] == []
    admin.post("/planmigrations", typed)
    (made,) = read(store.http.get("/planmigrations"))["data"]
    (moved,) = eventually(lambda: read(store.http.get(f"/planmigrations/{made['id']}/moves"))["data"])
    assert moved["movedAt"] == "2090-02-01T00:00:00.000Z"
    assert "acme" in admin.get(f"/planmigrations/{made['id']}")
    admin.post(f"/planmigrations/{made['id']}/delete", {})


def test_insights(admin: Visitor, shop: Shop) -> None:
    store, _ = shop
    assert "<table" not in admin.get("/insights"), "nothing is worked out before it is asked for"
    billed(store)
    asked = "/insights?until=2025-02-01&months=3&of="
    page = admin.get(asked + "account")
    assert values(page)[-5:] == ["1", "30", "4", "26", "86.67"]  # bills, revenue, cost, margin, percent
    assert "<svg" in page
    assert "storage" in admin.get(asked + "product")
    assert "Bytes stored" in admin.get(asked + "expansion")
    assert "No account without a commitment" in admin.get(asked + "commitments&offers=1200%3A10")
    assert "offers: give at most" in admin.http.get(asked + "commitments&offers=x").text
