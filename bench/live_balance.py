"""What a live balance costs while usage arrives: an account with a million measurements in its open period.

    python bench/live_balance.py [--measurements 1000000] [--looks 100]

One usage store holds the account's measurements; four sets of records price them: by SUM, by UNIQUE, by the 95th
percentile, and by tiers that span the life of the plan (with a tenth as many measurements in the month before). A
thread adds measurements meanwhile, of this account and of another. The first and the last value of each are held
against the bench's own, for the journal position that they were read up to.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from bill_stages import BENCH, NOW, entity_id, keep
from results import check, percentile
from rich.console import Console
from rich.table import Table

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
from tallystick.ports import Organization, OrganizationRecords, Transaction, UsageRow
from tallystick.stores.records_sql import open_records
from tallystick.stores.usage_clickhouse import ClickHouseUsage

ORGANIZATION = "5f0e0c31-2e55-5f88-8669-b65548e99600"
OPENED = Instant.midnight(NOW.date().replace(day=1))
MONTH_BEFORE = Instant.midnight((OPENED - timedelta(days=1)).date().replace(day=1))
PAID_IN = Decimal(10) ** 9
CENT = Decimal("0.01")
CHEAPER_ABOVE = 1_000_000  # units
BLOCK = 50_000  # rows added at once, beforehand
ARRIVING = 500  # rows added at once, meanwhile; a tenth of them of the account
PAUSE_SECONDS = 0.05
METHODS = {"SUM": "calls", "UNIQUE": "user", "PERCENTILE": "latency", "SUM, tiers span the plan": "calls"}


class Measurements:
    """What arrives, and what the account's bill comes to, by arithmetic that shares nothing with the product."""

    def __init__(self, usage: ClickHouseUsage, wanted: int) -> None:
        self._usage, self._chance = usage, random.Random(1)
        self._calls: list[int] = []
        self._users: list[str] = []
        self._latencies: list[int] = []
        self._marks: list[int] = []  # of each block, and how many measurements of the open period there were then
        self._counts: list[int] = []
        self._before = 0
        early = wanted // 10
        for first in range(0, early, BLOCK):
            self._add(min(BLOCK, early - first), 1, MONTH_BEFORE, timedelta(days=28))
        self._before, self._calls, self._users, self._latencies = sum(self._calls), [], [], []
        for first in range(0, wanted, BLOCK):
            self._add(min(BLOCK, wanted - first), 1, OPENED, NOW - OPENED)

    def more(self) -> None:
        """A few more measurements."""
        self._add(ARRIVING, 10, OPENED, NOW - OPENED)

    def _add(self, rows: int, own: int, start: Instant, within: timedelta) -> None:
        """Add rows, one of so many of which is of the account."""
        position = self._usage.mark
        block = list(self._rows(position, rows, own, start, within))
        self._marks.append(position + rows)
        self._counts.append(len(self._calls))
        self._usage.add(block, position + rows)

    def _rows(self, position: int, rows: int, own: int, start: Instant, within: timedelta) -> Iterator[UsageRow]:
        for number in range(1, rows + 1):
            calls, latency = self._chance.randint(1, 3), self._chance.randint(1, 100_000)
            user = f"user-{self._chance.randint(1, 200_000)}"
            mine = number % own == 0
            if mine:
                self._calls.append(calls)
                self._users.append(user)
                self._latencies.append(latency)
            yield UsageRow(
                position=position + number,
                organization_id=ORGANIZATION,
                meter_id=entity_id(Meter, "requests"),
                account_id=entity_id(Account, "large" if mine else "other"),
                uid=str(position + number),
                ts=Instant.of(start + within * self._chance.random()),
                ets=None,
                received=NOW,
                numbers={"calls": Decimal(calls), "latency": Decimal(latency)},
                texts={"user": user},
            )

    def owed(self, name: str, up_to: int) -> Decimal:
        """What the open bill comes to, with the measurements up to a position."""
        count = self._counts[bisect_right(self._marks, up_to) - 1]
        if name == "UNIQUE":
            return len(set(self._users[:count])) * CENT
        if name == "PERCENTILE":
            return round(percentile(self._latencies[:count], 95)) * CENT
        before = self._before if "span" in name else 0
        exact = _tiered(before + sum(self._calls[:count])) - _tiered(before)
        return exact.quantize(CENT, ROUND_HALF_UP)


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


def _looks(
    records: OrganizationRecords, usage: ClickHouseUsage, name: str, used: Measurements, looks: int
) -> list[float]:
    """Seconds of each look, the first one apart: it finds everything cold."""
    balance = records.get(Balance, entity_id(Balance, "wallet"))
    assert balance is not None, "the balance was made"
    took = []
    for number in range(looks + 1):
        up_to, start = usage.mark, time.perf_counter()
        (worth,) = live_values(records, usage.organization(ORGANIZATION), (balance,), now=NOW, up_to=up_to)
        took.append(time.perf_counter() - start)
        assert not isinstance(worth, BillFailure), "the bill can be made"
        if number in {0, looks}:
            check(f"live balance, {name}", worth.value, PAID_IN - used.owed(name, up_to))
        time.sleep(PAUSE_SECONDS / 5)
    return took


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measurements", type=int, default=1_000_000)
    parser.add_argument("--looks", type=int, default=100)
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="tallystick-bench-"))
    usage = ClickHouseUsage(directory / "usage")
    done = threading.Event()
    try:
        used = Measurements(usage, asked.measurements)
        gc.freeze()
        gc.set_threshold(100_000, 20, 100)  # as the server has it

        def arrive() -> None:
            while not done.wait(PAUSE_SECONDS):
                used.more()

        thread = threading.Thread(target=arrive)
        thread.start()
        try:
            found = {name: _looks(_records(directory, name), usage, name, used, asked.looks) for name in METHODS}
        finally:
            done.set()
            thread.join()
    finally:
        usage.close()
        shutil.rmtree(directory, ignore_errors=True)
    table = Table(title=f"live balance, {asked.measurements:,} measurements in the open period, more arriving")
    for column in ("price by", "first", "p50", "p99"):
        table.add_column(column, justify="left" if column == "price by" else "right")
    for name, (first, *looks) in found.items():
        values = (first, percentile(looks, 50), percentile(looks, 99))
        table.add_row(name, *(f"{each * 1000:,.1f} ms" for each in values))
    Console(highlight=False).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
