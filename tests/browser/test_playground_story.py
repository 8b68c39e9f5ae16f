"""An operator tries a price on last month's bill of a customer, sees the effect, and publishes it for next month."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from browser_shop import Shop, by_hand
from people import sign_in
from playwright.sync_api import Page, expect
from storefront import read

from tallystick.core.user import Role

pytestmark = pytest.mark.browser


def exact(amount: Decimal) -> str:
    return f"{amount:f}".rstrip("0").rstrip(".")


def test_a_price_is_tried_seen_and_published(shop: Shop, open_page: Callable[..., Page]) -> None:
    """Above 10 million tokens gpt-x costs 8.25 where it cost 9.50."""
    page = sign_in(open_page(viewport={"width": 1280, "height": 900}), shop.tenant, Role.BILLING)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Playground").click()
    page.get_by_label("Plan").select_option("Team")
    page.get_by_label("Account").fill("nordwind")
    page.get_by_role("button", name="Edit its prices").click()
    price = page.locator("section.card", has=page.get_by_role("heading", name="Tokens: model gpt-x"))
    price.get_by_label("Band 2: price a unit").fill("8.25")
    page.get_by_role("button", name="See the effect").first.click()
    was, tried = by_hand(shop, "nordwind", 1), by_hand(shop, "nordwind", 1, above_ten="8.25")
    effect = {"As it is": was.total, "As you typed": tried.total, "Difference": tried.total - was.total}
    for label, amount in effect.items():
        shown = page.locator(".figure", has_text=label).locator("data")
        expect(shown).to_have_attribute("data-value", exact(amount))
    line = page.get_by_role("row", name="Tokens (gpt-x)").locator("td data")
    amounts = [each.get_attribute("data-value") for each in line.all()]
    assert amounts == [exact(each) for each in (was.gpt_x_units, was.gpt_x, tried.gpt_x, tried.gpt_x - was.gpt_x)]

    plan = f"{shop.ids['plans:team']}"
    with shop.tenant.http() as http:
        assert len(read(http.get("/pricings", params={"planId": plan}))["data"]) == 3, "nothing is published yet"
    page.get_by_label("Yes, these prices are to hold from that day").check()
    page.get_by_role("button", name="Publish from this day").click()
    next_month = (shop.months[2] + timedelta(days=32)).replace(day=1)
    expect(page.get_by_role("status")).to_contain_text(f"1 new prices hold from {next_month}")
    future = page.get_by_role("row", name="Future").filter(has_text="Tokens")
    expect(future).to_contain_text(f"{next_month:%-d %b %Y}")
    future.get_by_role("link").click()
    expect(page.get_by_label("Band 2: price a unit")).to_have_value("8.25")
