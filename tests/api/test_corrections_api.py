"""Corrections over HTTP: from a filter, with replacements, by many accounts, and who may decide."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import httpx
import pytest
from storefront import Storefront, read, refused, send

from tenant import Tenant


def use(uid: str, account: str, count: int, day: str = "2025-01-10") -> dict[str, Any]:
    return {
        "uid": uid,
        "meter": "traffic",
        "account": account,
        "ts": f"{day}T12:00:00Z",
        "measure": {"bytes": count},
        "where": {"region": "eu"},
        "metadata": {"file": "a"},
    }


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    """acme and beta pay 20.00 and 0.25 a byte. In January acme used 40 and 8 bytes, of which the 8 were beta's."""
    shop = Storefront(http)
    beta = shop.make("/accounts", code="beta", name="Beta")["id"]
    shop.make("/accountplans", accountId=beta)
    shop.measure(use("a", "acme", 40), use("b", "acme", 8), use("c", "beta", 4))
    return shop


def totals(shop: Storefront) -> dict[str, Decimal]:
    """The bytes of each account."""
    meter = shop.ids["/meters"]
    column = {"meterId": meter, "fieldCode": "bytes", "fieldType": "MEASURE", "function": "SUM"}
    asked = {"aggregations": [column], "groups": [{"groupType": "ACCOUNT"}]}
    rows = read(send(shop.http, "POST", "/usage/query", asked))["data"]
    return {row["accountCode"]: row["bytes.SUM"] for row in rows}


def test_what_a_filter_finds_goes_to_another_account(shop: Storefront) -> None:
    """2.00 of January go from acme to beta, on bills that are not made yet."""
    meter = shop.ids["/meters"]
    wanted = {
        "meterIds": [meter],
        "conditions": [{"meterId": meter, "fieldCode": "bytes", "comparator": "EQUAL", "value": 8}],
    }
    body = {"reason": "sent for the wrong customer", "filter": wanted, "measurement": {"account": "beta"}}
    made = read(send(shop.http, "POST", "/corrections", body))
    assert (made["source"], made["withdrawals"], made["additions"], made["accounts"]) == ("FILTER", 1, 1, 2)
    effects = read(shop.http.get(f"/corrections/{made['id']}/effects"))["data"]
    told = {each["accountCode"]: [bill["difference"] for bill in each["bills"]] for each in effects}
    assert told == {"acme": [-2], "beta": [2]}
    assert "billId" not in effects[0]["bills"][0]
    (money,) = made["effects"]
    assert (money["rerated"], money["memos"], money["bills"]) == (0, 0, 2)
    first = read(shop.http.get(f"/corrections/{made['id']}/entries", params={"pageSize": 1}))
    assert first["data"][0]["kind"] == "WITHDRAW"
    assert first["nextToken"]
    mismatch = send(shop.http, "POST", f"/corrections/{made['id']}/apply", {"version": 7})
    assert refused(mismatch)["code"] == "version_mismatch"
    assert read(send(shop.http, "POST", f"/corrections/{made['id']}/apply", {}))["status"] == "APPLIED"
    assert totals(shop) == {"acme": 40, "beta": 12}
    asked = {"meterIds": [meter], "withdrawn": True}
    (gone,) = read(send(shop.http, "POST", "/usage/query", asked))["data"]
    assert (gone["uid"], gone["accountCode"]) == ("b", "acme")
    verdicts = read(send(shop.http, "POST", "/measurements", {"measurements": [use("b", "acme", 8)]}))
    assert [each["verdict"] for each in verdicts["measurements"]] == ["duplicate"], "its uid stays used"


def test_more_changes_are_looked_at_before_they_are_applied(shop: Storefront) -> None:
    made = read(send(shop.http, "POST", "/corrections", {"reason": "twice", "changes": [{"uid": "b"}]}))
    more = read(send(shop.http, "POST", f"/corrections/{made['id']}/changes", {"changes": [{"uid": "c"}]}))
    assert (more["withdrawals"], more["version"], more["previewed"]) == (2, made["version"] + 1, True)
    stale = send(shop.http, "POST", f"/corrections/{made['id']}/apply", {"version": made["version"]})
    assert refused(stale)["code"] == "version_mismatch"
    assert read(send(shop.http, "POST", f"/corrections/{made['id']}/discard", {}))["status"] == "DISCARDED"
    assert read(shop.http.get("/corrections", params={"status": "DISCARDED"}))["data"][0]["id"] == made["id"]
    assert totals(shop) == {"acme": 48, "beta": 4}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x"}, "changes"),
        ({"reason": "", "changes": [{"uid": "a"}]}, "reason"),
        ({"reason": "x", "changes": [{}]}, "uid"),
        ({"reason": "x", "changes": [{"uid": "a"}], "filter": {}}, "changes"),
        ({"reason": "x", "changes": [{"uid": "a"}], "measurement": {"account": "b"}}, "measurement"),
        (
            {"reason": "x", "filter": {"startDate": "2024-01-01T00:00:00Z", "endDate": "2024-01-02T00:00:00Z"}},
            "changes",
        ),
    ],
)
def test_what_says_nothing_clear_is_refused(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    assert field in refused(send(http, "POST", "/corrections", body))["message"]


def test_who_sends_measurements_drafts_and_does_not_decide(shop: Storefront, organization: Tenant) -> None:
    wanted = {"name": "sender", "scopes": ["measurements:upload", "measurements:retrieve"]}
    user = read(send(shop.http, "POST", "/serviceusers", wanted))
    sender = Tenant(
        url=organization.url, data=organization.data, id=organization.id, key=user["apiKey"], secret=user["apiSecret"]
    )
    with sender.http() as http:
        made = read(send(http, "POST", "/corrections", {"reason": "twice", "changes": [{"uid": "b"}]}))
        assert refused(send(http, "POST", f"/corrections/{made['id']}/apply", {}), 403)["code"] == "forbidden"
        assert refused(send(http, "POST", f"/corrections/{made['id']}/discard", {}), 403)["code"] == "forbidden"
    assert totals(shop) == {"acme": 48, "beta": 4}


def test_corrections_of_many_accounts_are_looked_at_by_the_server(shop: Storefront) -> None:
    codes = [f"n{number}" for number in range(25)]
    for code in codes:
        shop.make("/accounts", code=code, name=code)
    shop.measure(*(use(f"x-{code}", code, 1) for code in codes))
    changes = [{"uid": f"x-{code}"} for code in codes]
    made = read(send(shop.http, "POST", "/corrections", {"reason": "a loop", "changes": changes}))
    assert (made["accounts"], made["previewed"]) == (25, False)
    until = time.monotonic() + 30
    while not made["previewed"]:
        assert time.monotonic() < until, made
        time.sleep(0.05)
        made = read(shop.http.get(f"/corrections/{made['id']}"))
    assert made["effects"] == []
    assert read(send(shop.http, "POST", f"/corrections/{made['id']}/apply", {}))["status"] == "APPLIED"
    assert totals(shop) == {"acme": 48, "beta": 4}
