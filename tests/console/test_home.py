"""The home page: what waits is counted, what is unusual is named, and the charts say what the API says."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import httpx
from storefront import Storefront
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

FIELDS = {"measure": {"bytes": 1}, "where": {"region": "eu"}, "metadata": {"file": "a"}}


def figures(page: str) -> dict[str, str]:
    """The figures at the top, by what they are called, as they read."""
    found = re.findall(r'<span class="label">(.*?)</span><span class="value">(.*?)</span>', page, re.DOTALL)
    return {re.sub("<[^>]+>", "", label): re.sub("<[^>]+>", "", value) for label, value in found}


def intake_of(page: str) -> str:
    """The chart of what did not count, with its table."""
    return page[page.index("Not counted, by day of arrival") :]


def test_a_new_organization_has_nothing_to_do(admin: Visitor) -> None:
    page = admin.get("/")
    assert figures(page) == {
        "Failed measurements": "0",
        "Bills to approve": "0",
        "Held bills": "0",
        "Unusual usage yesterday": "0",
        "Credit that ends soon": "0",
    }
    assert "No meter yet." in page
    assert 'data-refresh="' not in page, "nothing changes by itself"


def test_what_needs_attention(admin: Visitor, http: httpx.Client) -> None:
    shop = Storefront(http)
    now = datetime.now(UTC)
    yesterday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=12)
    members = [
        {"uid": f"{weeks}-{n}", "meter": "traffic", "account": "acme", "ts": at.isoformat(), **FIELDS}
        for weeks, count in ((0, 180), (1, 60), (2, 60))
        for n in range(count)
        for at in [yesterday - timedelta(weeks=weeks)]
    ]
    wrong = [{"uid": f"wrong-{n}", "meter": "no_such", "account": "acme", "ts": now.isoformat()} for n in range(3)]
    other = {**members[1], "measure": {"bytes": 2}}  # the same uid
    arrived = datetime.now(UTC)
    http.post("/measurements", json={"measurements": [*members, *wrong, members[0], members[0], other]})
    soon = (now + timedelta(days=10)).date().isoformat()
    before = (now - timedelta(days=10)).date().isoformat()
    credit = {"accountId": shop.ids["/accounts"], "currency": "TOK", "amount": 5, "startDate": before, "endDate": soon}
    http.post("/commitments", json=credit)
    until = time.monotonic() + 10
    while "Usual on that weekday" not in (page := admin.get("/")) and time.monotonic() < until:
        time.sleep(0.1)  # until the measurements are projected
    told = figures(page)
    assert (told["Failed measurements"], told["Unusual usage yesterday"]) == ("3", "1")
    assert re.search(r">Traffic</a></th><td[^>]*><data[^>]*>180</data></td><td[^>]*><data[^>]*>60</data>", page)
    assert told["Credit that ends soon"] == "1"
    (row,) = re.findall(rf"<tr><th[^>]*>{arrived.day} {arrived:%b}</th>(.*?)</tr>", intake_of(page))
    assert re.findall(r">([\d,]+)<", row) == ["3", "2", "1"], "failed, sent again, in conflict"
    assert f'datetime="{soon}"' in page


def test_revenue_is_what_the_bills_say(admin: Visitor, http: httpx.Client, organization: Tenant) -> None:
    """The standing charge of 20 for last month, in the bar of that month and in the figure of what waits."""
    shop = Storefront(http)
    last = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    asked = {"accountIds": [shop.ids["/accounts"]], "lastDateInBillingPeriod": last.isoformat()}
    job = http.post("/billjobs", json=asked).json()
    until = time.monotonic() + 20
    while http.get(f"/billjobs/{job['id']}").json()["status"] not in {"COMPLETE", "FAILED"}:
        assert time.monotonic() < until
        time.sleep(0.05)
    (bill,) = http.get("/bills").json()["data"]
    assert (bill["billTotal"], bill["currency"]) == (20, "USD")
    page = admin.get("/")
    assert figures(page)["Bills to approve"] == "1"
    assert '<data class="money" value="20" data-value="20">20.00 USD</data>' in page
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    (row,) = (row for row in rows if f"{last:%b %Y}" in row)
    assert ">20.00<" in row


def test_the_way_to_the_first_bill_is_named_to_who_can_go_it(
    admin: Visitor, http: httpx.Client, organization: Tenant
) -> None:
    """Done steps are told from the next one, which leads on with what is there; see also the story in the browser."""
    assert '<li aria-current="step"><a class="button primary" href="/products">Add a product</a>' in admin.get("/")
    shop = Storefront(http)
    assert shop.ids["/accountplans"]
    assert '<li aria-current="step"><a class="button primary" href="/measurements/upload">' in admin.get("/")
    assert "Getting started" not in signed_in(organization, Role.SUPPORT).get("/")
