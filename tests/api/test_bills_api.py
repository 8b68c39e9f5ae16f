"""Bills through the official client, made by real bill jobs: lists, lines, approval, locks and the lock date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError
from m3ter.types import BillResponse
from storefront import NOWHERE, Storefront, read, refused, send

from tallystick.cli.launch import Server
from tenant import new_tenant

MONTHS = {"january": "2025-01-31", "february": "2025-02-28", "march": "2025-03-31"}


class Books:
    """Two accounts with a platform fee of 20.00 a month, one of which used 4 bytes at 0.25 in January."""

    def __init__(self, sdk: M3ter, http: httpx.Client) -> None:
        self.sdk = sdk
        self.http = http
        store = Storefront(http)
        self.acme = store.ids["/accounts"]
        self.beta = store.make("/accounts", code="beta", name="Beta")["id"]
        store.make("/accountplans", accountId=self.beta)
        store.traffic("one", 4)
        self.jobs: dict[str, str] = {}

    def run(self, month: str, **more: Any) -> list[str]:
        """The ids of the bills of a month, acme's first."""
        job = self.sdk.bill_jobs.create(last_date_in_billing_period=MONTHS[month], **more)
        until = time.monotonic() + 30
        while self.sdk.bill_jobs.retrieve(job.id).status != "COMPLETE":
            assert time.monotonic() < until
            time.sleep(0.05)
        self.jobs[month] = job.id
        bills = [self.bill(each) for each in self.sdk.bill_jobs.retrieve(job.id).bill_ids or ()]
        return [bill.id for bill in sorted(bills, key=lambda bill: str(bill.account_code))]

    def bill(self, bill_id: str) -> BillResponse:
        return self.sdk.bills.retrieve(bill_id)

    def lock_until(self, day: str | None) -> httpx.Response:
        return send(self.http, "PUT", "/billconfig", {} if day is None else {"billLockDate": day})


def opened(server: Server) -> Iterator[Books]:
    tenant = new_tenant(server)
    with tenant.sdk() as sdk, tenant.http() as http:
        yield Books(sdk, http)


@pytest.fixture
def books(server: Server) -> Iterator[Books]:
    """Books of one's own, to write in."""
    yield from opened(server)


@pytest.fixture(scope="module")
def quarter(server: Server) -> Iterator[tuple[Books, dict[str, list[str]]]]:
    """Three months of bills, to read: January's approved, acme's of January locked, March's dated by hand."""
    for books in opened(server):
        made = {"january": books.run("january"), "february": books.run("february")}
        made["march"] = books.run("march", bill_date="2025-04-10", external_invoice_date="2025-04-20")
        books.sdk.bills.approve(bill_ids=made["january"])
        books.sdk.bills.lock(made["january"][0])
        yield books, made


# ------------------------------------------------------------------------------------------------- what is read


def test_a_bill_adds_up(quarter: tuple[Books, dict[str, list[str]]]) -> None:
    books, made = quarter
    bill = read(books.http.get(f"/bills/{made['january'][0]}"))
    assert bill["billTotal"] == Decimal("21.00")
    assert [(line["lineItemType"], line["subtotal"]) for line in bill["lineItems"]] == [
        ("STANDING_CHARGE", Decimal("20.00")),
        ("USAGE", Decimal("1.00")),
    ]
    assert (bill["startDate"], bill["endDate"], bill["billDate"]) == ("2025-01-01", "2025-02-01", "2025-02-01")
    totals = {books.bill(each).bill_total for month in made.values() for each in month[1:] + made["february"]}
    assert totals == {20.0}, "without usage a bill is the fee alone"


