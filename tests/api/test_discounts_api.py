"""Discounts, an extension of ours, over plain HTTP; and price protection on a contract through m3ter's own client."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter
from storefront import Storefront, read, refused, send


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    return Storefront(http)


def percent(shop: Storefront, **changes: object) -> dict[str, object]:
    return {
        "accountId": shop.ids["/accounts"],
        "name": "Spring",
        "type": "PERCENT",
        "percent": 10,
        "startDate": "2025-03-01T00:00:00Z",
        "endDate": "2025-06-01T00:00:00Z",
        **changes,
    }


def test_discount_is_created_read_listed_updated_and_deleted(shop: Storefront) -> None:
    body = percent(shop, code="spring", customFields={"why": "launch"})
    made = read(send(shop.http, "POST", "/discounts", body))
    path = f"/discounts/{made['id']}"
    assert {name: made[name] for name in ("name", "type", "percent", "version")} == {
        "name": "Spring",
        "type": "PERCENT",
        "percent": 10,
        "version": 1,
    }
    assert read(shop.http.get(path)) == made
    changed = read(send(shop.http, "PUT", path, {**body, "percent": 20, "version": 1}))
    assert (changed["percent"], changed["version"]) == (20, 2)
    assert read(shop.http.delete(path)) == changed
    refused(shop.http.get(path), 404)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"date": "2025-04-01"}, ["Spring"]),
        ({"date": "2025-06-01T00:00:00Z"}, []),
        ({"date": "2090-02-01"}, ["Founders"]),
        ({"codes": "founders"}, ["Founders"]),
        ({}, ["Founders", "Spring"]),
    ],
)
def test_discounts_are_filtered(shop: Storefront, query: dict[str, str], names: list[str]) -> None:
    read(send(shop.http, "POST", "/discounts", percent(shop)))
    account = {"accountId": shop.ids["/accounts"]}
    found = read(shop.http.get("/discounts", params=query | account))["data"]
    assert sorted(each["name"] for each in found) == names


def test_discounts_are_filtered_by_product_and_plan(shop: Storefront) -> None:
    read(send(shop.http, "POST", "/discounts", percent(shop, planId=shop.ids["/plans"])))
    by_plan = read(shop.http.get("/discounts", params={"planId": shop.ids["/plans"]}))["data"]
    by_product = read(shop.http.get("/discounts", params={"productId": shop.ids["/products"]}))["data"]
    assert ([each["name"] for each in by_plan], [each["name"] for each in by_product]) == (["Spring"], ["Founders"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"percent": 101}, "percent"),
        ({"percent": None}, "percent"),
        ({"type": "AMOUNT"}, "amount"),
        ({"type": "AMOUNT", "percent": None, "amount": 5}, "currency"),
        ({"type": "AMOUNT", "percent": None, "amount": 5, "currency": "XYZ"}, "currency"),
        ({"endDate": "2025-03-01T00:00:00Z"}, "endDate"),
        ({"accountId": "00000000-0000-4000-8000-000000000000"}, "accountId"),
        ({"productId": "00000000-0000-4000-8000-000000000000"}, "productId"),
    ],
)
def test_what_cannot_hold_is_refused(shop: Storefront, changes: dict[str, Any], field: str) -> None:
    assert refused(send(shop.http, "POST", "/discounts", percent(shop, **changes)))["field"] == field


def test_account_with_a_discount_stays(shop: Storefront) -> None:
    made = read(send(shop.http, "POST", "/accounts", {"name": "B", "code": "b", "emailAddress": "b@b.example"}))
    read(send(shop.http, "POST", "/discounts", percent(shop, accountId=made["id"])))
    assert refused(shop.http.delete(f"/accounts/{made['id']}"))["code"] == "in_use"


PROTECTION = {
    "baseline": 500,
    "maximumIncreasePercent": 20,
    "startDate": "2025-01-01",
    "endDate": "2026-01-01",
    "currency": "USD",
}


def test_price_protection_is_kept_on_a_contract(client: M3ter) -> None:
    account = client.accounts.create(name="Acme", code="acme", email_address="billing@acme.example").id
    common: dict[str, Any] = {
        "account_id": account,
        "name": "Year",
        "start_date": "2025-01-01",
        "end_date": "2027-01-01",
    }
    made = client.contracts.create(**common, extra_body={"priceProtection": PROTECTION})
    assert made.model_extra is not None
    assert made.model_extra["priceProtection"] == PROTECTION
    found = client.contracts.retrieve(made.id).model_extra
    assert found is not None
    assert found["priceProtection"] == PROTECTION
    for wrong, message in (
        ({"baseline": -1}, "baseline"),
        ({"currency": "XYZ"}, "no currency"),
        ({"endDate": "2025-01-01"}, "endDate"),
    ):
        with pytest.raises(BadRequestError, match=message):
            client.contracts.create(**common, extra_body={"priceProtection": {**PROTECTION, **wrong}})
