"""Price terms of our own from measurements to bills, through m3ter's own client, which checks each answer's types."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from m3ter import M3ter
from storefront import read, send
from token_shop import bill_march, join, lines


class Cloud:
    """Requests and hosted applications of customers on a plan of 2025."""

    def __init__(self, client: M3ter) -> None:
        self.client = client
        product = client.products.create(name="Cloud", code="cloud")
        fields: list[Any] = [
            {"code": "requests", "name": "Requests", "category": "MEASURE", "unit": "{request}"},
            {"code": "apps", "name": "Applications", "category": "MEASURE", "unit": "{application}"},
            {"code": "model", "name": "Model", "category": "WHAT"},
        ]
        meter = client.meters.create(
            product_id=product.id, name="Hosting", code="hosting", data_fields=fields, derived_fields=[]
        )
        common: dict[str, Any] = {"meter_id": meter.id, "quantity_per_unit": 1, "rounding": "NONE", "unit": "units"}
        self.requests = client.aggregations.create(
            **common,
            name="Requests",
            code="requests",
            target_field="requests",
            aggregation="SUM",
            segmented_fields=["model"],
            segments=[{"model": "*"}],
        ).id
        client.aggregations.create(**common, name="Apps", code="apps", target_field="apps", aggregation="MAX")
        self.billable = client.compound_aggregations.create(
            name="Billable requests",
            calculation="Math.max(aggregation.requests - 100 * aggregation.apps, 0)",
            quantity_per_unit=1,
            rounding="NONE",
            unit="requests",
        ).id
        template = client.plan_templates.create(
            product_id=product.id,
            name="Monthly",
            code="monthly",
            currency="USD",
            bill_frequency="MONTHLY",
            standing_charge=0,
        )
        self.plan = client.plans.create(plan_template_id=template.id, name="Basic", code="basic").id
        self.account = client.accounts.create(name="Acme", code="acme", email_address="billing@acme.example").id

    def price(self, bands: list[Any], extra: dict[str, Any] | None = None, **given: Any) -> None:
        self.client.pricings.create(
            plan_id=self.plan, start_date="2025-01-01T00:00:00Z", pricing_bands=bands, extra_body=extra or {}, **given
        )

    def use(self, uid: str, requests: int, apps: int = 0, model: str = "large") -> None:
        measurement: Any = {
            "uid": uid,
            "meter": "hosting",
            "account": "acme",
            "ts": "2025-03-05T00:00:00Z",
            "what": {"model": model},
            "measure": {"requests": requests, "apps": apps},
        }
        self.client.usage.submit(measurements=[measurement])

    def march(self, http: httpx.Client, **account_plan: Any) -> Any:
        """The bill of March, which must explain and prove itself."""
        self.client.account_plans.create(
            account_id=self.account, plan_id=self.plan, start_date="2025-01-01T00:00:00Z", **account_plan
        )
        (bill,) = bill_march(self.client, [self.account]).values()
        explained = read(http.get(f"/bills/{bill.id}/explanation"))["lines"]
        assert [each["description"] for each in explained] == [line.description for line in bill.line_items]
        assert read(http.get(f"/bills/{bill.id}/verification"))["verified"] is True
        return bill


@pytest.fixture
def cloud(client: M3ter) -> Cloud:
    return Cloud(client)


def flat(price: float) -> list[Any]:
    return [{"lower_limit": 0, "fixed_price": 0, "unit_price": price}]


def test_old_customers_keep_500_and_pay_at_most_20_percent_more(cloud: Cloud, http: httpx.Client) -> None:
    """What would be 731.40 is 600.00; a tenth off that is 540.00."""
    protection = {
        "baseline": 500,
        "maximumIncreasePercent": 20,
        "startDate": "2025-01-01",
        "endDate": "2026-01-01",
    }
    contract = cloud.client.contracts.create(
        account_id=cloud.account,
        name="Renewal",
        start_date="2025-01-01",
        end_date="2026-01-01",
        extra_body={"priceProtection": protection},
    )
    discount = {"accountId": cloud.account, "name": "Tenth", "type": "PERCENT", "percent": 10}
    read(send(http, "POST", "/discounts", {**discount, "startDate": "2025-01-01T00:00:00Z"}))
    cloud.price(flat(0.05), aggregation_id=cloud.requests)
    cloud.use("a", 14_628)
    bill = cloud.march(http, contract_id=contract.id)
    assert lines(bill) == [
        ("Requests", 14_628, 731.4),
        ("Price Protection", 1, -131.4),
        ("Tenth", 1, -60),
    ]
    assert bill.bill_total == 540
    assert [line.line_item_type for line in bill.line_items] == ["USAGE", "CREDIT_DEDUCTION", "CREDIT_DEDUCTION"]


def test_requests_less_100_free_for_each_of_three_applications(cloud: Cloud, http: httpx.Client) -> None:
    cloud.price(flat(0.01), compound_aggregation_id=cloud.billable)
    cloud.use("a", 700, 2)
    cloud.use("b", 550, 3)
    (line,) = cloud.march(http).line_items
    assert (line.quantity, line.converted_subtotal) == (950, 9.5)
    assert (line.compound_aggregation_id, line.aggregation_id) == (cloud.billable, None)


def test_rates_by_model_with_a_cap_and_a_cheaper_price_beside_many_applications(
    cloud: Cloud, http: httpx.Client
) -> None:
    rates = [
        {"dimensions": {"model": "large"}, "unitPrice": 0.03},
        {"dimensions": {"model": "small"}, "unitPrice": 0.002},
    ]
    half = [{**each, "unitPrice": each["unitPrice"] / 2} for each in rates]  # type: ignore[operator]  # a number
    cloud.price([], {"rates": rates}, aggregation_id=cloud.requests)
    many = {"rates": half, "condition": "aggregation.apps >= 3", "maximumSpend": 16, "freeUnits": 100}
    cloud.price([], many, aggregation_id=cloud.requests)
    cloud.use("a", 1_000, 3, "large")
    cloud.use("b", 5_000, 1, "small")
    bill = cloud.march(http)
    # 900 at 0.015 are 13.50; 4,900 at 0.001 would be 4.90, of which the cap of 16 leaves 2.50.
    assert lines(bill) == [("Requests (large)", 1_000, 13.5), ("Requests (small)", 5_000, 2.5)]


def test_missing_rate_fails_the_bill_with_its_cause(cloud: Cloud, http: httpx.Client) -> None:
    cloud.price([], {"rates": [{"dimensions": {"model": "small"}, "unitPrice": 1}]}, aggregation_id=cloud.requests)
    cloud.use("a", 1)
    cloud.client.account_plans.create(account_id=cloud.account, plan_id=cloud.plan, start_date="2025-01-01T00:00:00Z")
    assert bill_march(cloud.client, [cloud.account]) == {}
    events = read(http.get("/events", params={"eventName": "billing.bill.failed"}))["data"]
    reasons = [each["m3terEvent"].get("reason", "") for each in events]
    assert any("has no rate for model = large" in each for each in reasons), events


def test_percentage_with_a_minimum_and_a_maximum_per_event(client: M3ter, http: httpx.Client) -> None:
    """2.9% of each payment, at least 0.30 and at most 5.00, and 0.10 for each: 2.90 + 0.30 + 5.00 and 3 × 0.10.

    The percentage as terms of the price comes to the same as a field that is computed when a payment is measured."""
    product = client.products.create(name="Payments", code="payments").id
    fee = "Math.min(Math.max(amount * 0.029, 0.30), 5)"
    terms = {"percent": 2.9, "minimumPerEvent": 0.30, "maximumPerEvent": 5}
    meter = client.meters.create(
        product_id=product,
        name="Payments",
        code="payments",
        data_fields=[{"code": "amount", "name": "Amount", "category": "MEASURE", "unit": "USD"}],
        derived_fields=[
            {"code": "fee", "name": "Fee", "category": "MEASURE", "unit": "USD", "calculation": fee},
        ],
    )
    template = client.plan_templates.create(
        product_id=product, name="Monthly", currency="USD", bill_frequency="MONTHLY", standing_charge=0
    )
    plan = client.plans.create(plan_template_id=template.id, name="Basic", code="basic").id
    for name, method, field, price in (
        ("Fees", "SUM", "fee", 1),
        ("Payments", "COUNT", "amount", 0.1),
        ("Shares", "SUM", "amount", None),
    ):
        aggregation = client.aggregations.create(
            name=name,
            meter_id=meter.id,
            target_field=field,
            aggregation=method,  # type: ignore[arg-type]  # one of the client's literals
            quantity_per_unit=1,
            rounding="NONE",
            unit="USD",
        )
        client.pricings.create(
            plan_id=plan,
            aggregation_id=aggregation.id,
            start_date="2025-01-01T00:00:00Z",
            pricing_bands=[] if price is None else flat(price),
            extra_body=terms if price is None else {},
        )
    account = join(client, plan, "acme")
    payments: list[Any] = [
        {
            "uid": str(number),
            "meter": "payments",
            "account": "acme",
            "ts": "2025-03-05T00:00:00Z",
            "measure": {"amount": amount},
        }
        for number, amount in enumerate((100, 5, 1000))
    ]
    client.usage.submit(measurements=payments)
    (bill,) = bill_march(client, [account]).values()
    assert [(line.description, line.converted_subtotal) for line in bill.line_items] == [
        ("Fees", 8.2),
        ("Payments", 0.3),
        ("Shares", 8.2),
    ]
    assert read(http.get(f"/bills/{bill.id}/verification"))["verified"] is True