FILTERS: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("nothing", {}, {"january": "ab", "february": "ab", "march": "ab"}),
    ("an account", {"accountId": "{acme}"}, {"january": "a", "february": "a", "march": "a"}),
    ("no account", {"accountId": NOWHERE}, {}),
    ("ids", {"ids": "{january a},{march b}"}, {"january": "a", "march": "b"}),
    ("a job", {"billJobId": "{job february}"}, {"february": "ab"}),
    ("pending", {"status": "PENDING"}, {"february": "ab", "march": "ab"}),
    ("approved", {"status": "APPROVED"}, {"january": "ab"}),
    ("locked", {"locked": "true"}, {"january": "a"}),
    ("approved and open", {"locked": "false", "status": "APPROVED"}, {"january": "b"}),
    ("monthly", {"billingFrequency": "MONTHLY", "status": "APPROVED"}, {"january": "ab"}),
    ("daily", {"billingFrequency": "DAILY"}, {}),
    ("a bill date", {"billDate": "2025-02-01"}, {"january": "ab"}),
    ("from a bill date on", {"billDateStart": "2025-03-01"}, {"february": "ab", "march": "ab"}),
    ("before a bill date", {"billDateEnd": "2025-03-01"}, {"january": "ab"}),
    ("up to a bill date", {"billDateEnd": "2025-03-02"}, {"january": "ab", "february": "ab"}),
    ("between bill dates", {"billDateStart": "2025-03-01", "billDateEnd": "2025-04-10"}, {"february": "ab"}),
    ("before all time", {"billDateEnd": "0001-01-01"}, {}),
    ("invoiced from", {"externalInvoiceDateStart": "2025-04-20"}, {"march": "ab"}),
    ("invoiced before", {"externalInvoiceDateEnd": "2025-04-20"}, {"january": "ab", "february": "ab"}),
    ("two at once", {"accountId": "{beta}", "status": "PENDING"}, {"february": "b", "march": "b"}),
]


def filled(query: dict[str, str], books: Books, made: dict[str, list[str]]) -> dict[str, str]:
    """The query with ids in the place of names: `{acme}`, `{job february}`, `{january a}` (acme's bill of January)."""
    names = {"{acme}": books.acme, "{beta}": books.beta, "{job february}": books.jobs["february"]}
    names |= {f"{{{month} {'ab'[place]}}}": each for month, ids in made.items() for place, each in enumerate(ids)}
    for name, value in names.items():
        query = {key: text.replace(name, value) for key, text in query.items()}
    return query


@pytest.mark.parametrize(("query", "found"), [row[1:] for row in FILTERS], ids=[row[0] for row in FILTERS])
def test_lists_are_filtered_latest_period_first(
    quarter: tuple[Books, dict[str, list[str]]], query: dict[str, str], found: dict[str, str]
) -> None:
    books, made = quarter
    rows = read(books.http.get("/bills", params=filled(query, books, made)))["data"]
    assert {row["id"] for row in rows} == {made[month]["ab".index(who)] for month in found for who in found[month]}
    starts = [row["startDate"] for row in rows]
    assert starts == sorted(starts, reverse=True)


def test_the_official_client_walks_the_pages(quarter: tuple[Books, dict[str, list[str]]]) -> None:
    books, made = quarter
    walked = [bill.id for bill in books.sdk.bills.list(page_size=2)]
    assert sorted(walked) == sorted(each for month in made.values() for each in month)
    assert len(walked) == 6
    bare = books.sdk.bills.list(exclude_line_items=True, ids=[made["january"][0]])
    assert [bill.line_items for bill in bare] == [None]
    full = books.sdk.bills.list(include_bill_total=True, additional=["lineItems"], ids=made["january"])
    assert all(bill.line_items and bill.bill_total for bill in full)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "OPEN"}, "status"),
        ({"billingFrequency": "HOURLY"}, "billingFrequency"),
        ({"billDate": "soon"}, "billDate"),
        ({"billDateEnd": "2025-02-30"}, "billDateEnd"),
        ({"locked": "maybe"}, "locked"),
        ({"pageSize": "201"}, "pageSize"),
        ({"nextToken": "x"}, "nextToken"),
    ],
)
def test_a_filter_that_is_none_is_refused(
    quarter: tuple[Books, dict[str, list[str]]], query: dict[str, str], field: str
) -> None:
    assert refused(quarter[0].http.get("/bills", params=query))["field"] == field


SEARCHES: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, {"march": "ab", "february": "ab", "january": "ab"}),
    ({"searchQuery": "accountId:{acme}"}, {"march": "a", "february": "a", "january": "a"}),
    ({"searchQuery": "startDate>2025-02-01"}, {"march": "ab"}),
    ({"searchQuery": "startDate>=2025-02-01$accountId:{beta}"}, {"march": "b", "february": "b"}),
    ({"searchQuery": "locked:true"}, {"january": "a"}),
    ({"searchQuery": "locked:true$billDate:2025-04-10", "operator": "OR"}, {"march": "ab", "january": "a"}),
    ({"searchQuery": "ids:{january a},{march b}"}, {"march": "b", "january": "a"}),
    ({"searchQuery": "billingFrequency~month$endDate<=2025-02-01"}, {"january": "ab"}),
    ({"searchQuery": "dtCreated<2020-01-01"}, {}),
    ({"searchQuery": "id:\x00"}, {}),
]


