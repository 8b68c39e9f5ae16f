"""A storefront: one of every noun, made over plain HTTP, with the same codes in whichever organisation it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx

from quick_client import Answer
from tallystick.core import wire

NOWHERE = "00000000-0000-4000-8000-000000000000"
Ids = Mapping[str, str]


def read(response: httpx.Response | Answer, status: int = 200) -> Any:
    """The body of an answer with exact decimals, once its status is the expected one."""
    assert response.status_code == status, f"{response.url}: {response.status_code} {response.text}"
    return wire.decode(dict[str, Any], response.content)


def send(http: httpx.Client, method: str, path: str, body: object) -> httpx.Response:
    """A request whose body keeps decimals exact."""
    return http.request(method, path, content=wire.encode(body))


def refused(response: httpx.Response | Answer, status: int = 400) -> Any:
    """The body of a refusal, which always has message, code and hint."""
    body = read(response, status)
    assert all(isinstance(body[name], str) and body[name] for name in ("message", "code", "hint")), body
    assert response.headers["content-type"] == "application/json"
    return body


FIELDS = [
    {"code": "bytes", "name": "Bytes", "category": "MEASURE", "unit": "By"},
    {"code": "region", "name": "Region", "category": "WHERE"},
    {"code": "file", "name": "File", "category": "METADATA"},
]
BANDS = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": Decimal("0.25")}]


def rollouts(http: httpx.Client, ids: Ids) -> dict[str, str]:
    """A shadow plan, an experiment and a migration, all of them of a time long to come; by their paths."""
    body = {"name": "Other", "code": "other-plan", "planTemplateId": ids["/plantemplates"]}
    other = read(send(http, "POST", "/plans", body))["id"]
    plan = ids["/plans"]
    variants = [{"code": "a", "planId": plan}, {"code": "b", "planId": other}]
    wanted: dict[str, dict[str, object]] = {
        "/shadowplans": {"planId": plan, "shadowPlanId": other, "startDate": "2090-01-01"},
        "/experiments": {"startDate": "2090-01-01", "variants": variants},
        "/planmigrations": {"fromPlanId": other, "toPlanId": plan, "notBefore": "2090-01-01"},
    }
    return {
        path: str(read(send(http, "POST", path, {"code": "next", "name": "Next", **body}))["id"])
        for path, body in wanted.items()
    }


# In an order in which each can name the ones before it.
BODIES: Mapping[str, Callable[[Ids], dict[str, object]]] = {
    "/picklists/currency": lambda _: {"name": "Tokens", "code": "TOK", "maxDecimalPlaces": 2},
    "/products": lambda _: {"name": "Storage", "code": "storage"},
    "/meters": lambda ids: {
        "name": "Traffic",
        "code": "traffic",
        "productId": ids["/products"],
        "dataFields": FIELDS,
        "derivedFields": [],
    },
    "/aggregations": lambda ids: {
        "name": "Bytes stored",
        "code": "bytes_stored",
        "meterId": ids["/meters"],
        "targetField": "bytes",
        "aggregation": "SUM",
        "quantityPerUnit": 1,
        "rounding": "NONE",
        "unit": "By",
    },
    "/plantemplates": lambda ids: {
        "name": "Monthly",
        "code": "monthly",
        "productId": ids["/products"],
        "currency": "USD",
        "billFrequency": "MONTHLY",
        "standingCharge": 20,
    },
    "/plans": lambda ids: {"name": "Basic", "code": "basic", "planTemplateId": ids["/plantemplates"]},
    "/pricings": lambda ids: {
        "planId": ids["/plans"],
        "aggregationId": ids["/aggregations"],
        "pricingBands": BANDS,
        "startDate": "2025-01-01T00:00:00Z",
    },
    "/accounts": lambda _: {"name": "Acme", "code": "acme", "emailAddress": "billing@acme.example"},
    "/accountplans": lambda ids: {
        "accountId": ids["/accounts"],
        "planId": ids["/plans"],
        "startDate": "2025-01-01T00:00:00Z",
    },
    "/lookuptables": lambda _: {"name": "Rates", "code": "rates"},
    "/compoundaggregations": lambda ids: {
        "name": "Double",
        "code": "double",
        "productId": ids["/products"],
        "calculation": "aggregation.bytes_stored * 2",
        "quantityPerUnit": 1,
        "rounding": "NONE",
        "unit": "By",
    },
    "/counters": lambda ids: {"name": "Seats", "code": "seats", "unit": "seat", "productId": ids["/products"]},
    "/counterpricings": lambda ids: {
        "counterId": ids["/counters"],
        "planId": ids["/plans"],
        "pricingBands": BANDS,
        "startDate": "2025-01-01T00:00:00Z",
    },
    "/counteradjustments": lambda ids: {
        "accountId": ids["/accounts"],
        "counterId": ids["/counters"],
        "date": "2090-01-01",
        "value": 5,
    },
    "/plangroups": lambda _: {"name": "Bundle", "code": "bundle", "currency": "USD"},
    "/plangrouplinks": lambda ids: {"planGroupId": ids["/plangroups"], "planId": ids["/plans"]},
    "/picklists/billgroupingkeys": lambda _: {"name": "Apart", "code": "apart", "exclusive": True},
    "/picklists/creditreasons": lambda _: {"name": "Outage", "code": "outage"},
    "/picklists/debitreasons": lambda _: {"name": "Repair", "code": "repair"},
    "/picklists/transactiontypes": lambda _: {"name": "Top-up", "code": "top_up"},
    "/contracts": lambda ids: {
        "accountId": ids["/accounts"],
        "billGroupingKeyId": ids["/picklists/billgroupingkeys"],
        "name": "Year",
        "code": "year",
        "startDate": "2025-01-01",
        "endDate": "2026-01-01",
    },
    "/charges": lambda ids: {
        "accountId": ids["/accounts"],
        "contractId": ids["/contracts"],
        "accountingProductId": ids["/products"],
        "code": "setup",
        "name": "Set-up",
        "currency": "USD",
        "entityType": "AD_HOC",
        "lineItemType": "AD_HOC",
        "billDate": "2090-01-31",
        "servicePeriodStartDate": "2090-01-01T00:00:00Z",
        "servicePeriodEndDate": "2090-02-01T00:00:00Z",
        "amount": 30,
    },
    "/discounts": lambda ids: {
        "accountId": ids["/accounts"],
        "productId": ids["/products"],
        "accountingProductId": ids["/products"],
        "name": "Founders",
        "code": "founders",
        "type": "AMOUNT",
        "amount": 20,
        "currency": "TOK",
        "startDate": "2090-01-01T00:00:00Z",
    },
    "/commitments": lambda ids: {
        "accountId": ids["/accounts"],
        "contractId": ids["/contracts"],
        "currency": "TOK",
        "amount": 500,
        "startDate": "2090-01-01",
        "endDate": "2091-01-01",
    },
    "/balances": lambda ids: {
        "accountId": ids["/accounts"],
        "contractId": ids["/contracts"],
        "name": "Wallet",
        "code": "wallet",
        "currency": "TOK",
        "startDate": "2090-01-01T00:00:00Z",
        "endDate": "2091-01-01T00:00:00Z",
    },
    "/features": lambda ids: {"name": "Traffic", "code": "traffic", "aggregationId": ids["/aggregations"]},
    "/entitlements": lambda ids: {
        "featureId": ids["/features"],
        "accountId": ids["/accounts"],
        "softLimit": 80,
        "hardLimit": Decimal("100.5"),
        "burst": [{"per": "MINUTE", "limit": 10}],
    },
    "/spendalerts": lambda ids: {
        "accountId": ids["/accounts"],
        "type": "BALANCE_BELOW",
        "balanceId": ids["/balances"],
        "threshold": 100,
    },
    "/anomalypolicies": lambda ids: {"accountId": ids["/accounts"], "times": 5},
    "/reconciliations": lambda _: {
        "name": "Application log",
        "comparison": "RECORDS",
        "source": {"type": "UPLOAD"},
        "columns": {"ts": "ts"},
        "measures": [{"meter": "traffic", "field": "bytes"}],
    },
    "/eventmappings": lambda ids: {
        "name": "Files stored",
        "code": "files-stored",
        "type": "file.stored",
        "meterId": ids["/meters"],
        "account": "customer",
        "fields": {"bytes": "size", "region": "region", "file": "name"},
    },
    "/eventsources": lambda _: {"name": "Gateway", "code": "gateway", "form": "CLOUDEVENTS"},
    "/identities": lambda ids: {
        "type": "workspace",
        "value": "w-17",
        "sensitive": False,
        "accountId": ids["/accounts"],
    },
    "/latepolicies": lambda ids: {"meterId": ids["/meters"], "allowanceMinutes": 60},
    "/bespokenotes": lambda ids: {
        "termKind": "DISCOUNT",
        "termId": ids["/discounts"],
        "owner": "Ann",
        "reason": "They were first",
        "reviewDate": "2091-01-01",
    },
    "/approvedterms": lambda _: {"name": "A tenth", "termKind": "DISCOUNT", "mostPercent": 10},
    "/statementdefinitions": lambda _: {
        "name": "Weekly",
        "aggregationFrequency": "WEEK",
        "measures": [{"name": "bytes", "aggregations": ["SUM"]}],
        "dimensions": [{"name": "region", "filter": ["*"]}],
    },
    "/notifications/configurations": lambda _: {
        "name": "Renamed",
        "code": "renamed",
        "description": "An account has another name",
        "eventName": "configuration.account.updated",
        "calculation": "new.name != old.name",
    },
    "/scheduledevents/configurations": lambda _: {
        "name": "scheduled.contract.endsSoon",
        "entity": "Contract",
        "field": "endDate",
        "offset": -30,
    },
    "/integrationconfigs": lambda _: {
        "entityType": "Event",
        "destination": "EMAIL",
        "name": "To the ERP",
        "configData": {"eventNames": ["ingest.validation.failure"], "to": ["erp@acme.example"]},
    },
    "/externalmappings": lambda ids: {
        "m3terEntity": "Account",
        "m3terId": ids["/accounts"],
        "externalSystem": "ERP",
        "externalTable": "Customer",
        "externalId": "cus_1",
        "integrationConfigId": ids["/integrationconfigs"],
    },
    "/dataexports/destinations": lambda _: {
        "bucketName": "acme-exports",
        "iamRoleArn": "arn:aws:iam::922609978421:role/exports",
    },
    "/dataexports/schedules": lambda ids: {
        "sourceType": "USAGE",
        "timePeriod": "PREVIOUS_YEAR",
        "cronExpression": "0 0 1 1 *",
        "destinationIds": [ids["/dataexports/destinations"]],
    },
    "/emailtemplates": lambda _: {"messageKind": "BILL", "language": "en", "subject": "{{ bill.number }}", "text": "-"},
    "/emailoptouts": lambda _: {"address": "ap@acme.example", "messageKind": "ALERT"},
    "/serviceusers": lambda _: {"name": "reader", "scopes": ["config:retrieve"]},
}


class Storefront:
    """One of every noun; `ids` is by the path of the noun."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.ids: dict[str, str] = {}
        for path in BODIES:
            self.ids[path] = self.make(path)["id"]

    def body(self, path: str, **changes: object) -> dict[str, object]:
        """The body that the noun at a path was made with, with changes."""
        return {**BODIES[path](self.ids), **changes}

    def make(self, path: str, **changes: object) -> dict[str, Any]:
        """Create at a path and give what was answered."""
        made: dict[str, Any] = read(send(self.http, "POST", path, self.body(path, **changes)))
        return made

    def measure(self, *measurements: Mapping[str, object]) -> None:
        """Send measurements; each must be accepted."""
        reply = read(send(self.http, "POST", "/measurements", {"measurements": measurements}))
        assert [each["verdict"] for each in reply["measurements"]] == ["accepted"] * len(measurements), reply

    def traffic(self, uid: str, count: int) -> None:
        """So many bytes of acme, on a day in January."""
        self.measure(
            {
                "uid": uid,
                "meter": "traffic",
                "account": "acme",
                "ts": "2025-01-10T12:00:00Z",
                "measure": {"bytes": count},
                "where": {"region": "eu"},
                "metadata": {"file": "a"},
            }
        )

    def locked_january(self) -> str:
        """The locked bill of January, 42.00: the standing charge of 20.00, and 40 + 40 + 8 bytes at 0.25."""
        for uid, count in (("u1", 40), ("u1-again", 40), ("u2", 8)):
            self.traffic(uid, count)
        job = read(send(self.http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}))
        while job["status"] != "COMPLETE":
            job = read(self.http.get(f"/billjobs/{job['id']}"))
        bill = str(job["billIds"][0])
        read(send(self.http, "PUT", f"/bills/{bill}/status", {"status": "APPROVED"}))
        read(self.http.put(f"/bills/{bill}/lock"))
        return bill
