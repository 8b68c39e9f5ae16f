"""Bills in the console: found, understood, approved; what a page shows is what the API says."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from storefront import Storefront, read
from visitor import Visitor, signed_in

from tallystick.cli.launch import Server
from tallystick.core.quantity import plain
from tallystick.core.user import Role
from tenant import Tenant, new_tenant

EXACT = re.compile(r'data-value="(-?[0-9.]+)"')


@dataclass
class Books:
    """Acme's bills: January is 20.00 and 40 bytes at 0.25 (30.00), February 20.00 and 60 bytes (35.00)."""

    tenant: Tenant
    http: httpx.Client
    shop: Storefront
    people: Mapping[Role, Visitor]
    bills: dict[int, str]

    def page(self, path: str, status: int = 200) -> str:
        return self.people[Role.BILLING].get(path, status)

    def bill(self, month: int) -> dict[str, object]:
        return dict(read(self.http.get(f"/bills/{self.bills[month]}")))


@pytest.fixture(scope="module")
def books(server: Server) -> Iterator[Books]:
    """For tests that only look."""
    with opened(new_tenant(server)) as made:
        yield made


@pytest.fixture
def own_books(organization: Tenant) -> Iterator[Books]:
    """For a test that changes them."""
    with opened(organization) as made:
        yield made


@contextmanager
def opened(organization: Tenant) -> Iterator[Books]:
    with organization.http() as http:
        shop = Storefront(http)
        for uid, ts, amount in (("a", "2025-01-10", 40), ("b", "2025-02-10", 25), ("c", "2025-02-11", 35)):
            member = {"uid": uid, "meter": "traffic", "account": "acme", "ts": ts, "measure": {"bytes": amount}}
            shop.measure(member | {"where": {"region": "eu"}, "metadata": {"file": "<b>"}})
        people = {role: signed_in(organization, role) for role in (Role.BILLING, Role.READ_ONLY)}
        made = Books(organization, http, shop, people, {})
        for month, last in ((1, "2025-01-31"), (2, "2025-02-28")):
            run(made, last)
            made.bills[month] = read(http.get(f"/bills/latest/{shop.ids['/accounts']}"))["id"]
        yield made


def run(books: Books, last: str) -> str:
    """A bill run, started on the page of jobs and watched to its end; the text of its page."""
    desk = books.people[Role.BILLING]
    text = desk.post("/jobs", {"lastDateInBillingPeriod": last, "accounts": "acme"})
    path = re.search(r'href="/bills\?job=([^"]+)"', text)
    deadline = time.monotonic() + 60
    while path is None and time.monotonic() < deadline:
        assert 'data-refresh="1"' in text
        time.sleep(0.1)
        job = re.search(r'action="/jobs/([^/]+)/cancel"', text)
        if job is None:
            break
        text = desk.get(f"/jobs/{job[1]}")
        path = re.search(r'href="/bills\?job=([^"]+)"', text)
    assert "Complete" in text
    return text


def followed(books: Books, text: str, link: str) -> str:
    """The page behind the first link whose address has this in it: one click."""
    found = re.search(rf'href="([^"]*{link}[^"]*)"', text)
    assert found is not None, f"no link to {link}"
    return books.page(html.unescape(found[1]))


def test_why_is_my_bill_higher_in_four_clicks(books: Books) -> None:
    listed = followed(books, books.page("/"), "/bills")  # one
    assert listed.index(books.bills[2]) < listed.index(books.bills[1])
    bill = followed(books, listed, f"/bills/{books.bills[2]}")  # two
    assert "Up 17% (+5.00 USD) against 2025-01-01 to 2025-01-31: 20 more By of Bytes stored (+5.00 USD)." in bill
    line = followed(books, bill, f"/bills/{books.bills[2]}/lines/")  # three: what makes the difference comes first
    assert "60 units of Bytes stored" in line
    measurements = followed(books, line, "day=2025-02-11")  # four
    assert re.findall(r'<td class="mono">([^<]+)</td>', measurements) == ["c"]
    assert "&lt;b&gt;" in measurements
    assert "<b>" not in measurements


