"""The catalogue as code over HTTP: read, planned with its effect in money, approved by another, applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from storefront import NOWHERE, Storefront, read, refused, send

from tenant import Tenant

Tree = dict[str, Any]
JANUARY = {"lastDateInBillingPeriod": "2025-01-31"}
SOON = (datetime.now(UTC) + timedelta(days=400)).strftime("%Y-01-01T00:00:00Z")


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    """The standing charge of 20.00 and 40 bytes at 0.25 each: 30.00 for January."""
    shop = Storefront(http)
    shop.traffic("u1", 40)
    return shop


def catalog(shop: Storefront) -> Tree:
    found: Tree = read(shop.http.get("/catalog"))["catalog"]
    return found


def dearer(shop: Storefront, price: str = "0.50") -> Tree:
    tree = catalog(shop)
    tree["plans"][0]["pricings"][0]["pricingBands"][0]["unitPrice"] = Decimal(price)
    return tree


def plan(shop: Storefront, tree: Tree, **more: object) -> Any:
    return read(send(shop.http, "POST", "/catalog/plans", {"catalog": tree, **JANUARY, **more}))


def apply(shop: Storefront, made: Tree, **body: object) -> Any:
    return read(send(shop.http, "POST", f"/catalog/plans/{made['id']}/apply", body))


def price_of(shop: Storefront) -> list[tuple[str, str | None, Decimal]]:
    rows = read(shop.http.get("/pricings", params={"planId": shop.ids["/plans"]}))["data"]
    return sorted((each["startDate"], each.get("endDate"), each["pricingBands"][0]["unitPrice"]) for each in rows)


def test_what_was_read_is_planned_as_no_change(shop: Storefront) -> None:
    made = plan(shop, catalog(shop))
    assert (made["status"], made["changes"]) == ("NO_CHANGE", [])
    assert read(shop.http.get("/catalog/plans"))["data"] == [], "it is not kept"


def test_a_change_is_planned_with_its_effect_applied_and_gone_back_from(shop: Storefront) -> None:
    before = read(shop.http.get("/catalog"))
    made = plan(shop, dearer(shop), reason="prices rise")
    (change,) = made["changes"]
    assert (change["action"], change["section"]) == ("UPDATE", "pricings")
    assert change["fields"] == [{"field": "pricingBands[0].unitPrice", "before": "0.25", "after": "0.5"}]
    (effect,) = made["simulation"]["effects"]
    assert (effect["oldTotal"], effect["newTotal"], effect["rises"]) == (30, 40, 1)
    assert read(shop.http.get("/catalog"))["digest"] == before["digest"], "planning changes nothing"

    version = apply(shop, made)
    assert (version["number"], version["reason"], version["effects"]) == (2, "prices rise", [effect])
    found = read(shop.http.get("/catalog"))
    assert (found["digest"], found["version"]) == (made["targetDigest"], 2)
    assert plan(shop, dearer(shop))["status"] == "NO_CHANGE"
    assert read(shop.http.get(f"/catalog/plans/{made['id']}"))["appliedAs"] == 2

    back = read(send(shop.http, "POST", "/catalog/plans", {"toVersion": 1, **JANUARY}))
    assert [each["difference"] for each in back["simulation"]["effects"]] == [-10]
    apply(shop, back, reason="too dear")
    assert read(shop.http.get("/catalog"))["digest"] == before["digest"]
    history = read(shop.http.get("/catalog/versions"))["data"]
    assert [(each["number"], each.get("found"), each.get("reason"), each.get("toVersion")) for each in history] == [
        (3, None, "too dear", 1),
        (2, None, "prices rise", None),
        (1, True, None, None),
    ]
    assert read(shop.http.get(f"/catalog/versions/{history[2]['id']}"))["catalog"] == before["catalog"]
    entries = read(shop.http.get("/audit", params={"entityType": "catalogplan"}))["data"]
    assert [each["action"] for each in entries] == ["APPLY", "PLAN", "APPLY", "PLAN"]


def test_a_dated_change_lets_the_price_before_its_day_be(shop: Storefront) -> None:
    made = plan(shop, dearer(shop), effectiveFrom=SOON)
    assert [(each["action"], each.get("succeeds", False)) for each in made["changes"]] == [
        ("UPDATE", False),
        ("CREATE", True),
    ]
    assert [each["difference"] for each in made["simulation"]["effects"]] == [10], "as though it held in January"
    apply(shop, made)
    day = SOON.replace("Z", ".000Z")
    start = "2025-01-01T00:00:00.000Z"
    assert price_of(shop) == [(start, day, Decimal("0.25")), (day, None, Decimal("0.5"))]
    assert plan(shop, dearer(shop), effectiveFrom=SOON)["status"] == "NO_CHANGE"
    back = read(send(shop.http, "POST", "/catalog/plans", {"toVersion": 1, "effectiveFrom": SOON, **JANUARY}))
    apply(shop, back)
    assert price_of(shop) == [(start, None, Decimal("0.25"))]


def test_what_cannot_be_dated_says_so_and_wants_a_word(shop: Storefront) -> None:
    tree = dearer(shop)
    tree["planTemplates"][0]["standingCharge"] = 25
    tree["products"].append({"code": "new", "name": "New"})
    made = plan(shop, tree, effectiveFrom=SOON)
    assert [(each["section"], "atOnce" in each) for each in made["changes"]] == [
        ("products", False),
        ("planTemplates", True),
        ("pricings", False),
        ("pricings", False),
    ]
    path = f"/catalog/plans/{made['id']}/apply"
    said = refused(send(shop.http, "POST", path, {}))
    assert (said["code"], "planTemplates monthly" in said["message"]) == ("rule_broken", True)
    assert apply(shop, made, atOnce=True)["number"] == 2
    assert refused(send(shop.http, "POST", path, {"atOnce": True}))["code"] == "rule_broken"


def test_bills_of_other_periods_are_not_compared_with_those_there_are(shop: Storefront) -> None:
    tree = dearer(shop)
    tree["planGroups"][0]["plans"] = []  # whose plans are billed as one
    tree["planTemplates"][0]["billFrequency"] = "ANNUALLY"
    made = plan(shop, tree)
    assert made["notSimulated"] == ["planTemplates (billing periods)"]
    assert [(each["oldTotal"], each["newTotal"]) for each in made["simulation"]["effects"]] == [(30, 40)]


def test_a_plan_of_another_catalogue_than_there_is_is_refused(shop: Storefront) -> None:
    made = plan(shop, dearer(shop))
    send(shop.http, "POST", "/products", {"name": "Other", "code": "other"})
    said = refused(send(shop.http, "POST", f"/catalog/plans/{made['id']}/apply", {}))
    assert said["code"] == "catalog_changed"
    assert [each[2] for each in price_of(shop)] == [Decimal("0.25")]
    again = plan(shop, dearer(shop))
    assert apply(shop, again)["number"] == 2


def test_what_was_changed_otherwise_is_a_version_of_its_own(shop: Storefront) -> None:
    apply(shop, plan(shop, dearer(shop)))
    send(shop.http, "POST", "/products", {"name": "Other", "code": "other"})
    apply(shop, plan(shop, dearer(shop, "0.75")))
    history = read(shop.http.get("/catalog/versions"))["data"]
    assert [(each["number"], each.get("found", False)) for each in history] == [
        (4, False),
        (3, True),
        (2, False),
        (1, True),
    ]
    assert [(each["section"], each["name"]) for each in history[1]["changes"]] == [("products", "other")]


def test_with_the_setting_another_user_must_approve(organization: Tenant, shop: Storefront) -> None:
    assert read(shop.http.get("/catalog/settings")) == {"requireApproval": False, "version": 0}
    settings = read(send(shop.http, "PUT", "/catalog/settings", {"requireApproval": True}))
    assert settings == {"requireApproval": True, "version": 1}
    refused(send(shop.http, "PUT", "/catalog/settings", {"requireApproval": False, "version": 7}))
    made = plan(shop, dearer(shop))
    assert made["status"] == "AWAITING_APPROVAL"
    path = f"/catalog/plans/{made['id']}"
    assert refused(send(shop.http, "POST", f"{path}/apply", {}))["code"] == "approval_required"
    assert refused(shop.http.post(f"{path}/approve"))["code"] == "rule_broken", "not by who asked for it"
    other = second_user(organization, shop)
    assert read(other.post(f"{path}/approve"))["status"] == "APPROVED"
    version = apply(shop, made)
    assert version["approvedBy"] != version["plannedBy"] == version["appliedBy"]
    assert refused(other.post(f"{path}/reject"))["code"] == "rule_broken", "it is applied"
    unwanted = plan(shop, dearer(shop, "9"))
    assert read(other.post(f"/catalog/plans/{unwanted['id']}/reject"))["status"] == "REJECTED"
    assert refused(other.post(f"/catalog/plans/{unwanted['id']}/approve"))["code"] == "rule_broken"
    waiting = read(shop.http.get("/catalog/plans", params={"status": "AWAITING_APPROVAL"}))["data"]
    assert waiting == []


def second_user(organization: Tenant, shop: Storefront) -> httpx.Client:
    made = read(send(shop.http, "POST", "/serviceusers", {"name": "second", "scopes": ["all"]}))
    return replace(organization, key=made["apiKey"], secret=made["apiSecret"]).http()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "catalog"),
        ({"catalog": {}, "toVersion": 1}, "catalog"),
        ({"catalog": {"plans": [{"code": "p"}]}}, "plans[0]"),
        ({"catalog": {"planz": []}}, "planz"),
        ({"catalog": {}, "effectiveFrom": "2025-01-01T00:00:00Z"}, "effectiveFrom"),
        ({"catalog": {}, "lastDateInBillingPeriod": "0001-01-01"}, "lastDateInBillingPeriod"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, body: Tree, field: str) -> None:
    said = refused(send(http, "POST", "/catalog/plans", body))
    assert field in said["message"], said


@pytest.mark.parametrize(
    "ask",
    [
        lambda http: http.get(f"/catalog/versions/{NOWHERE}"),
        lambda http: http.get(f"/catalog/plans/{NOWHERE}"),
        lambda http: send(http, "POST", f"/catalog/plans/{NOWHERE}/apply", {}),
        lambda http: http.post(f"/catalog/plans/{NOWHERE}/approve"),
        lambda http: send(http, "POST", "/catalog/plans", {"toVersion": 3}),
    ],
)
def test_what_is_not_there_is_not_found(http: httpx.Client, ask: Callable[[httpx.Client], httpx.Response]) -> None:
    assert refused(ask(http), 404)["code"] == "not_found"
