"""Why is my bill higher? Support answers it from home, in four clicks down to the measurements."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browser_shop import Shop, by_hand
from people import click, press, sign_in
from playwright.sync_api import Locator, Page, expect

from tallystick.core.user import Role

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("go", [click, press])
def test_why_a_bill_is_higher(shop: Shop, open_page: Callable[..., Page], go: Callable[[Page, Locator], None]) -> None:
    """By mouse, and by keyboard alone. Each `go` is one of the four clicks."""
    page = sign_in(open_page(viewport={"width": 1280, "height": 900}), shop.tenant, Role.SUPPORT)
    before, now = by_hand(shop, "nordwind", 0), by_hand(shop, "nordwind", 1)

    go(page, page.get_by_role("navigation", name="Main").get_by_role("link", name="Bills", exact=True))
    go(page, page.get_by_role("link", name="Nordwind Analytics").first)  # the latest is first
    more = f"{now.gpt_x_units - before.gpt_x_units:.2f}".rstrip("0").rstrip(".")
    told = page.locator(".told")
    percent = round((now.total - before.total) / before.total * 100)
    expect(told).to_contain_text(f"Up {percent}% (+{now.total - before.total:.2f} USD) against {shop.months[0]} to ")
    expect(told).to_contain_text(f": {more} million more tokens on model gpt-x (+{now.gpt_x - before.gpt_x:.2f} USD).")
    go(page, page.get_by_role("link", name=f"{more} million more tokens on model gpt-x"))
    expect(page.locator(".figure", has_text="Amount").locator("data")).to_have_attribute(
        "data-value", f"{now.gpt_x:f}".rstrip("0").rstrip(".")
    )
    go(page, page.get_by_role("link", name=f"1 {shop.months[1]:%b %Y}", exact=True))

    rows = page.get_by_role("table", name="Measurements").locator("tbody tr")
    expect(rows).to_have_count(50)  # of the 53 of gpt-x among a day's 70; the others are on the next page
    expect(rows.first).to_contain_text("nordwind")
    expect(rows.first).to_contain_text("20,000")
