"""A shop that has been open for two months: what the pages are looked at with. All of it is made through the API.

The customer Nordwind used more of model gpt-x in the second month than in the first, so that its bill is higher; Acme
holds prepaid credit; Beech is the child of Acme. Two bill runs are over, and the present month is open.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
from storefront import read, rollouts, send

from tenant import Tenant

GROWN = {"nordwind": (40, 70), "acme": (30, 33), "beech": (12, 10), "cedar": (5, 5)}  # batches a day, month by month
HOSTILE = "<img src=x onerror=alert(1)>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The organisation, and the ids of what is in it by code: accounts, plans, pricings, and so on."""

    tenant: Tenant
    ids: dict[str, str]
    months: tuple[date, date, date]  # the first days of the two billed months and of the open one
    mark: str = ""  # what all texts that people choose begin with
    scale: int = 1  # one in so many of the measurements


def month_before(day: date) -> date:
    """The first day of the month before this day's."""
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def open_shop(tenant: Tenant, mark: str = "", scale: int = 1) -> Shop:
    """Make everything, bill both months, and return what is where."""
    today = datetime.now(UTC).date()
    last = month_before(today)
    months = (month_before(last), last, today.replace(day=1))
    shop = Shop(tenant=tenant, ids={}, months=months, mark=mark, scale=scale)
    with tenant.http() as http:
        _catalogue(http, shop)
        _customers(http, shop)
        _use(http, shop, today)
        for number, month in enumerate(months[:2]):
            _bill(http, shop, number, month)
        _agreements(http, shop)
        _trouble(http, shop)
        _reconcile(http, shop)
    return shop


def _make(http: httpx.Client, shop: Shop, path: str, **body: object) -> str:
    chosen = {name: f"{shop.mark}{body[name]}"[:50] for name in ("name", "unit", "description") if name in body}
    body |= chosen if shop.mark else {}
    made: dict[str, Any] = read(send(http, "POST", path, body))
    shop.ids[f"{path.strip('/')}:{body.get('code', '')}"] = made["id"]
    return str(made["id"])


