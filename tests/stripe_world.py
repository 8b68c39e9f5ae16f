"""Stripe for tests as a process of its own, and an organisation that hands bills over to it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from records_file import new_records
from tallystick.cli.launch import free_port
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill import (
    Bill,
    BillParameters,
    BillRecord,
    BillStatus,
    Evidence,
    LineItem,
    LineItemType,
    digest_of,
)
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.ids import named_id
from tallystick.core.integration import Destination, IntegrationConfig, IntegrationRun, RunStatus, run_id
from tallystick.core.period import Frequency, Instant
from tallystick.integrations.stripe import StripePerformer
from tallystick.ports import Document, Organization
from tallystick.ports.handover import HandedOver, HandOver, credentials_about
from tallystick.stores.vault import KeyFileVault

STAND_IN = Path(__file__).parent / "stripe_stand_in.py"
KEY = "sk_test_12345"
SECRET = "whsec_test_secret"
ORGANIZATION = "00000000-0000-4000-8000-000000000001"
CONFIG = named_id(ORGANIZATION, "config")
ACCOUNT = named_id(ORGANIZATION, "account")
NOW = Instant.parse("2025-02-03T10:00:00Z")
START, END = Instant.parse("2025-01-01T00:00:00Z"), Instant.parse("2025-02-01T00:00:00Z")


class Stripe:
    """The stand-in as a person sees it who looks into Stripe."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, auth=(KEY, ""), headers={"Stripe-Version": "2026"}, timeout=30)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        reply = self.http.get(path, params=query)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def post(self, path: str, **form: str) -> dict[str, Any]:
        reply = self.http.post(path, data=form)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json() if reply.content else {}
        return found

    def customer(self, **fields: str) -> str:
        return str(self.post("/v1/customers", **fields)["id"])

    def invoices(self, customer: str, bill: str | None = None) -> list[dict[str, Any]]:
        """The invoices of a customer, the oldest first; of one bill only where it is named."""
        found = self.get("/v1/invoices", customer=customer, limit="100")["data"]
        return [each for each in reversed(found) if bill in {None, each["metadata"].get("tallystick_bill")}]

    def lines(self, invoice: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get(f"/v1/invoices/{invoice}/lines", limit="500")["data"]
        return rows

    def notes(self, invoice: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get("/v1/credit_notes", invoice=invoice, limit="100")["data"]
        return rows

    def fail(self, **fault: object) -> None:
        """What the next request is answered instead; with `after`, the one behind so many others."""
        httpx.post(f"{self.url}/_config/faults", json=fault)

    def forget(self) -> None:
        """A day passes: keys of idempotency are no longer known."""
        httpx.post(f"{self.url}/_config/forget")

    def seen(self) -> dict[str, int]:
        counted: dict[str, int] = httpx.get(f"{self.url}/_config/seen").json()
        return counted

    def tell(self, url: str, name: str = "bills") -> None:
        """Have events sent to a webhook."""
        form = {"url": url, "secret": SECRET}
        assert httpx.post(f"{self.url}/_config/webhooks/{name}", json=form).status_code == 200


@contextmanager
def stripe_running() -> Iterator[Stripe]:
    """The stand-in, started and stopped."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(STAND_IN), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/_config/seen")
                break
            except httpx.TransportError:
                assert process.poll() is None, "the stand-in for Stripe did not start"
                assert time.monotonic() < until
                time.sleep(0.05)
        yield Stripe(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def line(name: str, amount: str, of_type: LineItemType = LineItemType.USAGE, **more: Any) -> LineItem:
    """A line of a bill in its currency; its id comes from its name."""
    given: dict[str, Any] = {"quantity": Decimal(7), "units": Decimal(7), "unit": "call", "currency": "USD"} | more
    return LineItem(
        id=named_id(ORGANIZATION, f"line {name}"),
        line_item_type=of_type,
        description=name,
        subtotal=Decimal(amount),
        average_unit_price=Decimal(1),
        conversion_rate=Decimal(1),
        converted_subtotal=Decimal(amount),
        sequence_number=1,
        service_period_start_date=START,
        service_period_end_date=END,
        **given,
    )


def credit(name: str, amount: str) -> LineItem:
    """A credit that somebody put on the bill."""
    return line(name, f"-{amount}", LineItemType.CREDIT_MEMO, unit="")


def bill(name: str, *lines: LineItem, currency: str = "USD", total: str | None = None, **more: Any) -> Bill:
    """The bill of January 2025; its id comes from its name."""
    given: dict[str, Any] = {"status": BillStatus.APPROVED, "due_date": date(2025, 3, 3)} | more
    return Bill(
        id=named_id(ORGANIZATION, f"bill {name}"),
        version=1,
        account_id=ACCOUNT,
        account_code="acme",
        locked=False,
        start_date=START.date(),
        end_date=END.date(),
        start_date_time_utc=START,
        end_date_time_utc=END,
        bill_date=END.date(),
        external_invoice_date=END.date(),
        billing_frequency=Frequency.MONTHLY,
        bill_frequency_interval=1,
        timezone="UTC",
        currency=currency,
        currency_conversions=(),
        bill_total=Decimal(total)
        if total is not None
        else sum((each.converted_subtotal for each in lines), Decimal(0)),
        line_items=lines,
        bill_job_id="job",
        json_statement_generated=False,
        csv_statement_generated=False,
        statement_stale=False,
        created_date=NOW,
        last_calculated_date=NOW,
        dt_created=NOW,
        dt_last_modified=NOW,
        created_by="ann",
        last_modified_by="ann",
        **given,
    )


class World:
    """An organisation with one account and one integration with Stripe."""

    def __init__(self, directory: Path, stripe: Stripe, **config: Any) -> None:
        self.stripe, self.directory = stripe, directory
        self.store = new_records(directory / "records.db")
        self.organization_id = named_id(ORGANIZATION, str(directory))
        self.store.add_organization(Organization(id=self.organization_id, name="North", created=NOW))
        self.records = self.store.organization(self.organization_id)
        self.vault = KeyFileVault(directory)
        self.now = NOW
        self.events = 0
        self.performer = StripePerformer(self.vault, stripe.url, 10.0)
        self.add(Account(name="Acme", code="acme", email_address="billing@acme.example"), ACCOUNT)
        self.config_id = CONFIG
        self.customer = stripe.customer(name="Acme", email="billing@acme.example")
        self.map_customer(self.customer)
        self.configure(**config)

    def add(self, value: Any, id: str) -> None:
        with self.records.transaction() as write:
            write.insert(Entity(id=id, version=1, value=value, **self._written()))

    def _written(self) -> dict[str, Any]:
        return {"created": self.now, "created_by": "ann", "modified": self.now, "modified_by": "ann"}

    def map_customer(self, customer: str) -> None:
        self.add(self.mapping("Account", ACCOUNT, "customer", customer), named_id(ORGANIZATION, customer))

    def mapping(self, entity: str, id: str, table: str, external: str) -> ExternalMapping:
        return ExternalMapping(
            m3ter_entity=entity, m3ter_id=id, external_system="Stripe", external_table=table, external_id=external
        )

    def account(self) -> Account:
        """The account that is billed."""
        found = self.records.get(Account, ACCOUNT)
        assert found is not None
        return found.value

    def change_account(self, value: Account) -> None:
        with self.records.transaction() as write:
            before = write.get(Account, ACCOUNT)
            assert before is not None
            write.replace(Entity(id=ACCOUNT, version=before.version + 1, value=value, **self._written()))

    def forget_customer(self, customer: str | None = None) -> None:
        """Take away every mapping, or those to a customer."""
        with self.records.transaction() as write:
            for each in list(write.every(ExternalMapping)):
                if customer in {None, each.value.external_id}:
                    write.remove(each, at=self.now, by="ann")

    def configure(
        self, key: str = KEY, destination: Destination = Destination.STRIPE_TEST, id: str = CONFIG, **data: Any
    ) -> None:
        """Set the integration up; another one where it has another id."""
        self.config_id = id
        sealed = self.vault.seal(
            wire.encode({"type": "STRIPE_SIGNED_REQUEST", "apiKey": key, "webhookSecret": SECRET}).decode(),
            credentials_about(id),
        )
        value = IntegrationConfig(
            entity_type="Bill", destination=destination, config_data=data, sealed_credentials=sealed
        )
        with self.records.transaction() as write:
            before = write.get(IntegrationConfig, id)
            if before is None:
                write.insert(Entity(id=id, version=1, value=value, **self._written()))
            else:
                write.replace(Entity(id=id, version=before.version + 1, value=value, **self._written()))

    @property
    def config(self) -> Entity[IntegrationConfig]:
        found = self.records.get(IntegrationConfig, self.config_id)
        assert found is not None
        return found

    def delete_config(self) -> None:
        with self.records.transaction() as write:
            write.remove(self.config, at=self.now, by="ann")

    def put(self, bill: Bill) -> None:
        """Keep a bill as it is now."""
        evidence = Evidence(
            engine_version="1",
            up_to=0,
            as_of=NOW,
            uses=(),
            parameters=BillParameters(),
            answers=(),
            digest=digest_of(bill, {}),
        )
        record = BillRecord(bill=bill, workings={}, evidence=evidence)
        keys = {"account_id": bill.account_id, "status": bill.status.value, "period_key": bill.id}
        with self.records.transaction() as write:
            write.put_documents("bill", [Document(id=bill.id, sort="1", keys=keys, body=wire.encode(record))])

    def delete(self, bill: Bill) -> None:
        with self.records.transaction() as write:
            write.remove_document("bill", bill.id)

    def what(self, bill: Bill, event_name: str = "billing.bill.updated") -> HandOver:
        """A new event about a bill, to be handed over."""
        self.events += 1
        event_id = named_id(self.organization_id, f"event {self.events}")
        event = Event(id=event_id, event_name=event_name, event_time=self.now, m3ter_event={"eventName": event_name})
        run = IntegrationRun(
            id=run_id(self.config_id, event_id),
            config_id=self.config_id,
            destination=self.config.value.destination,
            entity_type="Bill",
            entity_id=bill.id,
            event_id=event_id,
            status=RunStatus.STARTED,
            created=self.now,
            account_id=bill.account_id,
            attempts=1,
        )
        return HandOver(run=run, event=event, config=self.config, records=self.records, now=self.now)

    def perform(self, what: HandOver) -> HandedOver:
        """Hand over, and keep the mappings that come of it, as the engine does."""
        done = self.performer.perform(what)
        for each in done.mappings:
            where = {name: getattr(each, name) for name in ("m3ter_id", "external_id")}
            there = [one.value for one in self.records.every(ExternalMapping)]
            if not any(all(getattr(one, name) == value for name, value in where.items()) for one in there):
                self.add(each, str(uuid4()))
        return done

    def send(self, bill: Bill) -> HandedOver:
        """A bill changes, and is handed over."""
        self.put(bill)
        return self.perform(self.what(bill))

    def invoices(self, bill: Bill) -> list[tuple[str, int]]:
        """(status, total) of what Stripe has of a bill, the oldest first."""
        return [(each["status"], each["total"]) for each in self.stripe.invoices(self.customer, bill.id)]

    def amounts(self, bill: Bill) -> list[int]:
        """The amounts of the lines of the one invoice of a bill that is not void."""
        (one,) = [each for each in self.stripe.invoices(self.customer, bill.id) if each["status"] != "void"]
        return [each["amount"] for each in self.stripe.lines(one["id"])]
