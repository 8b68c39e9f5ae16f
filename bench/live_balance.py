"""What a live balance costs while usage arrives: an account with a million measurements in its open period.

    python bench/run.py --only live [--measurements 1000000]

One usage store holds the account's measurements; four sets of records price them: by SUM, by UNIQUE, by the 95th
percentile, and by tiers that span the life of the plan (with a tenth as many measurements in the month before). A
thread adds 10,000 measurements a second meanwhile, a tenth of them of this account. Every value is held against the
bench's own, for the journal position that it was read up to. It all happens in one process, without HTTP.
"""

from __future__ import annotations

import gc
import shutil
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
from bill_stages import BENCH, NOW, entity_id, keep
from ingest import Options
from results import CheckFailed, Figure, check, compare, milliseconds, percentile

from tallystick.control import balance_transactions
from tallystick.control.desk import Desk
from tallystick.control.organization_config import initialise
from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation, Method, UnitRounding
from tallystick.core.bill_job import BillFailure
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand, Product
from tallystick.core.credit_types import Balance
from tallystick.core.ledger import BalanceTransaction
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Frequency, Instant
from tallystick.pipeline.watch import live_values
from tallystick.ports import Organization, OrganizationRecords, Transaction, UsageBlock, UsageStore
from tallystick.stores.records_sql import open_records
from tallystick.stores.running_usage import RunningUsage
from tallystick.stores.usage_clickhouse import ClickHouseUsage
from tallystick.stores.usage_clickhouse.connection import to_micros

ORGANIZATION = "5f0e0c31-2e55-5f88-8669-b65548e99600"
OPENED = Instant.midnight(NOW.date().replace(day=1))
MONTH_BEFORE = Instant.midnight((OPENED - timedelta(days=1)).date().replace(day=1))
PAID_IN = Decimal(10) ** 9
CENT = Decimal("0.01")
CHEAPER_ABOVE = 1_000_000  # units
BLOCK = 50_000  # rows added at once, beforehand
MEASUREMENTS = 1_000_000
MOST_LOOKS, FEW_LOOKS, QUICK = 500, 10, 5.0  # looks; and how many seconds a load of few looks lasts at most
ARRIVING = 500  # rows added at once, meanwhile; a tenth of them of the account
PAUSE_SECONDS = 0.05
METHODS = {"SUM": "calls", "UNIQUE": "user", "PERCENTILE": "latency", "SUM, tiers span the plan": "calls"}


