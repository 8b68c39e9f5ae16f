"""Every figure on the pages of an account, of a bill and of the portal is a value of the API, to the cent.

Each page is walked: each <data>, each <time> and each cell of digits has a place, and each place is assigned to what
the API answers. A figure that is assigned to nothing fails, and so does a value that is not shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from figures import Figures, Place
from portal_world import Customer, Seller, open_seller
from storefront import read, send
from visitor import Visitor, signed_in

from tallystick.cli.launch import Server
from tenant import new_tenant

Figure = tuple[Place, Decimal | str]
SECOND = timedelta(seconds=1)
AS_OF = {"Estimated, as of", "What is left as of"}
AHEAD = ("Forecast for the period", "Charged by the end of the period, at this pace")


@pytest.fixture(scope="module")
def seller(server: Server) -> Iterator[Seller]:
    tenant = new_tenant(server)
    with tenant.http() as http:
        yield open_seller(tenant, http)


@pytest.fixture(scope="module")
def desk(seller: Seller) -> Visitor:
    return signed_in(seller.tenant)


@pytest.fixture(scope="module", params=["acme", "beech", "dorn"])
def account(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def customer(seller: Seller, account: str) -> Customer:
    return seller.customer(account)


def require_equal(html: str, expected: list[Figure], ahead: tuple[Decimal, ...] = ()) -> None:
    """Every figure of the page is expected, and all that is expected is shown. What is forecast lies between what the
    pace came to before and after the page was made; "as of" is now."""
    found = list(Figures(html))
    left, missing = Counter(found) - Counter(expected), Counter(expected) - Counter(found)
    for place, value in list(left):
        if place[-1] in AHEAD and ahead and isinstance(value, Decimal):
            assert min(ahead) <= value <= max(ahead), f"{place}: {value}, not within {ahead}"
            del left[place, value]
        if place[-1] in AS_OF and isinstance(value, str):
            assert abs(datetime.now(UTC) - datetime.fromisoformat(value)) < timedelta(minutes=1)
            del left[place, value]
        if place[0] == "Configured things" and value == 1:
            del left[place, value]  # nothing of this world was ever changed, so each is at its first version
    assert not left, f"figures that are no value of the API: {list(left)}"
    assert not missing, f"values that are not shown: {list(missing)}"


def entitled(seller: Seller, account: str) -> dict[str, dict[str, Decimal]]:
    """What an account has of each feature that it was given, by name, in the columns of a page."""
    given = [each for each in rows(seller, f"/accounts/{account}/entitlements") if "entitlementId" in each]
    columns = {"Used": "used", "Limit": "limit", "Left": "remaining"}
    return {each["name"]: {column: each[field] for column, field in columns.items()} for each in given}


def resets(seller: Seller, account: str) -> str:
    """The day on which what it has used is counted from nothing again."""
    (found,) = {each["resetsAt"][:10] for each in rows(seller, f"/accounts/{account}/entitlements") if "used" in each}
    return str(found)


def test_account(seller: Seller, desk: Visitor, account: str) -> None:
    id_, preview = seller.accounts[account], seller.preview(account)
    before = pace(preview)
    html = desk.get(f"/accounts/{id_}")
    own = read(seller.http.get(f"/accounts/{id_}"))
    bills = rows(seller, "/bills", accountId=id_)
    expected: list[Figure] = [
        (("", "Spent since"), preview["startDate"]),
        (("Spent since DAY",), charges(preview)),
        (("", "estimated so far, until"), last(preview)),
        (("To pay so far",), preview["billTotal"]),
        (("Since",), own["dtCreated"][:10]),
    ]
    plans = rows(seller, "/accountplans", account=id_)
    expected += [((f"Plans of {own['name']}", "Basic", "From"), each["startDate"][:10]) for each in plans]
    for each in rows(seller, "/contracts", accountId=id_):
        expected.append(((f"Contracts of {own['name']}", each["name"], "From"), each["startDate"]))
        expected.append(((f"Contracts of {own['name']}", each["name"], "To (exclusive)"), each["endDate"]))
    for each in rows(seller, "/discounts", accountId=id_):
        of = f"Discounts of {own['name']}", each["name"]
        expected += [((*of, "Off"), each["amount"]), ((*of, "From"), each["startDate"][:10])]
    for each in rows(seller, "/charges", accountId=id_):
        of = f"Latest charges to {own['name']}", each["name"]
        expected += [((*of, "Bill date"), each["billDate"]), ((*of, "Amount"), each["amount"])]
    for each in rows(
        seller, "/counteradjustments", counterId=seller.store.ids["/counters"], accountId=id_
    ):  # one, of a day to come
        of = f"Counters of {own['name']}", "Seats"
        expected += [((*of, "Now"), Decimal(0)), ((*of, "Next"), each["value"]), ((*of, "Next"), each["date"])]
    for each in rows(seller, "/balances", accountId=id_):
        live = read(seller.http.get(f"/balances/{each['id']}/live"))
        expected += credit(own["name"], each["name"], each, live["ledgerValue"], live["value"])
    for each in rows(seller, "/commitments", accountId=id_):
        expected += credit(own["name"], "Commitment", each, each["amount"], each["amount"] - each["amountSpent"])
    for name, allowed in entitled(seller, id_).items():
        of = f"Features of {own['name']}", name
        expected += [((*of, column), value) for column, value in allowed.items()]
        expected.append(((*of, "Resets"), resets(seller, id_)))
    table = f"Latest bills of {own['name']}"
    for bill in bills:
        expected += [((table, "", "Period"), bill["startDate"]), ((table, "", "Period"), last(bill))]
        expected.append(((table, f"{day(bill['startDate'])} – {day(last(bill))}", "Total"), bill["billTotal"]))
    expected += [(("Traffic: Bytes (By)", at, "Sum"), value) for at, value in usage_by_day(seller, id_)]
    require_equal(html, expected, (before, pace(seller.preview(account))))


def test_bill(seller: Seller, desk: Visitor, account: str) -> None:
    bill = read(seller.http.get(f"/bills/{seller.bills[account]}"))
    compared = read(seller.http.get(f"/bills/{bill['id']}/comparison"))
    proof = read(seller.http.get(f"/bills/{bill['id']}/verification"))
    expected: list[Figure] = [
        (("", ""), bill["startDate"]),
        (("", f"# {date.fromisoformat(bill['startDate']):%b} # –"), last(bill)),
        (("Total",), bill["billTotal"]),
        (("Bill before",), compared["totalBefore"]),
        (("Difference",), compared["difference"]),
        (("Due",), bill["dueDate"]),
        (("What makes the difference", "Together", "USD"), compared["difference"]),
        (("Lines of the bill", "Total", "For"), bill["billTotal"]),
        (("Bill date",), bill["billDate"]),
        (("Invoice date",), bill["externalInvoiceDate"]),
        (("What happened", "Made", "When"), bill["createdDate"]),
        (("What happened", "Calculated last", "When"), bill["lastCalculatedDate"]),
        (("What happened", "Approved", "When"), bill["dtApproved"]),
        (("Journal read up to",), Decimal(proof["upTo"])),
        (("As of",), bill["lastCalculatedDate"]),
    ]
    payment = read(seller.http.get(f"/bills/{bill['id']}/payments"))
    expected += [
        (("Due",), payment["dueDate"]),  # once among the figures of the bill, once in its payment
        (("Paid",), payment["paid"]),
        (("Left to pay",), payment["left"]),
    ]
    causes = [(part["sentence"].partition(" (")[0], part["amount"]) for part in compared["parts"]]
    expected += [(("What makes the difference", cause, "USD"), amount) for cause, amount in causes]
    for line in bill["lineItems"]:
        expected.append((("Lines of the bill", "", "#"), line["sequenceNumber"]))
        expected.append((("Lines of the bill", line["description"], "USD"), line["convertedSubtotal"]))
        if line["unit"]:
            expected.append((("Lines of the bill", line["description"], "Units"), line["units"]))
    require_equal(desk.get(f"/bills/{bill['id']}"), expected)


def test_portal_overview(seller: Seller, customer: Customer, account: str) -> None:
    preview = seller.preview(account)
    before = pace(preview)
    html = customer.get().text
    spent, table = charges(preview), "What the estimate is made of"
    bill = rows(seller, "/bills", accountId=seller.accounts[account])[0]
    left = read(seller.http.get(f"/bills/{bill['id']}/payments"))["left"]
    expected: list[Figure] = [
        (("DAY – DAY", ""), preview["billTotal"]),
        (("Charged so far",), spent),
        (("Paid from your credit",), preview["billTotal"] - spent),
        ((table, "Total", "Amount"), preview["billTotal"]),
        (("Last bill: DAY – DAY", ""), bill["billTotal"]),
        *([(("Last bill: DAY – DAY", ""), left)] if left else []),
    ]
    for line in preview["lineItems"]:
        expected.append(((table, line["description"], "Amount"), line["convertedSubtotal"]))
        if line["lineItemType"] == "USAGE":
            expected.append(((table, line["description"], "Quantity"), line["units"]))
    for name, allowed in entitled(seller, seller.accounts[account]).items():
        of = "Used of each feature, and what is left", name
        expected += [((*of, column), value) for column, value in allowed.items()]
    days = usage_by_day(seller, seller.accounts[account], since=preview["startDate"])
    expected += [(("Bytes stored (By)", at, "Bytes stored"), value) for at, value in days]
    require_equal(html, expected, (before, pace(seller.preview(account))))


def test_portal_bills(seller: Seller, customer: Customer, account: str) -> None:
    bill = read(seller.http.get(f"/bills/{seller.bills[account]}"))
    span = f"{american(bill['startDate'])} – {american(last(bill))}"
    payment = read(seller.http.get(f"/bills/{bill['id']}/payments"))
    listed = "Bills, the latest period first"
    paid = [((listed, span, "Payment"), payment["left"])] if payment["left"] else []
    require_equal(customer.get("/bills").text, [*paid, ((listed, span, "Total"), bill["billTotal"])])
    table = "Every line with the sentence that explains it"
    expected: list[Figure] = [(("", ""), bill["billTotal"]), ((table, "Total", "Amount"), bill["billTotal"])]
    expected += [(("", ""), payment["left"])] if payment["left"] else []
    for line in bill["lineItems"]:
        expected.append(((table, line["description"], "Amount"), line["convertedSubtotal"]))
        if line["lineItemType"] == "USAGE":
            found = read(seller.http.get(f"/bills/{bill['id']}/lineitems/{line['id']}/days"))["inputs"][0]["days"]
            days = [(short(each["day"]), each["value"]) for each in found if each["value"] is not None]
            expected += [(("Bytes stored (By)", at, "Bytes stored"), value) for at, value in days]
    require_equal(customer.get(f"/bills/{bill['id']}").text, expected)


def test_portal_credit_and_alerts(seller: Seller, customer: Customer, account: str) -> None:
    expected: list[Figure] = []
    today = datetime.now(UTC).date()
    for each in rows(seller, "/balances", accountId=seller.accounts[account]):
        if each["startDate"][:10] > today.isoformat():
            continue  # of what holds later the portal says nothing yet
        live = read(seller.http.get(f"/balances/{each['id']}/live"))
        expected += [((" ".join(each["name"].split()), ""), live["value"]), (("Booked",), live["ledgerValue"])]
        burned = [(today - timedelta(days=back), each["amount"]) for back in range(60, 0, -1)]
        table = "What is left, day by day (USD)"
        for at, left in [*burned, (today, live["value"])]:
            expected.append(((table, short(at.isoformat()), "Remaining"), left))
    for each in rows(seller, "/commitments", accountId=seller.accounts[account]):
        left, heading = each["amount"] - each["amountSpent"], "Commitment DAY – DAY"
        used, whole = ((heading, "Used"), each["amountSpent"]), ((heading, "Used TOK # of"), each["amount"])
        expected += [((heading, ""), left), used, whole]
    require_equal(customer.get("/credit").text, expected)
    alerts: list[Figure] = []
    for each in rows(seller, "/spendalerts", accountId=seller.accounts[account]):
        what = "What is left of a balance falls below"
        what = "Spend of the present period reaches" if each["type"] == "SPEND_ABOVE" else what
        alerts += [(("", what), each["threshold"]), (("", f"the alert: {what}"), each["threshold"])]
    require_equal(customer.get("/alerts").text, alerts)


# ------------------------------------------------------------------------------------------- what the API's answers say


def rows(seller: Seller, path: str, **asked: str) -> list[dict[str, Any]]:
    return list(read(seller.http.get(path, params=asked))["data"])


def charges(preview: dict[str, Any]) -> Decimal:
    """What is charged before credit pays its part."""
    return sum(
        (line["convertedSubtotal"] for line in preview["lineItems"] if line["convertedSubtotal"] > 0), Decimal(0)
    )


def pace(preview: dict[str, Any]) -> Decimal:
    """The charges at the end of the period, had usage gone on as before: a fee of 20, and 0.25 a unit."""
    start, end = (datetime.fromisoformat(preview[name]) for name in ("startDateTimeUTC", "endDateTimeUTC"))
    (units,) = (line["units"] for line in preview["lineItems"] if line["lineItemType"] == "USAGE")
    grown = units * Decimal((end - start) // SECOND) / Decimal((datetime.now(UTC) - start) // SECOND)
    return (20 + grown * Decimal("0.25")).quantize(Decimal("0.01"), ROUND_HALF_UP)


def credit(account: str, name: str, held: dict[str, Any], booked: Decimal, left: Decimal) -> list[Figure]:
    of = {"From": held["startDate"][:10], "To": held["endDate"][:10], "Booked": booked, "Left now": left}
    return [((f"Credit of {account}", name, column), value) for column, value in of.items()]


def usage_by_day(seller: Seller, account_id: str, since: str = "") -> list[tuple[str, Decimal]]:
    """What the usage query of the API answers day by day, in the days that the chart shows."""
    today = datetime.now(UTC).date()
    asked = {
        "startDate": f"{since or today - timedelta(days=29)}T00:00:00Z",
        "endDate": f"{today + timedelta(days=1)}T00:00:00Z",
        "accountIds": [account_id],
        "aggregations": [
            {"meterId": seller.store.ids["/meters"], "fieldCode": "bytes", "fieldType": "MEASURE", "function": "SUM"}
        ],
        "groups": [{"groupType": "TIME", "frequency": "DAY"}],
    }
    found = read(send(seller.http, "POST", "/usage/query", asked))["data"]
    return [(short(str(each["startDate"])[:10]), each["bytes.SUM"]) for each in found]


def last(bill: dict[str, Any]) -> str:
    """The last day of a period that ends, exclusively, with a day."""
    return (date.fromisoformat(bill["endDate"]) - timedelta(days=1)).isoformat()


def day(text: str) -> str:
    return f"{date.fromisoformat(text):%-d %b %Y}"


def short(text: str) -> str:
    return f"{date.fromisoformat(text):%-d %b}"


def american(text: str) -> str:
    return f"{date.fromisoformat(text):%b %-d, %Y}"
