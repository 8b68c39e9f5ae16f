"""From everywhere to everywhere: usage of Kafka, CloudEvents and a file becomes a bill, and the bill a signed webhook,
an invoice at Stripe, journal entries and an export; what is paid at Stripe is paid here.

    40 + 30 + 50 tokens by Kafka, 25 + 35 by CloudEvents, 15 + 5 in a file: 200
    fee                                              10.00
    tokens   100 at 1.00, 100 at 0.50               150.00
    peak     50 at 0.10                               5.00
    the bill of March                               165.00
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from confluent_kafka import Producer
from m3ter import M3ter
from pyarrow import parquet
from receivers import Receiver, answering, receiving
from standardwebhooks import Webhook
from storefront import read, send
from token_shop import Event, bill_march, join, open_shop

from stripe_world import KEY, Stripe, stripe_running
from tallystick.cli.launch import Server, free_port, launched
from tenant import Tenant, new_tenant

PATIENCE = 60  # seconds
TOTAL = Decimal("165.00")
T = TypeVar("T")


def until(look: Callable[[], T | None]) -> T:
    """What is looked for, once it is there."""
    end = time.monotonic() + PATIENCE
    while (found := look()) is None:
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found


@dataclass
class Handed:
    """A customer's bill of March, and everything around it that it was handed over to."""

    tenant: Tenant
    client: M3ter
    http: httpx.Client
    stripe: Stripe
    receiver: Receiver
    exports: Path
    account: str
    customer: str
    secret: str
    bill: Any

    def received(self, name: str) -> list[tuple[dict[str, str], bytes]]:
        """The webhooks about the bill that came in for an event: headers and body."""
        found = []
        for request in list(self.receiver.requests):
            head, _, body = request.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            event = json.loads(body)
            if event["eventName"] == name and self.bill.id in body.decode():
                found.append(({name.lower(): value for name, value in headers.items()}, body))
        return found

    def rows(self, path: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = read(self.http.get(path, params=query))["data"]
        return found


@pytest.fixture(scope="module")
def stripe() -> Iterator[Stripe]:
    with stripe_running() as running:
        yield running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, stripe: Stripe) -> Iterator[Server]:
    """A server that may reach this machine, as its operator says."""
    directory = tmp_path_factory.mktemp("handed-over")
    environment = {
        "TALLYSTICK_OUTGOING_ALLOW": "127.0.0.1",
        "TALLYSTICK_SOURCE_HOSTS": "127.0.0.1",
        "TALLYSTICK_EXPORT_DIR": str(directory / "exports"),
        "TALLYSTICK_STRIPE_URL": stripe.url,
        "TALLYSTICK_STRIPE_POLL_SECONDS": "1",
    }
    with launched(directory / "data", free_port(), environment) as server:
        yield server


@pytest.fixture(scope="module")
def handed(house: Server, stripe: Stripe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handed]:
    """The bill, once it is approved."""
    tenant = new_tenant(house)
    exports = house.directory.parent / "exports"
    with tenant.sdk() as client, tenant.http() as http, receiving(answering("200 OK")) as receiver:
        account = join(client, open_shop(client), "acorn")
        secret = listen(http, receiver)
        customer = connect_stripe(client, stripe, account)
        by_kafka(http)
        by_cloudevents(http)
        by_file(tenant, tmp_path_factory.mktemp("file"))
        bill = bill_march(client, [account])[account]
        client.bills.approve(account_ids=account, bill_ids=[bill.id])
        yield Handed(tenant, client, http, stripe, receiver, exports, account, customer, secret, bill)


def listen(http: httpx.Client, receiver: Receiver) -> str:
    """A webhook for all that happens to bills; its secret."""
    made = read(send(http, "POST", "/integrationdestinations/webhooks", {"name": "books", "url": receiver.url()}))
    wanted = {"entityType": "Event", "destination": "WEBHOOK", "destinationId": made["id"]}
    read(send(http, "POST", "/integrationconfigs", {**wanted, "configData": {"eventNames": ["billing.*"]}}))
    secret: str = made["credentials"]["secret"]
    return secret


