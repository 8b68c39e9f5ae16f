"""Measurements over HTTP: in batches with the projection at work, and one by one; then usage queries on the load."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

import traffic
from load import Result, Spec
from profiling import profiled
from results import Comparison, Figure, check, compare, milliseconds, percentile, rounded
from rich.progress import Progress
from stage import HERE, Tenant, Watch, resident, run_load, tenant_on, usage_sums, wait_visible

from limits import fsync_rate, in_own_process, month_around
from tallystick.core import wire

MONTH_QUERIES = 200
FLEET_QUERIES = 15


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much to measure."""

    directory: Path
    seconds: float
    connections: int
    single_connections: int
    accounts: int
    stored: int
    uids: int
    measurements: int
    quick: bool
    progress: Progress
    profiler: Path | None


def batches(options: Options) -> list[Figure]:
    """Batches of 1,000 over a few connections, what is visible when, and usage queries on what was loaded."""
    data = options.directory / "batches"
    with tenant_on(data) as tenant:
        meters = _meters(tenant)
        idle = resident(tenant.server.process.pid)
        with Watch(tenant.server) as watch, profiled(tenant.server, options.profiler, "batches", HERE):
            spec = _spec(tenant, options, "batches", options.connections, count_query=_count_query(meters))
            result = run_load(spec, options.progress, "ingest, batches", watch.begin)
            drained = _check_batches(tenant, meters[traffic.METER], spec, result)
        asked = _queries(tenant, meters[traffic.METER], spec, result, options.progress)
    figures = [
        _batch_figure(options, spec, result),
        processor_figure("ingest, batches", watch, result.requests * traffic.SIZE, "measurement"),
        _lag_figure(result),
        Figure(
            name="projection behind at the end",
            workload="Seconds from the last answer of the batches until a usage query counts every measurement.",
            value=rounded(drained),
            unit="s",
        ),
        *_memory_figures(idle, watch.peak),
    ]
    return [*figures, *_query_figures(data, meters[traffic.METER], spec, asked)]


def singles(options: Options) -> list[Figure]:
    """One measurement a request over many connections, beside an answer that does nothing."""
    with tenant_on(options.directory / "singles") as tenant:
        meters = _meters(tenant)
        count = options.single_connections
        health = Spec(
            kind="health",
            host=tenant.host,
            port=tenant.port,
            path="/health",
            connections=count,
            seconds=options.seconds / 2,
        )
        empty = run_load(health, options.progress, "GET /health")
        with Watch(tenant.server) as watch, profiled(tenant.server, options.profiler, "singles", HERE):
            result = run_load(
                _spec(tenant, options, "singles", count), options.progress, "ingest, singles", watch.begin
            )
        sent = result.requests + traffic.FRESH * traffic.TEMPLATES  # the warm-up makes the accounts
        check("singles accepted", (result.accepted, result.duplicates), (sent, 0))
        wait_visible(tenant, meters[traffic.METER], "calls", sent)
    rate = result.requests / result.seconds
    return [
        Figure(
            name="ingest, single measurements",
            workload=f"One measurement of about 200 bytes a request, {count} connections, {options.seconds:g} s, "
            "accounts known, durable before the answer; every one counted afterwards.",
            value=rounded(rate),
            unit="requests/s",
            p50=milliseconds(result.p50),
            p99=milliseconds(result.p99),
            compared_with=(compare(rate, "GET /health", empty.requests / empty.seconds, "requests/s"),),
        ),
        processor_figure("ingest, single measurements", watch, result.requests, "request"),
    ]


def processor_figure(name: str, watch: Watch, count: int, unit: str) -> Figure:
    """What one piece of work costs the server's processors: hardly moved by whatever else the machine does."""
    return Figure(
        name=f"{name}: processor time",
        workload=f"Processor time of the server's processes, user and system, over the same load ({count:,} × {unit}).",
        value=rounded(watch.seconds / count * 1_000_000),
        unit=f"µs/{unit}",
        others=round(watch.others, 2),
    )


