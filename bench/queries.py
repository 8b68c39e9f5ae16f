"""Usage queries on many stored measurements: one account's month, and the fleet by account, by how much is stored.

Accounts and one measurement of each come in through the API. The others are generated in the usage store while no
server runs on it, by a rule so plain that their totals are known: measurement n is of account n mod A, and the k-th one
of the i-th account counts 10 + (7k + i) mod 90 calls. They are given positions that the journal has, so the store is
complete as far as its mark says.

    python bench/queries.py FIRST LAST DIRECTORY ORGANIZATION METER     the filling process: see `_fill`
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from subprocess import run
from time import perf_counter
from typing import Any

import httpx
import msgspec
from ingest import FLEET_QUERIES, MONTH_QUERIES, Options
from results import Figure, check, compare, milliseconds, percentile, rounded
from stage import HERE, Tenant, Watch, tenant_on, wait_visible

from limits import in_own_process
from tallystick.cli.launch import free_port, launched
from tallystick.stores.usage_clickhouse import ClickHouseUsage
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings

STEPS = (1_000_000, 10_000_000, 100_000_000)  # stored, each measured by itself; up to what was asked for
MONTH_START, MONTH_END, MONTH_MILLISECONDS = "2025-01-01 00:00:00", "2025-02-01 00:00:00", 31 * 86_400_000
FIRST_CALLS = 1  # of the measurement of each account that comes in through the API
CYCLE = 90  # calls repeat after so many measurements of an account
AT_ONCE = 1_000
SETTLED_WITHIN_SECONDS = 300

# The sum of (7k + i) mod 90 for k below r, by i and r.
_PARTS = [list(accumulate(((7 * k + i) % CYCLE for k in range(CYCLE)), initial=0)) for i in range(CYCLE)]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """Seconds of each query, by kind, and what the server's processes used for one, in seconds."""

    month: list[float]
    fleet: list[float]
    month_processor: float
    fleet_processor: float
    accounts: list[str]


def queries(options: Options) -> list[Figure]:
    """Both queries over HTTP and as bare SQL, after each step of filling the store."""
    data = options.directory / "queries"
    with tenant_on(data) as tenant:
        meter = _meter(tenant)
        _first_measurements(tenant, meter, options.accounts)
        ids = sorted(str(each["id"]) for each in tenant.client.every("/accounts"))
        organization, path, token = tenant.id, tenant.path("/usage/query"), tenant.token
    check("accounts", len(ids), options.accounts)
    steps = [*(step for step in STEPS if step < options.measurements), options.measurements]
    task = options.progress.add_task("usage queries on stored measurements", total=len(steps))
    figures: list[Figure] = []
    before: dict[str, float] = {}
    for first, last in zip([0, *steps], steps, strict=False):
        fill = [str(first), str(last), str(data), organization, meter]
        run([sys.executable, str(HERE / "queries.py"), *fill], check=True)
        with launched(data, free_port()) as server:
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            with httpx.Client(base_url=server.url, headers=headers, timeout=300) as client:
                asked = _ask_all(client, path, meter, _expected(ids, last), Watch(server), Watch(server))
        arguments = (str(data / "usage"), meter, MONTH_START, MONTH_END, ",".join(asked.accounts))
        figures += _figures(last, len(ids), asked, in_own_process("bare_sql", *arguments), before)
        options.progress.advance(task)
    return figures


def _meter(tenant: Tenant) -> str:
    product = tenant.create("/products", name="API", code="api")
    fields = [
        {"code": "model", "name": "Model", "category": "WHAT"},
        {"code": "calls", "name": "Calls", "category": "MEASURE", "unit": "1"},
        {"code": "seconds", "name": "Seconds", "category": "MEASURE", "unit": "1"},
    ]
    return tenant.create(
        "/meters", productId=product, name="requests", code="requests", dataFields=fields, derivedFields=[]
    )


def _first_measurements(tenant: Tenant, meter: str, accounts: int) -> None:
    for first in range(0, accounts, AT_ONCE):
        members = [
            {
                "uid": f"first-{number}",
                "meter": "requests",
                "account": f"account-{number:06d}",
                "ts": "2025-01-01T00:00:00Z",
                "what": {"model": "small"},
                "measure": {"calls": FIRST_CALLS, "seconds": 1},
            }
            for number in range(first, min(first + AT_ONCE, accounts))
        ]
        tenant.client.post("/measurements", {"measurements": members})
    wait_visible(tenant, meter, "calls", accounts)


def _expected(ids: list[str], stored: int) -> dict[str, tuple[int, Decimal]]:
    """COUNT and SUM of calls of each account."""
    expected = {}
    for place, account in enumerate(ids):
        count, calls = generated(place, stored, len(ids))
        expected[account] = (count + 1, Decimal(calls + FIRST_CALLS))
    return expected


def generated(place: int, stored: int, accounts: int) -> tuple[int, int]:
    """How many measurements are generated for the account at a place, and how many calls they count together."""
    count = len(range(place, stored, accounts))
    full, rest = divmod(count, CYCLE)
    return count, 10 * count + full * _PARTS[0][CYCLE] + _PARTS[place % CYCLE][rest]


