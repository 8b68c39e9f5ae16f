"""Features, entitlements and the gate over HTTP, on the command line and on pages, of one shop on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from storefront import Storefront, read, refused, send

from tallystick.cli.launch import Server
from tallystick.cli.main import run
from tenant import Tenant, new_tenant


class Shop:
    """A storefront whose account is on a plan, with a feature that counts its traffic; 80 of 100.5 tell."""

    def __init__(self, tenant: Tenant, http: httpx.Client) -> None:
        self.tenant, self.http = tenant, http
        self.store = Storefront(http)
        self.account = str(read(http.get(f"/accounts/{self.store.ids['/accounts']}"))["code"])
        self.numbers = 0

    def use(self, amount: str) -> None:
        """So much traffic, once it is counted."""
        before = self.allowance()["used"]
        self.numbers += 1
        self.store.measure(
            {
                "uid": f"use-{self.numbers}",
                "meter": read(self.http.get(f"/meters/{self.store.ids['/meters']}"))["code"],
                "account": self.account,
                "ts": datetime.now(UTC).isoformat(),
                "measure": {"bytes": Decimal(amount)},
                "where": {"region": "eu"},
                "metadata": {"file": "a"},
            }
        )
        until = time.monotonic() + 20
        while self.allowance()["used"] != before + Decimal(amount):
            assert time.monotonic() < until, "the usage was not seen"
            time.sleep(0.05)

    def allowance(self, **query: object) -> dict[str, Any]:
        found: dict[str, Any] = read(
            self.http.get(
                f"/accounts/{self.account}/entitlements/traffic", params={k: str(v) for k, v in query.items()}
            )
        )
        return found


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[Shop]:
    tenant = new_tenant(server)
    with tenant.http() as http:
        yield Shop(tenant, http)


def test_an_answer_has_all_that_a_service_needs(shop: Shop) -> None:
    shop.use("12.5")
    found = shop.allowance(quantity="1")
    assert (found["allowed"], found["reason"], found["level"]) == (True, "WITHIN_LIMIT", "ACCOUNT")
    assert (found["used"], found["softLimit"], found["limit"], found["remaining"]) == (
        Decimal("12.5"),
        80,
        Decimal("100.5"),
        88,
    )
    assert found["staleSecondsAtMost"] == 1
    assert found["resetsAt"] > found["asOf"] > found["periodStart"]
    assert found["why"].startswith("13.5 of 100.5 ")
    assert shop.allowance(quantity="88.000000000000000001")["reason"] == "HARD_LIMIT"
    by_id = read(shop.http.get(f"/accounts/{shop.store.ids['/accounts']}/entitlements/{shop.store.ids['/features']}"))
    assert by_id["feature"] == "traffic"


def test_a_limit_that_is_reached_is_an_event_once(shop: Shop) -> None:
    shop.use("70")
    assert shop.allowance()["reason"] == "SOFT_LIMIT"
    until = time.monotonic() + 20
    while not (events := read(shop.http.get("/events", params={"eventName": "entitlement.limit.reached"}))["data"]):
        assert time.monotonic() < until, "nothing was told"
        time.sleep(0.1)
    shop.use("1")
    time.sleep(2.5)  # a round of the chore and more
    events = read(shop.http.get("/events", params={"eventName": "entitlement.limit.reached"}))["data"]
    (told,) = [each["m3terEvent"] for each in events]
    assert (told["kind"], told["limit"], told["feature"], told["accountCode"]) == ("SOFT", 80, "traffic", shop.account)
    fields = read(shop.http.get("/events/fields", params={"eventName": "entitlement.limit.reached"}))["events"]
    assert {f"new.{name}" for name in told} - {"new.eventName", "new.eventTime"} <= fields[
        "entitlement.limit.reached"
    ].keys()


def test_what_is_consumed_counts_against_the_burst_of_the_minute(shop: Shop) -> None:
    path = f"/accounts/{shop.account}/entitlements/traffic"
    while datetime.now(UTC).second > 50:  # what follows is within one minute
        time.sleep(0.5)
    assert read(send(shop.http, "POST", f"{path}/check", {"quantity": 11}))["reason"] == "BURST_LIMIT"
    answers = [read(send(shop.http, "POST", f"{path}/consume", {"quantity": Decimal("2.5")})) for _ in range(5)]
    assert [each["allowed"] for each in answers] == [True] * 4 + [False]
    assert 1 <= answers[-1]["retryAfter"] <= 60
    assert answers[0]["burst"][0]["remaining"] == Decimal("7.5")


@pytest.mark.parametrize("quantity", ["-1", "1e20", "lots"])
def test_quantities_that_there_are_not(shop: Shop, quantity: str) -> None:
    path = f"/accounts/{shop.account}/entitlements/traffic"
    assert refused(shop.http.get(path, params={"quantity": quantity}))["field"] == "quantity"
    refused(shop.http.get("/accounts/nobody/entitlements/traffic"), 404)
    refused(shop.http.get(f"/accounts/{shop.account}/entitlements/nothing"), 404)


def test_a_list_is_paged_and_has_what_is_not_given_too(shop: Shop) -> None:
    made = [shop.store.make("/features", code=code, aggregationId=None) for code in ("alpha", "zeta")]
    first = read(shop.http.get(f"/accounts/{shop.account}/entitlements", params={"pageSize": 2}))
    assert (first["data"][0]["feature"], first["data"][0]["allowed"]) == ("alpha", False)
    rest = read(shop.http.get(f"/accounts/{shop.account}/entitlements", params={"nextToken": first["nextToken"]}))
    assert [each["feature"] for each in (*first["data"], *rest["data"])] == ["alpha", "traffic", "zeta"]
    assert first["data"][0]["reason"] == "NOT_ENTITLED"
    for each in made:
        read(shop.http.delete(f"/features/{each['id']}"))


def test_rules_between_entities(shop: Shop) -> None:
    ids = shop.store.ids
    same = refused(send(shop.http, "POST", "/entitlements", shop.store.body("/entitlements")))
    assert (same["code"], same["field"]) == ("rule_broken", "featureId")
    assert refused(shop.http.delete(f"/features/{ids['/features']}"))["code"] == "in_use"
    both = shop.store.body("/entitlements", planId=ids["/plans"])
    assert refused(send(shop.http, "POST", "/entitlements", both))["field"] == "accountId"


def test_the_command_line_gives_and_shows(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in shop.tenant.environment().items():
        monkeypatch.setenv(name, value)
    assert run(["entitlement", "feature", "export", "--name", "Export"]) == 0
    assert run(["entitlement", "grant", "export", "--account", shop.account, "--burst", "5/minute"]) == 0
    assert run(["entitlement", "show", shop.account, "export"]) == 0
    assert "Export has no limit on how much is used" in capsys.readouterr().out
    assert run(["entitlement", "grant", "export", "--account", shop.account, "--deny"]) == 0
    assert run(["entitlement", "show", shop.account, "export"]) == 1
    assert "Export is shut off by the account" in capsys.readouterr().out
    assert run(["entitlement", "grant", "export"]) == 1
    assert "exactly one of --account" in capsys.readouterr().err
    assert run(["entitlement", "grant", "export", "--account", shop.account, "--hard", "many"]) == 1
    assert run(["entitlement", "show", shop.account]) == 0
    assert "traffic" in capsys.readouterr().out
