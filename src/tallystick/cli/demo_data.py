"""What the demo is about: a small catalogue, three customers, and a month of traffic made from a seed."""

from __future__ import annotations

import math
import random
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tallystick.cli.client import Client
from tallystick.cli.failure import Failure
from tallystick.core.period import Instant

MODELS = ("small", "large")
REGIONS = ("eu", "us")


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month, in UTC."""

    first: date

    @property
    def last(self) -> date:
        """Its last day."""
        return self.first.replace(day=monthrange(self.first.year, self.first.month)[1])

    @property
    def start(self) -> Instant:
        """Its first instant."""
        return Instant.midnight(self.first)

    @property
    def hours(self) -> int:
        """How many hours it has."""
        return self.last.day * 24

    @classmethod
    def parse(cls, text: str) -> Month:
        """`2025-01`."""
        try:
            return cls(date.fromisoformat(f"{text}-01"))
        except ValueError:
            raise Failure(f"--month {text}: must be a month such as 2025-01") from None

    @classmethod
    def before(cls, day: date) -> Month:
        """The last month that is over on this day."""
        return cls((day.replace(day=1) - timedelta(days=1)).replace(day=1))


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer, and how busy it is: completions and requests in an average hour."""

    code: str
    name: str
    completions: int
    requests: int


CUSTOMERS = (
    Customer("acorn", "Acorn Robotics", 12, 4),
    Customer("birch", "Birch & Sons", 5, 2),
    Customer("cedar", "Cedar Labs", 1, 1),
)


def create_catalogue(client: Client, month: Month) -> None:
    """Two meters, four prices (tiered, volume, stairstep), a standing charge, a minimum, and three customers on it."""
    product = _create(client, "/products", name="Inference", code="inference")
    tokens = [("input_tokens", "MEASURE", "{token}"), ("output_tokens", "MEASURE", "{token}")]
    completions = _meter(client, product, "Completions", "completions", [("model", "WHAT", None), *tokens])
    calls_made = [("region", "WHERE", None), ("calls", "MEASURE", "{call}")]
    requests = _meter(client, product, "API requests", "requests", calls_made)
    template = _create(
        client,
        "/plantemplates",
        productId=product,
        name="Monthly",
        code="monthly",
        currency="USD",
        billFrequency="MONTHLY",
        standingCharge=Decimal(20),
        standingChargeDescription="Platform fee",
    )
    plan = _create(
        client,
        "/plans",
        planTemplateId=template,
        name="Team",
        code="team",
        minimumSpend=Decimal(60),
        minimumSpendDescription="Minimum spend",
    )
    million, thousand = Decimal(1_000_000), Decimal(1_000)
    inputs = _aggregation(client, completions, "Input tokens", "input_tokens", million, "million tokens")
    outputs = _aggregation(client, completions, "Output tokens", "output_tokens", million, "million tokens")
    calls = _aggregation(client, requests, "API calls", "calls", thousand, "thousand calls")
    _price(client, plan, inputs, month, [("0", "0", "3.00"), ("10", "0", "2.50")], cumulative=True)
    _price(client, plan, outputs, month, [("0", "0", "15.00"), ("1", "0", "12.00")], cumulative=False)
    _price(client, plan, calls, month, [("0", "0", "0"), ("5", "15", "0"), ("50", "90", "0")], cumulative=False)
    for customer in CUSTOMERS:
        account = _create(
            client, "/accounts", name=customer.name, code=customer.code, emailAddress=f"billing@{customer.code}.example"
        )
        _create(client, "/accountplans", accountId=account, planId=plan, startDate=month.start)


def measurements(month: Month, seed: int) -> list[dict[str, object]]:
    """The month's traffic, in order of time: more by day than by night, and each measurement with its uid."""
    chance = random.Random(seed)  # noqa: S311  sample traffic, not a secret
    made: list[dict[str, object]] = []
    for hour in range(month.hours):
        start = month.start + timedelta(hours=hour)
        for customer in CUSTOMERS:
            busy = 1 - math.cos(hour % 24 / 24 * 2 * math.pi)
            for make, average in ((_completion, customer.completions), (_request, customer.requests)):
                times = _times(chance, average * busy)
                made += [make(chance, customer, start, f"{hour}-{number}") for number in range(times)]
    return sorted(made, key=lambda each: (str(each["ts"]), str(each["uid"])))


def _completion(chance: random.Random, customer: Customer, start: datetime, number: str) -> dict[str, object]:
    return {
        "uid": f"{customer.code}-completion-{number}",
        "meter": "completions",
        "account": customer.code,
        "ts": _within(chance, start),
        "what": {"model": chance.choice(MODELS)},
        "measure": {
            "input_tokens": min(int(chance.lognormvariate(7, 1)), 100_000),
            "output_tokens": min(int(chance.lognormvariate(5.5, 1)), 20_000),
        },
    }


def _request(chance: random.Random, customer: Customer, start: datetime, number: str) -> dict[str, object]:
    return {
        "uid": f"{customer.code}-requests-{number}",
        "meter": "requests",
        "account": customer.code,
        "ts": _within(chance, start),
        "where": {"region": chance.choice(REGIONS)},
        "measure": {"calls": chance.randint(1, 40)},
    }


def _times(chance: random.Random, average: float) -> int:
    return int(chance.uniform(0, 2 * average) + 0.5)


def _within(chance: random.Random, start: datetime) -> str:
    return Instant.of(start + timedelta(milliseconds=chance.randrange(3_600_000))).wire()


def _create(client: Client, path: str, **body: object) -> str:
    made: dict[str, Any] = client.post(path, body)
    return str(made["id"])


def _meter(client: Client, product: str, name: str, code: str, fields: list[tuple[str, str, str | None]]) -> str:
    declared = [
        {"code": field, "name": field.replace("_", " ").capitalize(), "category": category}
        | ({} if unit is None else {"unit": unit})
        for field, category, unit in fields
    ]
    return _create(client, "/meters", productId=product, name=name, code=code, dataFields=declared, derivedFields=[])


def _aggregation(client: Client, meter: str, name: str, field: str, per: Decimal, unit: str) -> str:
    return _create(
        client,
        "/aggregations",
        meterId=meter,
        name=name,
        code=field,
        targetField=field,
        aggregation="SUM",
        quantityPerUnit=per,
        rounding="NONE",
        unit=unit,
    )


def _price(
    client: Client, plan: str, aggregation: str, month: Month, bands: list[tuple[str, str, str]], *, cumulative: bool
) -> None:
    _create(
        client,
        "/pricings",
        planId=plan,
        aggregationId=aggregation,
        startDate=month.start,
        cumulative=cumulative,
        pricingBands=[
            {"lowerLimit": Decimal(limit), "fixedPrice": Decimal(fixed), "unitPrice": Decimal(unit)}
            for limit, fixed, unit in bands
        ],
    )
