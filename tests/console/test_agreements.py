"""What is agreed with an account, in the console: its plans, contracts, discounts, counters, charges, commitments."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from storefront import read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

TODAY = datetime.now(UTC).date()
FIRST = TODAY.replace(day=1)
NEXT = (FIRST + timedelta(days=32)).replace(day=1)
FAR = "2090-01-01"
HOSTILE = "<script>alert(1)</script>"


def made(http: httpx.Client, path: str, **body: Any) -> str:
    return str(read(send(http, "POST", path, body))["id"])


def id_in(kind: str, page: str) -> str:
    found = re.search(rf'"/{kind}/([0-9a-f-]{{36}})["/]', page)
    assert found is not None, kind
    return found[1]


def listed(http: httpx.Client, path: str, **params: str) -> Any:
    return read(http.get(path, params=params))["data"]


class Shop:
    """Two plans of 20.00 a month and 10.00 a gigabyte, and an account on the first of them since this month began."""

    def __init__(self, http: httpx.Client) -> None:
        product = made(http, "/products", name="Storage", code="storage")
        fields = [{"code": "gigabytes", "name": "Gigabytes", "category": "MEASURE", "unit": "GB"}]
        meter = made(http, "/meters", name="Disk", code="disk", productId=product, dataFields=fields, derivedFields=[])
        counted = {"name": "Stored", "code": "stored", "meterId": meter, "targetField": "gigabytes", "unit": "GB"}
        aggregation = made(http, "/aggregations", aggregation="SUM", quantityPerUnit=1, rounding="NONE", **counted)
        template = {"productId": product, "name": "Monthly", "currency": "USD", "billFrequency": "MONTHLY"}
        made_from = made(http, "/plantemplates", standingCharge=20, code="monthly", **template)
        self.team, self.pro = (
            made(http, "/plans", planTemplateId=made_from, name=name, code=name.lower()) for name in ("Team", "Pro")
        )
        start, bands = f"{FIRST}T00:00:00Z", [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 10}]
        for plan in (self.team, self.pro):
            made(http, "/pricings", planId=plan, aggregationId=aggregation, startDate=start, pricingBands=bands)
        self.account = made(http, "/accounts", name=f"Acme {HOSTILE}", code="acme", emailAddress="a@example.com")
        made(http, "/accountplans", accountId=self.account, planId=self.team, startDate=start)
        self.page = f"/accounts/{self.account}"


@pytest.fixture
def shop(http: httpx.Client) -> Shop:
    return Shop(http)


def test_over_to_another_plan_in_one_step(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    """The one ends where the other starts; its end can be moved, and it can be taken off again."""
    before = id_in("accountplans", admin.get(shop.page))
    assert HOSTILE not in admin.get(f"/accountplans/{before}")
    refused = admin.post(
        f"/accountplans/{before}/replace", {"planId": shop.pro, "from": f"{FIRST}", "version": "1"}, 422
    )
    assert "must start after that start" in refused
    admin.post(f"/accountplans/{before}/replace", {"planId": shop.pro, "from": f"{NEXT}", "version": "1"})
    kept = listed(http, "/accountplans", account=shop.account, includeall="true")
    old, new = sorted(kept, key=lambda each: str(each["startDate"]))
    assert (old["planId"], old["endDate"]) == (shop.team, f"{NEXT}T00:00:00.000Z")
    assert (new["planId"], new["startDate"], new.get("endDate")) == (shop.pro, f"{NEXT}T00:00:00.000Z", None)
    typed = {"startDate": f"{NEXT}", "endDate": FAR, "version": "1"}
    assert "Jan 2090" in admin.post(f"/accountplans/{new['id']}", typed)
    assert "1 is" not in admin.post(f"/accountplans/{new['id']}", typed, 422), "somebody has changed it meanwhile"
    admin.post(f"/accountplans/{new['id']}/delete")
    assert len(listed(http, "/accountplans", account=shop.account, includeall="true")) == 1


def test_days_are_those_of_the_organisation(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    """A plan that starts on a day starts at its midnight in New York; saved again, it is where it was."""
    admin.get("/settings")
    config = read(http.get("/organizationconfig"))
    send(http, "PUT", "/organizationconfig", {**config, "timezone": "America/New_York"})
    attached = id_in("accountplans", admin.get(shop.page))
    page = admin.post(f"/accountplans/{attached}", {"startDate": "2025-01-01", "endDate": "2025-07-01", "version": "1"})
    assert 'value="2025-07-01"' in page
    assert "Begins with this day, America/New_York." in page
    (kept,) = listed(http, "/accountplans", account=shop.account, includeall="true")
    assert (kept["startDate"], kept["endDate"]) == ("2025-01-01T05:00:00.000Z", "2025-07-01T04:00:00.000Z")
    odd = {**kept, "startDate": "2025-01-01T17:30:00Z"}
    send(http, "PUT", f"/accountplans/{attached}", odd)
    admin.post(f"/accountplans/{attached}", {"startDate": "2025-01-01", "endDate": "", "version": "3"})
    (kept,) = listed(http, "/accountplans", account=shop.account, includeall="true")
    assert (kept["startDate"], kept.get("endDate")) == ("2025-01-01T17:30:00.000Z", None)


def test_a_contract_from_its_start_to_its_end(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    admin.get(f"{shop.page}/contract")
    typed = {"name": f"Frame {HOSTILE}", "purchaseOrderNumber": "PO-7", "startDate": f"{FIRST}", "endDate": FAR}
    page = admin.post(f"{shop.page}/contract", typed)
    assert "Nothing yet" in page
    assert HOSTILE not in page
    contract = id_in("contracts", page)
    attached = id_in("accountplans", admin.get(shop.page))
    admin.post(f"/accountplans/{attached}", {"startDate": f"{FIRST}", "contractId": contract, "version": "1"})
    assert "Team" in admin.get(f"/contracts/{contract}")
    refused = admin.post(f"/contracts/{contract}/delete", {}, 422)
    assert "is used by account plan" in refused
    typed |= {"name": "Frame 2", "version": "1"}
    assert "<h1>Frame 2</h1>" in admin.post(f"/contracts/{contract}/edit", typed)
    page = admin.post(f"/contracts/{contract}/end", {"endDate": f"{NEXT}", "kinds": ["ACCOUNTPLAN", "CONTRACT"]})
    assert "2 ended." in page
    (kept,) = listed(http, "/accountplans", account=shop.account, includeall="true")
    assert kept["endDate"] == f"{NEXT}T00:00:00.000Z"
    assert read(http.get(f"/contracts/{contract}"))["endDate"] == f"{NEXT}"


def test_the_end_of_an_account(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    admin.get(f"{shop.page}/end")
    assert "1 ended." in admin.post(f"{shop.page}/end", {"endDate": f"{NEXT}", "kinds": "ACCOUNTPLAN"})
    (kept,) = listed(http, "/accountplans", account=shop.account, includeall="true")
    assert kept["endDate"] == f"{NEXT}T00:00:00.000Z"
    assert "billingEntities" in admin.post(f"{shop.page}/end", {"endDate": f"{NEXT}"}, 422)


def test_seats_are_changed_with_a_date(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    admin.get("/counters")
    assert "Give it a price" in admin.post("/counters", {"name": "Seats", "unit": "seat"})
    counter = id_in("counters", admin.get("/counters"))
    past = TODAY - timedelta(days=40)
    for day, level in [(past, "5"), (TODAY, "8"), (NEXT, "12"), (TODAY, "9")]:
        page = admin.post(f"{shop.page}/counters", {"counterId": counter, "value": level, "date": f"{day}"})
    rows = re.findall(r'<td class="numeric">\+?<data[^>]*data-value="(-?\d+)"', page)
    assert rows == ["12", "3", "9", "4", "5", "5"], "level and change, the latest first; today is 9 rather than 8"
    now = admin.get(shop.page).split('id="counters"')[1].split("</section>")[0]
    assert re.findall(r'data-value="(\d+)"', now) == ["9", "12"], "now, and next"
    latest = id_in("counteradjustments", page)
    admin.post(f"/counteradjustments/{latest}/delete")
    assert len(listed(http, "/counteradjustments", counterId=counter, accountId=shop.account)) == 2
    assert "is used by" in admin.post(f"/counters/{counter}/delete", {}, 422)
    assert "Licences" in admin.post(f"/counters/{counter}", {"name": "Licences", "unit": "seat", "version": "1"})


def test_a_charge_and_a_discount_on_the_next_bill(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    """20.00 a month less 10%, and 3 hours at 10.00, which no discount is taken off: 48.00."""
    admin.get(f"{shop.page}/charge")
    typed = {"name": f"Set-up {HOSTILE}", "units": "3", "unitPrice": "10", "currency": "USD", "billDate": f"{TODAY}"}
    page = admin.post(f"{shop.page}/charge", typed)
    charge = id_in("charges", page)
    discount = {"name": "Friends", "type": "PERCENT", "percent": "10", "currency": "USD", "startDate": f"{FIRST}"}
    page = admin.post(f"{shop.page}/discount", discount)
    assert HOSTILE not in page
    preview = read(send(http, "POST", "/bills/preview", {"accountIds": [shop.account]}))
    assert preview["billTotal"] == Decimal("48.00")
    refused = admin.post(f"/charges/{charge}", typed | {"amount": "5", "version": "1"}, 422)
    assert "not both" in refused
    page = admin.post(f"/charges/{charge}", typed | {"units": "", "unitPrice": "", "amount": "50", "version": "1"})
    assert "on no bill yet" in page
    gone = id_in("discounts", admin.get(shop.page))
    admin.post(f"/discounts/{gone}", discount | {"percent": "20", "version": "1"})
    preview = read(send(http, "POST", "/bills/preview", {"accountIds": [shop.account]}))
    assert preview["billTotal"] == Decimal("66.00"), "20.00 less 20%, and 50.00"
    admin.post(f"/discounts/{gone}/delete")
    admin.post(f"/charges/{charge}/delete")
    assert listed(http, "/charges", accountId=shop.account) == []


def test_a_commitment_burns_down(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    """Of 1,000.00, the open bill would draw 20.00 for the month and 40.00 for 4 GB; nothing is billed yet."""
    typed = {"amount": "1000", "currency": "USD", "startDate": f"{FIRST}", "endDate": FAR}
    commitment = id_in("commitments", admin.post(f"{shop.page}/commitment", typed))
    used = {"uid": "1", "meter": "disk", "account": "acme", "ts": f"{FIRST}T00:00:00Z", "measure": {"gigabytes": 4}}
    read(send(http, "POST", "/measurements", {"measurements": [used]}))
    page = ""
    while 'data-value="940"' not in page:  # until the measurement counts
        page = admin.get(f"/commitments/{commitment}")
    assert re.findall(r'data-value="([^"]+)"', page)[:3] == ["1000", "60", "940"], "agreed, drawn, left"
    assert "Estimated" in page
    assert HOSTILE not in page
    page = admin.post(f"/commitments/{commitment}/edit", typed | {"amount": "1200", "version": "1"})
    assert re.findall(r'data-value="([^"]+)"', page)[:3] == ["1200", "60", "1140"]
    admin.post(f"/commitments/{commitment}/delete")
    assert listed(http, "/commitments", accountId=shop.account) == []


def test_who_may_only_look_sees_it_without_buttons(organization: Tenant, shop: Shop) -> None:
    reader = signed_in(organization, Role.READ_ONLY)
    page = reader.get(shop.page)
    for label in ("New contract", "New discount", "New charge", "Change a level", "New commitment"):
        assert label not in page
    assert "Replace the plan" not in reader.get(f"/accountplans/{id_in('accountplans', page)}")


def test_a_seat_is_priced_on_a_plan(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    """5 seats at 7.00 for the month, in arrears, beside its 20.00: 55.00."""
    admin.get("/counters")
    admin.post("/counters", {"name": "Seats", "unit": "seat"})
    counter = id_in("counters", admin.get("/counters"))
    assert "No price for seats" in admin.get(f"/plans/{shop.team}")
    bands = {"lowerLimit": "0", "fixedPrice": "0", "unitPrice": "7", "bandId": "", "cumulative": "true"}
    typed = {"counterId": counter, **bands, "startDate": f"{FIRST}"}
    path = f"/plans/{shop.team}/counterpricings/new"
    assert "needed" in admin.post(path, typed | {"startDate": ""}, 422)
    price = id_in("counterpricings", admin.post(path, typed))
    level = {"counterId": counter, "value": "5", "date": f"{FIRST - timedelta(days=1)}"}
    admin.post(f"{shop.page}/counters", level)
    preview = read(send(http, "POST", "/bills/preview", {"accountIds": [shop.account]}))
    assert preview["billTotal"] == Decimal("55.00")
    admin.post(f"/counterpricings/{price}", typed | {"unitPrice": "8", "version": "1"})
    preview = read(send(http, "POST", "/bills/preview", {"accountIds": [shop.account]}))
    assert preview["billTotal"] == Decimal("60.00")
    admin.post(f"/counterpricings/{price}/delete")
    assert "No price for seats" in admin.get(f"/plans/{shop.team}")


def test_products_and_templates_are_edited(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    product = id_in("products", admin.get("/products"))
    admin.get(f"/products/{product}")
    assert "Disks" in admin.post(f"/products/{product}", {"name": "Disks", "code": "disks", "version": "1"})
    assert "is used by" in admin.post(f"/products/{product}/delete", {}, 422)
    template = id_in("plantemplates", admin.get("/plantemplates"))
    before = read(http.get(f"/plantemplates/{template}"))
    typed = {"productId": product, "name": "Month", "currency": "USD", "billFrequency": "MONTHLY"}
    admin.post(f"/plantemplates/{template}", typed | {"standingCharge": "25", "version": "1"})
    after = read(http.get(f"/plantemplates/{template}"))
    assert (before["standingCharge"], after["standingCharge"], after["name"]) == (20, 25, "Month")
    assert "is used by" in admin.post(f"/plantemplates/{template}/delete", {}, 422)


def test_prices_that_have_no_bands(admin: Visitor, http: httpx.Client, shop: Shop) -> None:
    """A percentage of what is counted, and packages; half of a package is refused."""
    aggregation = read(http.get("/aggregations"))["data"][0]["id"]
    path = f"/plans/{shop.pro}/pricings/new"
    admin.get(path)
    for start, form, said in [
        ("2020-01-01", {"percent": "2.5"}, "2.5% of what is counted"),
        ("2021-01-01", {"packageSize": "100", "packagePrice": "9"}, "9 for each started 100"),
    ]:
        year = int(start[:4])
        typed = {"counts": aggregation, "startDate": start, "endDate": f"{year + 1}-01-01", **form}
        assert said in admin.post(path, typed)
    typed = {"counts": aggregation, "startDate": "2018-01-01", "endDate": "2019-01-01", "packageSize": "100"}
    assert "packagePrice: is needed" in admin.post(path, typed, 422)
