"""The customer's portal on the running server: what it shows is what the API says, and nothing else is reachable."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from csv import DictReader
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from portal_world import FRAMED, HOSTILE, Customer, Seller, amounts, open_seller
from storefront import NOWHERE, read, refused, send

from quick_client import quick
from tallystick.api.routes import ROUTES
from tallystick.cli.launch import Server
from tallystick.console import portal
from tallystick.console.page import Page
from tallystick.console.portal.entry import OPEN_PAGES, VIEWS
from tallystick.console.portal.page import View
from tallystick.console.site import PAGES
from tenant import new_tenant

GETS = [view for view in VIEWS if view.method == "GET" and "{" not in view.path]
_PAYMENT = re.compile(r'(?s)<span class="mark (?:final|issued|fired)">(?!Final|Issued)([^<]*)</span>(.*?)</(?:p|td)>')
WITH_IDS = [view for view in VIEWS if "{" in view.path]


@pytest.fixture(scope="module")
def seller(server: Server) -> Iterator[Seller]:
    tenant = new_tenant(server)
    with tenant.http() as http:
        seller = open_seller(tenant, http)
        settings(seller, frameOrigins=[FRAMED], displayName=HOSTILE, supportUrl="https://help.example/a?b=1")
        yield seller


@pytest.fixture(scope="module")
def other(server: Server) -> Iterator[Seller]:
    tenant = new_tenant(server)
    with tenant.http() as http:
        yield open_seller(tenant, http)


@pytest.fixture(scope="module", params=["tab", "frame"])
def visitors(request: pytest.FixtureRequest, seller: Seller) -> dict[str, Customer]:
    """A customer of each account, in a tab or in a frame."""
    way = Customer.opening if request.param == "tab" else Customer.framing
    return {code: way(seller.link(code)) for code in seller.accounts}


def settings(seller: Seller, **changes: object) -> None:
    read(send(seller.http, "PUT", "/portalsettings", changes))


# ------------------------------------------------------------------------------------------------ nothing else is there


@pytest.mark.parametrize("view", WITH_IDS, ids=lambda view: f"{view.method} {view.path}")
@pytest.mark.parametrize("mine", ["acme", "beech", "dorn"])
def test_what_is_of_another_account_is_not_there(
    seller: Seller, other: Seller, visitors: dict[str, Customer], view: View, mine: str
) -> None:
    """Parent, child, sibling, stranger, the same account of another organisation, and the own bill not yet approved."""
    table = (lambda of: of.bills) if view.path.startswith("/bills") else (lambda of: of.alerts)
    foreign = {id_ for code, id_ in table(seller).items() if code != mine} | set(table(other).values()) | {NOWHERE, "x"}
    if view.path.startswith("/bills"):
        foreign |= set(seller.pending.values())
    before = read(seller.http.get("/spendalerts"))
    for each in foreign:
        path = view.path.replace("{id}", each)
        reply = visitors[mine].get(path) if view.method == "GET" else visitors[mine].post(path)
        assert reply.status_code == 404, (mine, path, reply.text)
        assert not any(one in reply.text for one in foreign - {"x", NOWHERE}), "nor is it named"
    assert read(seller.http.get("/spendalerts")) == before, "nothing was changed"
    own = visitors[mine].get(view.path.replace("{id}", table(seller)[mine]))
    assert own.status_code == (200 if view.method == "GET" else 405), "the own one is there"


@pytest.mark.parametrize("view", GETS, ids=lambda view: view.path)
def test_no_page_names_anything_of_another_account(
    seller: Seller, other: Seller, visitors: dict[str, Customer], view: View
) -> None:
    for mine, customer in visitors.items():
        reply = customer.get(view.path)
        if view.path == "/logo":
            assert reply.status_code == 404
            continue
        assert reply.status_code == 200
        foreign = {
            id_
            for each in (seller, other)
            for table in (each.accounts, each.bills, each.pending, each.alerts, each.balances)
            for code, id_ in table.items()
            if each is other or code != mine
        }
        # A bill of the present month may be estimated, and has its own id.
        assert [id_ for id_ in foreign if id_ in reply.text] == [], (mine, view.path)


def test_a_portal_token_opens_nothing_of_the_api(seller: Seller) -> None:
    """Every route with each token that a customer ever holds, as bearer and as cookie."""
    ids = {**seller.store.ids, "/bills": seller.bills["acme"]}
    tokens = {*seller.customer("acme").tokens, *Customer.framing(seller.link("acme")).tokens}
    assert len(tokens) == 4
    below = f"{seller.tenant.url}/organizations/{seller.tenant.id}"
    with httpx.Client(base_url=below) as nobody, quick(nobody) as http:
        for route in ROUTES:
            path = re.sub(r"\{(\w+)\}", ids["/accounts"], route.path)
            # Whoever has no secret of an event source is not even told whether there is one.
            refused = 404 if route.path == "/eventsources/{id}/receive" else 403
            for token in tokens:
                cookie = f"tallystick-portal={token}; tallystick-session={token}"
                for headers in ({"authorization": f"Bearer {token}"}, {"cookie": cookie}):
                    assert http.request(route.method, path, headers=headers, content=b"{}").status_code == refused, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
def test_a_portal_token_opens_no_page_of_the_console(seller: Seller, page: Page) -> None:
    token = seller.customer("acme").tokens[1]
    path = re.sub(r"\{\w+\}", seller.accounts["acme"], page.path)
    cookie = f"tallystick-portal={token}; tallystick-session={token}; __Host-tallystick-session={token}"
    headers = {"cookie": cookie, "authorization": f"Bearer {token}", "accept": "text/html"}
    reply = httpx.request(page.method, seller.tenant.url + path, headers=headers)
    assert reply.status_code in {303, 403}
    assert reply.status_code == 403 or reply.headers["location"].startswith("/sign-in")


def test_no_other_token_opens_the_portal(seller: Seller) -> None:
    """The API's own, the link's, a frame's as a cookie, a tab's in the path."""
    bearer = seller.http.headers["authorization"].removeprefix("Bearer ")
    link, tab, frame = seller.link("acme")["token"], seller.customer("acme"), Customer.framing(seller.link("acme"))
    with httpx.Client(base_url=seller.tenant.url) as http:
        for token in (bearer, link, frame.tokens[1], "", "x.y.z"):
            assert http.get("/portal", headers={"cookie": f"tallystick-portal={token}"}).status_code == 403
        for token in (bearer, link, tab.tokens[1], "x.y.z"):
            assert http.get(f"/portal/e/{token}").status_code == 403


# ----------------------------------------------------------------------------------------------- links and visits


def test_a_link_opens_once(seller: Seller) -> None:
    link = seller.link("acme")
    customer = Customer.opening(link)
    assert customer.http.get(link["url"]).headers["location"] == "/portal", "again in the same browser: a reload"
    stranger = httpx.get(link["url"])
    assert stranger.status_code == 403
    assert "does not open anything any more" in stranger.text
    assert httpx.get(link["url"].replace("/open", "/embed")).status_code == 403
    assert customer.get().status_code == 200
    assert "opened" in read(seller.http.get(f"/accounts/{seller.accounts['acme']}/portalsessions/{link['id']}"))


def test_a_changed_link_opens_nothing(seller: Seller) -> None:
    link = seller.link("acme")
    head, body, signature = link["token"].split(".")
    swapped = f"{head}.{seller.link('beech')['token'].split('.')[1]}.{signature}"
    unsigned = f"eyJhbGciOiJub25lIn0.{body}."
    for token in (link["token"][:-2], link["token"] + "a", swapped, unsigned, "", "a" * 5000):
        assert httpx.get(f"{seller.tenant.url}/portal/open", params={"token": token}).status_code == 403
    Customer.opening(link)


def test_a_revoked_visit_is_over_at_once(seller: Seller) -> None:
    link = seller.link("acme")
    customer = Customer.opening(link)
    path = f"/accounts/{seller.accounts['acme']}/portalsessions"
    assert refused(seller.http.delete(f"/accounts/{seller.accounts['beech']}/portalsessions/{link['id']}"), 404)
    assert customer.get().status_code == 200
    assert read(seller.http.delete(f"{path}/{link['id']}"))["revokedBy"]
    for view in GETS:
        assert customer.get(view.path).status_code == 403
    listed = {each["id"]: each for each in read(seller.http.get(path))["data"]}
    assert "revoked" in listed[link["id"]]
    assert link["token"] not in str(listed), "no list shows a token again"
    unopened = seller.link("acme")
    read(seller.http.delete(f"{path}/{unopened['id']}"))
    assert httpx.get(unopened["url"]).status_code == 403


def test_a_visit_ends_with_its_account(seller: Seller) -> None:
    seller.accounts["gone"] = seller.store.make("/accounts", code="gone")["id"]
    customer = seller.customer("gone")
    assert customer.get().status_code == 200
    read(seller.http.delete(f"/accounts/{seller.accounts.pop('gone')}"))
    assert customer.get().status_code == 403


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"minutes": 0}, "minutes"),
        ({"minutes": 1441}, "minutes"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"locale": "../../etc"}, "locale"),
        ({"locale": "xx-YY"}, "locale"),
        ({"returnUrl": "javascript:alert(1)"}, "returnUrl"),
    ],
)
def test_odd_sessions_are_refused(seller: Seller, asked: dict[str, object], name: str) -> None:
    reply = refused(send(seller.http, "POST", f"/accounts/{seller.accounts['acme']}/portalsessions", asked))
    assert name in reply["field"]


# ------------------------------------------------------------------------------------------------------ what is shown


def test_the_estimate_is_the_preview_of_the_api(seller: Seller, visitors: dict[str, Customer]) -> None:
    for account in ("acme", "beech", "dorn"):
        preview = seller.preview(account)
        html = visitors[account].get().text
        estimate = html[html.index("data-estimate=") :]
        money = [Decimal(each) for each in re.findall(r'class="money[^>]*data-value="([^"]*)"', estimate)]
        lines = [line["convertedSubtotal"] for line in preview["lineItems"]]
        charges = sum(each for each in lines if each > 0)
        assert lines[-1] < 0, "the last line is what credit pays"
        assert money[0] == preview["billTotal"]
        assert money[1:3] == [charges, preview["billTotal"] - charges]
        if "at this pace" in html:  # not in the first hours of a month
            assert money.pop(3) >= charges, "usage only grows"
        assert money[3 : len(lines) + 4] == [*lines, preview["billTotal"]]
        assert "Estimated, as of" in html
        assert ">Estimated<" in html


def test_bills_are_those_of_the_api(seller: Seller, visitors: dict[str, Customer]) -> None:
    for account in ("acme", "beech", "dorn"):
        bill = read(seller.http.get(f"/bills/{seller.bills[account]}"))
        lines = [line["convertedSubtotal"] for line in bill["lineItems"]]
        left = read(seller.http.get(f"/bills/{bill['id']}/payments"))["left"]
        assert amounts(visitors[account].get("/bills").text) == [left, bill["billTotal"]]
        html = visitors[account].get(f"/bills/{bill['id']}").text
        money = [Decimal(each) for each in re.findall(r'class="money[^>]*data-value="([^"]*)"', html)]
        assert money == [bill["billTotal"], left, *lines, bill["billTotal"]]
        explained = read(seller.http.get(f"/bills/{bill['id']}/explanation"))["lines"]
        assert all(each["sentence"].replace("'", "&#39;") in html for each in explained)
        rows = DictReader(visitors[account].get(f"/bills/{bill['id']}/csv").text.splitlines())
        assert [Decimal(row["amount"]) for row in rows] == [*lines, bill["billTotal"]]


def test_a_customer_sees_what_of_a_bill_is_paid(other: Seller) -> None:
    """Due, paid in part, paid, not owed; and one of another customer, of the month before, is overdue."""
    customer, bill = other.customer("dorn"), other.bills["dorn"]
    total = read(other.http.get(f"/bills/{bill}"))["billTotal"]

    def tell(**told: object) -> None:
        read(send(other.http, "POST", f"/bills/{bill}/payments", told))

    def shown() -> list[tuple[str, list[Decimal]]]:
        """The mark and the amounts beside it, in the list, on the bill and on the first page."""
        found = []
        for path in ("/bills", f"/bills/{bill}", ""):
            for mark, rest in _PAYMENT.findall(customer.get(path).text):
                found.append((mark, amounts(rest)))
        return found

    assert shown() == [("Due", [total])] * 3
    tell(amount=1)
    assert shown() == [("Partly paid", [total - 1])] * 3
    assert "<dt>Paid</dt>" in customer.get(f"/bills/{bill}").text
    tell(type="FAILED")
    assert shown() == [("Payment failed", [total - 1])] * 3
    tell(amount=str(total - 1), paidAt="2026-01-05T12:00:00Z")
    assert shown() == [("Paid", [])] * 3
    for each in read(other.http.get(f"/bills/{bill}/payments"))["payments"]:
        read(send(other.http, "POST", f"/bills/{bill}/payments/{each['id']}/reversal", {}))
    tell(type="VOID")
    assert shown() == [("Not owed", [])] * 3
    bill, customer = other.pending["cedar"], other.customer("cedar")  # which is due a day after its date
    read(send(other.http, "POST", "/bills/approve", {"billIds": [bill]}))
    assert [mark for mark, _ in shown()[1:2]] == ["Overdue"]


def test_invoices_are_those_of_the_api(seller: Seller, visitors: dict[str, Customer]) -> None:
    bill = seller.bills["acme"]
    for form in ("pdf", "html"):
        ours = visitors["acme"].get(f"/bills/{bill}/{form}")
        assert ours.content == seller.http.get(f"/bills/{bill}/invoice", params={"format": form}).content
        assert ours.headers["content-disposition"].startswith("attachment")


def test_only_locked_bills_where_the_seller_wants_it(seller: Seller) -> None:
    customer, bill = seller.customer("cedar"), seller.bills["cedar"]
    settings(seller, shownBills="LOCKED", pages=["BILLS"], frameOrigins=[FRAMED])
    try:
        assert customer.get(f"/bills/{bill}").status_code == 404
        assert bill not in customer.get("/bills").text
        assert [customer.get(path).status_code for path in ("/alerts", "/credit")] == [404, 404]
        assert "Alerts" not in customer.get().text
        read(seller.http.put(f"/bills/{bill}/lock"))
        assert ">Final<" in customer.get(f"/bills/{bill}").text
    finally:
        settings(seller, frameOrigins=[FRAMED], displayName=HOSTILE, supportUrl="https://help.example/a?b=1")


def test_a_family_sees_what_it_pays_for(seller: Seller) -> None:
    """The parent's bill is its own; children with plans of their own have theirs."""
    for code in ("acme", "beech"):
        text = seller.customer(code).get("/bills").text
        assert seller.bills[code] in text
        assert not any(seller.bills[each] in text for each in seller.bills if each != code)


