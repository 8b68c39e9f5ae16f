"""A shop in which every text that people choose is hostile: no page runs any of it, and no table of a download is a
formula in it."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping

import pytest
from browser_shop import Shop, open_shop
from everywhere import addresses, downloads, portal_addresses
from people import sign_in
from playwright.sync_api import Page
from storefront import read, send

from tallystick.cli.launch import Server
from tenant import new_tenant

pytestmark = pytest.mark.browser
MARK = "=<img src=x onerror=alert(1)>"
NUMBER = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?")


@pytest.fixture(scope="module")
def hostile(server: Server) -> Shop:
    return open_shop(new_tenant(server), mark=MARK, scale=10)


def visit(page: Page, url: str, found: Mapping[str, str]) -> int:
    """Open each page, and count those that show the hostile text as text. Nothing of it may be an element."""
    shown = 0
    for name, address in found.items():
        page.goto(url + address)
        assert page.locator("img[src=x]").count() == 0, f"{name} has an element out of a name"
        text = page.locator("main").inner_text()
        shown += MARK in text
    return shown


def require_harmless(text: str, name: str) -> None:
    """No cell that a spreadsheet would take for a formula."""
    for row in csv.reader(text.splitlines()):
        for cell in row:
            assert cell[:1] not in {"=", "+", "-", "@", "\t"} or NUMBER.fullmatch(cell), f"{name}: {cell}"


def test_nothing_of_a_name_runs(hostile: Shop, open_page: Callable[..., Page]) -> None:
    page, url = sign_in(open_page(), hostile.tenant), hostile.tenant.url
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    with hostile.tenant.http() as http:
        read(send(http, "POST", "/bills/approve", {"billIds": [hostile.ids["bills:nordwind:0"]]}))
        read(send(http, "POST", "/accounting/post", {}))
    assert visit(page, url, addresses(hostile)) > 30, "most pages show names"
    tables = 0
    for name, address in downloads(hostile).items():
        answer = page.context.request.get(url + address)
        assert answer.ok, name
        if answer.headers["content-type"].startswith("text/csv"):
            require_harmless(answer.text(), name)
            simulation = name.startswith("/playground")  # names accounts by their codes alone
            assert simulation or "onerror" in answer.text(), f"{name} has the names"
            tables += 1
    assert tables == 5, "the explorer's, a bill's, a simulation's, the journal and the revenue schedule"
    account = hostile.ids["accounts:nordwind"]
    with hostile.tenant.http() as http:
        link = read(send(http, "POST", f"/accounts/{account}/portalsessions", {}))["url"]
    customer = open_page()
    customer.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    customer.goto(link)
    assert visit(customer, url, portal_addresses(hostile)) >= 1
    table = customer.context.request.get(f"{url}/portal/bills/{hostile.ids['bills:nordwind:0']}/csv")
    require_harmless(table.text(), "the portal's")
    assert asked == [], "no script of a name ran"
