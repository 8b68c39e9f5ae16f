"""The playground: prices are edited, their effect on a past month is seen, and then they are published, or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from storefront import Storefront, read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

ROWS = ("lowerLimit", "fixedPrice", "unitPrice", "bandId")


@pytest.fixture
def shop(organization: Tenant) -> Iterator[Storefront]:
    """January of acme: the standing charge of 20.00 and 40 bytes at 0.25, which is 30.00."""
    with organization.http() as http:
        shop = Storefront(http)
        one = {"uid": "u1", "meter": "traffic", "account": "acme", "ts": "2025-01-10T12:00:00Z"}
        shop.measure(one | {"measure": {"bytes": 40}, "where": {"region": "eu"}, "metadata": {"file": "a"}})
        read(send(http, "POST", "/bills/preview", {"accountIds": [shop.ids["/accounts"]]}))  # waits until it counts
        yield shop


def typed(shop: Storefront, *bands: tuple[str, str, str], **more: str) -> dict[str, Any]:
    """The form of the playground with these bands."""
    price = shop.ids["/pricings"]
    columns = zip(*((*band, "") for band in bands), strict=True)
    rows = {f"{part}.{price}": list(cells) for part, cells in zip(ROWS, columns, strict=True)}
    form = {"planId": shop.ids["/plans"], "lastDate": "2025-01-31", "pricingId": price, f"version.{price}": "1"}
    return {**form, f"cumulative.{price}": "true", **rows, **more}


def figures(page: str) -> list[str]:
    """The exact values of the figures at the head of a page."""
    part = page[page.index('class="figures"') :]
    return re.findall(r'data-value="([^"]+)"', part[: part.index("</section>" if "</section>" in part else "</main>")])


def pricings(shop: Storefront) -> list[Any]:
    return sorted(read(shop.http.get("/pricings"))["data"], key=lambda each: each["startDate"])


def test_an_account_is_seen_line_by_line_and_nothing_is_kept(admin: Visitor, shop: Storefront) -> None:
    page = admin.get("/playground")
    assert "Choose a plan" in page
    page = admin.get(f"/playground?planId={shop.ids['/plans']}&account=acme&lastDate=2025-01-31")
    assert 'value="0.25"' in page
    before = pricings(shop)
    # 30 at 0.25 and 10 at 1 are 17.50, with the standing charge 37.50.
    page = admin.post("/playground", typed(shop, ("0", "", "0.25"), ("30", "", "1"), account="acme"))
    assert figures(page)[:3] == ["30", "37.5", "7.5"]
    assert "tiered, 2 bands" in page
    assert page.count("Candidate") > 1, "both curves are drawn"
    assert "Now: 40 units" in page, "the quantity of the account is marked"
    assert 'value="30"' in page, "what was typed stays"
    assert pricings(shop) == before
    assert read(shop.http.get("/simulations"))["data"] == []


def test_a_plan_s_charges_are_tried_too(admin: Visitor, shop: Storefront) -> None:
    admin.get("/playground")
    charges = {"standingCharge": "25", "minimumSpend": "50", "maximumSpend": ""}
    page = admin.post("/playground", typed(shop, ("0", "0", "0.25"), account="acme", **charges))
    assert figures(page)[:3] == ["30", "50", "20"]  # 25.00, 10.00 and 15.00 up to the minimum
    assert "standingCharge" not in read(shop.http.get(f"/plans/{shop.ids['/plans']}"))


def test_all_accounts_are_a_simulation_that_one_goes_on_from(
    admin: Visitor, organization: Tenant, shop: Storefront
) -> None:
    other = shop.make("/accounts", code="calm")["id"]
    shop.make("/accountplans", accountId=other)
    admin.get("/playground")
    page = admin.post("/playground", typed(shop, ("0", "", "0.75")))
    (made,) = read(shop.http.get("/simulations"))["data"]
    assert (made["total"], made["status"]) == (2, "COMPLETE")
    (effect,) = made["effects"]
    assert figures(page)[:6] == ["50", "70", "20", "1", "0", "1"]
    assert (effect["oldTotal"], effect["newTotal"]) == (50, 70)
    assert "<svg" in page
    assert page.index("acme") < page.index("calm"), "the greatest change first"
    assert "calm" not in admin.get(f"/playground/{made['id']}?outcome=RISES")
    assert "30.00,50.00,20.00" in admin.http.get(f"/playground/{made['id']}/csv").text
    page = admin.get(f"/playground?simulationId={made['id']}")
    assert 'value="0.75"' in page
    page = signed_in(organization, Role.READ_ONLY).get(f"/playground?simulationId={made['id']}&account=acme")
    assert figures(page)[:3] == ["30", "50", "20"]


def test_a_cap_and_segments_of_customers_are_shown(admin: Visitor, shop: Storefront) -> None:
    """30.00 to 50.00, which a cap of 10% holds at 33.00."""
    admin.get("/playground")
    besides = {"capPercent": "10", "segmentBy": "plan"}
    page = admin.post("/playground", typed(shop, ("0", "", "0.75"), **besides))
    assert figures(page)[6] == "17"
    assert "By segments of customers" in page
    assert 'data-value="33"' in page
    (made,) = read(shop.http.get("/simulations"))["data"]
    again = admin.get(f"/playground?simulationId={made['id']}")
    assert 'value="10"' in again
    page = admin.post("/playground", typed(shop, ("0", "", "0.75"), segmentBy="shoes"), status=422)
    assert "customFields. and the name" in page


def test_prices_are_published_from_a_day_on(admin: Visitor, shop: Storefront) -> None:
    admin.get("/playground")
    form = typed(shop, ("0", "", "0.5"), publishFrom="2025-03-01")
    page = admin.post("/playground/publish", form, status=422)
    assert "tick that these prices are to hold" in page
    assert 'value="0.5"' in page, "what was typed stays"
    page = admin.post("/playground/publish", form | {"confirmed": "true"})
    assert "1 new prices hold from 2025-03-01" in page
    first, second = pricings(shop)
    assert first["endDate"] == second["startDate"]
    assert [float(each["pricingBands"][0]["unitPrice"]) for each in (first, second)] == [0.25, 0.5]


@pytest.mark.parametrize(
    ("bands", "more", "said"),
    [
        ((("0", "", "much"),), {"account": "acme"}, "must be a number, got &#39;much&#39;"),
        ((("0", "", "1"), ("0", "", "2")), {"account": "acme"}, "must be above 0"),
        ((("0", "", "1"),), {"account": "nobody"}, "there is no account with the code"),
        ((("0", "", "1"),), {"account": "acme", "lastDate": "2025-01-30"}, "has no billing period that ends with"),
        ((("0", "", "1"),), {"account": "acme", "minimumSpend": "-1", "standingCharge": ""}, "minimumSpend: must be 0"),
    ],
)
def test_what_makes_no_sense_is_said_and_stays(
    admin: Visitor, shop: Storefront, bands: tuple[tuple[str, str, str], ...], more: dict[str, str], said: str
) -> None:
    admin.get("/playground")
    page = admin.post("/playground", typed(shop, *bands) | more, status=422)
    assert said in page
    assert f'value="{bands[-1][2]}"' in page
