"""Accounts in the console: made, put on a plan, given credit; and what their page says equals the API to the cent."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from storefront import read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

TODAY = datetime.now(UTC).date()
HOSTILE = "<script>alert(1)</script>"


def made(http: httpx.Client, path: str, **body: Any) -> str:
    return str(read(send(http, "POST", path, body))["id"])


def values_in(page: str) -> list[Decimal]:
    return [Decimal(each) for each in re.findall(r'data-value="([^"]+)"', page)]


def id_in(kind: str, page: str) -> str:
    found = re.search(rf'"/{kind}/([0-9a-f-]{{36}})["/]', page)
    assert found is not None
    return found[1]


@pytest.fixture
def plan(organization: Tenant) -> str:
    """A plan of 20.00 a month, and 2.00 for each gigabyte."""
    with organization.http() as http:
        product = made(http, "/products", name="Storage", code="storage")
        fields = [{"code": "gigabytes", "name": "Gigabytes", "category": "MEASURE", "unit": "GB"}]
        meter = made(http, "/meters", name="Disk", code="disk", productId=product, dataFields=fields, derivedFields=[])
        counted = {"name": "Stored", "code": "stored", "meterId": meter, "targetField": "gigabytes", "unit": "GB"}
        aggregation = made(http, "/aggregations", aggregation="SUM", quantityPerUnit=1, rounding="NONE", **counted)
        template = {"productId": product, "name": "Monthly", "currency": "USD", "billFrequency": "MONTHLY"}
        made_from = made(http, "/plantemplates", standingCharge=20, code="monthly", **template)
        plan = made(http, "/plans", planTemplateId=made_from, name="Team", code="team")
        bands = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 2}]
        start = f"{TODAY.replace(day=1)}T00:00:00Z"
        made(http, "/pricings", planId=plan, aggregationId=aggregation, startDate=start, pricingBands=bands)
        return plan


def new_account(admin: Visitor, plan: str, code: str = "acme", name: str = "Acme", **more: str) -> str:
    admin.get("/accounts/new")
    typed = {"name": name, "code": code, "emailAddress": f"{code}@example.com", **more}
    account = id_in("accounts", admin.post("/accounts/new", typed).split("Put on a plan")[0].split("Preview")[-1])
    page = admin.post(f"/accounts/{account}/plan", {"planId": plan, "startDate": f"{TODAY.replace(day=1)}"})
    assert "Team" in page
    return account


def test_what_the_page_says_is_what_the_api_says(admin: Visitor, organization: Tenant, plan: str) -> None:
    account = new_account(admin, plan)
    page = admin.post(
        f"/accounts/{account}/balance",
        {
            "name": "Prepaid",
            "code": "prepaid",
            "currency": "USD",
            "amount": "25",
            "startDate": f"{TODAY.replace(day=1)}",
            "endDate": "2090-01-01",
        },
    )
    balance = id_in("balances", page)
    with organization.http() as http:
        used = [
            {"uid": f"{number}", "meter": "disk", "account": "acme", "ts": f"{TODAY.replace(day=1)}T00:0{number}:00Z"}
            | {"measure": {"gigabytes": 7}}
            for number in range(3)
        ]
        read(send(http, "POST", "/measurements", {"measurements": used}))
        estimate: Any = {}
        while len(estimate.get("lineItems", ())) < 3:  # standing charge, usage, what the balance pays
            estimate = read(send(http, "POST", "/bills/preview", {"accountIds": [account]}))
        live = read(http.get(f"/balances/{balance}/live"))
    assert estimate["billTotal"] == Decimal("37.00")  # 20.00 and 21 GB at 2.00, less 25.00
    assert live["value"] == 0
    page = admin.get(f"/accounts/{account}")
    shown = values_in(page)
    assert [shown[0], shown[1]] == [Decimal(62), Decimal(37)], "what is spent, and what is to pay"
    assert 'data-value="25"' in page
    assert "Disk: Gigabytes" in page
    page = admin.get(f"/balances/{balance}")
    assert values_in(page)[:2] == [live["value"], live["ledgerValue"]]
    assert "<svg" in page
    assert 'data-value="30"' in admin.post(f"/balances/{balance}", {"amount": "5", "description": "More"})
    refused = admin.post(f"/balances/{balance}", {"amount": "-50"}, status=422)
    assert "notice bad" in refused


def test_a_family_a_search_and_a_hostile_name(admin: Visitor, organization: Tenant, plan: str) -> None:
    parent = new_account(admin, plan, name=f"Acme {HOSTILE}")
    child = new_account(admin, plan, code="beech", name="Beech", parent="acme")
    for path in ("/accounts", f"/accounts/{parent}", f"/accounts/{child}", f"/accounts/{child}/edit"):
        assert HOSTILE not in admin.get(path)
    assert "Beech" in admin.get(f"/accounts/{parent}")
    rows = re.findall(r'<th scope="row"><a[^>]*>([^<]*)', admin.get("/accounts?name=bee"))
    assert rows == ["Beech"]
    assert "No account is like this" in admin.get("/accounts?name=nobody")
    admin.get(f"/accounts/{child}/edit")
    typed = {"name": "Birch", "code": "birch", "emailAddress": "b@example.com", "version": "1"}
    page = admin.post(f"/accounts/{child}/edit", typed)
    assert "Birch" in page
    assert "no parent and no children" in page, "the parent was left empty"
    refused = admin.post(f"/accounts/{child}/edit", typed | {"parent": "nobody", "version": "2"}, 422)
    assert "parent: there is no account with the code &#39;nobody&#39;" in refused


def test_a_commitment(admin: Visitor, organization: Tenant, plan: str) -> None:
    account = new_account(admin, plan)
    typed = {"amount": "1,200", "currency": "USD", "startDate": f"{TODAY}", "endDate": "2090-01-01"}
    page = admin.post(f"/accounts/{account}/commitment", typed)
    assert 'data-value="1200"' in page
    with organization.http() as http:
        (found,) = read(http.get("/commitments", params={"accountId": account}))["data"]
    assert (found["amount"], found["amountPrePaid"]) == (1200, 1200)
    reader = signed_in(organization, Role.READ_ONLY)
    assert "New commitment" not in reader.get(f"/accounts/{account}")


def test_the_page_of_an_account_says_what_it_may_use(organization: Tenant, plan: str) -> None:
    """Two of ten gigabytes are used; the page says what the API does, and why."""
    with organization.http() as http:
        account = made(http, "/accounts", name="Elm", code="elm", emailAddress="elm@example.invalid")
        start = f"{TODAY.replace(day=1)}T00:00:00Z"
        made(http, "/accountplans", accountId=account, planId=plan, startDate=start)
        aggregation = read(http.get("/aggregations"))["data"][0]["id"]
        disk = made(http, "/features", name=HOSTILE, code="disk", aggregationId=aggregation)
        shut = made(http, "/features", name="Export", code="export")
        made(http, "/entitlements", featureId=disk, planId=plan, hardLimit=10)
        made(http, "/entitlements", featureId=shut, accountId=account, allowed=False)
        used = {"uid": "u", "meter": "disk", "account": "elm", "ts": start, "measure": {"gigabytes": 2}}
        read(send(http, "POST", "/measurements", {"measurements": [used]}))
        until = time.monotonic() + 20
        while (answer := read(http.get("/accounts/elm/entitlements/disk")))["used"] != 2:
            assert time.monotonic() < until, "the usage did not arrive"
            time.sleep(0.05)
    page = signed_in(organization).get(f"/accounts/{account}")
    part = page[page.index('id="entitlements"') :].partition("</section>")[0]
    assert values_in(part) == [2, 10, 8] == [answer["used"], answer["limit"], answer["remaining"]]
    assert "Export is shut off by the account" in part
    assert HOSTILE not in page
