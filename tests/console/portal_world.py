"""Two sellers, their customers, and customers who look: a parent with two children, and one beside them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
from storefront import Storefront, read, send

from tenant import Tenant

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
FRAMED = "https://app.example"
SECONDS = 30
_EXACT = re.compile(r'data-value="(-?[0-9.]+)"')


@dataclass
class Seller:
    """An organisation. Its accounts by code: acme (with the children beech and cedar), dorn, and one without a plan."""

    tenant: Tenant
    http: httpx.Client
    store: Storefront
    accounts: dict[str, str] = field(default_factory=dict)
    bills: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    alerts: dict[str, str] = field(default_factory=dict)
    balances: dict[str, str] = field(default_factory=dict)

    def link(self, account: str, **asked: object) -> dict[str, Any]:
        """A new link for an account."""
        made = send(self.http, "POST", f"/accounts/{self.accounts[account]}/portalsessions", asked)
        return dict(read(made))

    def customer(self, account: str, **asked: object) -> Customer:
        """Somebody of an account who has opened a link."""
        return Customer.opening(self.link(account, **asked))

    def preview(self, account: str) -> dict[str, Any]:
        return dict(read(send(self.http, "POST", "/bills/preview", {"accountIds": [self.accounts[account]]})))


@dataclass
class Customer:
    """A browser in the portal. `base` is where the visit's pages are; `tokens` all that it has ever held."""

    http: httpx.Client
    base: str
    tokens: tuple[str, ...]

    @classmethod
    def opening(cls, link: dict[str, Any]) -> Customer:
        http = httpx.Client(base_url=link["url"].partition("/portal")[0], timeout=60)
        opened = http.get(link["url"])
        assert (opened.status_code, opened.headers["location"]) == (303, "/portal"), opened.text
        return cls(http, "/portal", (link["token"], http.cookies["tallystick-portal"]))

    @classmethod
    def framing(cls, link: dict[str, Any]) -> Customer:
        http = httpx.Client(base_url=link["url"].partition("/portal")[0], timeout=60)
        opened = http.get("/portal/embed", params={"token": link["token"]}, headers={"sec-fetch-dest": "iframe"})
        assert opened.status_code == 303, opened.text
        assert not http.cookies, "nothing is kept in a browser that keeps nothing for frames"
        base = opened.headers["location"]
        return cls(http, base, (link["token"], base.rpartition("/")[2]))

    def get(self, path: str = "") -> httpx.Response:
        return self.http.get(self.base + path)

    def post(self, path: str, **typed: object) -> httpx.Response:
        """Send a form of the visit, with the key that the page has."""
        key = re.search(r'name="form-key" value="([0-9a-f]+)"', self.get("/alerts").text)
        assert key is not None
        return self.http.post(self.base + path, data={"form-key": key[1], **typed})


def amounts(html: str) -> list[Decimal]:
    """Every exact value on a page, in order."""
    return [Decimal(each) for each in _EXACT.findall(html)]


def open_seller(tenant: Tenant, http: httpx.Client) -> Seller:
    """A month that is billed and approved, one pending bill before it, and some usage today."""
    seller = Seller(tenant, http, Storefront(http))
    store = seller.store
    seller.accounts["acme"] = store.ids["/accounts"]
    for code, more in (
        ("beech", {"parentAccountId": seller.accounts["acme"]}),
        ("cedar", {"parentAccountId": seller.accounts["acme"], "daysBeforeBillDue": 1}),
        ("dorn", {"name": HOSTILE}),
        ("elm", {}),
    ):
        seller.accounts[code] = store.make("/accounts", **{"code": code, "name": code.title(), **more})["id"]
    for code in ("beech", "cedar", "dorn"):
        store.make("/accountplans", accountId=seller.accounts[code])
    _use(store, ("acme", "beech", "cedar", "dorn"))
    _bill(seller)
    for code in ("acme", "beech", "cedar", "dorn"):
        seller.alerts[code] = _make(
            http, "/spendalerts", accountId=seller.accounts[code], type="SPEND_ABOVE", threshold=1_000_000
        )
        seller.balances[code] = _make(
            http, "/balances", accountId=seller.accounts[code], code=f"w-{code}", name=f"Wallet {HOSTILE}",
            currency="USD", startDate="2025-01-01T00:00:00Z", endDate="2099-01-01T00:00:00Z",
        )  # fmt: skip
        read(send(http, "POST", f"/balances/{seller.balances[code]}/transactions", {"amount": 5}))
    return seller


def _make(http: httpx.Client, path: str, **body: object) -> str:
    return str(read(send(http, "POST", path, body))["id"])


def _use(store: Storefront, codes: Iterable[str]) -> None:
    now = datetime.now(UTC)
    last_month = now.replace(day=1, hour=12) - timedelta(days=3)
    for at, code in enumerate(codes):
        for when, quantity in ((last_month, 10 + at), (last_month - timedelta(days=31), 5), (now, 7 + at)):
            store.measure(
                {
                    "uid": f"{code}-{when:%Y%m}",
                    "meter": "traffic",
                    "account": code,
                    "ts": when.isoformat(),
                    "measure": {"bytes": quantity},
                    "where": {"region": "eu"},
                    "metadata": {"file": "a.txt"},
                }
            )


def _bill(seller: Seller) -> None:
    first = datetime.now(UTC).date().replace(day=1)
    last = first - timedelta(days=1)
    for day, kept in ((last.replace(day=1) - timedelta(days=1), seller.pending), (last, seller.bills)):
        job = read(send(seller.http, "POST", "/billjobs", {"lastDateInBillingPeriod": day.isoformat()}))
        until = time.monotonic() + SECONDS
        while job["status"] != "COMPLETE":
            assert time.monotonic() < until, job
            time.sleep(0.05)
            job = read(seller.http.get(f"/billjobs/{job['id']}"))
        made = read(seller.http.get("/bills", params={"billJobId": job["id"]}))["data"]
        kept |= {each["accountCode"]: each["id"] for each in made}
    read(send(seller.http, "POST", "/bills/approve", {"billIds": list(seller.bills.values())}))
