"""The catalogue as code in the console: a plan that waits is looked at, approved by another, applied; the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from storefront import Storefront, read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant


@pytest.fixture
def shop(organization: Tenant) -> Iterator[Storefront]:
    """January of acme: the standing charge of 20.00 and 40 bytes at 0.25, which is 30.00."""
    with organization.http() as http:
        shop = Storefront(http)
        one = {"uid": "u1", "meter": "traffic", "account": "acme", "ts": "2025-01-10T12:00:00Z"}
        shop.measure(one | {"measure": {"bytes": 40}, "where": {"region": "eu"}, "metadata": {"file": "a"}})
        yield shop


def planned(shop: Storefront, **more: object) -> dict[str, Any]:
    """A plan of a key: bytes at 0.50."""
    tree = read(shop.http.get("/catalog"))["catalog"]
    tree["plans"][0]["pricings"][0]["pricingBands"][0]["unitPrice"] = Decimal("0.50")
    body = {"catalog": tree, "lastDateInBillingPeriod": "2025-01-31", "reason": "dearer bytes", **more}
    made: dict[str, Any] = read(send(shop.http, "POST", "/catalog/plans", body))
    return made


def price(shop: Storefront) -> list[Decimal]:
    found = read(shop.http.get("/pricings"))["data"]
    return [each["pricingBands"][0]["unitPrice"] for each in found]


def values(page: str) -> list[str]:
    part = page[page.index('class="figures"') :]
    return re.findall(r'data-value="([^"]+)"', part[: part.index("</section>")])[:3]


def test_a_plan_is_looked_at_approved_applied_and_gone_back_on(admin: Visitor, shop: Storefront) -> None:
    assert "Nothing was applied from files yet" in admin.get("/catalog")
    page = admin.post("/catalog", {"requireApproval": "on", "version": "0"})
    assert "A second person must approve changes now." in page
    made = planned(shop)
    page = admin.get("/catalog")
    assert "dearer bytes" in page
    assert "Awaiting approval" in page
    page = admin.get(f"/catalog/plans/{made['id']}")
    assert values(page) == ["30", "40", "10"]
    assert "pricingBands[0].unitPrice" in page
    assert "first service user" in page, "who planned it, by name"
    assert f"/catalog/plans/{made['id']}/apply" not in page, "not before it is approved"
    page = admin.post(f"/catalog/plans/{made['id']}/approve")
    assert "It can be applied now" in page
    page = admin.post(f"/catalog/plans/{made['id']}/apply", {"reason": "agreed with sales"})
    assert "Applied as version 2." in page
    assert price(shop) == [Decimal("0.5")]

    history = read(shop.http.get("/catalog/versions"))["data"]
    admin.post("/catalog", {"version": "1"})
    page = admin.get(f"/catalog/versions/{history[1]['id']}")
    assert "found when the next plan was applied" in page
    page = admin.post(f"/catalog/versions/{history[1]['id']}/revert", {"reason": "too dear"})
    assert "Nothing has changed yet" in page
    plan = read(shop.http.get("/catalog/plans", params={"status": "PLANNED"}))["data"][0]
    assert (plan["toVersion"], plan["reason"]) == (1, "too dear")
    admin.post(f"/catalog/plans/{plan['id']}/apply")
    assert price(shop) == [Decimal("0.25")]
    assert "nothing to change" in admin.post(f"/catalog/versions/{history[1]['id']}/revert")
    assert "back to version 1" in admin.get("/catalog")


def test_who_planned_a_change_does_not_approve_it(admin: Visitor, shop: Storefront, organization: Tenant) -> None:
    first = planned(shop)
    version = read(send(shop.http, "POST", f"/catalog/plans/{first['id']}/apply", {}))
    admin.get("/catalog")
    admin.post("/catalog", {"requireApproval": "on", "version": "0"})
    number = read(shop.http.get("/catalog/versions"))["data"][1]["id"]
    admin.post(f"/catalog/versions/{number}/revert")
    waiting = read(shop.http.get("/catalog/plans", params={"status": "AWAITING_APPROVAL"}))["data"][0]["id"]
    page = admin.get(f"/catalog/plans/{waiting}")
    assert "Another user must approve this plan" in page
    assert f"/catalog/plans/{waiting}/approve" not in page
    assert "does not approve it" in admin.post(f"/catalog/plans/{waiting}/approve", status=422)
    other = signed_in(organization, Role.ADMIN)
    other.get(f"/catalog/plans/{waiting}")
    assert "is rejected" in other.post(f"/catalog/plans/{waiting}/reject")
    assert "Decide" not in other.get(f"/catalog/plans/{waiting}")
    reader = signed_in(organization, Role.READ_ONLY)
    assert "Decide" not in reader.get(f"/catalog/plans/{waiting}")
    assert "Go back" not in reader.get(f"/catalog/versions/{version['id']}")


def test_what_has_no_date_and_what_cannot_be_simulated_are_said(admin: Visitor, shop: Storefront) -> None:
    tree = read(shop.http.get("/catalog"))["catalog"]
    tree["planTemplates"][0]["standingCharge"] = 21
    tree["settings"]["daysBeforeBillDue"] = 14
    dated = {"effectiveFrom": "2099-01-01T00:00:00Z", "simulate": True}
    body = {"catalog": tree, "lastDateInBillingPeriod": "1999-12-31", **dated}
    made = read(send(shop.http, "POST", "/catalog/plans", body))
    page = admin.get(f"/catalog/plans/{made['id']}")
    assert page.count("it changes at once, for open bills too") == 2
    assert "No effect to show" in page
    assert "Not in these figures: changes of settings." in page
    assert "would change at once" in admin.post(f"/catalog/plans/{made['id']}/apply", status=422)
    assert "Applied as version 2." in admin.post(f"/catalog/plans/{made['id']}/apply", {"atOnce": "on"})