def test_a_pooled_child_sees_nothing_of_what_its_parent_pays(seller: Seller) -> None:
    body = {"code": "fern", "name": "Fern", "parentAccountId": seller.accounts["acme"]}
    seller.accounts["fern"] = seller.store.make("/accounts", **body)["id"]
    try:
        customer = seller.customer("fern")
        assert amounts(customer.get().text) == amounts(customer.get("/bills").text) == []
        assert "No plan bills this account" in customer.get().text
    finally:
        del seller.accounts["fern"]


def test_pages_hold_nothing_but_the_visit() -> None:
    """No module of pages names the app, the records, the usage store, or an act that takes them."""
    for path in Path(portal.__file__).parent.glob("*.py"):
        if path.stem in {"entry", "visit"}:
            continue
        named = re.findall(r"^from (tallystick\.\S+) import (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        for module, names in named:
            assert not module.startswith(("tallystick.app", "tallystick.control", "tallystick.pipeline")), path.name
            assert module != "tallystick.ports" or names == "Page", path.name


def test_days_are_those_behind_the_line(seller: Seller, visitors: dict[str, Customer]) -> None:
    """10, 11, 12 and 13 units on one day of last month, each account on its own line: no page shows another's."""
    for at, account in enumerate(("acme", "beech", "cedar", "dorn")):
        html = visitors[account].get(f"/bills/{seller.bills[account]}").text
        chart = html[html.index("Usage by day") :]
        assert f">{10 + at}<" in chart
        assert not any(f"<td>{10 + other}<" in chart for other in range(4) if other != at)


def test_balances_show_their_live_value(seller: Seller, visitors: dict[str, Customer]) -> None:
    live = read(seller.http.get(f"/balances/{seller.balances['beech']}/live"))
    assert amounts(visitors["beech"].get("/credit").text)[0] == live["value"]


def test_a_customer_sets_an_alert_and_takes_it_back(seller: Seller, visitors: dict[str, Customer]) -> None:
    customer = visitors["beech"]
    assert customer.post("/alerts", type="SPEND_ABOVE", threshold="0.01", name=HOSTILE).status_code == 303
    made = read(seller.http.get("/spendalerts", params={"accountId": seller.accounts["beech"]}))["data"][0]
    assert made["threshold"] == Decimal("0.01")
    assert (made["accountId"], made["name"]) == (seller.accounts["beech"], HOSTILE)
    audit = read(seller.http.get("/audit", params={"entityId": made["id"]}))["data"]
    assert [each["actorType"] for each in audit] == ["PORTAL_SESSION"], "who did it is told"
    until = time.monotonic() + 20
    while ">Reached<" not in customer.get("/alerts").text:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert customer.post(f"/alerts/{made['id']}/remove").status_code == 303
    assert seller.http.get(f"/spendalerts/{made['id']}").status_code == 404


def test_an_odd_alert_is_shown_again_with_the_reason(seller: Seller, visitors: dict[str, Customer]) -> None:
    customer = visitors["dorn"]
    for typed in (
        {"type": "SPEND_ABOVE", "threshold": "-1"},
        {"type": "SPEND_ABOVE", "threshold": '"><script>'},
        {"type": "SPEND_ABOVE", "threshold": "5", "email": "nobody"},
        {"type": "NOTHING", "threshold": "5"},
    ):
        reply = customer.post("/alerts", **typed)
        assert reply.status_code == 422, typed
        assert 'role="alert"' in reply.text
        assert "<script>" not in reply.text.replace("<script src", "")
    foreign = customer.post("/alerts", type="BALANCE_BELOW", threshold="5", balanceId=seller.balances["acme"])
    assert foreign.status_code == 404


def test_no_form_is_taken_without_the_key_of_the_visit(seller: Seller, visitors: dict[str, Customer]) -> None:
    customer = visitors["beech"]
    typed = {"type": "SPEND_ABOVE", "threshold": "5"}
    for key in ("", "0" * 64):
        assert customer.http.post(customer.base + "/alerts", data={**typed, "form-key": key}).status_code == 403
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert customer.http.post(customer.base + "/alerts", data=typed, headers=evil).status_code == 403


# ------------------------------------------------------------------------------------------------------ how it is shown


class Reader(HTMLParser):
    """Notes what a page must not have, as a browser would read it."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        leads = names.get("href") or names.get("src") or names.get("action") or ""
        if tag == "script" and "src" not in names:
            self.wrong.append("a script within the page")
        if leads.lower().startswith(("javascript:", "data:text")) or (tag == "img" and leads == "x"):
            self.wrong.append(leads)
        self.wrong += [name for name in names if name.startswith("on") or name == "style"]


def test_hostile_names_are_only_text(seller: Seller) -> None:
    customer = seller.customer("dorn")
    for path in ("", "/bills", "/credit", "/alerts", f"/bills/{seller.bills['dorn']}"):
        html = customer.get(path).text
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html
        assert "{{7*7}}" in html
        reader = Reader()
        reader.feed(html)
        assert reader.wrong == []


def test_frames_are_allowed_by_the_list_only(seller: Seller, other: Seller) -> None:
    tab, frame = seller.customer("acme").get(), Customer.framing(seller.link("acme")).get()
    assert "frame-ancestors 'none'" in tab.headers["content-security-policy"]
    assert tab.headers["x-frame-options"] == "DENY"
    policy = frame.headers["content-security-policy"]
    assert policy.endswith(f"frame-ancestors {FRAMED}")
    assert "x-frame-options" not in frame.headers
    assert "unsafe" not in policy
    link = other.link("acme")
    assert httpx.get(f"{other.tenant.url}/portal/embed", params={"token": link["token"]}).status_code == 403
    Customer.opening(link)  # nothing was used up


def test_the_address_of_a_frame_is_no_page_of_its_own(seller: Seller) -> None:
    customer = Customer.framing(seller.link("acme"))
    alone = customer.http.get(customer.base, headers={"sec-fetch-dest": "document"})
    assert alone.status_code == 403


def test_the_script_of_embedding_pages_is_for_all(seller: Seller) -> None:
    script = httpx.get(f"{seller.tenant.url}/portal/embed.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "event.origin !== home" in script.text


def test_colours_and_logo_are_the_sellers(other: Seller) -> None:
    settings(other, accentColour="#7a1fa2", displayName="Acme & Sons")
    customer = other.customer("acme")
    assert "--accent:#7a1fa2" in customer.get("/theme.css").text
    assert "Acme &amp; Sons" in customer.get().text
    picture = {"mediaType": "image/svg+xml", "content": "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4="}
    read(send(other.http, "PUT", "/portalsettings/logo", picture))
    logo = customer.get("/logo")
    assert logo.headers["content-type"].startswith("image/svg+xml")
    assert "sandbox" in logo.headers["content-security-policy"]
    assert logo.headers["x-content-type-options"] == "nosniff"
    assert f'src="{customer.base}/logo"' in customer.get().text
    read(other.http.delete("/portalsettings/logo"))
    read(send(other.http, "PUT", "/portalsettings/logo", picture))


def test_times_and_numbers_are_the_customers(seller: Seller) -> None:
    customer = seller.customer("acme", timezone="Asia/Tokyo", locale="de-CH", returnUrl="https://app.example/x?a=1&b=2")
    preview = seller.preview("acme")
    html = customer.get().text
    assert "Asia/Tokyo" in html
    assert 'href="https://app.example/x?a=1&amp;b=2"' in html
    assert f">$\xa0{preview['billTotal']:.2f}<" in html, "as it is written in Switzerland"
    arabic = seller.customer("acme", locale="ar").get().text
    assert f">\u2066{preview['billTotal']:.2f}\xa0US$\u2069<" in arabic, "set apart from the words around it"


def test_every_page_of_the_portal_is_in_the_table() -> None:
    paths = {(page.method, page.path) for page in OPEN_PAGES}
    assert {(view.method, f"/portal{view.path}") for view in VIEWS} <= paths
    assert {(view.method, f"/portal/e/{{visit}}{view.path}") for view in VIEWS} <= paths
    assert len(paths) == 2 * len(VIEWS) + 3
