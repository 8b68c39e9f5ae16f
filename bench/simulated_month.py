"""A simulation of a month: what all bills would be under other prices, from asking for it until it is complete.

The accounts, their credit and a few measurements of each come in through the API, as in `bills.py`. All others are
generated in the usage store while no server runs on it, by the rule of `queries.py`: measurement n is of account
n mod A, and the k-th one of the i-th account counts 10 + (7k + i) mod 90 calls, a thousandth of that in gigabytes, and
one job. Both totals of every bill, and the sums, are held against the bench's own.

    python bench/simulated_month.py COUNT DIRECTORY ORGANIZATION METER FIRST LAST     the filling process: see `_fill`
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from subprocess import run
from time import perf_counter
from typing import Any

import httpx
from bills import PRICES, Month, Price, Usage, agree, catalogue, send_usage
from ingest import Options, processor_figure
from profiling import profiled
from queries import CYCLE, generated, settle
from results import CheckFailed, Figure, check, compare, rounded
from stage import HERE, Tenant, Watch, tenant_on, wait_visible

from tallystick.cli.launch import free_port, launched
from tallystick.core import wire
from tallystick.stores.usage_clickhouse import ClickHouseUsage
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings

MOST = 10_000_000  # measurements of the month
WITHIN_SECONDS = 1800
TARGET_SECONDS = 30.0
# The price that changes: cheaper at first, dearer in the middle.
CANDIDATE = Price(
    "calls",
    True,
    (
        (Decimal(0), Decimal(0), Decimal("0.018")),
        (Decimal(5000), Decimal(1), Decimal("0.017")),
        (Decimal(40000), Decimal(0), Decimal("0.009")),
    ),
)


Totals = dict[str, tuple[Decimal, Decimal]]  # of the bill of each account (code), as it is and as it would be


def simulation(options: Options) -> list[Figure]:
    """Seconds of a simulation of all accounts, and the processor time of a bill in it."""
    data, month = options.directory / "simulation", Month.before(datetime.now(UTC).date())
    stored = min(options.measurements, MOST)
    usage = Usage(options.accounts, month)
    task = options.progress.add_task("simulation", total=options.accounts)
    with tenant_on(data) as tenant:
        plan, meter = catalogue(tenant, month)
        send_usage(tenant, usage, options.progress)
        ids = agree(tenant, usage, plan, month, options.progress)
        wait_visible(tenant, meter, "calls", usage.count)
        candidate, organization, token = _candidate(tenant), tenant.id, tenant.token
    own = [str(stored), str(data), organization, meter, str(month.first), str(month.last)]
    run([sys.executable, str(HERE / "simulated_month.py"), *own], check=True)
    expected = _expected(usage, ids, stored)
    with launched(data, free_port()) as server:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        url = f"{server.url}/organizations/{organization}"
        with httpx.Client(base_url=url, headers=headers, timeout=300) as client:
            body = {"candidate": candidate, "lastDateInBillingPeriod": str(month.last)}
            with Watch(server) as watch, profiled(server, options.profiler, "simulation", HERE):
                start = perf_counter()
                made = _run(client, body, lambda done: options.progress.update(task, completed=done))
                took = perf_counter() - start
            _check(client, made, expected)
    workload = (
        f"{options.accounts:,} accounts, {stored + usage.count:,} measurements in the month, standing charge and three "
        "usage lines (tiered, volume, stairstep), a commitment or balance for each tenth, one price other than it is; "
        "from POST /simulations until COMPLETE; both totals of every bill checked."
    )
    return [
        Figure(
            name="simulation of a month",
            workload=workload,
            value=rounded(took),
            unit="s",
            compared_with=(compare(took, "the most it may take", TARGET_SECONDS, "s"),),
        ),
        processor_figure("simulation of a month", watch, options.accounts, "bill"),
    ]


def _candidate(tenant: Tenant) -> dict[str, Any]:
    """The candidate: one price in the place of what it is."""
    aggregations = {each["id"]: each["code"] for each in tenant.client.every("/aggregations")}
    for each in tenant.client.every("/pricings"):
        if aggregations[each["aggregationId"]] == CANDIDATE.field:
            kept = {name: each[name] for name in ("id", "version", "planId", "aggregationId", "startDate")}
            bands = [{"lowerLimit": a, "fixedPrice": b, "unitPrice": c} for a, b, c in CANDIDATE.bands]
            return {"pricings": [{**kept, "cumulative": True, "pricingBands": bands}]}
    raise CheckFailed(f"there is no price of {CANDIDATE.field}")


def _expected(usage: Usage, ids: dict[str, str], stored: int) -> Totals:
    """What the bills must come to, from what was sent and what is generated."""
    totals = {}
    for place, code in enumerate(sorted(ids, key=ids.__getitem__)):
        count, calls = generated(place, stored, len(ids))
        of = usage.quantities[code]
        of["calls"] += calls
        of["gigabytes"] += Decimal(calls) / 1000
        of["jobs"] += count
        charges = usage.charges(code)
        other = charges + CANDIDATE.of(of["calls"]) - PRICES[0].of(of["calls"])
        there = usage.commitments.get(code, usage.balances.get(code, Decimal(0)))
        totals[code] = (charges - min(charges, there), other - min(other, there))
    return totals


def _run(client: httpx.Client, body: dict[str, Any], seen: Callable[[int], None]) -> dict[str, Any]:
    """Ask for it and wait until it is complete; gives it as it then is."""
    made = _answer(client.post("/simulations", content=wire.encode(body)))
    start = perf_counter()
    while made["status"] in {"PENDING", "RUNNING"}:
        check("complete within the time", perf_counter() - start < WITHIN_SECONDS, True)
        time.sleep(0.2)
        made = _answer(client.get(f"/simulations/{made['id']}"))
        seen(int(made["done"]))
    check("simulation", (made["status"], made["failed"]), ("COMPLETE", 0))
    return made


def _answer(reply: httpx.Response) -> dict[str, Any]:
    if reply.status_code != 200:
        raise CheckFailed(f"answered {reply.status_code}: {reply.text[:500]}")
    return wire.decode(dict[str, Any], reply.content)


def _check(client: httpx.Client, made: dict[str, Any], expected: Totals) -> None:
    """Every bill and the sums are what the bench worked out."""
    rows = csv.DictReader(io.StringIO(client.get(f"/simulations/{made['id']}/csv").text))
    found = {row["account"]: (Decimal(row["old total"]), Decimal(row["new total"])) for row in rows}
    wrong = [code for code, totals in expected.items() if found.get(code) != totals]
    if wrong:
        one = wrong[0]
        raise CheckFailed(f"{len(wrong)} simulated bills are wrong; {one}: {found.get(one)}, not {expected[one]}")
    check("simulated bills", len(found), len(expected))
    (effect,) = made["effects"]
    sums = sum(old for old, _ in expected.values()), sum(new for _, new in expected.values())
    check("sums", (Decimal(str(effect["oldTotal"])), Decimal(str(effect["newTotal"]))), sums)


def _fill(count: int, data: Path, organization: str, meter: str, first: str, last: str) -> None:
    """Generate so many measurements of the accounts that there are, within the month, and wait for the merges."""
    usage = ClickHouseUsage(data / "usage")
    fields, bindings = usage._schema.fields(organization, meter).numbers, Bindings()
    of, own = bindings.text(organization), bindings.text(meter)
    days = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    milliseconds = bindings.bind(days * 86_400_000, "UInt64")
    usage._connection.rows(
        f"""
        INSERT INTO {DATABASE}.measurement
            (organization, meter, account, uid, position, ts, received,
             {fields["calls"]}, {fields["gigabytes"]}, {fields["jobs"]})
        WITH (
            SELECT groupArray(account) FROM (
                SELECT DISTINCT account FROM {DATABASE}.measurement
                WHERE organization = {of} AND meter = {own} ORDER BY account
            )
        ) AS accounts, length(accounts) AS fleet, intDiv(number, fleet) AS turn, number % fleet AS place,
        10 + (7 * turn + place) % {CYCLE} AS counted
        SELECT {of}, {own}, accounts[place + 1], concat('stored-', toString(number)), place + 1,
            toDateTime64('{first} 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 104729 % {milliseconds}),
            now64(6, 'UTC'), counted, toDecimal128(counted, 18) / 1000, 1
        FROM numbers({count}) SETTINGS max_insert_threads = 2""",  # noqa: S608  whole numbers, names and days of ours
        bindings,
    )
    settle(usage)


if __name__ == "__main__":
    _fill(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:7])
