"""Two organisations with the same codes and the same uids: neither ever meets the other in any answer.

The cases are made from the routes themselves, so that a new route is held to this too.
"""

from __future__ import annotations

import base64
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from storefront import BODIES, NOWHERE, Storefront, read, refused, rollouts, send

from quick_client import QuickClient, quick
from tallystick.api.routes import ROUTES
from tallystick.api.routing import Paged, Route
from tallystick.cli.launch import Server
from tallystick.core import wire
from tenant import Tenant, new_tenant

DAY = "2025-01-10T12:00:00Z"


SCHEDULES: dict[str, dict[str, object]] = {
    "balancetransactionschedules": {
        "name": "Top-up",
        "code": "top_up",
        "amount": 10,
        "transactionDescription": "Monthly",
        "frequency": "MONTHLY",
        "frequencyInterval": 1,
        "startDate": "2090-01-01T00:00:00Z",
        "endDate": "2091-01-01T00:00:00Z",
    },
    "balancechargeschedules": {
        "name": "Fee",
        "code": "fee",
        "currency": "TOK",
        "amount": 10,
        "chargeDescription": "Monthly",
        "billFrequency": "MONTHLY",
        "billFrequencyInterval": 1,
        "billInAdvance": True,
        "servicePeriodStartDate": "2090-01-01T00:00:00Z",
        "servicePeriodEndDate": "2091-01-01T00:00:00Z",
    },
}


SQUARE = b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
LOGO = {"mediaType": "image/svg+xml", "content": base64.b64encode(SQUARE).decode()}
LOOKUP_FIELDS = [{"name": "key", "type": "STRING"}, {"name": "value", "type": "NUMBER"}]
LOOKUP_REVISION = "/lookuptables/{lookupTableId}/revisions/{lookupTableRevisionId}"


DISPUTED = {"reason": "USAGE", "description": "It was less"}