def _meters(tenant: Tenant) -> dict[str, str]:
    product = tenant.create("/products", name="API", code="api")

    def meter(code: str, *fields: tuple[str, str]) -> str:
        declared = [{"code": field, "name": field, "category": category, "unit": "1"} for field, category in fields]
        for each in declared:
            if each["category"] != "MEASURE":
                del each["unit"]
        return tenant.create("/meters", productId=product, name=code, code=code, dataFields=declared, derivedFields=[])

    texts = (("model", "WHAT"), ("region", "WHERE"))
    return {
        traffic.METER: meter(traffic.METER, *texts, ("calls", "MEASURE"), ("seconds", "MEASURE")),
        traffic.MARKERS: meter(traffic.MARKERS, ("calls", "MEASURE")),
    }


def _spec(tenant: Tenant, options: Options, kind: str, connections: int, count_query: str = "") -> Spec:
    return Spec(
        kind=kind,
        host=tenant.host,
        port=tenant.port,
        path=tenant.path("/measurements"),
        token=tenant.token,
        connections=connections,
        seconds=options.seconds,
        until=datetime.now(UTC).isoformat(),
        accounts=options.accounts,
        count_query=count_query,
    )


def _count_query(meters: dict[str, str]) -> str:
    column = {"meterId": meters[traffic.MARKERS], "fieldCode": "calls", "fieldType": "MEASURE", "function": "COUNT"}
    return wire.encode({"aggregations": [column]}).decode()


def _check_batches(tenant: Tenant, meter_id: str, spec: Spec, result: Result) -> float:
    """Hold the verdicts and the usage query against what was sent; gives the seconds until all was visible."""
    expected = traffic.Traffic(spec.until, spec.accounts).totals(result.sent)
    check("batches sent", sum(result.sent), result.requests)
    check("measurements accepted", result.accepted, expected.count)
    check("duplicates", result.duplicates, result.requests * 2 * traffic.REPEATED)
    drained, calls = wait_visible(tenant, meter_id, "calls", expected.count)
    check("SUM of calls", calls, expected.calls)
    check("COUNT and SUM of seconds", usage_sums(tenant, meter_id, "seconds"), (expected.count, _thousandths(expected)))
    return drained


def _thousandths(totals: traffic.Totals) -> Decimal:
    return Decimal(totals.thousandths) / 1000


def _batch_figure(options: Options, spec: Spec, result: Result) -> Figure:
    rate = result.requests * traffic.SIZE / result.seconds
    fsyncs = fsync_rate(options.directory)
    seconds = max(0.5, options.seconds / 2)
    size = round(len(traffic.Traffic(spec.until, spec.accounts).templates[0]) / traffic.SIZE)
    raw = in_own_process("raw_insert", str(options.directory / "raw"), spec.until, str(spec.accounts), str(seconds))
    return Figure(
        name="ingest, batches of 1,000",
        workload=f"Batches of 1,000 measurements of about {size} bytes, 1% duplicates, "
        f"{options.connections} connections, {options.accounts:,} accounts, {options.seconds:g} s, "
        "durable before the answer, projection and a usage query every 100 ms at work; "
        "totals by verdict, by COUNT and SUM and by account checked.",
        value=rounded(rate),
        unit="measurements/s",
        p50=milliseconds(result.p50),
        p99=milliseconds(result.p99),
        compared_with=(
            compare(rate, "bare chDB insert of the same JSON", raw, "rows/s"),
            compare(rate, "append and fdatasync", fsyncs, "fsyncs/s"),
        ),
    )


def _lag_figure(result: Result) -> Figure:
    return Figure(
        name="acknowledged to visible",
        workload=f"{len(result.lags)} markers sent every 50 ms during the batches: from the answer until a usage query "
        "counts it, the query's own time included. The value is the worst.",
        value=milliseconds(max(result.lags, default=0.0)),
        unit="ms",
        p50=milliseconds(percentile(result.lags, 50)),
        p99=milliseconds(percentile(result.lags, 99)),
    )