@pytest.mark.parametrize(("query", "found"), SEARCHES, ids=[str(query) for query, _ in SEARCHES])
def test_bills_are_searched_by_their_fields(
    quarter: tuple[Books, dict[str, list[str]]], query: dict[str, str], found: dict[str, str]
) -> None:
    books, made = quarter
    rows = read(books.http.get("/bills/search", params=filled(query, books, made)))["data"]
    assert {row["id"] for row in rows} == {made[month]["ab".index(who)] for month in found for who in found[month]}


def test_a_search_is_sorted_and_paged_by_the_official_client(quarter: tuple[Books, dict[str, list[str]]]) -> None:
    books, _ = quarter
    how: dict[str, Any] = {"sort_by": "dueDate", "sort_order": "ASC", "page_size": 4}
    first = books.sdk.bills.search(**how)
    rest = books.sdk.bills.search(**how, from_document=int(str(first.next_token)))
    assert rest.next_token is None
    months = [str(bill.start_date)[:7] for bill in [*(first.data or ()), *(rest.data or ())]]
    assert months == ["2025-01", "2025-01", "2025-02", "2025-02", "2025-03", "2025-03"]
    for wrong in ({"sort_by": "billTotal"}, {"search_query": "billTotal>5"}, {"search_query": "dtCreated~2025"}):
        with pytest.raises(BadRequestError, match=r"sortBy|searchQuery"):
            books.sdk.bills.search(**wrong)


def test_the_latest_bill_of_an_account(quarter: tuple[Books, dict[str, list[str]]]) -> None:
    books, made = quarter
    assert books.sdk.bills.latest_by_account(books.beta).id == made["march"][1]
    with pytest.raises(NotFoundError, match="accountId: the account"):
        books.sdk.bills.latest_by_account(NOWHERE)


def test_lines_alone_say_which_bill_they_are_of(quarter: tuple[Books, dict[str, list[str]]]) -> None:
    books, made = quarter
    bill = made["january"][0]
    lines = list(books.sdk.bills.line_items.list(bill))
    assert [line.line_item_type for line in lines] == ["STANDING_CHARGE", "USAGE"]
    assert {line.bill_id for line in lines} == {bill}
    usage = books.sdk.bills.line_items.retrieve(str(lines[1].id), bill_id=bill)
    assert usage == lines[1]
    raw = read(books.http.get(f"/bills/{bill}/lineitems/{usage.id}"))
    assert "usagePerPricingBand" not in raw
    (band,) = raw["bandUsage"]
    assert (band["lowerLimit"], band["unitPrice"], band["bandUnits"], band["bandSubtotal"]) == (
        0,
        Decimal("0.25"),
        4,
        1,
    )
    assert read(books.http.get(f"/bills/{bill}/lineitems/2")) == raw, "a line has a number too"
    for wrong in (NOWHERE, "3", "0", "-1", "%00"):
        assert refused(books.http.get(f"/bills/{bill}/lineitems/{wrong}"), 404)["field"] == "id"


def test_lines_have_pages(quarter: tuple[Books, dict[str, list[str]]]) -> None:
    books, made = quarter
    path = f"/bills/{made['january'][0]}/lineitems"
    first = read(books.http.get(path, params={"pageSize": 1}))
    second = read(books.http.get(path, params={"pageSize": 1, "nextToken": first["nextToken"]}))
    assert [line["sequenceNumber"] for line in first["data"] + second["data"]] == [1, 2]
    assert "nextToken" not in second
    for token in ("x", "-1", "１", "9" * 20, "%00"):
        assert refused(books.http.get(f"{path}?nextToken={token}"))["field"] == "nextToken"


# ---------------------------------------------------------------------------------------------- what is changed