class Estate:
    """An organisation with one of everything that has an id: nouns, bills, jobs, events, failed measurements."""

    def __init__(self, tenant: Tenant, http: httpx.Client) -> None:
        self.tenant = tenant
        self.http = http
        store = Storefront(http)
        read(send(http, "PUT", "/portalsettings/logo", LOGO))
        policy = {"accountId": store.ids["/accounts"], "holdFor": ["SPIKE"]}
        read(send(http, "PUT", f"/anomalypolicies/{store.ids['/anomalypolicies']}", policy))
        # Eight days as usual, and one with fifty times as much: an anomaly, which holds the bill.
        usual = [measurement(f"of day {day}", 1, f"2025-01-0{day}T12:00:00Z") for day in range(2, 10)]
        store.measure(*usual, measurement("one", 1), measurement("two", 49))
        lost = {**measurement("lost", 1), "meter": f"nothing of {tenant.id}"}
        rejected = read(send(http, "POST", "/measurements", {"measurements": [lost]}))["measurements"][0]
        assert rejected["verdict"] == "rejected"
        self.job = finished(http, read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"})))
        self.bill = read(http.get("/bills"))["data"][0]
        self.event = read(http.get("/events"))["data"][0]["id"]
        user = self.user()
        self.ids = {
            **store.ids,
            "/failedmeasurements": rejected["failedMeasurementId"],
            "/failedmeasurementgroups": read(http.get("/failedmeasurementgroups"))["data"][0]["id"],
            "/replayjobs": self.replay_job(),
            "/simulations": self.simulation(),
            "/dataexports/jobs": self.export_job(),
            **self.catalog_versions(),
            **rollouts(http, store.ids),
            **self.correction(store),
            "/accounting/journalentries": self.posted(),
            "/events": self.event,
            **self.handed_over(),
            "/unmappedidentities": self.unmapped(),
            "/billverifications": read(http.post("/billverifications"))["id"],
            "/disputes": read(send(http, "POST", "/disputes", {"billId": self.bill["id"], **DISPUTED}))["id"],
            **self.reconciled(store.ids["/reconciliations"]),
            "/billjobs": self.job["id"],
            "/bills": self.bill["id"],
            "/payments": self.payment(),
            "/stripe": self.stripe(),
            "/anomalies": read(http.get("/anomalies"))["data"][0]["id"],
            "/lineitems": next(line["id"] for line in self.bill["lineItems"] if line["lineItemType"] == "USAGE"),
            "/statementjobs": self.statement_job(),
            "/fileuploads/measurements/jobs": self.file_job(),
            "/usagesources": self.usage_source(),
            "/users": user,
            "/invitations": user,
            **self.webhook(),
            "/portalsessions": read(http.post(f"/accounts/{store.ids['/accounts']}/portalsessions", content=b"{}"))[
                "id"
            ],
            **self.lookup_rows(store.ids["/lookuptables"]),
            **{f"/{kind}lineitems": self.memo(kind, store.ids) for kind in ("credit", "debit")},
            **{f"/{noun}": self.schedule(noun, body, store.ids) for noun, body in SCHEDULES.items()},
        }

    def stripe(self) -> str:
        """An integration with Stripe."""
        body = {"entityType": "Bill", "destination": "STRIPE_TEST", "enabled": False}
        return str(read(send(self.http, "POST", "/integrationconfigs", body))["id"])

    def unmapped(self) -> str:
        """An identity that usage waits for."""
        waits = {**measurement("waits", 1), "identity": {"type": "key", "value": "k"}}
        del waits["account"]
        read(send(self.http, "POST", "/measurements", {"measurements": [waits]}))
        return str(read(self.http.get("/unmappedidentities"))["data"][0]["id"])

    def payment(self) -> str:
        """A payment of the bill."""
        told = read(send(self.http, "POST", f"/bills/{self.bill['id']}/payments", {"amount": 1}))
        return str(told["payments"][0]["id"])

    def replay_job(self) -> str:
        """A job that is done: what was lost stays so, for the meter is still not there."""
        group = read(self.http.get("/failedmeasurementgroups"))["data"][0]["id"]
        job = read(send(self.http, "POST", "/replayjobs", {"groupId": group, "action": "REPLAY"}))
        return str(finished(self.http, job, "/replayjobs")["id"])

    def usage_source(self) -> str:
        """A source that rests."""
        body = {"name": "Files", "code": "files", "configuration": {"type": "FOLDER"}, "paused": True}
        return str(read(send(self.http, "POST", "/usagesources", body))["id"])

    def file_job(self) -> str:
        """A file of measurements, which has come."""
        body = b'{"measurements":[]}'
        asked = {"fileName": "none.json", "contentType": "application/json", "contentLength": len(body)}
        link = read(send(self.http, "POST", "/fileuploads/measurements/generateUploadUrl", asked))
        read(httpx.put(link["url"], content=body))
        return str(link["jobId"])

    def webhook(self) -> dict[str, str]:
        """A webhook, and an attempt to deliver to it: a name that never has an address."""
        path = "/integrationdestinations/webhooks"
        made = read(send(self.http, "POST", path, {"name": "ledger", "url": "https://hooks.invalid/"}))
        return {path: made["id"], "/deliverys": read(self.http.post(f"{path}/{made['id']}/ping"))["id"]}

    def handed_over(self) -> dict[str, str]:
        """The run that the lost measurement made, once it is over."""
        until = time.monotonic() + 30
        while not (runs := read(self.http.get("/integrationruns", params={"status": "ERROR"}))["data"]):
            assert time.monotonic() < until, self.http.get("/integrationruns").text
            time.sleep(0.05)
        return {"/integrationruns": runs[0]["id"], "/integrationruns/logs": runs[0]["id"]}

    def user(self) -> str:
        """An address is one user's on the whole server."""
        email = f"ann@{self.tenant.id}.example"
        wanted = {"email": email, "firstName": "Ann", "lastName": "Lee"}
        return str(read(send(self.http, "POST", "/invitations", wanted))["id"])

    def export_job(self) -> str:
        """An export of accounts, made."""
        body = {"sourceType": "OPERATIONAL", "operationalDataTypes": ["ACCOUNTS"]}
        id_ = read(send(self.http, "POST", "/dataexports/adhoc", body))["jobId"]
        return str(finished(self.http, {"id": id_, "status": "PENDING"}, "/dataexports/jobs")["id"])

    def simulation(self) -> str:
        """What January would come to as things are."""
        body = {"candidate": {}, "lastDateInBillingPeriod": "2025-01-31"}
        return str(read(send(self.http, "POST", "/simulations", body))["id"])

    def catalog_versions(self) -> dict[str, str]:
        """A plan of the catalogue that was applied, and the version that it made."""
        body = {"catalog": {"products": [{"name": "Stored", "code": "storage"}]}, "simulate": False}
        plan = read(send(self.http, "POST", "/catalog/plans", body))["id"]
        version = read(send(self.http, "POST", f"/catalog/plans/{plan}/apply", {}))["id"]
        return {"/catalog/plans": plan, "/catalog/versions": version}

    def reconciled(self, reconciliation: str) -> dict[str, str]:
        """A file of its log, and the run that held its usage against it."""
        log = f"uid,account,ts,bytes\none,acme,{DAY},1\nfour,acme,{DAY},4\n".encode()
        upload = read(self.http.post("/sourceuploads", params={"name": "log.csv"}, content=log))["id"]
        days = {"startDate": "2025-01-10", "endDate": "2025-01-11", "uploadId": upload}
        run = read(send(self.http, "POST", "/reconciliationruns", {"reconciliationId": reconciliation, **days}))
        run = finished(self.http, run, "/reconciliationruns")
        assert run["findings"] == 2, run
        return {"/sourceuploads": upload, "/reconciliationruns": run["id"]}

    def correction(self, store: Storefront) -> dict[str, str]:
        """February's bill is locked; then its only measurement is withdrawn, and its memo is a draft. What was sent in
        January is drafted to be."""
        store.measure({**measurement("late", 3), "ts": "2025-02-03T00:00:00Z"})
        asked = {"lastDateInBillingPeriod": "2025-02-28"}
        job = finished(self.http, read(send(self.http, "POST", "/billjobs", asked)))
        bill = job["billIds"][0]
        read(send(self.http, "PUT", f"/bills/{bill}/status", {"status": "APPROVED"}))
        read(self.http.put(f"/bills/{bill}/lock"))
        body = {"reason": "sent twice", "changes": [{"uid": "late"}]}
        applied = read(send(self.http, "POST", "/corrections", body))["id"]
        assert read(send(self.http, "POST", f"/corrections/{applied}/apply", {}))["status"] == "APPLIED"
        draft = read(send(self.http, "POST", "/corrections", {**body, "changes": [{"uid": "two"}]}))["id"]
        (memo,) = read(self.http.get("/correctionmemos"))["data"]
        return {"/corrections": draft, "/correctionmemos": memo["id"]}

    def posted(self) -> str:
        """An entry of the locked bill; nothing is left to be posted later."""
        read(self.http.post("/accounting/post"))
        entry: str = read(self.http.get("/accounting/journalentries"))["data"][0]["id"]
        return entry

    def statement_job(self) -> str:
        """The job that made the statement of the bill."""
        read(self.http.post(f"/bills/{self.bill['id']}/statement/csv"))
        made: str = read(self.http.get("/statementjobs"))["data"][0]["id"]
        return made

    def lookup_rows(self, table: str) -> dict[str, str]:
        """A revision of the lookup table, with a row."""
        body = {"name": "First", "fields": LOOKUP_FIELDS, "keys": ["key"]}
        revision: str = read(send(self.http, "POST", f"/lookuptables/{table}/revisions", body))["id"]
        key = f"key-of-{self.tenant.id}"
        rows = {"items": [{"key": key, "value": 1}]}
        read(send(self.http, "PUT", f"/lookuptables/{table}/revisions/{revision}/data", rows))
        jobs = f"/lookuptables/{table}/revisions/{revision}/data/jobs"
        job = read(send(self.http, "POST", f"{jobs}/download", {"contentType": "text/csv"}))["jobId"]
        return {"/revisions": revision, "/lookuptablerevisions": revision, "/lookupkeys": key, "/data/jobs": job}

    def memo(self, kind: str, ids: Mapping[str, str]) -> str:
        """A credit or debit line item on the bill."""
        body = {
            "productId": ids["/products"],
            "accountingProductId": ids["/products"],
            "amount": 5,
            "description": "For the outage",
            "referencedBillId": self.bill["id"],
            "referencedLineItemId": self.bill["lineItems"][0]["id"],
            "servicePeriodStartDate": "2025-01-01T00:00:00Z",
            "servicePeriodEndDate": "2025-02-01T00:00:00Z",
        }
        made: str = read(send(self.http, "POST", f"/bills/{self.bill['id']}/{kind}lineitems", body))["id"]
        return made

    def schedule(self, noun: str, body: Mapping[str, object], ids: Mapping[str, str]) -> str:
        """A schedule of the balance."""
        more = {"transactionTypeId": ids["/picklists/transactiontypes"]} if "frequency" in body else {}
        made: str = read(send(self.http, "POST", f"/balances/{ids['/balances']}/{noun}", {**body, **more}))["id"]
        return made

    def everything_of_its_own(self) -> set[str]:
        return {*self.ids.values(), self.tenant.id, self.tenant.key}


def measurement(uid: str, quantity: int, ts: str = DAY) -> dict[str, object]:
    return {
        "uid": uid,
        "meter": "traffic",
        "account": "acme",
        "ts": ts,
        "measure": {"bytes": quantity},
        "where": {"region": "eu"},
        "metadata": {"file": "a.txt"},
    }


def finished(http: httpx.Client, job: dict[str, Any], noun: str = "/billjobs") -> dict[str, Any]:
    until = time.monotonic() + 30
    while job["status"] not in {"COMPLETE", "CANCELLED", "SUCCEEDED"}:
        assert time.monotonic() < until, job
        time.sleep(0.05)
        job = read(http.get(f"{noun}/{job['id']}"))
    return job


@pytest.fixture(scope="module")
def north(server: Server) -> Iterator[Estate]:
    tenant = new_tenant(server)
    with tenant.http() as http:
        yield Estate(tenant, http)


@pytest.fixture(scope="module")
def south(server: Server) -> Iterator[Estate]:
    tenant = new_tenant(server)
    with tenant.http() as http:
        yield Estate(tenant, http)


@pytest.fixture(scope="module")
def from_south(south: Estate) -> Iterator[QuickClient]:
    with quick(south.http) as client:
        yield client


ENDED = b'{"billingEntities":["CONTRACT"],"endDate":"2025-06-01T00:00:00Z"}'
# What is asked by a name, or for what is known of an id: there may be nothing.
BY_NAME = [
    route
    for route in ROUTES
    if re.search(r"\{(systemName|entityType|destinationId|entity|system)\}", route.path) and route.method == "GET"
]
WITH_IDS = [route for route in ROUTES if "{" in route.path and route not in BY_NAME]


def noun_of(route: Route, name: str) -> str:
    """Which noun a placeholder of a path names: `/bills/{billId}/lineitems/{id}` a bill, then a line of it."""
    if name != "id":
        return "/" + name.removesuffix("Id").lower() + "s"
    return "/" + re.search(r"([^{}]*)/\{id\}", route.path)[1].strip("/")  # type: ignore[index]  # the path has {id}


def filled(route: Route, ids: dict[str, str]) -> str:
    """The path with the ids of an estate. A placeholder that the estate knows nothing of fails here: give it one."""
    return re.sub(r"\{(\w+)\}", lambda found: ids[noun_of(route, found[1])], route.path)


def valid_body(route: Route, estate: Estate) -> bytes | None:
    """A body that would be right, so that only the id can be wrong."""
    if route.body is None:
        return None
    for_these = {
        "/lookuptables/{lookupTableId}/revisions/{id}/status": b'{"status":"PUBLISHED"}',
        f"{LOOKUP_REVISION}/data": b'{"items":[{"key":"a","value":1}]}',
        f"{LOOKUP_REVISION}/data/{{lookupKey}}": b'{"item":{"key":"a","value":1}}',
        f"{LOOKUP_REVISION}/data/copy": b"{}",
        f"{LOOKUP_REVISION}/data/archived": b'{"contentType":"text/csv"}',
        f"{LOOKUP_REVISION}/data/jobs/download": b'{"contentType":"text/csv"}',
        f"{LOOKUP_REVISION}/data/generateuploadurl": b'{"contentType":"text/csv","contentLength":1,"fileName":"a"}',
        "/catalog/plans/{id}/apply": b"{}",
        "/disputes/{id}/state": b'{"state":"WITHDRAWN"}',
        "/disputes/{id}/resolution": b'{"outcome":"REJECTED","note":"It was so"}',
        "/bills/{id}/status": b'{"status":"APPROVED"}',
        "/stripe/{id}/secrets": b'{"webhookSecret":"whsec_1"}',
        "/stripe/{id}/accounts": wire.encode({"accountId": estate.ids["/accounts"], "customerId": "cus_1"}),
        "/bills/{id}/payments": b'{"amount":1}',
        "/bills/{id}/payments/{paymentId}/reversal": b"{}",
        "/bills/{id}/hold": b'{"note":"look at it"}',
        "/bills/{id}/release": b'{"reason":"GROWTH"}',
        "/failedmeasurements/{id}/replay": b"{}",
        "/eventsources/{id}/secret": b"{}",
        "/reconciliationruns/{id}/correction": b'{"reason":"To agree with the log"}',
        "/accounts/{id}/enddatebillingentities": ENDED,
        "/contracts/{id}/enddatebillingentities": ENDED,
        "/balances/{balanceId}/transactions": b'{"amount":1}',
        "/failedmeasurements/{id}/discard": b'{"reason":"never"}',
        "/unmappedidentities/{id}/dismiss": b'{"reason":"never"}',
        "/corrections/{id}/changes": b'{"changes":[{"uid":"one"}]}',
        "/corrections/{id}/apply": b"{}",
        "/correctionmemos/{id}/issue": b"{}",
        "/integrationdestinations/webhooks/{id}/rotate": b"{}",
        "/integrationdestinations/webhooks/{id}/replay": b'{"since":"2025-01-01T00:00:00Z"}',
    }
    if route.path in for_these:
        return for_these[route.path]
    path = route.path.removesuffix("/replace").removesuffix("/preview")
    if not path.endswith("}"):  # a create below another noun: the body of one that is there
        path += "/{id}"
    return estate.http.get(filled(replace(route, path=path), estate.ids)).content


@pytest.fixture(scope="module")
def untouched(north: Estate) -> dict[str, str]:
    """What the lists of the north show before anybody asks for its ids."""
    return shown(north, lists_of())


@pytest.mark.parametrize("route", WITH_IDS, ids=lambda route: f"{route.method} {route.path}")
def test_an_id_of_the_other_organisation_is_404(
    north: Estate, south: Estate, untouched: dict[str, str], route: Route
) -> None:
    path, body = filled(route, north.ids), valid_body(route, north)
    reply = refused(south.http.request(route.method, path, content=body), 404)
    assert reply["code"] == "not_found"
    unknown = south.http.request(route.method, filled(route, dict.fromkeys(north.ids, NOWHERE)), content=body)
    assert refused(unknown, 404)["code"] == "not_found", "an id of the other is answered as one that is nowhere"
    near = [each for each in lists_of() if each.split("/")[1] == path.split("/")[1]]
    assert shown(north, near) == {each: untouched[each] for each in near}, "nothing was changed"


@pytest.mark.parametrize("route", BY_NAME, ids=lambda route: route.path)
def test_what_is_asked_by_name_shows_nothing_of_the_other(north: Estate, south: Estate, route: Route) -> None:
    run = read(north.http.get(f"/integrationruns/{north.ids['/integrationruns']}"))
    named = {
        "systemName": "WEBHOOK",
        "entityType": run["entityType"],
        "entityId": run["entityId"],
        "id": run["entityId"],
        "destinationId": run.get("destinationId", NOWHERE),
        "entity": "Account",
        "m3terId": north.ids["/accounts"],
        "system": "ERP",
        "externalTable": "Customer",
        "externalId": "cus_1",
    }
    path = re.sub(r"\{(\w+)\}", lambda found: named[found[1]], route.path)
    text = south.http.get(path, params={"ids": run["entityId"]}).text
    assert [known for known in north.everything_of_its_own() - set(named.values()) if known in text] == []


def test_by_none_of_these_anything_was_changed(north: Estate, untouched: dict[str, str]) -> None:
    assert shown(north, lists_of()) == untouched


def test_the_same_ids_are_found_at_home(north: Estate) -> None:
    """What the test above asks for exists: without this it would prove nothing."""
    for route in WITH_IDS:
        if route.method == "GET":
            reply = north.http.get(filled(route, north.ids))
            assert reply.status_code == 200, f"{reply.request.url}: {reply.text}"


@pytest.mark.parametrize("route", WITH_IDS, ids=lambda route: f"{route.method} {route.path}")
def test_a_token_does_not_open_the_other_organisations_path(north: Estate, south: Estate, route: Route) -> None:
    url = f"{north.tenant.url}/organizations/{north.tenant.id}{filled(route, north.ids)}"
    headers = {"authorization": south.http.headers["authorization"]}
    assert refused(httpx.request(route.method, url, headers=headers), 403)["code"] == "forbidden"


def shown(estate: Estate, lists: list[str]) -> dict[str, str]:
    """Lists as they are shown now, but for the signatures of links and the time of a checkpoint of the audit, which are
    made anew each time."""
    anew = re.compile(r'expires=.*?"|"dtCreated":"[^"]*","publicKey"|"signature":"[^"]*"')
    return {where: anew.sub("", estate.http.get(where).text) for where in lists}


def lists_of() -> list[str]:
    return [route.path for route in ROUTES if route.method == "GET" and "{" not in route.path and listable(route)]


def listable(route: Route) -> bool:
    """Whether a list answers without a parameter: a download names its file, adjustments their counter, and what asks
    for the lines of a measurement its uid."""
    named = {"file", "counterId"} & route.query.keys() or route.path == "/measurements/lines"
    return not route.signed and not named


@pytest.mark.parametrize("path", lists_of())
def test_no_list_shows_anything_of_the_other(north: Estate, south: Estate, path: str) -> None:
    ours, theirs = south.http.get(path), north.http.get(path)
    assert ours.status_code == theirs.status_code == 200
    for text, other in ((ours.text, north), (theirs.text, south)):
        assert [known for known in other.everything_of_its_own() if known in text] == []


LISTS = [route for route in ROUTES if isinstance(route.reply, Paged) and "{" not in route.path]
ALIKE = 9  # ids that a parameter refuses alike: it wants a date, a number or one of some words, and no id


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.path)
def test_no_filter_reaches_the_other(north: Estate, from_south: QuickClient, route: Route) -> None:
    """Every parameter of every list with every id of the other: nothing, or a refusal."""
    every = sorted(set(north.ids.values()))
    joined = {"ids", "codes", "pageSize", "nextToken"}  # with all of them at once
    for name in route.query:
        words: Counter[str] = Counter()
        for others in [every] if name in joined else [[each] for each in every]:
            reply = from_south.get(route.path, params={name: ",".join(others)})
            if reply.status_code == 200:
                assert not any(each in reply.text for each in others), (name, others)
                if name == "ids":
                    assert read(reply)["data"] == []
                continue
            said = refused(reply)["message"].replace(others[0], "")
            words[said] += 1
            if words[said] == ALIKE and ": must be " in said:
                break


