"""Every page that answers a GET, in light and dark, at the width of a desk and of a phone: axe-core finds nothing
serious, and no page is wider than the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from browser_shop import Shop
from everywhere import addresses, open_addresses, portal_addresses
from people import sign_in
from playwright.sync_api import Page
from storefront import read, send

pytestmark = pytest.mark.browser
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = [(1280, "light"), (390, "light"), (1280, "dark"), (390, "dark")]
RUN = "axe.run({resultTypes: ['violations'], runOnly: %s}).then(found => found.violations)"
ALL, COLOURS = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']", "['color-contrast']"


@pytest.fixture
def wrong() -> list[str]:
    """What is wrong with any page, gathered so that one run tells all."""
    return []


def test_the_console(shop: Shop, open_page: Callable[..., Page], wrong: list[str]) -> None:
    page = sign_in(open_page(reduced_motion="reduce"), shop.tenant)
    look_at(page, shop.tenant.url, addresses(shop), wrong)
    assert not wrong, "\n".join(wrong)


def test_the_portal(shop: Shop, open_page: Callable[..., Page], wrong: list[str]) -> None:
    account = shop.ids["accounts:nordwind"]
    with shop.tenant.http() as http:
        read(send(http, "POST", "/bills/approve", {"billIds": [shop.ids["bills:nordwind:0"]]}))
        link = read(send(http, "POST", f"/accounts/{account}/portalsessions", {}))["url"]
    page = open_page(reduced_motion="reduce")
    page.goto(link)
    look_at(page, shop.tenant.url, portal_addresses(shop), wrong)
    assert not wrong, "\n".join(wrong)


def test_pages_of_who_has_not_signed_in(shop: Shop, open_page: Callable[..., Page], wrong: list[str]) -> None:
    found = {**open_addresses(shop), "portal over": "/portal"}
    look_at(open_page(reduced_motion="reduce"), shop.tenant.url, found, wrong)
    assert not wrong, "\n".join(wrong)


def look_at(page: Page, url: str, found: Mapping[str, str], wrong: list[str]) -> None:
    """Each page once; its looks change under it. Colours are all that may be wrong in the dark alone."""
    for name, address in found.items():
        page.goto(url + address)
        assert page.locator("h1").count() == 1, f"{name} is no page: {page.content()[:500]}"
        page.evaluate(AXE.read_text())
        for width, scheme in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            violations: list[dict[str, Any]] = page.evaluate(RUN % (ALL if scheme == "light" else COLOURS))
            for each in violations:
                if each["impact"] in {"serious", "critical"}:
                    html = [node["html"][:200] for node in each["nodes"][:3]]
                    wrong.append(f"{name} at {width}, {scheme}: {each['id']}: {html}")
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                wrong.append(f"{name} at {width} is {wide} wide")