class Measurements:
    """What arrives, as columns, and what it comes to by arithmetic that shares nothing with the product."""

    def __init__(self, usage: RunningUsage, wanted: int) -> None:
        self._usage, self._chance = usage, np.random.default_rng(1)
        self._own: list[np.ndarray] = []  # (calls, user, latency) of the account in the open period, in order
        self._marks: list[int] = []  # of each block, and how many blocks there were then
        self._counts: list[int] = []
        self.before = 0
        early = wanted // 10
        for first in range(0, early, BLOCK):
            self._add(min(BLOCK, early - first), 1, MONTH_BEFORE, timedelta(days=28))
        self.before, self._own = sum(int(block[0].sum()) for block in self._own), []
        for first in range(0, wanted, BLOCK):
            self._add(min(BLOCK, wanted - first), 1, OPENED, NOW - OPENED)

    def more(self) -> None:
        """A few more measurements."""
        self._add(ARRIVING, 10, OPENED, NOW - OPENED)

    def up_to(self, position: int) -> Sequence[np.ndarray]:
        """The measurements of the account that a look up to a position sees."""
        return self._own[: self._counts[bisect_right(self._marks, position) - 1]]

    def _add(self, rows: int, own: int, start: Instant, within: timedelta) -> None:
        """Add rows, one of so many of which is of the account."""
        position = self._usage.mark
        drawn = self._chance.integers(1, [[3], [200_000], [100_000]], (3, rows), endpoint=True)
        mine = np.arange(1, rows + 1) % own == 0
        moments = to_micros(start) + self._chance.integers(0, within // timedelta(microseconds=1), rows)
        accounts = np.where(mine, entity_id(Account, "large"), entity_id(Account, "other"))
        block = UsageBlock(
            organization_id=ORGANIZATION,
            meter_id=entity_id(Meter, "requests"),
            received=NOW,
            positions=position + np.arange(1, rows + 1),
            account_ids=pa.array(accounts.tolist(), pa.string()),
            uids=pa.array([str(position + number) for number in range(1, rows + 1)], pa.string()),
            ts=pa.array(moments).cast(pa.timestamp("us", tz="UTC")),
            numbers={"calls": _decimals(drawn[0]), "latency": _decimals(drawn[2])},
            texts={"user": pa.array([f"user-{each}" for each in drawn[1].tolist()], pa.string())},
        )
        self._own.append(drawn[:, mine])
        self._marks.append(position + rows)
        self._counts.append(len(self._own))
        self._usage.add([], position + rows, [block])


def _decimals(values: np.ndarray) -> pa.Array:
    return pa.array(values).cast(pa.decimal128(38, 18))


class Owed:
    """What the account's open bill comes to for one price, at positions that only rise."""

    def __init__(self, name: str, used: Measurements) -> None:
        self._name, self._used, self._seen = name, used, 0
        self._calls, self._users = 0, np.zeros(200_001, bool)
        self._latencies = np.zeros(100_001, np.int64)  # how often each came

    def at(self, position: int) -> Decimal:
        """With the measurements up to a position."""
        blocks = self._used.up_to(position)
        for calls, users, latencies in blocks[self._seen :]:
            self._calls += int(calls.sum())
            self._users[users] = True
            self._latencies += np.bincount(latencies, minlength=100_001)
        self._seen = len(blocks)
        if self._name == "UNIQUE":
            return int(self._users.sum()) * CENT
        if self._name == "PERCENTILE":
            up_to = np.cumsum(self._latencies)
            return int(np.searchsorted(up_to, -(-int(up_to[-1]) * 95 // 100))) * CENT
        before = self._used.before if "span" in self._name else 0
        return (_tiered(before + self._calls) - _tiered(before)).quantize(CENT, ROUND_HALF_UP)


def _tiered(units: int) -> Decimal:
    return units * CENT if units <= CHEAPER_ABOVE else (CHEAPER_ABOVE + units) * CENT / 2


def _fill(write: Transaction, name: str) -> None:
    """An account on a plan with one price, and its balance."""
    product = keep(write, "product", Product(name="Cloud", code="cloud"))
    fields = (
        *(DataField(code=each, name=each, category=Category.MEASURE, unit="1") for each in ("calls", "latency")),
        DataField(code="user", name="user", category=Category.WHO),
    )
    requests = Meter(product_id=product, name="requests", code="requests", data_fields=fields, derived_fields=())
    method = next(each for each in Method if name.startswith(each.value))
    aggregation = Aggregation(
        meter_id=keep(write, "requests", requests),
        name=name,
        code="counted",
        target_field=METHODS[name],
        aggregation=method,
        percentile=Decimal(95) if method is Method.PERCENTILE else None,
        quantity_per_unit=Decimal(1),
        rounding=UnitRounding.NONE,
        unit="units",
    )
    template = PlanTemplate(
        product_id=product,
        name="Monthly",
        code="monthly",
        currency="USD",
        bill_frequency=Frequency.MONTHLY,
        standing_charge=Decimal(0),
    )
    plan = keep(write, "plan", Plan(plan_template_id=keep(write, "t", template), name="Standard", code="standard"))
    limits = ((Decimal(0), CENT), (Decimal(CHEAPER_ABOVE), CENT / 2))
    bands = tuple(PricingBand(lower_limit=low, fixed_price=Decimal(0), unit_price=price) for low, price in limits)
    pricing = Pricing(
        plan_id=plan,
        aggregation_id=keep(write, name, aggregation),
        start_date=MONTH_BEFORE,
        cumulative=True,
        tiers_span_plan="span" in name,
        pricing_bands=bands,
    )
    keep(write, name, pricing)
    account = keep(write, "large", Account(name="Large", code="large", email_address=""))
    keep(write, "large", AccountPlan(account_id=account, plan_id=plan, start_date=MONTH_BEFORE))
    until = Instant.midnight(date(NOW.year + 2, 1, 1))
    wallet = Balance(
        account_id=account, code="wallet", name="Wallet", currency="USD", start_date=OPENED, end_date=until
    )
    keep(write, "wallet", wallet)


def _records(directory: Path, name: str) -> OrganizationRecords:
    store = open_records(f"sqlite:///{directory / f'{name}.sqlite'}")
    store.add_organization(Organization(id=ORGANIZATION, name="Bench", created=NOW))
    records = store.organization(ORGANIZATION)
    initialise(records, "USD", NOW)
    with records.transaction() as write:
        _fill(write, name)
    desk = Desk(records=records, actor=BENCH, now=NOW)
    balance_transactions.transact(desk, entity_id(Balance, "wallet"), BalanceTransaction(amount=PAID_IN))
    return records


@dataclass(frozen=True)
class Look:
    """What one look took, in seconds: of the clock, and of the processor in the thread that looked."""

    wall: float
    processor: float


def _looks(records: OrganizationRecords, usage: UsageStore, owed: Owed, name: str, looks: int) -> list[Look]:
    """Looks one after the other; every value is checked."""
    balance = records.get(Balance, entity_id(Balance, "wallet"))
    assert balance is not None, "the balance was made"
    took = []
    for _ in range(looks):
        up_to, start, processor = usage.mark, time.perf_counter(), time.thread_time()
        (worth,) = live_values(records, usage.organization(ORGANIZATION), (balance,), now=NOW, up_to=up_to)
        took.append(Look(time.perf_counter() - start, time.thread_time() - processor))
        if isinstance(worth, BillFailure):
            raise CheckFailed(f"live balance, {name}: {worth.message}")
        check(f"live balance, {name}", worth.value, PAID_IN - owed.at(up_to))
        time.sleep(PAUSE_SECONDS / 5)
    return took


def live(options: Options) -> list[Figure]:
    """Looks at four balances while measurements arrive, each beside looks that read everything again."""
    wanted, looks = min(options.measurements, MEASUREMENTS), MOST_LOOKS if options.seconds > QUICK else FEW_LOOKS
    directory = options.directory / "live"
    directory.mkdir()
    plain = ClickHouseUsage(directory / "usage")
    usage, done = RunningUsage(plain), threading.Event()
    task = options.progress.add_task("live balances", total=len(METHODS))
    figures = []
    try:
        used = Measurements(usage, wanted)
        gc.freeze()
        gc.set_threshold(100_000, 20, 100)  # as the server has it

        def arrive() -> None:
            while not done.wait(PAUSE_SECONDS):
                used.more()

        thread = threading.Thread(target=arrive)
        thread.start()
        try:
            for name in METHODS:
                records = _records(directory, name)
                anew = _looks(records, plain, Owed(name, used), name, FEW_LOOKS)
                first, second, *again = _looks(records, usage, Owed(name, used), name, looks)
                figures += _figures(name, wanted, max(first.wall, second.wall), again, anew)
                options.progress.advance(task)
        finally:
            done.set()
            thread.join()
    finally:
        usage.close()
        shutil.rmtree(directory, ignore_errors=True)
    return figures


def _figures(name: str, wanted: int, first: float, looks: Sequence[Look], anew: Sequence[Look]) -> list[Figure]:
    walls = [each.wall for each in looks]
    median = milliseconds(percentile(walls, 50))
    everything = milliseconds(percentile([each.wall for each in anew], 50))
    processor = milliseconds(sum(each.processor for each in looks) / len(looks))
    workload = (
        f"{wanted:,} measurements of the account in its open period, 10,000 a second arriving (1,000 of them of the"
        f" account) in the same process, no HTTP; {len(looks)} looks, every value checked"
    )
    return [
        Figure(
            name=f"live balance, {name}",
            workload=f"{workload}; the first two, which collect: {milliseconds(first)} ms at most",
            value=median,
            unit="ms",
            p50=median,
            p99=milliseconds(percentile(walls, 99)),
            compared_with=(compare(median, "reading all usage again, p50", everything, "ms"),),
        ),
        Figure(
            name=f"live balance, {name}: processor time",
            workload=f"{workload}; of the thread that looks",
            value=processor,
            unit="ms",
        ),
    ]