@pytest.mark.parametrize("path", [path for path, body in BODIES.items() if path != "/serviceusers"])
def test_what_names_an_entity_of_the_other_names_nothing(north: Estate, south: Estate, path: str) -> None:
    """Every reference in every body, one at a time."""
    here, there = BODIES[path](south.ids), BODIES[path](north.ids)
    for field, value in there.items():
        if value != here[field]:
            code = {"code": "of_the_other"} if "code" in here else {}
            reply = refused(send(south.http, "POST", path, {**here, **code, field: value}))
            assert (reply["code"], reply["field"]) == ("unknown_reference", field)


REFERENCES: list[tuple[str, str, dict[str, str]]] = [
    ("/accounts", "parentAccountId", {"code": "child", "parentAccountId": "/accounts"}),
    ("/aggregations", "accountingProductId", {"code": "other", "accountingProductId": "/products"}),
    ("/plans", "accountId", {"code": "bespoke", "accountId": "/accounts"}),
    ("/plans", "standingChargeAccountingProductId", {"standingChargeAccountingProductId": "/products"}),
    ("/contracts", "billGroupingKeyId", {"billGroupingKeyId": "/picklists/billgroupingkeys"}),
    ("/accountplans", "contractId", {"startDate": "2080-01-01T00:00:00Z", "contractId": "/contracts"}),
    ("/plangroups", "accountId", {"code": "other", "accountId": "/accounts"}),
    ("/counterpricings", "accountingProductId", {"startDate": "2080-01-01", "accountingProductId": "/products"}),
    ("/compoundaggregations", "accountingProductId", {"code": "other", "accountingProductId": "/products"}),
    ("/plans", "minimumSpendAccountingProductId", {"minimumSpendAccountingProductId": "/products"}),
]


