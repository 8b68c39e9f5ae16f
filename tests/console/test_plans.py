"""Plans and prices in the console: made, looked at, changed, and changed from a day on."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from storefront import read
from visitor import Visitor, signed_in

from tallystick.console.price_lists import curve_of
from tallystick.core.catalog import PricingBand
from tallystick.core.user import Role
from tenant import Tenant


def band(limit: str, fixed: str, unit: str) -> PricingBand:
    return PricingBand(lower_limit=Decimal(limit), fixed_price=Decimal(fixed), unit_price=Decimal(unit))


@pytest.mark.parametrize(
    ("cumulative", "bands", "segments"),
    [
        (True, [band("0", "0", "3"), band("10", "0", "2.5")], [(0, 10, 0, 30), (10, 20, 30, 55)]),
        (True, [band("0", "5", "1"), band("10", "7", "0.5")], [(0, 10, 5, 15), (10, 20, 22, 27)]),
        (False, [band("0", "0", "3"), band("10", "0", "2.5")], [(0, 10, 0, 30), (10, 20, 25, 50)]),
        (False, [band("0", "0", "0"), band("5", "15", "0"), band("50", "90", "0")], [(0, 5, 0, 0), (5, 20, 15, 15)]),
        (True, [band("4", "1", "2")], [(4, 20, 1, 33)]),
    ],
    ids=["tiered", "tiered with fixed prices", "volume", "stairstep beyond the edge", "nothing below the first limit"],
)
def test_the_curve_of_a_price_list(cumulative: bool, bands: list[PricingBand], segments: list[Any]) -> None:
    curve = curve_of("Price", bands, cumulative=cumulative, up_to=Decimal(20))
    found = [(each.start, each.end, each.price_at_start, each.price_at_end) for each in curve.segments]
    assert found == [tuple(Decimal(part) for part in segment) for segment in segments]


def typed_bands(*bands: tuple[str, str, str]) -> dict[str, Any]:
    columns = zip(*bands, strict=True)
    return dict(zip(("lowerLimit", "fixedPrice", "unitPrice"), (list(each) for each in columns), strict=True)) | {
        "bandId": [""] * len(bands)
    }


def id_in(path: str, text: str) -> str:
    found = re.search(rf'"{path}([0-9a-f-]{{36}})', text)
    assert found is not None, text[-3000:]
    return found[1]


@pytest.fixture
def plan(admin: Visitor, organization: Tenant) -> str:
    """A plan that was made by hand, from nothing: product, template, plan; the meter came by the API."""
    admin.get("/products")
    assert "Inference" in admin.post("/products", {"name": "Inference", "code": "inference"})
    with organization.http() as http:
        (product,) = read(http.get("/products"))["data"]
        fields = [{"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "{token}"}]
        body = {"name": "LLM", "code": "llm", "productId": product["id"], "dataFields": fields, "derivedFields": []}
        meter = read(http.post("/meters", json=body))
        counted = {"name": "Tokens", "code": "tokens", "meterId": meter["id"], "targetField": "tokens"}
        counted |= {"aggregation": "SUM", "quantityPerUnit": 1000, "rounding": "NONE", "unit": "thousand tokens"}
        read(http.post("/aggregations", json=counted))
    template = {"productId": product["id"], "name": "Monthly", "currency": "USD", "billFrequency": "MONTHLY"}
    page = admin.post("/plantemplates/new", template | {"standingCharge": "20"})
    template_id = re.search(r'<option value="([0-9a-f-]{36})" selected', page)
    assert template_id is not None
    made = {"planTemplateId": template_id[1], "name": "Team", "code": "team", "minimumSpend": "1,060.50"}
    page = admin.post("/plans/new", made)
    assert 'data-value="1060.5"' in page
    assert 'data-value="20"' in page
    return id_in("/plans/", page)


def priced(admin: Visitor, plan: str, start: str = "2025-01-01") -> str:
    page = admin.get(f"/plans/{plan}/pricings/new")
    counted = re.search(r'<option value="([0-9a-f-]{36})"', page)
    assert counted is not None
    typed = {"counts": counted[1], "cumulative": "true", "startDate": start}
    typed |= typed_bands(("0", "", "3.00"), ("10", "", "2.5"), ("", "", ""))
    page = admin.post(f"/plans/{plan}/pricings/new", typed)
    assert "The price is there" in page
    assert "tiered, 2 bands" in page
    assert "<svg" in page
    return id_in("/pricings/", page)


def prices(organization: Tenant, plan: str) -> list[Any]:
    with organization.http() as http:
        return sorted(read(http.get("/pricings", params={"planId": plan}))["data"], key=lambda each: each["startDate"])


def test_a_price_made_and_changed_by_hand_is_the_one_of_the_api(
    admin: Visitor, organization: Tenant, plan: str
) -> None:
    pricing = priced(admin, plan)
    (found,) = prices(organization, plan)
    bands = [(each["lowerLimit"], each["unitPrice"]) for each in found["pricingBands"]]
    assert bands == [(0, Decimal(3)), (10, Decimal("2.5"))]
    ids = [each["id"] for each in found["pricingBands"]]

    admin.get(f"/pricings/{pricing}")
    typed = {"cumulative": "true", "startDate": "2025-01-01", "version": "1"}
    typed |= typed_bands(("0", "1", "3.00"), ("10", "", "2.25")) | {"bandId": ids}
    page = admin.post(f"/pricings/{pricing}", typed | {"look": "true"})
    assert "Not saved yet" in page
    assert prices(organization, plan) == [found], "looking at it keeps nothing"
    assert "The price is changed" in admin.post(f"/pricings/{pricing}", typed)
    (changed,) = prices(organization, plan)
    assert [(each["id"], each["fixedPrice"], each["unitPrice"]) for each in changed["pricingBands"]] == [
        (ids[0], 1, 3),
        (ids[1], 0, Decimal("2.25")),
    ]
    again = admin.post(f"/pricings/{pricing}", typed, status=422)
    assert "is at version 2, the request names 1" in again


def test_a_new_price_from_a_day_on_leaves_the_time_before_as_it_was(
    admin: Visitor, organization: Tenant, plan: str
) -> None:
    pricing = priced(admin, plan)
    typed = {"cumulative": "true", "startDate": "2025-03-01", "version": "1", **typed_bands(("0", "", "4"))}
    page = admin.post(f"/pricings/{pricing}/next", typed)
    assert "The new price holds from 2025-03-01" in page
    before, after = prices(organization, plan)
    assert (before["endDate"], after["startDate"]) == ("2025-03-01T00:00:00.000Z", "2025-03-01T00:00:00.000Z")
    assert [each["unitPrice"] for each in before["pricingBands"]] == [3, Decimal("2.5")]
    assert [each["unitPrice"] for each in after["pricingBands"]] == [4]
    refused = admin.post(f"/pricings/{before['id']}/next", typed, status=422)
    assert "must be after 2025-01-01T00:00:00.000Z and before 2025-03-01T00:00:00.000Z" in refused
    assert len(prices(organization, plan)) == 2


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        ([("0", "", "x")], "band 1: unitPrice: must be a number, got &#39;x&#39;"),
        ([("0", "", "1"), ("", "", "2")], "band 2: say above how many units it begins"),
        ([("5", "", "1"), ("5", "", "2")], "lowerLimit: must be above 5"),
        ([("", "", "")], "at least one band"),
    ],
)
def test_a_price_list_that_does_not_hold_says_where(
    admin: Visitor, plan: str, bands: list[tuple[str, str, str]], said: str
) -> None:
    page = admin.get(f"/plans/{plan}/pricings/new")
    counted = re.search(r'<option value="([0-9a-f-]{36})"', page)
    assert counted is not None
    typed = {"counts": counted[1], "cumulative": "true", "startDate": "2025-01-01", **typed_bands(*bands)}
    page = admin.post(f"/plans/{plan}/pricings/new", typed, status=422)
    assert said in page
    assert f'value="{bands[0][2]}"' in page, "what was typed is still there"


def test_a_plan_is_edited_and_deleted(admin: Visitor, organization: Tenant, plan: str) -> None:
    page = admin.get(f"/plans/{plan}/edit")
    assert 'value="1060.5' in page
    page = admin.post(f"/plans/{plan}/edit", {"name": "Crew <b>", "code": "team", "minimumSpend": "", "version": "1"})
    assert "Crew &lt;b&gt;" in page
    with organization.http() as http:
        found = read(http.get(f"/plans/{plan}"))
    assert (found["name"], found.get("minimumSpend")) == ("Crew <b>", None)
    reader = signed_in(organization, Role.READ_ONLY)
    assert "Delete this plan" not in reader.get(f"/plans/{plan}")
    assert "is deleted" in admin.post(f"/plans/{plan}/delete")
    admin.get(f"/plans/{plan}", status=404)


def test_days_of_prices_are_those_of_the_organisation(admin: Visitor, organization: Tenant, plan: str) -> None:
    with organization.http() as http:
        config = read(http.get("/organizationconfig"))
        read(http.put("/organizationconfig", json={**config, "timezone": "Europe/Berlin"}))
    pricing = priced(admin, plan)
    (found,) = prices(organization, plan)
    assert found["startDate"] == "2024-12-31T23:00:00.000Z"
    assert 'name="startDate" type="date" value="2025-01-01"' in admin.get(f"/pricings/{pricing}")
    typed = {"cumulative": "true", "startDate": "2025-07-01", "version": "1", **typed_bands(("0", "", "4"))}
    admin.post(f"/pricings/{pricing}/next", typed)
    _, after = prices(organization, plan)
    assert after["startDate"] == "2025-06-30T22:00:00.000Z"
