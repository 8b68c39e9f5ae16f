"""A bill run over many accounts, from usage sent over HTTP to stored bills, every total held against the bench's own.

Each account has a standing charge and three usage lines: tiered, volume and stairstep; every tenth has a commitment or
a balance besides. What the bills must come to is computed here, from the numbers that were sent, by arithmetic that
shares nothing with the product.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

from connection import ask_all, request
from ingest import Options, processor_figure
from profiling import profiled
from results import CheckFailed, Figure, check, compare, rounded
from rich.progress import Progress
from stage import HERE, Tenant, Watch, tenant_on, wait_visible

from tallystick.core import wire
from tallystick.core.aggregation import Measured
from tallystick.core.rating import questions, rate
from tallystick.core.terms import Terms
from tallystick.pipeline.periods import account_periods, ending_on
from tallystick.pipeline.rate import load_terms
from tallystick.stores.records_sql import open_records

MEASUREMENTS_EACH = 3  # measurements of an account, each with a value for every priced field
AT_ONCE = 1_000  # measurements in a body, and requests between two looks at the progress
CONNECTIONS = 8
POLLS = 20_000  # accounts for each second between two looks at the job: looking costs the server too
COMPLETE_WITHIN_SECONDS = 1800
STANDING_CHARGE = Decimal("20.00")
CREDIT_FOR = 10  # every so-manieth account holds credit: commitments and balances by turns
CREDIT_STEP = Decimal(100)  # of which there is this much, or up to eight times as much: some pay for all of a bill

Band = tuple[Decimal, Decimal, Decimal]  # lower limit, fixed price, unit price


@dataclass(frozen=True)
class Price:
    """A price list. `cumulative`: each band prices the units inside it (tiered); else the highest one prices all."""

    field: str
    cumulative: bool
    bands: tuple[Band, ...]

    def of(self, quantity: Decimal) -> Decimal:
        """What a quantity costs, in cents as a bill shows it."""
        amount = Decimal(0)
        limits = [limit for limit, _, _ in self.bands]
        for (lower, fixed, unit), upper in zip(self.bands, [*limits[1:], None], strict=True):
            if quantity > lower and (self.cumulative or upper is None or quantity <= upper):
                inside = min(quantity, upper) - lower if upper is not None else quantity - lower
                amount += fixed + unit * (inside if self.cumulative else quantity)
        return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _bands(*rows: tuple[str, str, str]) -> tuple[Band, ...]:
    return tuple((Decimal(lower), Decimal(fixed), Decimal(unit)) for lower, fixed, unit in rows)


PRICES = (
    Price("calls", True, _bands(("0", "0", "0.02"), ("5000", "0", "0.015"), ("20000", "0", "0.01"))),
    Price("gigabytes", False, _bands(("0", "0", "0.1231"), ("100", "0", "0.1173"), ("500", "0", "0.1071"))),
    Price("jobs", False, _bands(("0", "5", "0"), ("10", "15", "0"), ("50", "90", "0"))),
)


@dataclass(frozen=True)
class Month:
    """The last calendar month that is over, in UTC."""

    first: date
    last: date

    @classmethod
    def before(cls, day: date) -> Month:
        """The month before a day's."""
        last = day.replace(day=1) - timedelta(days=1)
        return cls(last.replace(day=1), last)


