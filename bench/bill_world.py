"""What pages are shown of: accounts with ten months of usage and bills by real bill runs, and an open month.

Everything comes through the API: the catalogue, the measurements of each month, the runs. What every bill must come to
is the bench's own arithmetic (`bills.Usage`), with the credit that each account has left from month to month.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from bills import PRICES, Month, Usage, agree, catalogue, run_bills, send_usage
from ingest import Options
from results import check
from stage import Tenant, wait_visible

from tallystick.cli.connection import Connection
from tallystick.core import wire

MONTHS = 10  # that are billed
PENDING = 1  # of them, the latest, are not approved yet
PASSWORD = "correct horse battery"  # noqa: S105  of a user of the bench's own
EMAIL = "person@company.example"
MOST = 1_000_000  # measurements
FAILED = 3  # measurements of a meter that is not there
APPROVED_AT_ONCE = 1000
PRICED = PRICES[0].field  # of the line that is looked at
WORDS = {"messageKind": "BILL", "language": "en", "subject": "INV {{ bill.number }}", "text": "{{ bill.number }}"}
WEBHOOK = {"name": "ledger", "url": "https://hooks.invalid/"}
HANDED = {"entityType": "Bill", "destination": "WEBHOOK", "name": "To the ledger", "enabled": False}
RENAMED = {"name": "Renamed", "code": "renamed", "description": "A name", "eventName": "configuration.account.updated"}


@dataclass(frozen=True, kw_only=True)
class BillOf:
    """A bill that was made, and what it must say."""

    id: str
    account: str
    month: Month
    charges: Decimal
    total: Decimal


@dataclass(frozen=True, kw_only=True)
class World:
    """An organisation with customers. `bills`: by code of the account, earliest first; `usages`: by month, the open one
    last; `made`: ids of what there is one of."""

    tenant: Tenant
    months: list[Month]
    open: Month
    usages: list[Usage]
    accounts: dict[str, str]
    bills: dict[str, list[BillOf]]
    balances: dict[str, str]
    made: dict[str, str]

    def total_of(self, month: Month) -> Decimal:
        """What all bills of a month come to."""
        place = self.months.index(month)
        return sum((of[place].total for of in self.bills.values()), Decimal(0))


def build(tenant: Tenant, options: Options, months: int) -> World:
    """Send and bill it all; every total is held against the bench's own."""
    today = datetime.now(UTC).date()
    billed = _months(today, months)
    still = Month(today.replace(day=1), max(today - timedelta(days=1), today.replace(day=1)))
    plan, meter = catalogue(tenant, billed[0])
    each = max(1, min(options.measurements, MOST) // (options.accounts * (months + 1)))
    usages = []
    sent, calls = 0, Decimal(0)
    for place, month in enumerate([*billed, still]):
        usage = Usage(options.accounts, month, seed=place, each=each, hours=1 if month is still else 24)
        send_usage(tenant, usage, options.progress)
        sent, calls = sent + usage.count, calls + sum(of["calls"] for of in usage.quantities.values())
        usage.bodies.clear()
        usages.append(usage)
    _, found = wait_visible(tenant, meter, "calls", sent)
    check("SUM of calls", found, calls)
    ids = agree(tenant, usages[0], plan, billed[0], options.progress)
    for month in billed:
        run_bills(tenant, month, options.accounts, options.progress)
    bills = _bills(tenant, billed, usages)
    _approve(tenant, [bill for of in bills.values() for bill in of[: months - PENDING]])
    return World(
        tenant=tenant,
        months=billed,
        open=still,
        usages=usages,
        accounts=ids,
        bills=bills,
        balances={str(each["code"]): str(each["id"]) for each in tenant.client.every("/balances")},
        made=_around(tenant, plan, meter),
    )


def _months(today: date, count: int) -> list[Month]:
    months = [Month.before(today)]
    while len(months) < count:
        months.insert(0, Month.before(months[0].first))
    return months


def _bills(tenant: Tenant, months: list[Month], usages: list[Usage]) -> dict[str, list[BillOf]]:
    """Every bill there is, once its total is what it must be."""
    found: dict[tuple[str, date], tuple[str, Decimal]] = {}
    for each in tenant.client.every("/bills", excludeLineItems=True):
        key = str(each["accountCode"]), date.fromisoformat(str(each["startDate"]))
        found[key] = str(each["id"]), Decimal(str(each["billTotal"]))
    bills: dict[str, list[BillOf]] = {}
    for code in usages[0].quantities:
        left = usages[0].commitments.get(code, usages[0].balances.get(code, Decimal(0)))
        bills[code] = []
        for month, usage in zip(months, usages, strict=False):
            charges = usage.charges(code)
            paid = min(charges, left)
            left -= paid
            id_, total = found.pop((code, month.first))
            check(f"the bill of {code} for {month.first:%Y-%m}", total, charges - paid)
            bills[code].append(BillOf(id=id_, account=code, month=month, charges=charges, total=total))
    check("bills of nobody", found, {})
    return bills


def _approve(tenant: Tenant, bills: list[BillOf]) -> None:
    for first in range(0, len(bills), APPROVED_AT_ONCE):
        some = bills[first : first + APPROVED_AT_ONCE]
        said = tenant.client.post("/bills/approve", {"billIds": [each.id for each in some]})
        check("approved", said["message"].split()[0], str(len(some)))


def _around(tenant: Tenant, plan: str, meter: str) -> dict[str, str]:
    """What else there is a page of."""
    client = tenant.client
    compound = tenant.create(
        "/compoundaggregations",
        name="Twice",
        code="twice",
        calculation="aggregation.calls * 2",
        quantityPerUnit=1,
        rounding="NONE",
        unit="calls",
    )
    lost = [{"uid": f"lost-{each}", "meter": "nowhere", "account": "lost", "ts": _now()} for each in range(FAILED)]
    client.post("/measurements", {"measurements": [{**each, "measure": {"calls": 1}} for each in lost]})
    waits = {"uid": "waits", "meter": "usage", "ts": _now(), "measure": {each.field: 1 for each in PRICES}}
    nobodys = {"type": "workspace", "value": "workspace-7", "sensitive": False}
    client.post("/measurements", {"measurements": [{**waits, "identity": nobodys}]})
    settings: dict[str, Any] = {"frameOrigins": ["https://app.example"], "shownBills": "APPROVED"}
    client.put("/portalsettings", {**settings, "version": client.get("/portalsettings")["version"]})
    logo = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path d="M0 0h8v8z"/></svg>'
    client.put("/portalsettings/logo", {"mediaType": "image/svg+xml", "content": _base64(logo)})
    aggregation = next(str(each["id"]) for each in client.get("/aggregations")["data"] if each["code"] == PRICED)
    return {
        "plan": plan,
        "meter": meter,
        "compound": compound,
        "template": str(client.get("/plantemplates")["data"][0]["id"]),
        "product": str(client.get("/products")["data"][0]["id"]),
        "accountplan": str(client.get("/accountplans")["data"][0]["id"]),
        "commitment": str(client.get("/commitments")["data"][0]["id"]),
        "aggregation": aggregation,
        "pricing": str(client.get("/pricings")["data"][0]["id"]),
        "job": str(client.get("/billjobs")["data"][0]["id"]),
        "group": str(client.get("/failedmeasurementgroups")["data"][0]["id"]),
        "webhook": str(client.post("/integrationdestinations/webhooks", WEBHOOK)["id"]),
        "event": str(client.get("/events")["data"][0]["id"]),
        "integration": str(client.post("/integrationconfigs", HANDED)["id"]),
        "notification": str(client.post("/notifications/configurations", {**RENAMED, "alwaysFireEvent": True})["id"]),
        "words": str(client.post("/emailtemplates", WORDS)["id"]),
        "unmapped": str(client.get("/unmappedidentities")["data"][0]["id"]),
        "failed": str(client.get("/failedmeasurements")["data"][0]["id"]),
        "invitation": _user(tenant, "colleague@company.example", None)["link"].rpartition("/")[2],
        "line": _line_of(tenant, aggregation),
        "user": _user(tenant, EMAIL, PASSWORD)["userId"],
        **_reconciled(tenant, meter),
        "correction": _corrected(tenant),
        "usagesource": _source(tenant),
    }


def _line_of(tenant: Tenant, aggregation: str) -> str:
    """The number of the line of an aggregation, the same on every bill."""
    lines = tenant.client.get("/bills", pageSize=1)["data"][0]["lineItems"]
    return next(str(each["sequenceNumber"]) for each in lines if each.get("aggregationId") == aggregation)


def _source(tenant: Tenant) -> str:
    """A source of usage that rests."""
    body = {"name": "Files", "code": "files", "configuration": {"type": "FOLDER"}, "paused": True}
    return str(tenant.client.post("/usagesources", body)["id"])


def _corrected(tenant: Tenant) -> str:
    """A draft that withdraws a measurement of the first day of a bill."""
    end = tenant.client.get("/bills", pageSize=1)["data"][0]["endDateTimeUTC"]
    (row,) = tenant.client.post("/usage/query", {"limit": 1, "endDate": end})["data"]
    body = {"reason": "sent twice", "changes": [{"uid": row["uid"]}]}
    return str(tenant.client.post("/corrections", body)["id"])


def _reconciled(tenant: Tenant, meter: str) -> dict[str, str]:
    """A log, and the run that held usage against it."""
    code = tenant.client.get(f"/meters/{meter}")["code"]
    source = {"type": "UPLOAD"}
    measures = [{"meter": code, "field": "calls"}]
    asked = {"name": "Application log", "comparison": "RECORDS", "source": source, "measures": measures}
    made = str(tenant.client.post("/reconciliations", asked)["id"])
    upload = tenant.client.send("/sourceuploads", b"uid,account,calls\nnone,nobody,1\n", name="log.csv")["id"]
    days = {"startDate": "2020-01-01", "endDate": "2020-01-02", "uploadId": upload}
    run = tenant.client.post("/reconciliationruns", {"reconciliationId": made, **days})
    return {"reconciliation": made, "reconciliationrun": str(run["id"])}


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _user(tenant: Tenant, email: str, password: str | None) -> dict[str, str]:
    wanted = {
        "orgId": tenant.id,
        "email": email,
        "role": "ADMIN",
        "firstName": "Jo",
        "lastName": "Doe",
        "password": password,
    }
    with Connection(data=tenant.server.directory).operator() as operator:
        reply = operator.raw("POST", "/operator/users", wire.encode(wanted), again=False)
    return wire.decode(dict[str, str], reply.content)
