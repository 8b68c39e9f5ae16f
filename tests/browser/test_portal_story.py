"""A customer in a real browser: opens the link, sees the estimate, sets an alert, downloads the PDF; and the portal
within another site's page."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from browser_shop import Shop, by_hand
from people import sign_in
from playwright.sync_api import Page
from pypdf import PdfReader
from storefront import read, send

from tallystick.core.user import Role

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def sold(shop: Shop) -> Shop:
    """The shop, with the first month of Nordwind approved."""
    with shop.tenant.http() as http:
        bills = read(http.get("/bills", params={"accountId": shop.ids["accounts:nordwind"]}))["data"]
        read(send(http, "POST", "/bills/approve", {"billIds": [min(bills, key=lambda bill: bill["startDate"])["id"]]}))
    return shop


def link(shop: Shop, **asked: object) -> dict[str, Any]:
    with shop.tenant.http() as http:
        path = f"/accounts/{shop.ids['accounts:nordwind']}/portalsessions"
        return dict(read(send(http, "POST", path, {"timezone": "Europe/Berlin", **asked})))


def test_a_customer_sees_the_estimate_sets_an_alert_and_takes_the_invoice(
    sold: Shop, open_page: Callable[..., Page]
) -> None:
    """Support makes the link on the account's page; the customer opens it on a phone."""
    support = sign_in(open_page(), sold.tenant, Role.SUPPORT)
    support.get_by_role("link", name="Accounts", exact=True).click()
    support.get_by_role("link", name="Nordwind Analytics").click()
    support.get_by_role("link", name="Portal", exact=True).click()
    support.get_by_label("Time zone").fill("Europe/Berlin")
    support.get_by_role("button", name="Make a link").click()
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.goto(support.locator(".copy").first.inner_text().split()[0])
    page.get_by_text("Estimated, as of").wait_for()
    assert page.get_by_text("Estimated", exact=True).first.is_visible()
    with sold.tenant.http() as http:
        account = sold.ids["accounts:nordwind"]
        preview = read(send(http, "POST", "/bills/preview", {"accountIds": [account]}))
    shown = page.locator("[data-estimate] data").get_attribute("data-value")
    assert shown == f"{preview['billTotal']:f}".rstrip("0").rstrip(".")
    page.get_by_role("link", name="Alerts").click()
    page.get_by_label("Amount or percentage").fill("5390.50")
    page.get_by_role("button", name="Set the alert").click()
    page.locator('.alerts data[data-value="5390.5"]').first.wait_for()
    page.get_by_role("link", name="Bills").click()
    page.locator("tbody th a").first.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PDF").click()
    text = " ".join(each.extract_text() for each in PdfReader(download.value.path()).pages)
    assert "Nordwind Analytics" in text
    assert re.search(rf"Total\D+{by_hand(sold, 'nordwind', 0).total:,.2f}\b", text), text
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the screen"


class Elsewhere(BaseHTTPRequestHandler):
    """Another site's page that embeds the portal."""

    html = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(self.html.encode())

    def log_message(self, *_: object) -> None:
        """Nothing is told of requests."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The origin of another site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://localhost:{served.server_port}"
        served.shutdown()


def test_the_portal_within_another_page(sold: Shop, open_page: Callable[..., Page], elsewhere: str) -> None:
    with sold.tenant.http() as http:
        read(send(http, "PUT", "/portalsettings", {"frameOrigins": [elsewhere]}))
    script = f'<script src="{sold.tenant.url}/portal/embed.js" data-target="here" data-token="%s" async></script>'
    Elsewhere.html = (
        '<!doctype html><link rel="icon" href="data:,"><div id="here"></div>' + script % link(sold)["token"]
    )
    page = open_page(viewport={"width": 900, "height": 900})
    page.goto(elsewhere)
    frame = page.frame_locator("#here iframe")
    frame.get_by_text("Estimated, as of").wait_for()
    page.wait_for_function("document.querySelector('#here iframe').style.height !== '40rem'")
    frame.get_by_role("link", name="Alerts").click()
    frame.get_by_label("Amount or percentage").fill("777.25")
    frame.get_by_role("button", name="Set the alert").click()
    frame.get_by_text("777.25").first.wait_for()
    assert page.context.cookies() == [], "no cookie is needed, nor kept"
