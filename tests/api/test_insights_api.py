"""Insights over HTTP and from the command line: real bills of three months."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from storefront import FIELDS, Storefront, read, refused, send

from tallystick.cli.main import run
from tallystick.core import wire
from tenant import Tenant

QUARTER = {"until": "2025-04-01", "months": "3"}


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    """acme: 20.00 and 0.25 a byte. 40, 80 and 120 bytes: 30.00, 40.00 and 50.00. Each byte costs 0.1."""
    shop = Storefront(http)
    spent = {"code": "spent", "name": "Spent", "category": "COST", "unit": "USD"}
    meter = shop.body("/meters", dataFields=[*FIELDS, spent])
    read(send(http, "PUT", f"/meters/{shop.ids['/meters']}", meter))
    one = {"meter": "traffic", "account": "acme", "where": {"region": "eu"}, "metadata": {"file": "a"}}
    shop.measure(
        *(
            {**one, "uid": f"u{month}", "ts": f"2025-{month:02}-10T12:00:00Z"}
            | {"measure": {"bytes": 40 * month}, "cost": {"spent": 4 * month}}
            for month in (1, 2, 3)
        )
    )
    for day in ("2025-01-31", "2025-02-28", "2025-03-31"):
        job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": day}))
        until = time.monotonic() + 30
        while read(http.get(f"/billjobs/{job['id']}"))["status"] != "COMPLETE":
            assert time.monotonic() < until
            time.sleep(0.05)
    return shop


def rows(shop: Storefront, path: str, **query: str) -> list[dict[str, Any]]:
    return list(read(shop.http.get(f"/insights/{path}", params={**QUARTER, **query}))["data"])


def test_insights_of_three_months(shop: Storefront) -> None:
    (grown,) = rows(shop, "expansion")
    # From 40 to 80 bytes, then from 40.00 to 50.00: one pair, too few for a correlation.
    assert (grown["pairs"], grown["grew"], grown["grewThenExpanded"], grown["correlation"]) == (1, 1, 1, None)
    (advice,) = rows(shop, "commitments")
    # 120.00 together, 108.00 at 10% off; 30.00 in the least month, 360.00 a year.
    assert (advice["level"], advice["wouldHavePaid"], advice["saving"]) == (360, 108, 12)
    assert advice["arithmetic"][-1] == "120.00 − 108.00 = 12.00 less"
    (offered,) = rows(shop, "commitments", offers="400:20,9000:50")
    assert (offered["level"], offered["committed"], offered["saving"]) == (400, 100, 20)  # 100.00 for three months
    for by, code in (("account", "acme"), ("product", "storage")):
        (margin,) = rows(shop, "margins", by=by)
        # 24.00 of cost: 4, 8 and 12
        assert [margin[name] for name in ("code", "bills", "revenue", "cost", "margin", "percent")] == [
            code,
            3,
            120,
            24,
            96,
            80,
        ]
    (march,) = rows(shop, "margins", months="1")
    assert (march["revenue"], march["cost"]) == (50, 12)


@pytest.fixture
def command(organization: Tenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> str:
        assert run(["insight", *arguments]) == 0
        return capsys.readouterr().out

    return call


def test_insights_from_the_command_line(shop: Storefront, command: Callable[..., str]) -> None:
    asked = ["--until", "2025-04-01", "--months", "3"]
    (advice,) = wire.decode(list[dict[str, Any]], command("commitments", *asked, "--json").encode())
    assert advice == rows(shop, "commitments")[0]
    shown = command("commitments", *asked, "--offer", "400:20", "--explain")
    assert "400 × 3 / 12 = 100.00 committed for these periods" in shown
    assert "Bytes stored" in command("expansion", *asked)
    assert "80.00%" in command("margins", *asked, "--by", "product")


def test_pages_go_on_where_they_ended(shop: Storefront) -> None:
    more = shop.body("/aggregations", code="other", name="Other")
    read(send(shop.http, "POST", "/aggregations", more))
    first = read(shop.http.get("/insights/expansion", params={**QUARTER, "pageSize": "1"}))
    second = read(
        shop.http.get("/insights/expansion", params={**QUARTER, "pageSize": "1", "nextToken": first["nextToken"]})
    )
    assert {each["name"] for each in (*first["data"], *second["data"])} == {"Bytes stored", "Other"}
    assert "nextToken" not in second


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("margins", {"by": "region"}, "by: must be one of account, product"),
        ("commitments", {"discountPercent": "100"}, "discountPercent: a percentage"),
        ("commitments", {"offers": "much:10"}, "offers: give at most"),
        ("commitments", {"offers": "100:x"}, "offers: a percentage"),
        ("expansion", {"months": "0"}, "months"),
        ("expansion", {"nextToken": "there"}, "nextToken"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    http: httpx.Client, path: str, query: dict[str, str], said: str
) -> None:
    assert said in refused(http.get(f"/insights/{path}", params=query))["message"]
