"""What a bill costs as plans and customers grow: bill runs with 1, 10 and 100 pricings a plan, and with 1,000, 10,000
and 100,000 accounts, as many as are asked for, each in an organisation of its own on one server. Every total is held
against the bench's own.

A plan with 100 pricings prices 100 fields, ten of each of ten meters. The cost is the server's processor time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from bills import AT_ONCE, Month, run_bills, send_all
from connection import request
from ingest import Options
from results import CheckFailed, Figure, check, compare, rounded
from rich.progress import Progress
from stage import Tenant, Watch, tenant_of, wait_visible

from tallystick.cli.launch import Server, free_port, launched
from tallystick.core import wire

FIELDS = 10  # of a meter
PRICINGS = (1, 10, 100)
FEW = 1_000  # accounts, at most
MANY = 10  # times the accounts, again and again, for the plan with 10 pricings
CENT = Decimal("0.01")  # the price of a unit: what is owed is a whole number of cents


@dataclass(frozen=True)
class Size:
    """One bill run."""

    accounts: int
    pricings: int

    @property
    def name(self) -> str:
        priced = "1 pricing" if self.pricings == 1 else f"{self.pricings} pricings"
        return f"bill run, {priced}, {self.accounts:,} accounts"


@dataclass(frozen=True)
class Cost:
    """What a run took, in seconds: of the server's processors, and until it was complete."""

    processor: float
    wall: float


def scaling(options: Options) -> list[Figure]:
    """Processor time for each line of a bill, for each size."""
    few = min(max(options.accounts // MANY, 20), FEW)
    more = [few * MANY**power for power in (1, 2) if few * MANY**power <= max(options.accounts, few * MANY)]
    sizes = [*(Size(few, each) for each in PRICINGS), *(Size(each, PRICINGS[1]) for each in more)]
    with launched(options.directory / "scaling", free_port()) as server:
        costs = {size: _cost(options, server, size) for size in sizes}
    return [_figure(size, costs) for size in sizes]


def _figure(size: Size, costs: dict[Size, Cost]) -> Figure:
    """A bill's processor time; where pricings or accounts are ten times as many, beside ten times the cost."""
    cost = costs[size]
    value = cost.processor / size.accounts * 1e6
    fewer = Size(size.accounts // MANY, size.pricings)
    compared = []
    if size.pricings == PRICINGS[2]:
        ten = Size(size.accounts, PRICINGS[1])
        other = costs[ten].processor / ten.accounts * 1e6
        compared.append(compare(value, "ten times a bill with 10 pricings", other * 10, "µs"))
    elif fewer in costs:
        other = costs[fewer].processor / fewer.accounts * 1e6
        compared.append(compare(value, f"a bill of {fewer.accounts:,} accounts", other, "µs"))
    return Figure(
        name=size.name,
        workload=f"{size.accounts:,} accounts, each with a usage line for each of {size.pricings} pricings, from"
        f" POST /billjobs until COMPLETE ({cost.wall:.1f} s); the server's processor time for a bill.",
        value=rounded(value),
        unit="µs/bill",
        compared_with=tuple(compared),
    )


def _cost(options: Options, server: Server, size: Size) -> Cost:
    month = Month.before(datetime.now(UTC).date())
    with tenant_of(server) as tenant:
        plan, meters = _catalogue(tenant, month, size.pricings)
        owed = _load(tenant, size, len(meters), plan, month, options.progress)
        for meter in meters:
            wait_visible(tenant, meter, "f0", size.accounts)
        with Watch(tenant.server) as watch:
            wall = run_bills(tenant, month, size.accounts, options.progress)
        _check(tenant, owed)
    return Cost(processor=watch.seconds, wall=wall)


def _catalogue(tenant: Tenant, month: Month, pricings: int) -> tuple[str, list[str]]:
    """The meters, and a plan with a price for some of their fields; gives the ids of the plan and of the meters."""
    product = tenant.create("/products", name="Cloud", code="cloud")
    template = tenant.create(
        "/plantemplates",
        productId=product,
        name="Monthly",
        code="monthly",
        currency="USD",
        billFrequency="MONTHLY",
        standingCharge=0,
    )
    plan = tenant.create("/plans", planTemplateId=template, name="Plan", code="plan")
    meters = []
    for first in range(0, pricings, FIELDS):
        wanted = min(FIELDS, pricings - first)
        fields = [{"code": f"f{n}", "name": f"f{n}", "category": "MEASURE", "unit": "1"} for n in range(wanted)]
        code = f"m{first // FIELDS}"
        meters.append(
            tenant.create("/meters", productId=product, name=code, code=code, dataFields=fields, derivedFields=[])
        )
        for field in fields:
            _price(tenant, plan, meters[-1], code, field["code"], month)
    return plan, meters


def _price(tenant: Tenant, plan: str, meter: str, code: str, field: str, month: Month) -> None:
    aggregation = tenant.create(
        "/aggregations",
        meterId=meter,
        name=f"{code} {field}",
        code=f"{code}_{field}",
        targetField=field,
        aggregation="SUM",
        quantityPerUnit=1,
        rounding="NONE",
        unit="units",
    )
    tenant.create(
        "/pricings",
        planId=plan,
        aggregationId=aggregation,
        startDate=f"{month.first}T00:00:00Z",
        cumulative=True,
        pricingBands=[{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": CENT}],
    )


def _load(tenant: Tenant, size: Size, meters: int, plan: str, month: Month, progress: Progress) -> dict[str, Decimal]:
    """Send one measurement of each meter for each account, and put all accounts on the plan; gives what each owes."""
    chance, owed, members = random.Random(size.pricings), dict[str, Decimal](), []
    fields = min(FIELDS, size.pricings)
    for number in range(size.accounts):
        code, units = f"customer-{number:06d}", 0
        for meter in range(meters):
            values = [chance.randint(1, 10_000) for _ in range(fields)]
            units += sum(values)
            measure = ",".join(f'"f{place}":{value}' for place, value in enumerate(values))
            members.append(
                f'{{"uid":"{code}-{meter}","meter":"m{meter}","account":"{code}",'
                f'"ts":"{month.first}T12:00:00Z","measure":{{{measure}}}}}'
            )
        owed[code] = units * CENT
    task = progress.add_task(f"{size.name}: usage", total=len(members))
    for first in range(0, len(members), AT_ONCE):
        some = members[first : first + AT_ONCE]
        body = ('{"measurements":[' + ",".join(some) + "]}").encode()
        (answer,) = send_all(tenant, [request("POST", tenant.path("/measurements"), body, tenant.token)])
        check("usage accepted", answer.count(b'"verdict":"accepted"'), len(some))
        progress.advance(task, len(some))
    wanted = [
        wire.encode({"accountId": str(each["id"]), "planId": plan, "startDate": f"{month.first}T00:00:00Z"})
        for each in tenant.client.every("/accounts")
    ]
    check("accounts", len(wanted), size.accounts)
    send_all(tenant, [request("POST", tenant.path("/accountplans"), body, tenant.token) for body in wanted])
    return owed


def _check(tenant: Tenant, owed: dict[str, Decimal]) -> None:
    """Every account has one bill, of the amount that the bench computed."""
    bills = list(tenant.client.every("/bills", excludeLineItems=True))
    found = {str(each["accountCode"]): Decimal(str(each["billTotal"])) for each in bills}
    check("bills", len(bills), len(owed))
    wrong = [code for code, total in owed.items() if found.get(code) != total]
    if wrong:
        raise CheckFailed(
            f"{len(wrong)} bills are wrong, first {wrong[0]}: {found.get(wrong[0])}, not {owed[wrong[0]]}"
        )