def test_the_page_of_a_bill_says_what_the_api_says(books: Books) -> None:
    text, bill = books.page(f"/bills/{books.bills[2]}"), books.bill(2)
    shown = EXACT.findall(text)
    comparison = read(books.http.get(f"/bills/{books.bills[2]}/comparison"))
    wanted = [bill["billTotal"], comparison["difference"], *(part["amount"] for part in comparison["parts"])]
    wanted += [line["convertedSubtotal"] for line in bill["lineItems"]]  # type: ignore[attr-defined]  # a list of lines
    assert {plain(value) for value in wanted} <= set(shown)
    verified = books.page(f"/bills/{books.bills[2]}?verify=true")
    assert "It stands up" in verified


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [2, 1]),
        ("?account=ACM", [2, 1]),
        ("?account=nobody", []),
        ("?month=2025-01", [1]),
        ("?status=PENDING&month=2025-02", [2]),
        ("?status=LOCKED", []),
        ("?invoice=X-1", []),
    ],
)
def test_bills_are_found(books: Books, query: str, found: list[int]) -> None:
    text = books.page(f"/bills{query}")
    listed = re.findall(r'<th scope="row"><a href="/bills/([^"]+)"', text)
    assert listed == [books.bills[month] for month in found]
    totals = {1: "30", 2: "35"}
    if found:
        assert EXACT.findall(text)[0] == str(sum(int(totals[month]) for month in found))


def test_a_month_that_is_none_is_refused(books: Books) -> None:
    assert "must be a month such as 2025-01" in books.page("/bills?month=2025-13", 400)


def test_a_bill_on_its_way(own_books: Books) -> None:
    """Chosen and approved, taken back, approved, locked; then nothing changes it, and the page says so in words."""
    desk, bill = own_books.people[Role.BILLING], f"/bills/{own_books.bills[1]}"
    own_books.page("/bills")
    assert "tick the bills to approve" in desk.post("/bills/approve", {}, 422)
    assert "2 bills are approved." in desk.post("/bills/approve", {"billIds": list(own_books.bills.values())})
    assert "is pending again" in desk.post(f"{bill}/reopen")
    assert "only an APPROVED bill can be locked" in html.unescape(desk.post(f"{bill}/lock", {}, 422))
    assert "The bill is approved." in desk.post(f"{bill}/approve")
    assert "it is final" in desk.post(f"{bill}/lock")
    text = own_books.page(bill)
    assert "Jo Billing" in text
    for act in ("approve", "reopen", "recalculate"):
        assert f"{bill}/{act}" not in text
        assert "locked" in desk.post(f"{bill}/{act}", {}, 422)
    assert own_books.bill(1)["locked"] is True


def test_a_credit_is_put_on_a_bill_and_it_is_made_again(own_books: Books) -> None:
    desk, bill = own_books.people[Role.BILLING], f"/bills/{own_books.bills[1]}"
    lines = own_books.bill(1)["lineItems"]
    memo = {"type": "CREDIT_MEMO", "lineId": lines[0]["id"], "description": "Sorry"}  # type: ignore[index]  # as above
    own_books.page(bill)
    assert "amount: is needed" in desk.post(f"{bill}/memos", memo, 422)
    assert "must be above 0" in desk.post(f"{bill}/memos", {**memo, "amount": "-3"}, 422)
    text = desk.post(f"{bill}/memos", {**memo, "amount": "3.50"})
    assert "The credit of 3.50 USD is on the bill." in text
    assert "Memos and adjustments" in text
    assert own_books.bill(1)["billTotal"] == 26.5
    text = desk.post(f"{bill}/recalculate")
    assert "made again" in text


def test_who_only_looks_sees_no_buttons(books: Books) -> None:
    reader = books.people[Role.READ_ONLY]
    for path in ("/bills", f"/bills/{books.bills[1]}", "/jobs"):
        text = reader.get(path)
        assert re.findall(r'<form method="post" action="(?!/sign-out)', text) == []


def test_the_open_period_is_estimated(books: Books) -> None:
    text = books.page("/preview?account=acme")
    assert "Estimated" in text
    assert 'data-value="20"' in text
    assert "There is no account" in books.page("/preview?account=nobody")


def test_a_bill_as_files(books: Books) -> None:
    desk, bill = books.people[Role.READ_ONLY], f"/bills/{books.bills[1]}"
    pdf, table = desk.http.get(f"{bill}/invoice"), desk.http.get(f"{bill}/lineitems.csv")
    assert pdf.content.startswith(b"%PDF")
    assert pdf.headers["content-disposition"].endswith("bill-acme-2025-01-01.pdf")
    assert "Bytes stored" in table.text