def _catalogue(http: httpx.Client, shop: Shop) -> None:
    product = _make(http, shop, "/products", name="Inference", code="inference")
    fields = [
        {"code": "model", "name": f"{shop.mark}Model", "category": "WHAT"},
        {"code": "region", "name": f"{shop.mark}Region", "category": "WHERE"},
        {"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "{token}"},
        {"code": "user", "name": "User", "category": "WHO"},
    ]
    meter = _make(
        http, shop, "/meters", name="Completions", code="llm", productId=product, dataFields=fields, derivedFields=[]
    )
    common = {"meterId": meter, "rounding": "NONE"}
    tokens = _make(
        http, shop, "/aggregations", name="Tokens", code="tokens", targetField="tokens", aggregation="SUM",
        quantityPerUnit=1_000_000, unit="million tokens", segmentedFields=["model"],
        segments=[{"model": f"{shop.mark}gpt-x"}, {"model": f"{shop.mark}gpt-mini"}], **common,
    )  # fmt: skip
    users = _make(
        http, shop, "/aggregations", name="Active users", code="users", targetField="user", aggregation="UNIQUE",
        quantityPerUnit=1, unit="user", **common,
    )  # fmt: skip
    _make(
        http, shop, "/compoundaggregations", name="Tokens a user", code="double", productId=product, unit="token",
        calculation="aggregation.tokens / aggregation.users", quantityPerUnit=1, rounding="NONE",
    )  # fmt: skip
    template = _make(
        http, shop, "/plantemplates", name="Monthly", code="monthly", productId=product, currency="USD",
        billFrequency="MONTHLY", standingCharge=49, standingChargeDescription=f"{shop.mark}Platform fee",
    )  # fmt: skip
    plan = _make(http, shop, "/plans", name="Team", code="team", planTemplateId=template)
    start = f"{shop.months[0].isoformat()}T00:00:00Z"
    prices: list[tuple[str, dict[str, str], list[tuple[int, str]]]] = [
        (tokens, {"model": f"{shop.mark}gpt-x"}, [(0, "12.00"), (10, "9.50")]),
        (tokens, {"model": f"{shop.mark}gpt-mini"}, [(0, "0.80")]),
        (users, {}, [(0, "1.50"), (5, "1.25")]),
    ]
    for number, (aggregation, segment, bands) in enumerate(prices):
        priced = [{"lowerLimit": low, "fixedPrice": 0, "unitPrice": Decimal(unit)} for low, unit in bands]
        body: dict[str, object] = {"segment": segment} if segment else {}
        _make(
            http, shop, "/pricings", code=f"price-{number}", planId=plan, aggregationId=aggregation, startDate=start,
            pricingBands=priced, cumulative=True, **body,
        )  # fmt: skip


def _customers(http: httpx.Client, shop: Shop) -> None:
    start = f"{shop.months[0].isoformat()}T00:00:00Z"
    plan = shop.ids["plans:team"]
    names = {"nordwind": "Nordwind Analytics", "acme": "Acme Robotics", "beech": "Beech & Söhne", "cedar": HOSTILE}
    for code, name in names.items():
        parent: dict[str, object] = {"parentAccountId": shop.ids["accounts:acme"]} if code == "beech" else {}
        account = _make(http, shop, "/accounts", name=name, code=code, emailAddress=f"{code}@example.com", **parent)
        _make(http, shop, "/accountplans", code=f"plan-{code}", accountId=account, planId=plan, startDate=start)
    _make(
        http, shop, "/balances", accountId=shop.ids["accounts:acme"], name="Prepaid", code="prepaid", currency="USD",
        startDate=start, endDate=f"{shop.months[0].year + 3}-01-01T00:00:00Z",
    )  # fmt: skip
    balance = shop.ids["balances:prepaid"]
    paid = {"amount": 2000, "description": f"{shop.mark}Paid by wire"}
    read(send(http, "POST", f"/balances/{balance}/transactions", paid))


def _use(http: httpx.Client, shop: Shop, today: date) -> None:
    batch: list[dict[str, object]] = []
    for measurement in _measurements(shop, today):
        batch.append(measurement)
        if len(batch) == 1000:
            _send(http, batch)
            batch = []
    if batch:
        _send(http, batch)


def _measurements(shop: Shop, today: date) -> Iterator[dict[str, object]]:
    """From a rule, not from chance: 20,000 tokens a measurement of gpt-x, 30,000 of gpt-mini, in turns by hour."""
    for index, month in enumerate(shop.months):
        days = monthrange(month.year, month.month)[1] if index < 2 else max(today.day - 1, 1)
        for code, grown in GROWN.items():
            for day in range(days):
                for number in range(0, grown[min(index, 1)], shop.scale):
                    ts = datetime(month.year, month.month, day + 1, number % 24, number // 24 * 7, tzinfo=UTC)
                    large = number % 4 != 3
                    yield {
                        "uid": f"{shop.mark}{code}-{ts:%m%d%H%M}-{number}",
                        "meter": "llm",
                        "account": code,
                        "ts": ts.isoformat(),
                        "what": {"model": f"{shop.mark}gpt-{'x' if large else 'mini'}"},
                        "where": {"region": "eu" if number % 3 else "us"},
                        "who": {"user": f"{shop.mark}user-{(day + number) % 9}"},
                        "measure": {"tokens": 20_000 if large else 30_000},
                    }


def _send(http: httpx.Client, batch: list[dict[str, object]]) -> None:
    verdicts = read(send(http, "POST", "/measurements", {"measurements": batch}))
    assert verdicts["result"] == "accepted", verdicts


def _bill(http: httpx.Client, shop: Shop, number: int, month: date) -> None:
    last = month.replace(day=monthrange(month.year, month.month)[1])
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": last.isoformat()}))
    while job["status"] in {"PENDING", "INITIALIZING", "RUNNING"}:
        job = read(http.get(f"/billjobs/{job['id']}"))
    assert job["status"] == "COMPLETE", job
    shop.ids[f"billjobs:{number}"] = job["id"]
    for bill in read(http.get("/bills", params={"billJobId": job["id"]}))["data"]:
        shop.ids[f"bills:{bill['accountCode']}:{number}"] = bill["id"]


def _agreements(http: httpx.Client, shop: Shop) -> None:
    """What is agreed for a time that no bill is of yet; and what a plan's prices come to, simulated as they are."""
    cedar, product = shop.ids["accounts:cedar"], shop.ids["products:inference"]
    later = {"startDate": "2090-01-01", "endDate": "2091-01-01"}
    of = {"accountId": cedar, "currency": "USD"}
    contract = _make(http, shop, "/contracts", accountId=cedar, name="Year", code="year", **later)
    _make(http, shop, "/commitments", contractId=contract, amount=500, **of, **later)
    counter = _make(http, shop, "/counters", name="Seats", code="seats", unit="seat", productId=product)
    _make(
        http, shop, "/counterpricings", counterId=counter, planId=shop.ids["plans:team"],
        pricingBands=[{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 4}], startDate="2090-01-01T00:00:00Z",
    )  # fmt: skip
    _make(
        http, shop, "/charges", name="Set-up", code="setup", entityType="AD_HOC", lineItemType="AD_HOC", amount=30,
        accountingProductId=product, billDate="2090-01-31", servicePeriodStartDate="2090-01-01T00:00:00Z",
        servicePeriodEndDate="2090-02-01T00:00:00Z", contractId=contract, **of,
    )  # fmt: skip
    _make(
        http, shop, "/discounts", name="Founders", code="founders", productId=product, accountingProductId=product,
        type="AMOUNT", amount=20, startDate="2090-01-01T00:00:00Z", **of,
    )  # fmt: skip
    last = shop.months[2] - timedelta(days=1)
    asked = {"candidate": {}, "lastDateInBillingPeriod": last.isoformat(), "accountIds": [cedar]}
    shop.ids["simulations"] = read(send(http, "POST", "/simulations", asked))["id"]
    ids = {"/plans": shop.ids["plans:team"], "/plantemplates": shop.ids["plantemplates:monthly"]}
    shop.ids.update((path.strip("/"), id_) for path, id_ in rollouts(http, ids).items())
    add_catalog_versions(http, shop)


def add_catalog_versions(http: httpx.Client, shop: Shop) -> None:
    """A product is called otherwise and again as it was, from files; and prices of a far day wait to be approved."""
    name = read(http.get("/catalog"))["catalog"]["products"][0]["name"]
    for number, other in enumerate((f"{name} API", name)):
        made, tree = _plan(http, other, simulate=False)
        version = read(send(http, "POST", f"/catalog/plans/{made['id']}/apply", {}))
        shop.ids[f"catalogversion:{number}"] = version["id"]
    for plan in tree["plans"]:
        for price in plan.get("pricings", ()):
            price["description"] = f"{shop.mark}as agreed"
    asked = {"catalog": tree, "reason": f"{shop.mark}as agreed", "effectiveFrom": "2099-01-01T00:00:00Z"}
    shop.ids["catalogplan"] = read(send(http, "POST", "/catalog/plans", asked))["id"]


def _plan(http: httpx.Client, name: str, **more: object) -> tuple[dict[str, Any], dict[str, Any]]:
    tree = read(http.get("/catalog"))["catalog"]
    tree["products"][0]["name"] = name
    return read(send(http, "POST", "/catalog/plans", {"catalog": tree, "reason": f"call it {name}", **more})), tree


def _trouble(http: httpx.Client, shop: Shop) -> None:
    """Measurements that did not count: an unknown account, a number that is none, an identity that nobody has."""
    said = {"what": {"model": "gpt-x"}, "where": {"region": "eu"}, "who": {"user": "user-1"}}
    common = {"meter": "llm", "ts": f"{shop.months[2]}T00:00:00Z", **said}
    wrong = {"uid": f"{shop.mark}wrong-1", "account": f"{shop.mark}nobody", "measure": {"tokens": 5}, **common}
    worse = {"uid": f"{shop.mark}wrong-2", "account": "acme", "measure": {"tokens": f"{shop.mark}x"}, **common}
    nobodys = {"uid": f"{shop.mark}waits", "identity": {"type": "key", "value": f"{shop.mark}key", "sensitive": False}}
    waits = {**nobodys, "measure": {"tokens": 5}, **common}
    send(http, "POST", "/measurements", {"measurements": [wrong, worse, waits]})
    webhook = {"name": f"{shop.mark}Ledger", "url": "https://hooks.invalid/"}
    webhooks = "/integrationdestinations/webhooks"
    shop.ids["webhooks"] = read(send(http, "POST", webhooks, webhook))["id"]
    http.post(f"{webhooks}/{shop.ids['webhooks']}/ping")
    words = {
        "messageKind": "BILL",
        "language": "en",
        "subject": f"{shop.mark}{{{{ bill.number }}}}",
        "text": f"{shop.mark}-",
    }
    shop.ids["emailtemplates"] = read(send(http, "POST", "/emailtemplates", words))["id"]
    handed = {
        "entityType": "charge",
        "destination": "WEBHOOK",
        "destinationId": shop.ids["webhooks"],
        "name": f"{shop.mark}Handed",
    }
    shop.ids["integrationconfigs"] = read(send(http, "POST", "/integrationconfigs", handed))["id"]
    rule = {"name": f"{shop.mark}Rule", "code": "renamed", "description": f"{shop.mark}Another name"}
    renamed = {**rule, "eventName": "configuration.account.updated", "calculation": "new.name != old.name"}
    shop.ids["notifications"] = read(send(http, "POST", "/notifications/configurations", renamed))["id"]
    shop.ids["events"] = read(http.get("/events", params={"eventName": "configuration.account.created"}))["data"][0][
        "id"
    ]
    shop.ids["unmappedidentities"] = read(http.get("/unmappedidentities"))["data"][0]["id"]
    shop.ids["failedmeasurements"] = read(http.get("/failedmeasurements"))["data"][0]["id"]
    shop.ids["failedmeasurementgroups"] = read(http.get("/failedmeasurementgroups"))["data"][0]["id"]


def _reconcile(http: httpx.Client, shop: Shop) -> None:
    """Usage of a day against a log that lacks most of it, and knows what never came."""
    measures = [{"meter": "llm", "field": "tokens"}]
    asked = {"name": f"{shop.mark}Log", "comparison": "RECORDS", "source": {"type": "UPLOAD"}, "measures": measures}
    made = read(send(http, "POST", "/reconciliations", {**asked, "columns": {"ts": "ts"}}))["id"]
    day = shop.months[1]
    log = f"uid,account,ts,tokens\n{shop.mark}lost,cedar,{day}T01:00:00Z,5\n{shop.mark}odd,nobody,{day}T01:00:00Z,5\n"
    upload = read(http.post("/sourceuploads", params={"name": "log.csv"}, content=log.encode()))["id"]
    days = {"startDate": str(day), "endDate": str(day + timedelta(days=1)), "uploadId": upload}
    run = read(send(http, "POST", "/reconciliationruns", {"reconciliationId": made, **days}))
    while run["status"] in {"PENDING", "RUNNING"}:
        run = read(http.get(f"/reconciliationruns/{run['id']}"))
    shop.ids.update({"reconciliations": made, "reconciliationruns": run["id"]})
    (row,) = read(send(http, "POST", "/usage/query", {"limit": 1, "endDate": f"{day}T23:00:00Z"}))["data"]
    wrong = {"reason": f"{shop.mark}sent twice", "changes": [{"uid": row["uid"]}, {"uid": f"{shop.mark}never"}]}
    shop.ids["corrections"] = read(send(http, "POST", "/corrections", wrong))["id"]
    resting = {"name": f"{shop.mark}Files", "code": "files", "configuration": {"type": "FOLDER"}, "paused": True}
    shop.ids["usagesources"] = read(send(http, "POST", "/usagesources", resting))["id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """What a bill of the shop comes to by the rule of its measurements, worked out without the program."""

    gpt_x_units: Decimal  # million tokens
    gpt_x: Decimal
    gpt_mini: Decimal
    total: Decimal  # before credit pays its part


def by_hand(shop: Shop, code: str, index: int, above_ten: str = "9.5") -> ByHand:
    """The bill of an account for the month `index`; `above_ten` is the price of gpt-x above 10 million tokens."""
    month = shop.months[index]
    days, batches = monthrange(month.year, month.month)[1], GROWN[code][index]
    large = sum(1 for number in range(batches) if number % 4 != 3) * days
    units, small = Decimal(large) * 20_000 / 1_000_000, Decimal(batches * days - large) * 30_000 / 1_000_000
    gpt_x = round(min(units, Decimal(10)) * 12 + max(units - 10, Decimal(0)) * Decimal(above_ten), 2)
    gpt_mini = round(small * Decimal("0.8"), 2)
    users = 5 * Decimal("1.5") + 4 * Decimal("1.25")
    return ByHand(gpt_x_units=units, gpt_x=gpt_x, gpt_mini=gpt_mini, total=49 + gpt_x + gpt_mini + users)