def test_a_bill_is_approved_taken_back_approved_and_locked(books: Books) -> None:
    bill = books.run("january")[0]
    approved = books.sdk.bills.update_status(bill, status="APPROVED")
    assert (approved.status, approved.version, approved.locked) == ("APPROVED", 2, False)
    assert approved.approved_by
    assert approved.dt_approved
    assert books.sdk.bills.update_status(bill, status="APPROVED").version == 2, "again changes nothing"
    back = books.sdk.bills.update_status(bill, status="PENDING")
    assert (back.status, back.version, back.approved_by) == ("PENDING", 3, None)
    with pytest.raises(BadRequestError, match="only an APPROVED bill can be locked"):
        books.sdk.bills.lock(bill)
    books.sdk.bills.update_status(bill, status="APPROVED")
    locked = books.sdk.bills.lock(bill)
    assert locked.locked is True
    assert locked.locked_by
    assert books.sdk.bills.lock(bill).version == locked.version
    assert books.bill(bill) == locked


def test_a_locked_bill_is_final(books: Books) -> None:
    bill = books.run("january")[0]
    books.sdk.bills.update_status(bill, status="APPROVED")
    kept = books.sdk.bills.lock(bill)
    for act in (
        lambda: books.sdk.bills.update_status(bill, status="PENDING"),
        lambda: books.sdk.bills.update_status(bill, status="APPROVED"),
        lambda: books.sdk.bills.approve(bill_ids=[bill]),
        lambda: books.sdk.bills.delete(bill),
    ):
        with pytest.raises(BadRequestError) as caught:
            act()
        assert caught.value.body["code"] == "bill_locked"  # type: ignore[index]  # the body is our object
    assert books.bill(bill) == kept


def test_many_are_approved_at_once_or_none(books: Books) -> None:
    acme, beta = books.run("january")
    with pytest.raises(NotFoundError, match="there is no bill"):
        books.sdk.bills.approve(bill_ids=[acme, NOWHERE])
    assert books.bill(acme).status == "PENDING"
    assert "2 bills" in str(books.sdk.bills.approve(bill_ids=[acme, beta, acme]).message)
    assert {books.bill(each).status for each in (acme, beta)} == {"APPROVED"}
    books.sdk.bills.lock(acme)
    books.sdk.bills.update_status(beta, status="PENDING")
    with pytest.raises(BadRequestError, match="locked"):
        books.sdk.bills.approve(bill_ids=[beta, acme])
    assert books.bill(beta).status == "PENDING"


def test_the_query_says_which_where_the_body_does_not(books: Books) -> None:
    january, february = books.run("january"), books.run("february")

    def approve(**query: str) -> str:
        return str(read(books.http.post("/bills/approve", params=query, content=b"{}"))["message"])

    def status() -> list[str]:
        return [str(books.bill(each).status)[0] for each in january + february]

    assert refused(books.http.post("/bills/approve", content=b"{}"))["field"] == "billIds"
    assert refused(books.http.post("/bills/approve", content=b'{"billIds":[]}'))["field"] == "billIds"
    assert refused(books.http.post("/bills/approve", content=b'{"billIds":["x"]}'))["field"] == "billIds[0]"
    assert approve(accountIds=NOWHERE).startswith("0 bills")
    assert approve(accountIds=books.beta, externalInvoiceDateEnd="2025-03-01").startswith("1 bills")
    assert status() == ["P", "A", "P", "P"]
    assert approve(externalInvoiceDateStart="2025-03-01").startswith("2 bills")
    assert status() == ["P", "A", "A", "A"]
    assert approve(accountIds=f"{books.acme},{books.beta}").startswith("1 bills")
    assert status() == ["A"] * 4


def test_a_bill_that_is_not_locked_can_be_deleted_and_made_again_the_same(books: Books) -> None:
    bill = books.run("january")[0]
    before = books.bill(bill)
    assert books.sdk.bills.delete(bill).id == bill
    with pytest.raises(NotFoundError):
        books.bill(bill)
    with pytest.raises(NotFoundError):
        books.sdk.bills.delete(bill)
    assert bill in books.run("january")
    again = books.bill(bill)
    assert (again.bill_total, again.line_items) == (before.bill_total, before.line_items)


@pytest.mark.parametrize(
    "act",
    [
        lambda sdk: sdk.bills.retrieve(NOWHERE),
        lambda sdk: sdk.bills.delete(NOWHERE),
        lambda sdk: sdk.bills.lock(NOWHERE),
        lambda sdk: sdk.bills.update_status(NOWHERE, status="APPROVED"),
        lambda sdk: sdk.bills.line_items.list(NOWHERE),
        lambda sdk: sdk.bills.line_items.retrieve(NOWHERE, bill_id=NOWHERE),
    ],
)
def test_a_bill_that_does_not_exist_is_404(client: M3ter, act: Callable[[M3ter], object]) -> None:
    with pytest.raises(NotFoundError, match="there is no bill"):
        act(client)


