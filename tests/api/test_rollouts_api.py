"""Shadow plans, experiments and migrations over HTTP: the worker does what they say, without being asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from storefront import BANDS, Storefront, read, refused, send

JANUARY = {"lastDateInBillingPeriod": "2025-01-31"}


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    """January of acme: 20.00 and 40 bytes at 0.25, 30.00."""
    shop = Storefront(http)
    one = {"uid": "u1", "meter": "traffic", "account": "acme", "ts": "2025-01-10T12:00:00Z"}
    shop.measure(one | {"measure": {"bytes": 40}, "where": {"region": "eu"}, "metadata": {"file": "a"}})
    return shop


def other_plan(shop: Storefront) -> str:
    """20.00 and 0.5 a byte."""
    plan = str(shop.make("/plans", code="other")["id"])
    shop.make("/pricings", planId=plan, pricingBands=[BANDS[0] | {"unitPrice": Decimal("0.5")}])
    return plan


def eventually(ask: Callable[[], Any]) -> Any:
    until = time.monotonic() + 30
    while not (found := ask()):
        assert time.monotonic() < until, "the worker did not do it"
        time.sleep(0.1)
    return found


def billed(shop: Storefront) -> None:
    job = read(send(shop.http, "POST", "/billjobs", JANUARY))
    eventually(lambda: read(shop.http.get(f"/billjobs/{job['id']}"))["status"] == "COMPLETE")


def test_a_shadow_plan_bills_beside_the_real_one_and_switches(shop: Storefront) -> None:
    plan, other = shop.ids["/plans"], other_plan(shop)
    body = {"code": "next", "name": "Next", "planId": plan, "shadowPlanId": other, "startDate": "2025-01-01"}
    made = read(send(shop.http, "POST", "/shadowplans", body))
    path = f"/shadowplans/{made['id']}"
    billed(shop)
    (one,) = eventually(lambda: read(shop.http.get(f"{path}/bills"))["data"])
    bill = one["bill"]
    assert (bill["accountCode"], bill["oldTotal"], bill["newTotal"], bill["difference"]) == ("acme", 30, 40, 10)
    assert read(shop.http.get(f"/bills/{one['billId']}"))["billTotal"] == 30
    report = read(shop.http.get(f"{path}/report"))
    assert (report["bills"], report["switched"], report["effects"][0]["difference"]) == (1, False, 10)
    today = datetime.now(UTC).date().isoformat()
    read(send(shop.http, "PUT", path, {**body, "switchDate": today, "version": made["version"]}))
    (moved,) = eventually(lambda: read(shop.http.get(f"{path}/moves"))["data"])
    assert (moved["accountCode"], moved["movedAt"]) == ("acme", f"{today}T00:00:00.000Z")
    old, new = (read(shop.http.get(f"/accountplans/{moved[name]}")) for name in ("accountPlanId", "newAccountPlanId"))
    assert (old["planId"], old["endDate"]) == (plan, moved["movedAt"])
    assert (new["planId"], new["startDate"], new.get("endDate")) == (other, moved["movedAt"], None)
    entries = read(shop.http.get("/audit", params={"actorId": "rollouts"}))["data"]
    assert {each["action"] for each in entries} >= {"UPDATE", "CREATE"}


def test_an_experiment_gives_new_accounts_their_plan(shop: Storefront) -> None:
    plan, other = shop.ids["/plans"], other_plan(shop)
    variants = [{"code": "now", "planId": plan}, {"code": "next", "planId": other, "weight": 1_000_000}]
    body = {"code": "test", "name": "Test", "startDate": "2025-01-01", "variants": variants}
    made = read(send(shop.http, "POST", "/experiments", body))
    account = shop.make("/accounts", code="newcomer")["id"]
    path = f"/experiments/{made['id']}"
    (one,) = eventually(lambda: read(shop.http.get(f"{path}/assignments"))["data"])
    assert (one["accountCode"], one["variant"]) == ("newcomer", "next")
    (plan_of,) = read(shop.http.get("/accountplans", params={"account": account}))["data"]
    assert plan_of["planId"] == other
    report = read(shop.http.get(f"{path}/report"))
    assert [(each["code"], each["accounts"], each["churned"]) for each in report["variants"]] == [
        ("now", 0, 0),
        ("next", 1, 0),
    ]


def test_a_migration_is_previewed_and_then_moves_accounts_at_renewal(shop: Storefront) -> None:
    plan, other = shop.ids["/plans"], other_plan(shop)
    day = (datetime.now(UTC) + timedelta(days=1)).date()
    body = {"code": "m", "name": "M", "fromPlanId": plan, "toPlanId": other, "notBefore": day.isoformat()}
    first_of_next = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    renewal = day if day.day == 1 else first_of_next
    (shown,) = read(send(shop.http, "POST", "/planmigrations/preview", body))["data"]
    assert shown["movedAt"] == f"{renewal}T00:00:00.000Z"
    assert read(shop.http.get("/planmigrations"))["data"] == []
    made = read(send(shop.http, "POST", "/planmigrations", body))
    (moved,) = eventually(lambda: read(shop.http.get(f"/planmigrations/{made['id']}/moves"))["data"])
    assert moved["movedAt"] == shown["movedAt"]


@pytest.mark.parametrize(
    ("path", "changes", "said"),
    [
        ("/shadowplans", {"shadowPlanId": "plan"}, "another plan than planId"),
        ("/shadowplans", {"switchDate": "2024-01-01"}, "switchDate: must not be before startDate"),
        ("/shadowplans", {"accountIds": ["0" * 36]}, "accountIds"),
        ("/experiments", {"variants": []}, "variants"),
        ("/experiments", {"endDate": "2024-01-01"}, "endDate: must be after startDate"),
        ("/planmigrations", {"toPlanId": "plan"}, "another plan than fromPlanId"),
        ("/planmigrations/preview", {"toPlanId": "0" * 36}, "toPlanId"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    shop: Storefront, path: str, changes: dict[str, Any], said: str
) -> None:
    plan = shop.ids["/plans"]
    other = other_plan(shop)
    variants = [{"code": "a", "planId": plan}, {"code": "b", "planId": other}]
    bodies: dict[str, dict[str, Any]] = {
        "/shadowplans": {"planId": plan, "shadowPlanId": other, "startDate": "2025-01-01"},
        "/experiments": {"startDate": "2025-01-01", "variants": variants},
        "/planmigrations": {"fromPlanId": plan, "toPlanId": other, "notBefore": "2025-01-01"},
    }
    given = {name: plan if value == "plan" else value for name, value in changes.items()}
    body = {"code": "x", "name": "X", **bodies[path.removesuffix("/preview")], **given}
    assert said in refused(send(shop.http, "POST", path, body))["message"]
