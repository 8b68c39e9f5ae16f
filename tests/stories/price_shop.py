"""A shop that can charge in every way, set up through the official client: what stories of pricing are told with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
from m3ter import M3ter

from tallystick.core import wire

WAIT_SECONDS = 60
FOREVER = "2030-01-01T00:00:00Z"
Line = tuple[str, str, str]  # type, description, amount


@dataclass
class PriceShop:
    """One product, a meter for each thing that is counted, and one customer."""

    client: M3ter
    http: httpx.Client
    ids: dict[str, str] = field(default_factory=dict)
    uids: Any = field(default_factory=lambda: count(1))
    pages: dict[str, str] = field(default_factory=dict)  # each bill as it was last told, by its period

    def open(self, *fields: str) -> None:
        """A product with a meter and a summed aggregation for each field, named as the field."""
        self.ids["product"] = self.client.products.create(name="Service", code="service").id
        for each in fields:
            declared: Any = [{"code": each, "name": each, "category": "MEASURE", "unit": each}]
            meter = self.client.meters.create(
                product_id=self.ids["product"], name=each, code=each, data_fields=declared, derived_fields=[]
            )
            self.ids[each] = self.client.aggregations.create(
                name=each.title(),
                code=each,
                meter_id=meter.id,
                target_field=each,
                aggregation="SUM",
                quantity_per_unit=1,
                rounding="NONE",
                unit=each,
            ).id

    def plan(self, name: str, prices: dict[str, float] | None = None, **template: Any) -> str:
        """A plan, billed monthly unless said otherwise, with a price per unit of some fields; answers its id."""
        given = {"currency": "USD", "bill_frequency": "MONTHLY", "standing_charge": 0, **template}
        made = self.client.plan_templates.create(product_id=self.ids["product"], name=name, code=name, **given)
        plan = self.client.plans.create(plan_template_id=made.id, name=name, code=name).id
        for each, price in (prices or {}).items():
            self.price(plan, each, price)
        return plan

    def price(self, plan: str, what: str, price: float, **more: Any) -> None:
        """A price per unit, from the beginning of 2024 on."""
        bands: Any = [{"lower_limit": 0, "fixed_price": 0, "unit_price": price}]
        given = {"start_date": "2024-01-01T00:00:00Z", "pricing_bands": bands, **more}
        self.client.pricings.create(plan_id=plan, aggregation_id=self.ids[what], **given)

    def join(self, plan: str, start: str = "2025-01-01", **more: Any) -> None:
        """The customer takes a plan."""
        if "account" not in self.ids:
            made = self.client.accounts.create(name="Acme", code="acme", email_address="billing@acme.example")
            self.ids["account"] = made.id
        self.client.account_plans.create(
            account_id=self.ids["account"], plan_id=plan, start_date=f"{start}T00:00:00Z", **more
        )

    def use(self, day: str, **quantities: float) -> None:
        """Usage at noon of a day; it must be accepted."""
        members: Any = [
            {
                "uid": f"u{next(self.uids)}",
                "meter": each,
                "account": "acme",
                "ts": f"{day}T12:00:00Z",
                "measure": {each: quantity},
            }
            for each, quantity in quantities.items()
        ]
        reply = wire.decode(dict[str, Any], self.http.post("/measurements", json={"measurements": members}).content)
        assert [each["verdict"] for each in reply["measurements"]] == ["accepted"] * len(members), reply

    def wallet(self, code: str, *top_ups: tuple[str, float], **more: Any) -> str:
        """A wallet in USD from 2025 on, with what was put into it, each on a day; answers its id."""
        given = {"currency": "USD", "start_date": "2025-01-01T00:00:00Z", "end_date": FOREVER, **more}
        made = self.client.balances.create(account_id=self.ids["account"], name=code.title(), code=code, **given).id
        for day, amount in top_ups:
            self.put_in(made, amount, day)
        return made

    def put_in(self, wallet: str, amount: float, day: str, kind: str = "Top-up") -> None:
        """Someone adds to a wallet: an entry of the ledger, of a type that has a name."""
        types = {each.name: each.id for each in self.client.transaction_types.list()}
        if kind not in types:
            types[kind] = self.client.transaction_types.create(
                name=kind, code=kind.lower().replace("-", "_").replace(" ", "_")
            ).id
        self.client.balances.transactions.create(
            wallet,
            amount=amount,
            transaction_type_id=types[kind],
            applied_date=f"{day}T00:00:00Z",
            transaction_date=f"{day}T00:00:00Z",
            description=kind,
        )

    def entries(self, wallet: str) -> list[tuple[str, str]]:
        """What the ledger has for a wallet: who or what made an entry, and its amount; the oldest first."""
        rows = list(self.client.balances.transactions.list(wallet))
        return [(str(each.entity_type), amount(each.amount)) for each in reversed(rows)]

    def left(self, wallet: str) -> str:
        """What can still be drawn, by the summary of the wallet."""
        reply = wire.decode(dict[str, Any], self.http.get(f"/balances/{wallet}/transactions/summary").content)
        return amount(reply["available"])

    def bill(self, last_day: str) -> Any:
        """The customer's bill of the period that ends with a day, made now; it must verify and explain every line."""
        job = self.client.bill_jobs.create(
            account_ids=[self.ids["account"]], last_date_in_billing_period=last_day, billing_frequency="MONTHLY"
        )
        until = time.monotonic() + WAIT_SECONDS
        while job.status != "COMPLETE":
            assert time.monotonic() < until, f"the bill job is {job.status} after {WAIT_SECONDS} s"
            time.sleep(0.02)
            job = self.client.bill_jobs.retrieve(job.id)
        assert job.bill_ids, wire.decode(dict[str, Any], self.http.get(f"/billjobs/{job.id}").content)
        (id_,) = job.bill_ids
        bill = self.client.bills.retrieve(id_)
        told = self._holds(bill)
        self.pages[f"{bill.start_date} up to {bill.end_date}"] = page(bill, told)
        return bill

    def _holds(self, bill: Any) -> list[str]:
        """The bill comes out the same again, and each line is told in words that say its amount; answers the words."""
        proof = wire.decode(dict[str, Any], self.http.get(f"/bills/{bill.id}/verification").content)
        assert proof["verified"], proof
        told = wire.decode(dict[str, Any], self.http.get(f"/bills/{bill.id}/explanation").content)["lines"]
        lines = bill.line_items or []
        assert [each["sequenceNumber"] for each in told] == [line.sequence_number for line in lines]
        for each, line in zip(told, lines, strict=True):
            words = " ".join([each["sentence"], *each["steps"]]).replace(",", "")
            assert amount(abs(line.converted_subtotal)) in words, (line.converted_subtotal, each)
            assert each["steps"], each
        return [each["sentence"] for each in told]


def page(bill: Any, sentences: Sequence[str]) -> str:
    """A bill as a page of text."""
    text = [f"{bill.start_date} up to {bill.end_date}, in {bill.currency}", ""]
    for line in bill.line_items or ():
        left = f"{line.sequence_number:>2}  {line.line_item_type:<21} {line.description:<36}"
        text.append(f"{left} {Decimal(str(line.converted_subtotal)):>12,.2f}")
    text += [f"{'Total':<62} {Decimal(str(bill.bill_total)):>12,.2f}", ""]
    text += [f"{number:>2}  {sentence}" for number, sentence in enumerate(sentences, start=1)]
    return "\n".join(text) + "\n"


def amount(value: object) -> str:
    """An amount with its cents."""
    return f"{Decimal(str(value)):.2f}"


def lines(bill: Any) -> Sequence[Line]:
    """What a bill says: type, description and amount of each line that comes to something."""
    found = [(line.line_item_type, line.description, amount(line.converted_subtotal)) for line in bill.line_items or ()]
    return [each for each in found if each[2] != "0.00"]


def total(bill: Any) -> str:
    """What a bill comes to."""
    return amount(bill.bill_total)