@pytest.mark.parametrize("body", [{}, {"status": None}, {"status": "LOCKED"}, {"status": "approved"}, {"status": 1}])
def test_a_status_is_pending_or_approved(http: httpx.Client, body: dict[str, object]) -> None:
    assert refused(send(http, "PUT", f"/bills/{NOWHERE}/status", body))["field"] == "status"


# ---------------------------------------------------------------------------------------------- the lock date


def test_a_new_organisation_locks_nothing_by_date(client: M3ter) -> None:
    config = client.bill_config.retrieve()
    assert (config.version, config.bill_lock_date) == (1, None)


def test_the_lock_date_locks_what_has_ended_and_unlocks_only_that(books: Books) -> None:
    """A bill locked by hand stays locked when the date moves back."""
    january, february = books.run("january"), books.run("february")
    everything = january + february

    def locked() -> list[bool]:
        return [bool(books.bill(each).locked) for each in everything]

    books.sdk.bills.approve(bill_ids=everything)
    books.sdk.bills.lock(january[0])
    assert locked() == [True, False, False, False]
    assert str(books.sdk.bill_config.update(bill_lock_date="2025-01-30").bill_lock_date) == "2025-01-30"
    assert locked() == [True, False, False, False], "January ends on the 31st"
    books.sdk.bill_config.update(bill_lock_date="2025-01-31")
    assert locked() == [True, True, False, False]
    assert books.bill(january[1]).locked_by == "billLockDate"
    books.sdk.bill_config.update(bill_lock_date="2025-12-31")
    assert locked() == [True] * 4
    books.sdk.bill_config.update(bill_lock_date="2025-02-27")
    assert locked() == [True, True, False, False]
    assert read(books.lock_until(None)).get("billLockDate") is None
    assert locked() == [True, False, False, False]
    with pytest.raises(BadRequestError, match="locked"):
        books.sdk.bills.delete(january[0])


def test_the_lock_date_cannot_pass_a_pending_bill(books: Books) -> None:
    acme, beta = books.run("january")
    february = books.run("february")
    books.sdk.bills.approve(bill_ids=[acme, *february])
    reply = refused(books.lock_until("2025-01-31"))
    assert (reply["code"], reply["field"]) == ("bill_state", "billLockDate")
    assert beta in reply["message"]
    assert "beta, which ends on 2025-01-31, is PENDING" in reply["message"]
    assert not any(books.bill(each).locked for each in (acme, beta, *february)), "all or nothing"
    assert books.sdk.bill_config.retrieve().version == 1
    read(books.lock_until("2025-01-30"))
    books.sdk.bills.delete(beta)
    read(books.lock_until("2025-02-28"))
    assert all(books.bill(each).locked for each in (acme, *february))


@pytest.mark.parametrize("day", ["2261-12-31", "2100-02-28", "0001-01-01"])
def test_the_lock_date_may_be_any_day_that_bills_can_end_on_or_earlier(books: Books, day: str) -> None:
    bill = books.run("january")[0]
    books.sdk.bills.approve(account_ids=books.acme, bill_ids=[bill])
    if day == "0001-01-01":
        read(books.lock_until(day))
        assert books.bill(bill).locked is False
        return
    refused(books.lock_until(day))  # beta's is pending
    books.http.post("/bills/approve", params={"accountIds": books.beta}, content=b"{}")
    assert read(books.lock_until(day))["billLockDate"] == day
    assert books.bill(bill).locked is True


def test_the_lock_date_has_a_version(client: M3ter, http: httpx.Client) -> None:
    assert client.bill_config.update(bill_lock_date="2024-01-01", version=1).version == 2
    reply = refused(send(http, "PUT", "/billconfig", {"billLockDate": "2024-02-01", "version": 1}))
    assert reply["code"] == "version_mismatch"
    for wrong in ("soon", "2025-02-30", 5, [], "٢٠٢٥-01-01"):
        assert refused(send(http, "PUT", "/billconfig", {"billLockDate": wrong}))["field"] == "billLockDate"
