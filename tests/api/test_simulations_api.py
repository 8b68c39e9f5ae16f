"""Simulations over HTTP: a candidate of the catalogue, and what January would have come to."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import httpx
import pytest
from storefront import BANDS, Storefront, read, refused, send

JANUARY = {"lastDateInBillingPeriod": "2025-01-31"}


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    """The standing charge of 20.00 and 40 bytes at 0.25 each: 30.00."""
    shop = Storefront(http)
    shop.traffic("u1", 40)
    return shop


def dearer(shop: Storefront, price: str = "0.5") -> dict[str, Any]:
    body = shop.body("/pricings", pricingBands=[BANDS[0] | {"unitPrice": Decimal(price)}])
    return {"pricings": [{"id": shop.ids["/pricings"], **body}]}


def test_a_candidate_is_simulated_for_an_account_and_nothing_of_it_is_kept(shop: Storefront) -> None:
    body = {"candidate": dearer(shop), **JANUARY, "accountIds": [shop.ids["/accounts"]]}
    made = read(send(shop.http, "POST", "/simulations", body))
    assert (made["status"], made["total"], made["done"], made["failed"]) == ("COMPLETE", 1, 1, 0)
    (bill,) = made["bills"]
    assert (bill["accountCode"], bill["outcome"]) == ("acme", "RISES")
    assert (bill["oldTotal"], bill["newTotal"], bill["difference"]) == (30, 40, 10)
    assert [(each["lineItemType"], each["oldAmount"], each["newAmount"]) for each in bill["lines"]] == [
        ("STANDING_CHARGE", 20, 20),
        ("USAGE", 10, 20),
    ]
    (effect,) = made["effects"]
    assert (effect["currency"], effect["bills"], effect["rises"], effect["difference"]) == ("USD", 1, 1, 10)
    assert read(shop.http.get(f"/simulations/{made['id']}")) == made
    price = read(shop.http.get(f"/pricings/{shop.ids['/pricings']}"))
    assert (price["version"], price["pricingBands"][0]["unitPrice"]) == (1, Decimal("0.25"))
    assert read(shop.http.get("/bills"))["data"] == []
    csv = shop.http.get(f"/simulations/{made['id']}/csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.text.splitlines()[1].endswith("USD,RISES,30.00,40.00,10.00,30.00,40.00,,,,,,")


def test_many_accounts_are_simulated_by_a_job(shop: Storefront) -> None:
    """Sixty accounts on the plan, of which one has used anything."""
    for number in range(59):
        account = shop.make("/accounts", code=f"a{number}")["id"]
        shop.make("/accountplans", accountId=account)
    asked = {"candidate": dearer(shop), **JANUARY, "planId": shop.ids["/plans"]}
    made = read(send(shop.http, "POST", "/simulations", asked))
    assert (made["total"], "bills" in made) == (60, False)
    until = time.monotonic() + 30
    while made["status"] != "COMPLETE":
        assert time.monotonic() < until, made
        time.sleep(0.05)
        made = read(shop.http.get(f"/simulations/{made['id']}"))
    (effect,) = made["effects"]
    assert (effect["oldTotal"], effect["newTotal"], effect["same"], effect["rises"]) == (1210, 1220, 59, 1)
    page = read(shop.http.get(f"/simulations/{made['id']}/bills", params={"pageSize": "2"}))
    assert (len(page["data"]), page["data"][0]["accountCode"], "nextToken" in page) == (2, "acme", True)
    rises = read(shop.http.get(f"/simulations/{made['id']}/bills", params={"outcome": "RISES"}))["data"]
    assert [each["difference"] for each in rises] == [10]
    assert [each["id"] for each in read(shop.http.get("/simulations"))["data"]] == [made["id"]]
    assert read(shop.http.post(f"/simulations/{made['id']}/cancel"))["status"] == "COMPLETE"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"candidate": {}}, "lastDateInBillingPeriod"),
        ({"candidate": {}, "lastDateInBillingPeriod": "2025-01-30"}, "none of these accounts has a billing period"),
        ({"candidate": {"plans": [{"id": "x" * 36, "standingCharge": -1}]}, **JANUARY}, "standingCharge: must be 0"),
        ({"candidate": {"removedPricingIds": ["0" * 36]}, **JANUARY}, "candidate.removedPricingIds[0]: id: there is"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(shop: Storefront, body: dict[str, Any], said: str) -> None:
    assert said in refused(send(shop.http, "POST", "/simulations", body))["message"]