@pytest.mark.parametrize(("path", "field", "changes"), REFERENCES, ids=[field for _, field, _ in REFERENCES])
def test_optional_references_reach_no_further(
    north: Estate, south: Estate, path: str, field: str, changes: dict[str, str]
) -> None:
    given = {name: north.ids.get(value, value) for name, value in changes.items()}
    body = {**BODIES[path](south.ids), "code": "other", **({"bespoke": True} if field == "accountId" else {}), **given}
    reply = refused(send(south.http, "POST", path, body))
    assert (reply["code"], reply["field"]) == ("unknown_reference", field)


def test_jobs_and_approvals_take_no_account_or_bill_of_the_other(north: Estate, south: Estate) -> None:
    for path, body in (
        ("/billjobs", {"accountIds": [north.ids["/accounts"]], "lastDateInBillingPeriod": "2025-01-31"}),
        ("/billjobs/recalculate", {"billIds": [north.ids["/bills"]]}),
        ("/bills/approve", {"billIds": [north.ids["/bills"]]}),
    ):
        reply = send(south.http, "POST", path, body)
        assert refused(reply, reply.status_code)["code"] in {"unknown_reference", "not_found"}, path
    reply = south.http.post("/bills/approve", params={"accountIds": north.ids["/accounts"]}, content=b"{}")
    assert read(reply)["message"].startswith("0 bills")
    assert read(north.http.get(f"/bills/{north.ids['/bills']}"))["status"] == "PENDING"