def connect_stripe(client: M3ter, stripe: Stripe, account: str) -> str:
    """Approved bills go to Stripe, where the account is a customer; the customer's id."""
    client.integration_configurations.create(
        destination="STRIPE_TEST",
        entity_type="Bill",
        config_data={"sendOnApprovalOnly": True},
        credentials={"type": "STRIPE_SIGNED_REQUEST", "apiKey": KEY},  # type: ignore[typeddict-unknown-key]  # its form is free
    )
    customer = stripe.customer(name="Acorn", email="acorn@example.com")
    client.external_mappings.create(
        m3ter_entity="Account",
        m3ter_id=account,
        external_system="Stripe",
        external_table="customer",
        external_id=customer,
    )
    return customer


def by_kafka(http: httpx.Client) -> None:
    """40, 30 and 50 tokens as messages, one of which comes twice."""
    kafka = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "linger.ms": 0})
    first, second, third = (Event(f"k{n}", n, "eu", n) for n in (40, 30, 50))
    for event in (first, second, first, third):
        kafka.produce("usage", json.dumps(event.measurement("acorn")).encode())
    assert kafka.flush(10) == 0
    brokers = [f"{each.host}:{each.port}" for each in kafka.list_topics(timeout=10).brokers.values()]
    configuration = {"type": "KAFKA", "brokers": brokers, "topics": ["usage"]}
    source = read(
        send(http, "POST", "/usagesources", {"name": "Gateway", "code": "gw", "configuration": configuration})
    )

    def state() -> dict[str, Any] | None:
        found: dict[str, Any] = read(http.get(f"/usagesources/{source['id']}/state"))
        return found if found["received"] == 4 else None

    said = until(state)
    assert (said["accepted"], said["duplicates"], said["failed"]) == (3, 1, 0)


def by_cloudevents(http: httpx.Client) -> None:
    """25 and 35 tokens in a batch, sent twice."""
    (meter,) = read(http.get("/meters"))["data"]
    fields = {"region": "data.region", "tokens": "data.tokens"}
    mapping = {"code": "calls", "name": "Calls", "type": "call", "meterId": meter["id"], "account": "subject"}
    read(send(http, "POST", "/eventmappings", {**mapping, "fields": fields}))
    call = {"specversion": "1.0", "source": "/gateway", "type": "call", "subject": "acorn"}
    batch = [
        {**call, "id": f"c{tokens}", "time": "2025-03-02T00:00:00Z", "data": {"region": "us", "tokens": tokens}}
        for tokens in (25, 35)
    ]
    for _ in range(2):
        kind = {"content-type": "application/cloudevents-batch+json"}
        read(http.post("/receive/cloudevents", content=json.dumps(batch), headers=kind))


