"""The books in the console: what the API says, to the cent, with downloads and the close of a month."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from storefront import read
from test_bill_pages import Books, opened
from visitor import signed_in

from tallystick.cli.launch import Server
from tallystick.core.user import Role
from tenant import new_tenant


@pytest.fixture(scope="module")
def books(server: Server) -> Iterator[Books]:
    """January 2025 is 30.00 and approved; its entries are posted."""
    with opened(new_tenant(server)) as made:
        read(made.http.put(f"/bills/{made.bills[1]}/status", json={"status": "APPROVED"}))
        read(made.http.post("/accounting/post"))
        yield made


def test_the_books_of_some_months(books: Books) -> None:
    page = books.page("/accounting?from=2025-01&until=2025-02")
    rows = read(books.http.get("/accounting/trialbalance?startMonth=2025-01&endMonth=2025-02"))["data"]
    assert len(rows) == 3
    for row in rows:
        assert f"{row['accountCode']} {row['accountName']}" in page
        assert f'data-value="{row["closing"]}"' in page or f'value="{row["closing"]}"' in page
    assert "Revenue by month" in page
    assert books.page("/accounting?from=2024-01&until=2024-02").count("<table") == 0
    assert "must be a month" in books.page("/accounting?from=2025-13", status=400)


def test_entries_and_their_files(books: Books) -> None:
    page = books.page(f"/accounting/entries?sourceId={books.bills[1]}")
    assert f'href="/bills/{books.bills[1]}"' in page
    assert page.count('scope="rowgroup"') == 2
    assert books.page("/accounting/entries?type=BREAKAGE").count("<table") == 0
    for form, head in (("CSV", "entry,"), ("NETSUITE", "External ID"), ("XERO", "*Narration"), ("QUICKBOOKS", "*Jour")):
        assert books.page(f"/accounting/download?format={form}").startswith(head)
    assert books.page("/accounting/schedule/download").count("\n") == 3  # a head, and January's two lines


def test_the_books_are_closed_and_opened(books: Books) -> None:
    admin = signed_in(books.tenant, Role.ADMIN)
    assert "Closed through 2025-01-31" in admin.post("/accounting/close", {"closedThrough": "2025-01-31"})
    assert read(books.http.get("/accounting/config"))["closedThrough"] == "2025-01-31"
    read(books.http.put(f"/bills/{books.bills[1]}/status", json={"status": "PENDING"}))
    read(books.http.post("/accounting/post"))
    reversed_ = books.page("/accounting/entries?type=REVERSAL")
    assert reversed_.count("Reversal of") == 2
    assert reversed_.count(">about ") == 1  # what was about January stands on the first of February
    assert "The books are open" in admin.post("/accounting/close", {"closedThrough": ""})
    assert "closedThrough" not in read(books.http.get("/accounting/config"))