def test_the_same_uids_are_counted_once_in_each(north: Estate, south: Estate) -> None:
    for estate in (north, south):
        reply = read(send(estate.http, "POST", "/measurements", {"measurements": [measurement("one", 1)]}))
        assert reply["measurements"][0]["verdict"] == "duplicate"


def test_usage_queries_see_their_own_organisation_only(north: Estate, south: Estate) -> None:
    extra = measurement("only in the north", 40)
    assert read(send(north.http, "POST", "/measurements", {"measurements": [extra]}))["result"] == "accepted"
    for estate, total in ((north, 98), (south, 58)):
        query = {
            "aggregations": [
                {"meterId": estate.ids["/meters"], "fieldCode": "bytes", "fieldType": "MEASURE", "function": "SUM"}
            ],
            "groups": [{"groupType": "ACCOUNT"}],
        }
        wanted = [{"accountId": estate.ids["/accounts"], "accountCode": "acme", "bytes.SUM": total}]
        until = time.monotonic() + 20
        while (rows := read(send(estate.http, "POST", "/usage/query", query))["data"]) != wanted:
            assert time.monotonic() < until, rows
            time.sleep(0.05)
    raw = send(south.http, "POST", "/usage/query", {}).text
    assert "only in the north" not in raw
    assert not any(known in raw for known in north.ids.values())