def _ask_all(
    client: httpx.Client,
    path: str,
    meter: str,
    expected: dict[str, tuple[int, Decimal]],
    month_watch: Watch,
    fleet_watch: Watch,
) -> _Asked:
    column = {"meterId": meter, "fieldCode": "calls", "fieldType": "MEASURE"}
    body = {
        "startDate": f"{MONTH_START.replace(' ', 'T')}Z",
        "endDate": f"{MONTH_END.replace(' ', 'T')}Z",
        "aggregations": [{**column, "function": "COUNT"}, {**column, "function": "SUM"}],
        "groups": [{"groupType": "ACCOUNT"}],
        "limit": 20_000,
    }
    chosen = random.Random(1).choices(sorted(expected), k=MONTH_QUERIES)
    _timed(client, path, {**body, "accountIds": chosen[:1]})  # the first finds everything cold
    month: list[float] = []
    fleet: list[float] = []
    with month_watch:
        for account in chosen:
            took, found = _timed(client, path, {**body, "accountIds": [account]})
            month.append(took)
            check("one account's month", found, {account: expected[account]})
    with fleet_watch:
        for _ in range(FLEET_QUERIES):
            took, found = _timed(client, path, body)
            fleet.append(took)
            # A fleet above the limit of rows is answered by its first accounts.
            check("fleet by account", found, {account: expected[account] for account in sorted(expected)[:20_000]})
    return _Asked(
        month=month,
        fleet=fleet,
        month_processor=month_watch.seconds / MONTH_QUERIES,
        fleet_processor=fleet_watch.seconds / FLEET_QUERIES,
        accounts=chosen,
    )


def _timed(client: httpx.Client, path: str, body: dict[str, object]) -> tuple[float, dict[str, tuple[int, Decimal]]]:
    start = perf_counter()
    reply = client.post(path, content=msgspec.json.encode(body))
    took = perf_counter() - start
    check("status of a usage query", reply.status_code, 200)
    rows: list[dict[str, Any]] = msgspec.json.decode(reply.content)["data"]
    return took, {row["accountId"]: (int(row["calls.COUNT"]), Decimal(row["calls.SUM"])) for row in rows}


def _figures(
    stored: int, accounts: int, asked: _Asked, bare: dict[str, list[float]], before: dict[str, float]
) -> list[Figure]:
    """The figures of one step. `before` holds the processor time of the step before, and is brought up to this one."""
    found = []
    for kind, name, times, processor in (
        ("month", "one account's month", asked.month, asked.month_processor),
        ("fleet", "fleet by account", asked.fleet, asked.fleet_processor),
    ):
        middle, sql = percentile(times, 50) * 1000, percentile(bare[kind], 50) * 1000
        compared = [compare(middle, "the bare SQL, p50", sql, "ms")]
        found.append(
            Figure(
                name=f"{name}, {stored:,} stored",
                workload=f"COUNT and SUM of 31 days over HTTP, {len(times)} times, {accounts:,} accounts, each answer "
                "checked, nothing else at work.",
                value=rounded(middle),
                unit="ms",
                p50=rounded(middle),
                p99=milliseconds(percentile(times, 99)),
                compared_with=tuple(compared),
            )
        )
        steps = [compare(processor * 1000, "with what was stored before", before[kind], "ms")] if kind in before else []
        found.append(
            Figure(
                name=f"{name}, {stored:,} stored: processor time",
                workload="Processor time of the server's processes for one of these queries, user and system.",
                value=rounded(processor * 1000),
                unit="ms",
                compared_with=tuple(steps),
            )
        )
        before[kind] = processor * 1000
    return found


def _fill(first: int, last: int, data: Path, organization: str, meter: str) -> None:
    """Generate the measurements numbered from `first` up to `last`, and wait until the engine has merged them."""
    usage = ClickHouseUsage(data / "usage")
    connection, fields = usage._connection, usage._schema.fields(organization, meter)
    bindings = Bindings()
    of, own = bindings.text(organization), bindings.text(meter)
    milliseconds_in = bindings.bind(MONTH_MILLISECONDS, "UInt64")
    connection.rows(
        f"""
        INSERT INTO {DATABASE}.measurement
            (organization, meter, account, uid, position, ts, received,
             {fields.numbers["calls"]}, {fields.numbers["seconds"]}, {fields.texts["model"]})
        WITH (
            SELECT groupArray(account) FROM (
                SELECT DISTINCT account FROM {DATABASE}.measurement
                WHERE organization = {of} AND meter = {own} ORDER BY account
            )
        ) AS accounts, length(accounts) AS fleet, intDiv(number, fleet) AS turn, number % fleet AS place
        SELECT {of}, {own}, accounts[place + 1], concat('stored-', toString(number)), place + 1,
            toDateTime64('{MONTH_START}', 6, 'UTC') + toIntervalMillisecond(number * 104729 % {milliseconds_in}),
            now64(6, 'UTC'), 10 + (7 * turn + place) % {CYCLE}, toDecimal128(number % 100000, 18) / 1000,
            ['small', 'medium', 'large'][number % 3 + 1]
        FROM numbers({first}, {last - first}) SETTINGS max_insert_threads = 2""",  # noqa: S608  whole numbers and names of ours
        bindings,
    )
    settle(usage)


def settle(usage: ClickHouseUsage) -> None:
    """Wait until the engine has merged what it was given, and close the store."""
    start = time.monotonic()
    while usage._connection.rows("SELECT count() FROM system.merges")[0][0]:
        check("merges within the time", time.monotonic() - start < SETTLED_WITHIN_SECONDS, True)
        time.sleep(0.2)
    usage.close()


if __name__ == "__main__":
    _fill(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:6])
