"""Every page that answers a GET, as an address in the shop: from the tables of pages, so that none is forgotten."""

from __future__ import annotations

import re

from browser_shop import Shop
from visitor import add_user

from tallystick.console.portal.entry import FRAMED
from tallystick.console.site import OPEN_PAGES, PAGES

# What answers a file, or leads elsewhere at once.
NO_PAGES = re.compile(r"/(pdf|csv|html|lineitems\.csv|download|embed|embed\.js|theme\.css|logo|open|invoice|proof)$")


def addresses(shop: Shop) -> dict[str, str]:
    """The paths of the console's pages in the tables, each with an address. An unknown `{id}` is an AssertionError."""
    found = {}
    for page in PAGES:
        if page.method == "GET" and not NO_PAGES.search(page.path):
            found[page.path] = _address(shop, page.path)
    return found


def downloads(shop: Shop) -> dict[str, str]:
    """The same of what answers a file in the console."""
    paths = [page.path for page in PAGES if page.method == "GET" and NO_PAGES.search(page.path)]
    return {path: _address(shop, path) for path in paths}


def portal_addresses(shop: Shop) -> dict[str, str]:
    """The same of the portal, in a tab; in a frame they are the same pages."""
    found = {}
    for page in OPEN_PAGES:
        own = page.path.startswith("/portal") and not page.path.startswith(FRAMED)
        if page.method == "GET" and own and not NO_PAGES.search(page.path):
            found[page.path] = page.path.replace("{id}", shop.ids["bills:nordwind:0"])
    return found


def open_addresses(shop: Shop) -> dict[str, str]:
    """The same of the pages of people who have not signed in."""
    invited = add_user(shop.tenant, password=None)["link"]
    found = {"/nowhere": "/nowhere"}
    for page in OPEN_PAGES:
        if page.method == "GET" and not page.path.startswith("/portal"):
            found[page.path] = invited if "{token}" in page.path else page.path
    return found


def _address(shop: Shop, path: str) -> str:
    ids = shop.ids
    known = {
        "/meters/{id}": ids["meters:llm"],
        "/aggregations/{id}": ids["aggregations:tokens"],
        "/compounds/{id}": ids["compoundaggregations:double"],
        "/accounts/{id}": ids["accounts:acme"],
        "/accountplans/{id}": ids["accountplans:plan-cedar"],
        "/balances/{id}": ids["balances:prepaid"],
        "/contracts/{id}": ids["contracts:year"],
        "/commitments/{id}": ids["commitments:"],
        "/counters/{id}": ids["counters:seats"],
        "/counterpricings/{id}": ids["counterpricings:"],
        "/products/{id}": ids["products:inference"],
        "/plantemplates/{id}": ids["plantemplates:monthly"],
        "/charges/{id}": ids["charges:setup"],
        "/discounts/{id}": ids["discounts:founders"],
        "/playground/{id}": ids["simulations"],
        "/shadowplans/{id}": ids["shadowplans"],
        "/experiments/{id}": ids["experiments"],
        "/planmigrations/{id}": ids["planmigrations"],
        "/plans/{id}": ids["plans:team"],
        "/pricings/{id}": ids["pricings:price-0"],
        "/bills/{id}": ids["bills:nordwind:1"],
        "/jobs/{id}": ids["billjobs:1"],
        "/reconciliations/{id}": ids["reconciliations"],
        "/reconciliationruns/{id}": ids["reconciliationruns"],
        "/corrections/{id}": ids["corrections"],
        "/unmappedusage/{id}": ids["unmappedidentities"],
        "/usagesources/{id}": ids["usagesources"],
        "/webhooks/{id}": ids["webhooks"],
        "/events/{id}": ids["events"],
        "/integrations/{id}": ids["integrationconfigs"],
        "/notifications/{id}": ids["notifications"],
        "/failed/groups/{id}": ids["failedmeasurementgroups"],
        "/failed/measurements/{id}": ids["failedmeasurements"],
    }
    for beginning, id_ in known.items():
        if path.startswith(beginning):
            path = beginning.replace("{id}", id_) + path.removeprefix(beginning)
    path = path.replace("{line}", "2").replace("{template}", ids["emailtemplates"])
    path = path.replace("{plan}", ids["catalogplan"]).replace("{version}", ids["catalogversion:0"])
    assert "{" not in path, f"{path}: say in everywhere.py which of the shop it is"
    return path + QUERIES.get(path, "").format(plan=ids["plans:team"])


QUERIES = {
    "/explorer/measurement": "?uid=nordwind",
    "/preview": "?account=nordwind",
    "/playground": "?planId={plan}",
    "/insights": "?of=commitments",
}