class Usage:
    """What every account used in a month, by field, in so many measurements each, and the bodies that say so.

    `hours`: of a day, in which they lie.
    """

    def __init__(
        self, accounts: int, month: Month, seed: int = 1, each: int = MEASUREMENTS_EACH, hours: int = 24
    ) -> None:
        chance = random.Random(seed)
        self.quantities: dict[str, dict[str, Decimal]] = {}
        self.commitments: dict[str, Decimal] = {}
        self.balances: dict[str, Decimal] = {}
        members: list[str] = []
        for number in range(accounts):
            code = f"customer-{number:06d}"
            if number % CREDIT_FOR == 0:
                held = self.balances if number // CREDIT_FOR % 2 else self.commitments
                held[code] = CREDIT_STEP * (number // CREDIT_FOR % 8 + 1)
            total = self.quantities[code] = dict.fromkeys((price.field for price in PRICES), Decimal(0))
            for part in range(each):
                calls, jobs = chance.randint(1, 10_000), chance.randint(1, 30)
                gigabytes = Decimal(chance.randint(1, 300_000)) / 1000
                for field, value in (("calls", calls), ("gigabytes", gigabytes), ("jobs", jobs)):
                    total[field] += value
                day = month.first.replace(day=chance.randint(1, month.last.day))
                ts = f"{day}T{chance.randrange(hours):02d}:00:00Z"
                members.append(
                    f'{{"uid":"{code}-{month.first:%Y-%m}-{part}","meter":"usage","account":"{code}","ts":"{ts}",'
                    f'"measure":{{"calls":{calls},"gigabytes":{gigabytes},"jobs":{jobs}}}}}'
                )
        self.count = len(members)
        self.bodies = [
            ('{"measurements":[' + ",".join(members[first : first + AT_ONCE]) + "]}").encode()
            for first in range(0, len(members), AT_ONCE)
        ]

    def charges(self, code: str) -> Decimal:
        """What an account is charged, before credit."""
        return STANDING_CHARGE + sum((price.of(self.quantities[code][price.field]) for price in PRICES), Decimal(0))

    def bill(self, code: str) -> Decimal:
        """What the bill of an account must come to."""
        charged = self.charges(code)
        return charged - min(charged, self.commitments.get(code, self.balances.get(code, Decimal(0))))


def bills(options: Options) -> list[Figure]:
    """Bills a second from asking for the job until it is complete, beside rating alone."""
    data = options.directory / "bills"
    month = Month.before(datetime.now(UTC).date())
    usage = Usage(options.accounts, month)
    with tenant_on(data) as tenant:
        plan, meter = catalogue(tenant, month)
        send_usage(tenant, usage, options.progress)
        agree(tenant, usage, plan, month, options.progress)
        _, calls = wait_visible(tenant, meter, "calls", usage.count)
        check("SUM of calls", calls, sum(each["calls"] for each in usage.quantities.values()))
        with Watch(tenant.server) as watch, profiled(tenant.server, options.profiler, "bills", HERE):
            seconds = run_bills(tenant, month, options.accounts, options.progress)
        _check_bills(tenant, usage)
        organization_id = tenant.id
    pure = _pure_rating(data, organization_id, usage, month)
    value = options.accounts / seconds
    return [
        Figure(
            name="bill run",
            workload=f"{options.accounts:,} accounts, {MEASUREMENTS_EACH} measurements each, standing charge and three "
            "usage lines (tiered, volume, stairstep), a commitment or balance for each tenth, from POST /billjobs "
            "until COMPLETE; every total checked.",
            value=rounded(value),
            unit="bills/s",
            compared_with=(compare(value, "rating in memory, one core, no stores", pure, "bills/s"),),
        ),
        processor_figure("bill run", watch, options.accounts, "bill"),
    ]


def catalogue(tenant: Tenant, month: Month) -> tuple[str, str]:
    """Create the meter and the plan; gives the ids of the plan and of the meter."""
    product = tenant.create("/products", name="Cloud", code="cloud")
    fields = [{"code": each.field, "name": each.field, "category": "MEASURE", "unit": "1"} for each in PRICES]
    meter = tenant.create("/meters", productId=product, name="usage", code="usage", dataFields=fields, derivedFields=[])
    template = tenant.create(
        "/plantemplates",
        productId=product,
        name="Monthly",
        code="monthly",
        currency="USD",
        billFrequency="MONTHLY",
        standingCharge=STANDING_CHARGE,
    )
    plan = tenant.create("/plans", planTemplateId=template, name="Standard", code="standard")
    for price in PRICES:
        aggregation = tenant.create(
            "/aggregations",
            meterId=meter,
            name=price.field,
            code=price.field,
            targetField=price.field,
            aggregation="SUM",
            quantityPerUnit=1,
            rounding="NONE",
            unit=price.field,
        )
        tenant.create(
            "/pricings",
            planId=plan,
            aggregationId=aggregation,
            startDate=f"{month.first}T00:00:00Z",
            cumulative=price.cumulative,
            pricingBands=[
                {"lowerLimit": lower, "fixedPrice": fixed, "unitPrice": unit} for lower, fixed, unit in price.bands
            ],
        )
    return plan, meter


def send_usage(tenant: Tenant, usage: Usage, progress: Progress) -> None:
    """Send the usage, which makes the accounts."""
    task = progress.add_task("bill run: usage", total=len(usage.bodies))
    for body in usage.bodies:
        answers = send_all(tenant, [request("POST", tenant.path("/measurements"), body, tenant.token)])
        check("usage accepted", answers[0].count(b'"verdict":"accepted"'), answers[0].count(b'"verdict":'))
        progress.advance(task)


def agree(tenant: Tenant, usage: Usage, plan: str, month: Month, progress: Progress) -> dict[str, str]:
    """Give the accounts their credit, and put every one on the plan from the beginning of the month; gives the ids of
    accounts by code."""
    ids = {str(each["code"]): str(each["id"]) for each in tenant.client.every("/accounts")}
    check("accounts", len(ids), len(usage.quantities))
    _grant(tenant, usage, ids, month)
    accounts = list(ids.values())
    task = progress.add_task("bill run: account plans", total=len(accounts))
    for first in range(0, len(accounts), AT_ONCE):
        some = accounts[first : first + AT_ONCE]
        wanted = [{"accountId": each, "planId": plan, "startDate": f"{month.first}T00:00:00Z"} for each in some]
        send_all(tenant, _posts(tenant, "/accountplans", wanted))
        progress.advance(task, len(some))
    return ids


def _grant(tenant: Tenant, usage: Usage, ids: dict[str, str], month: Month) -> None:
    """Make commitments, and balances with what is in them."""
    bodies = {
        "/commitments": [
            {
                "accountId": ids[code],
                "amount": amount,
                "currency": "USD",
                "startDate": str(month.first),
                "endDate": str(month.last + timedelta(days=365)),
            }
            for code, amount in usage.commitments.items()
        ],
        "/balances": [
            {
                "accountId": ids[code],
                "code": code,
                "name": "Wallet",
                "currency": "USD",
                "startDate": f"{month.first}T00:00:00Z",
                "endDate": f"{month.last + timedelta(days=365)}T00:00:00Z",
            }
            for code in usage.balances
        ],
    }
    made = {path: send_all(tenant, _posts(tenant, path, of_path)) for path, of_path in bodies.items()}
    balances = [str(wire.decode(dict[str, Any], each)["id"]) for each in made["/balances"]]
    for id_, amount in zip(balances, usage.balances.values(), strict=True):
        send_all(tenant, _posts(tenant, f"/balances/{id_}/transactions", [{"amount": amount}]))


def _posts(tenant: Tenant, path: str, bodies: Iterable[Mapping[str, object]]) -> list[bytes]:
    return [request("POST", tenant.path(path), wire.encode(body), tenant.token) for body in bodies]


def send_all(tenant: Tenant, requests: list[bytes]) -> list[bytes]:
    """The bodies of the answers; CheckFailed when one is not 200."""
    answers = asyncio.run(ask_all(tenant.host, tenant.port, requests, CONNECTIONS))
    for answer in answers:
        if answer.status != 200:
            raise CheckFailed(f"answered {answer.status}: {answer.body[:500].decode(errors='replace')}")
    return [answer.body for answer in answers]


def run_bills(tenant: Tenant, month: Month, accounts: int, progress: Progress) -> float:
    """Seconds from asking for the bills until the job is complete."""
    task = progress.add_task("bill run", total=accounts)
    start = perf_counter()
    job: dict[str, Any] = tenant.client.post("/billjobs", {"lastDateInBillingPeriod": month.last.isoformat()})
    while job["status"] not in {"COMPLETE", "CANCELLED"}:
        if perf_counter() - start > COMPLETE_WITHIN_SECONDS:
            raise CheckFailed(f"the bill job is still {job['status']} after {COMPLETE_WITHIN_SECONDS} s")
        time.sleep(min(1.0, accounts / POLLS))
        job = tenant.client.get(f"/billjobs/{job['id']}")
        progress.update(task, completed=(job.get("total") or 0) - (job.get("pending") or 0))
    took = perf_counter() - start
    check("bill job", (job["status"], job.get("failures") or []), ("COMPLETE", []))
    return took


def _check_bills(tenant: Tenant, usage: Usage) -> None:
    """Every account has one bill, of the amount that the bench computed."""
    found: dict[str, Decimal] = {}
    count = 0
    token: str | None = None
    while True:
        page = tenant.client.get("/bills", pageSize=200, nextToken=token, excludeLineItems=True)
        for bill in page["data"]:
            found[bill["accountCode"]] = Decimal(bill["billTotal"])
            count += 1
        token = page.get("nextToken")
        if not token:
            break
    expected = {code: usage.bill(code) for code in usage.quantities}
    wrong = [code for code, total in expected.items() if found.get(code) != total]
    if wrong:
        raise CheckFailed(f"{len(wrong)} bills are wrong; {wrong[0]}: {found.get(wrong[0])}, not {expected[wrong[0]]}")
    check("bills", count, len(expected))
    check("total of all bills", sum(found.values()), sum(expected.values()))


def _pure_rating(data: Path, organization_id: str, usage: Usage, month: Month) -> float:
    """Bills a second of the rating rules alone: terms and answers in memory, nothing stored."""
    records = open_records(f"sqlite:///{data / 'records.sqlite'}")
    try:
        bound = records.organization(organization_id)
        terms = [
            each for each in load_terms(bound, account_periods(bound, ending_on(month.last))) if isinstance(each, Terms)
        ]
    finally:
        records.close()
    check("accounts to rate", len(terms), len(usage.quantities))
    answers = [_answers(each, usage.quantities[each.account.value.code]) for each in terms]
    start = perf_counter()
    lines = [rate(each, answer, 1) for each, answer in zip(terms, answers, strict=True)]
    took = perf_counter() - start
    total = sum(line.item.converted_subtotal for each in lines for line in each)
    check("total of pure rating", total, sum(usage.charges(code) for code in usage.quantities))
    return len(terms) / took


def _answers(terms: Terms, quantities: dict[str, Decimal]) -> dict[Any, Sequence[Measured]]:
    return {
        question: (Measured(account_id=terms.account.id, total=quantities[question.field], count=MEASUREMENTS_EACH),)
        for question in questions(terms, 1)
    }