def by_file(tenant: Tenant, folder: Path) -> None:
    """15 and 5 tokens by the command line, twice."""
    (folder / "usage.csv").write_text("at,region,tokens\n2025-03-03T00:00:00Z,eu,15\n2025-03-04T00:00:00Z,us,5\n")
    command = [sys.executable, "-m", "tallystick.cli", "import", str(folder / "usage.csv"), "--account", "acorn"]
    command += [
        "--meter",
        "requests",
        "--map",
        "ts=at",
        "--map",
        "where.region=region",
        "--map",
        "measure.tokens=tokens",
    ]
    for said in ("2 accepted", "2 duplicate"):
        run = subprocess.run(
            command, env={**os.environ, **tenant.environment()}, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert said in run.stdout, run.stdout


# ------------------------------------------------------------------------------------------------- what came of it


def test_the_bill_is_what_was_worked_out_by_hand(handed: Handed) -> None:
    lines = {each.description: Decimal(str(each.converted_subtotal)) for each in handed.bill.line_items}
    assert Decimal(str(handed.bill.bill_total)) == TOTAL
    assert sorted(lines.values()) == [5, 10, 150]


def test_a_webhook_tells_of_the_approval_signed_once(handed: Handed) -> None:
    headers, body = until(lambda: next(iter(told(handed)), None))
    event = Webhook(handed.secret).verify(body, headers)
    assert event["m3terEvent"]["new"]["id"] == handed.bill.id
    assert [each["webhook-id"] for each, _ in told(handed)] == [headers["webhook-id"]]


def told(handed: Handed) -> list[tuple[dict[str, str], bytes]]:
    """The webhooks about the approval."""
    return [
        (headers, body)
        for headers, body in handed.received("billing.bill.updated")
        if json.loads(body)["m3terEvent"]["new"]["status"] == "APPROVED"
    ]


def invoice_of(handed: Handed) -> dict[str, Any]:
    """The bill's invoice at Stripe, once it is final."""

    def final() -> dict[str, Any] | None:
        found = handed.stripe.invoices(handed.customer, handed.bill.id)
        return found[0] if found and found[0]["status"] != "draft" else None

    return until(final)


def test_stripe_has_one_invoice_of_exactly_this_bill(handed: Handed) -> None:
    invoice = invoice_of(handed)
    assert (invoice["total"], invoice["currency"]) == (16_500, "usd")
    assert sorted(each["amount"] for each in handed.stripe.lines(invoice["id"])) == [500, 1_000, 15_000]
    assert len(handed.stripe.invoices(handed.customer)) == 1


def test_the_books_balance(handed: Handed) -> None:
    def posted() -> list[dict[str, Any]] | None:
        return handed.rows("/accounting/journalentries", sourceId=handed.bill.id) or None

    entries = until(posted)
    for entry in entries:
        assert sum(each["debit"] for each in entry["lines"]) == sum(each["credit"] for each in entry["lines"])
    revenue = sum(
        each["credit"] - each["debit"] for entry in entries for each in entry["lines"] if each["role"] == "REVENUE"
    )
    assert revenue == TOTAL
    balance = handed.rows("/accounting/trialbalance", endMonth="2025-04")
    assert sum(Decimal(str(each["closing"])) for each in balance) == 0


def test_an_export_sums_up_to_the_bill_and_its_usage(handed: Handed) -> None:
    bill = [Decimal(str(row["convertedSubtotal"])) for row in exported(handed, "BILL_LINE_ITEMS")]
    assert sum(bill) == TOTAL
    usage = exported(handed, "USAGE")
    assert sorted(row["tokens"] for row in usage) == [5, 15, 25, 30, 35, 40, 50]


def exported(handed: Handed, what: str) -> list[dict[str, Any]]:
    """The rows of an export into the operator's directory, read from the files that its manifest names."""
    destination = {"destinationType": "LOCAL", "prefix": what.lower(), "name": what, "code": what.lower()}
    to = read(send(handed.http, "POST", "/dataexports/destinations", destination))["id"]
    of = {"sourceType": "OPERATIONAL", "operationalDataTypes": [what]}
    if what == "USAGE":
        of = {"sourceType": "USAGE", "startDate": "2025-03-01T00:00:00Z", "endDate": "2025-04-01T00:00:00Z"}
    body = {**of, "exportFileFormat": "PARQUET", "destinationIds": [to]}
    job = read(send(handed.http, "POST", "/dataexports/adhoc", body))["jobId"]

    def done() -> bool | None:
        status = handed.client.data_exports.jobs.retrieve(job).status
        assert status != "FAILED"
        return status == "SUCCEEDED" or None

    until(done)
    root = handed.exports / handed.tenant.id
    (written,) = [path for path in root.rglob("manifest.json") if job in str(path)]
    manifest = json.loads(written.read_text())
    rows = [row for file in manifest["files"] for row in parquet.read_table(root / file["path"]).to_pylist()]
    assert len(rows) == sum(file["rowCount"] for file in manifest["files"])
    return rows


def test_what_is_paid_at_stripe_is_paid_here(handed: Handed) -> None:
    handed.stripe.post(f"/v1/invoices/{invoice_of(handed)['id']}/pay", paid_out_of_band="true")

    def paid() -> dict[str, Any] | None:
        found: dict[str, Any] = read(handed.http.get(f"/bills/{handed.bill.id}/payments"))
        return found if found["paidState"] == "PAID" else None

    found = until(paid)
    assert Decimal(str(found["paid"])) == TOTAL
    until(lambda: handed.received("billing.bill.paid") or None)
    assert len(handed.received("billing.bill.paid")) == 1
