"""A small shop of tokens, set up through the official client: what the stories of the whole flow are told with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from m3ter import M3ter

WAIT_SECONDS = 60
MONTH = datetime(2025, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One request of a customer: when in March 2025, in which region, with how many tokens."""

    uid: str
    minute: int
    region: str
    tokens: int

    def measurement(self, account: str) -> dict[str, Any]:
        return {
            "uid": self.uid,
            "meter": "requests",
            "account": account,
            "ts": (MONTH + timedelta(minutes=self.minute)).isoformat(),
            "where": {"region": self.region},
            "measure": {"tokens": self.tokens},
        }


def open_shop(client: M3ter) -> str:
    """A plan with a fee of 10.00, tokens tiered (1.00 to 100, then 0.50) and peak tokens at 0.10; answers its id."""
    product = client.products.create(name="Tokens", code="tokens")
    meter = client.meters.create(
        product_id=product.id,
        name="Requests",
        code="requests",
        data_fields=[
            {"code": "region", "name": "Region", "category": "WHERE"},
            {"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "{token}"},
        ],
        derived_fields=[],
    )
    template = client.plan_templates.create(
        product_id=product.id,
        name="Monthly",
        code="monthly",
        currency="USD",
        bill_frequency="MONTHLY",
        standing_charge=10,
    )
    plan = client.plans.create(plan_template_id=template.id, name="Basic", code="basic")
    for name, method, cumulative, bands in (
        ("Tokens", "SUM", True, [(0, 1), (100, 0.5)]),
        ("Peak", "MAX", False, [(0, 0.1)]),
    ):
        aggregation = client.aggregations.create(
            name=name,
            code=name.lower(),
            meter_id=meter.id,
            target_field="tokens",
            aggregation=method,  # type: ignore[arg-type]  # one of the client's literals
            quantity_per_unit=1,
            rounding="NONE",
            unit="tokens",
        )
        client.pricings.create(
            plan_id=plan.id,
            aggregation_id=aggregation.id,
            cumulative=cumulative,
            start_date="2025-01-01T00:00:00Z",
            pricing_bands=[{"lower_limit": low, "fixed_price": 0, "unit_price": price} for low, price in bands],
        )
    return plan.id


def join(client: M3ter, plan: str, code: str) -> str:
    """A customer on the plan since January; answers the account's id."""
    account = client.accounts.create(name=code, code=code, email_address=f"{code}@example.com")
    client.account_plans.create(account_id=account.id, plan_id=plan, start_date="2025-01-01T00:00:00Z")
    return account.id


def expected_total(events: Sequence[Event]) -> Decimal:
    """What the customer owes for March, reckoned here and not by the product."""
    total, peak = sum(each.tokens for each in events), max((each.tokens for each in events), default=0)
    tiered = Decimal(min(total, 100)) + Decimal(max(total - 100, 0)) / 2
    return Decimal(10) + tiered + (Decimal(peak) / 10 if events else 0)


def bill_march(client: M3ter, accounts: Sequence[str]) -> dict[str, Any]:
    """Run the bills of March for these accounts; the bills by account id."""
    job = client.bill_jobs.create(account_ids=list(accounts), last_date_in_billing_period="2025-03-31")
    until = time.monotonic() + WAIT_SECONDS
    while job.status != "COMPLETE":
        assert time.monotonic() < until, f"the bill job is {job.status} after {WAIT_SECONDS} s"
        time.sleep(0.02)
        job = client.bill_jobs.retrieve(job.id)
    return {str(bill.account_id): bill for bill in (client.bills.retrieve(each) for each in job.bill_ids or ())}


def lines(bill: Any) -> list[tuple[str, float, float]]:
    """What a bill says, without what names it: description, quantity and amount of each line."""
    return [(line.description, line.quantity, line.converted_subtotal) for line in bill.line_items]