def test_usage_queries_name_nothing_of_the_other(north: Estate, south: Estate) -> None:
    meter, account = north.ids["/meters"], north.ids["/accounts"]
    column = {"meterId": meter, "fieldCode": "bytes", "fieldType": "MEASURE", "function": "SUM"}
    own = {**column, "meterId": south.ids["/meters"]}
    for body, place in (
        ({"meterIds": [meter]}, "meterIds"),
        ({"accountIds": [account]}, "accountIds"),
        ({"aggregations": [column]}, "aggregations[0].meterId"),
        (
            {"dimensionFilters": [{"meterId": meter, "fieldCode": "region", "values": ["eu"]}]},
            "dimensionFilters[0].meterId",
        ),
        (
            {"aggregations": [own], "groups": [{"groupType": "DIMENSION", "meterId": meter, "fieldCode": "region"}]},
            "groups[0].meterId",
        ),
    ):
        reply = refused(send(south.http, "POST", "/usage/query", body))
        assert (reply["code"], reply["field"]) == ("unknown_reference", place)


def test_a_download_link_opens_one_file_of_one_organisation(north: Estate, south: Estate) -> None:
    events = read(north.http.get("/events", params={"eventType": "IngestValidationFailure"}))["data"]
    file = next(event["m3terEvent"]["getDownloadUrl"] for event in events if "getDownloadUrl" in event["m3terEvent"])
    name = unquote(file.partition("file=")[2])
    assert name
    url = read(north.http.get("/measurements/failedIngest/getDownloadUrl", params={"file": name}))["url"]
    assert httpx.get(url).status_code == 200
    assert httpx.get(url.replace(north.tenant.id, south.tenant.id)).status_code == 403
    refused(south.http.get("/measurements/failedIngest/getDownloadUrl", params={"file": name}), 404)