def _memory_figures(idle: float, peak: float) -> list[Figure]:
    workload = "Resident memory of the server's processes, shared pages counted in each"
    return [
        Figure(
            name="memory, idle", workload=f"{workload}, before the first measurement.", value=round(idle), unit="MiB"
        ),
        Figure(
            name="memory, full ingest",
            workload=f"{workload}: the peak during the batches.",
            value=round(peak),
            unit="MiB",
        ),
    ]


# ------------------------------------------------------------------------------------------------------ queries


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """Times of usage queries in seconds, and the accounts that were asked about."""

    rows: int
    accounts: list[str]
    month: list[float]
    fleet: list[float]


def _queries(tenant: Tenant, meter_id: str, spec: Spec, result: Result, progress: Progress) -> _Asked:
    """Ask for the fleet by account and for the month of some accounts, and hold every answer against what was sent."""
    expected = traffic.Traffic(spec.until, spec.accounts).totals(result.sent)
    start, end = month_around(spec.until)
    columns = [
        {"meterId": meter_id, "fieldCode": "calls", "fieldType": "MEASURE", "function": function}
        for function in ("COUNT", "SUM")
    ]
    asked = {
        "startDate": start.isoformat(),
        "endDate": end.isoformat(),
        "aggregations": columns,
        "groups": [{"groupType": "ACCOUNT"}],
    }
    task = progress.add_task("usage queries", total=FLEET_QUERIES + MONTH_QUERIES)
    fleet: list[float] = []
    rows: list[dict[str, Any]] = []
    for _ in range(FLEET_QUERIES):
        took, rows = _ask(tenant, asked)
        fleet.append(took)
        progress.advance(task)
    check("COUNT by account", {row["accountCode"]: row["calls.COUNT"] for row in rows}, expected.count_by_account)
    check("SUM by account", {row["accountCode"]: row["calls.SUM"] for row in rows}, expected.calls_by_account)
    codes = {row["accountId"]: row["accountCode"] for row in rows}
    chosen = random.Random(1).choices(sorted(codes), k=MONTH_QUERIES)
    month: list[float] = []
    for account in chosen:
        took, rows = _ask(tenant, {**asked, "accountIds": [account]})
        month.append(took)
        check("SUM of one account", [row["calls.SUM"] for row in rows], [expected.calls_by_account[codes[account]]])
        progress.advance(task)
    return _Asked(rows=expected.count, accounts=chosen, month=month, fleet=fleet)


def _ask(tenant: Tenant, body: dict[str, object]) -> tuple[float, list[dict[str, Any]]]:
    start = perf_counter()
    reply = tenant.client.post("/usage/query", body)
    return perf_counter() - start, reply["data"]


def _query_figures(data: Path, meter_id: str, spec: Spec, asked: _Asked) -> list[Figure]:
    start, end = (moment.strftime("%Y-%m-%d %H:%M:%S") for moment in month_around(spec.until))
    bare = in_own_process("bare_sql", str(data / "usage"), meter_id, start, end, ",".join(asked.accounts))

    def figure(name: str, workload: str, times: list[float], others: list[float]) -> Figure:
        middle, other = percentile(times, 50) * 1000, percentile(others, 50) * 1000
        comparison: Comparison = compare(middle, "the bare SQL, p50", other, "ms")
        return Figure(
            name=name,
            workload=workload,
            value=rounded(middle),
            unit="ms",
            p50=rounded(middle),
            p99=milliseconds(percentile(times, 99)),
            compared_with=(comparison,),
        )

    stored = f"{asked.rows:,} measurements of {spec.accounts:,} accounts stored, nothing else at work"
    return [
        figure(
            "usage query, one account's month",
            f"COUNT and SUM of 31 days of one account over HTTP, {MONTH_QUERIES} random accounts, checked; {stored}.",
            asked.month,
            bare["month"],
        ),
        figure(
            "usage query, fleet by account",
            f"COUNT and SUM of 31 days of every account over HTTP, {FLEET_QUERIES} times, accounts checked; {stored}.",
            asked.fleet,
            bare["fleet"],
        ),
    ]
