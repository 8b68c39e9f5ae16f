"""Where the processor time of a bill goes, stage by stage: a bill run in this process, on real stores, without HTTP.

    python bench/bill_stages.py [--accounts 2000] [--profile]

The workload is that of `bills.py`: three usage lines and a standing charge each, and a commitment or a balance for
every tenth account. Every bill's total is held against the bench's own. A stage is a function of the product, timed
where it is called; what a stage inside another takes is not counted in the outer one.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from bills import PRICES, STANDING_CHARGE, Month, Usage
from results import check
from rich.console import Console
from rich.table import Table

from tallystick.control import balance_transactions
from tallystick.control.desk import Desk
from tallystick.control.organizations import create_organization
from tallystick.core import wire
from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation, Method, UnitRounding
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillJobRequest, BillJobStatus
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand, Product
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Entity, Value
from tallystick.core.ledger import BalanceTransaction
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Frequency, Instant
from tallystick.foundry import Foundry
from tallystick.pipeline import bill_run, casting, settle
from tallystick.pipeline.bill_job import create_job
from tallystick.pipeline.ledger import every_document
from tallystick.ports import Actor, DocumentWhere, OrganizationRecords, Transaction, UsageRow
from tallystick.stores.records_sql import open_records
from tallystick.stores.records_sql import view as records_view
from tallystick.stores.usage_clickhouse import ClickHouseUsage

BENCH = Actor("bench", "OPERATOR")
NOW = Instant.of(datetime.now(UTC))
SHOWN = 110  # functions of a profile


class Stages:
    """Processor time by stage, each without what other stages inside it took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = 0.0

    def time(self, owner: Any, name: str, stage: str) -> None:
        """Count the time of a function, called by this name of a module, as a stage."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            outer, self._inside, start = self._inside, 0.0, time.process_time()
            try:
                return function(*given, **named)
            finally:
                took = time.process_time() - start
                self.seconds[stage] = self.seconds.get(stage, 0.0) + took - self._inside
                self._inside = outer + took

        setattr(owner, name, timed)


def _stages() -> Stages:
    stages = Stages()
    for owner, name, stage in (
        (bill_run, "_periods", "which periods"),
        (casting, "plain_groups", "find plain accounts"),
        (casting, "load_terms", "read what was agreed"),
        (casting, "rated_of", "rate one by one"),
        (casting, "_moulds", "moulds"),
        (casting, "_mould", "moulds"),
        (casting, "_proves", "moulds"),
        (casting, "_filled", "rate and write from moulds"),
        (casting, "measure", "measure"),
        (casting, "measure_alike", "measure"),
        (casting, "looks_of", "late usage"),
        (casting, "with_adjustments", "late usage"),
        (bill_run, "settle", "settle"),
        (settle, "document_of", "encode"),
        (records_view, "_put", "store"),
    ):
        stages.time(owner, name, stage)
    return stages


def _number(text: object) -> Decimal:
    return Decimal(str(text))


class World:
    """An organisation on real stores with a catalogue, accounts and their usage."""

    def __init__(self, url: str, records: OrganizationRecords, usage: ClickHouseUsage, accounts: int) -> None:
        self.url = url
        self.records, self.month = records, Month.before(NOW.date())
        self.usage = Usage(accounts, self.month)
        with records.transaction() as write:
            meter, plan = self._catalogue(write)
            accounts_by_code = self._accounts(write, plan)
        for code, amount in self.usage.balances.items():
            desk = Desk(records=records, actor=BENCH, now=NOW)
            balance_transactions.transact(desk, entity_id(Balance, code), BalanceTransaction(amount=amount))
        rows = list(self._rows(meter, accounts_by_code))
        usage.add(rows, len(rows))
        self.up_to = len(rows)

    def _catalogue(self, write: Transaction) -> tuple[str, str]:
        """The meter and the plan of `bills.py`; gives their ids."""
        first = Instant.midnight(self.month.first)
        product = keep(write, "product", Product(name="Cloud", code="cloud"))
        fields = tuple(
            DataField(code=each.field, name=each.field, category=Category.MEASURE, unit="1") for each in PRICES
        )
        meter = keep(
            write,
            "meter",
            Meter(product_id=product, name="usage", code="usage", data_fields=fields, derived_fields=()),
        )
        template = keep(
            write,
            "template",
            PlanTemplate(
                product_id=product,
                name="Monthly",
                code="monthly",
                currency="USD",
                bill_frequency=Frequency.MONTHLY,
                standing_charge=STANDING_CHARGE,
            ),
        )
        plan = keep(write, "plan", Plan(plan_template_id=template, name="Standard", code="standard"))
        for price in PRICES:
            aggregation = keep(
                write,
                price.field,
                Aggregation(
                    meter_id=meter,
                    name=price.field,
                    code=price.field,
                    target_field=price.field,
                    aggregation=Method.SUM,
                    quantity_per_unit=Decimal(1),
                    rounding=UnitRounding.NONE,
                    unit=price.field,
                ),
            )
            bands = tuple(
                PricingBand(
                    id=entity_id(Pricing, f"{price.field}/{lower}"),
                    lower_limit=lower,
                    fixed_price=fixed,
                    unit_price=unit,
                )
                for lower, fixed, unit in price.bands
            )
            keep(
                write,
                price.field,
                Pricing(
                    plan_id=plan,
                    aggregation_id=aggregation,
                    start_date=first,
                    cumulative=price.cumulative,
                    pricing_bands=bands,
                ),
            )
        return meter, plan

    def _accounts(self, write: Transaction, plan: str) -> dict[str, str]:
        """Accounts on the plan, with their credit; gives their ids by code."""
        first, end = self.month.first, self.month.last + timedelta(days=365)
        ids = {}
        for code in self.usage.quantities:
            ids[code] = keep(write, code, Account(name=code, code=code, email_address=""))
            start = Instant.midnight(first)
            keep(write, code, AccountPlan(account_id=ids[code], plan_id=plan, start_date=start))
            if code in self.usage.commitments:
                amount = self.usage.commitments[code]
                agreed = Commitment(account_id=ids[code], amount=amount, currency="USD", start_date=first, end_date=end)
                keep(write, code, agreed)
            if code in self.usage.balances:
                until = Instant.midnight(end)
                keep(
                    write,
                    code,
                    Balance(
                        account_id=ids[code], code=code, name="Wallet", currency="USD", start_date=start, end_date=until
                    ),
                )
        return ids

    def _rows(self, meter: str, accounts: dict[str, str]) -> Iterator[UsageRow]:
        """The measurements, as mediation would have made them."""
        position = 0
        for body in self.usage.bodies:
            for each in wire.decode(dict[str, list[dict[str, Any]]], body)["measurements"]:
                position += 1
                yield UsageRow(
                    position=position,
                    organization_id=self.records.organization_id,
                    meter_id=meter,
                    account_id=accounts[each["account"]],
                    uid=each["uid"],
                    ts=Instant.parse(each["ts"]),
                    ets=None,
                    received=NOW,
                    numbers={field: Decimal(value) for field, value in each["measure"].items()},
                    texts={},
                )

    def check(self, job_id: str) -> None:
        """Every account has one bill, of the amount that the bench computed."""
        documents = every_document(self.records, "bill", DocumentWhere(equal={"job_id": [job_id]}))
        bills = [wire.decode(BillRecord, each.body).bill for each in documents]
        found = {each.account_code: each.bill_total for each in bills}
        check("bills", len(bills), len(self.usage.quantities))
        check("totals of bills", found, {code: self.usage.bill(code) for code in self.usage.quantities})


def entity_id(of: type[Value], name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{of.kind}/{name}"))


def keep(write: Transaction, name: str, value: Value) -> str:
    """Store an entity with an id made of its name; gives the id."""
    id_ = entity_id(type(value), name)
    by = BENCH.id
    write.insert(Entity(id=id_, version=1, value=value, created=NOW, created_by=by, modified=NOW, modified_by=by))
    return id_


@contextmanager
def _world(directory: Path, accounts: int) -> Iterator[tuple[World, ClickHouseUsage]]:
    url = f"sqlite:///{directory / 'records.sqlite'}"
    records = open_records(url)
    usage = ClickHouseUsage(directory / "usage")
    try:
        made = create_organization(records, "Bench", "USD", NOW)
        yield World(url, records.organization(made.organization.id), usage, accounts), usage
    finally:
        usage.close()
        records.close()


def _run(world: World, usage: ClickHouseUsage, chunk: int, id: str, *, foundry: bool) -> None:
    """Ask for the bills and make them."""
    request = BillJobRequest(last_date_in_billing_period=world.month.last)
    records = world.records
    create_job(records, request, id=id, actor=BENCH, now=NOW, up_to=world.up_to)
    asked = usage.organization(records.organization_id)
    with Foundry(world.url, records.organization_id, asked) if foundry else nullcontext() as second:
        job = bill_run.run_job(records, asked, id, chunk_size=chunk, foundry=second)
    check("bill job", (job.status, job.failures), (BillJobStatus.COMPLETE, ()))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--chunk", type=int, default=bill_run.CHUNK, help="account periods in one transaction")
    parser.add_argument("--foundry", action="store_true", help="with a second process, as runs of many bills have it")
    parser.add_argument("--profile", action="store_true", help="print the functions that took longest, too")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="tallystick-bench-"))
    console = Console(highlight=False)
    try:
        with _world(directory, asked.accounts) as (world, usage):
            gc.freeze()
            gc.set_threshold(100_000, 20, 100)  # as the server has it
            stages = None if asked.profile else _stages()
            profile = cProfile.Profile(time.process_time) if asked.profile else None
            start, began = time.process_time(), time.perf_counter()
            if profile:
                profile.enable()
            job = entity_id(Product, "job")
            _run(world, usage, asked.chunk, job, foundry=asked.foundry)
            if profile:
                profile.disable()
            took, lasted = time.process_time() - start, time.perf_counter() - began
            world.check(job)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if profile:
        for order in ("cumulative", "tottime"):
            pstats.Stats(profile).strip_dirs().sort_stats(order).print_stats(SHOWN)
    if stages:
        _show(console, stages, asked.accounts, took, lasted, _of_second_process())
    return 0


def _of_second_process() -> float:
    """Seconds of processor time of the processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _show(console: Console, stages: Stages, bills: int, took: float, lasted: float, second: float) -> None:
    table = Table(
        title=f"{bills:,} bills, {bills / lasted:,.0f}/s; processor time for a bill, without what is below it"
    )
    table.add_column("stage")
    table.add_column("µs", justify="right")
    rest = took - sum(stages.seconds.values())
    for stage, seconds in [*stages.seconds.items(), ("all else", rest), ("together", took), ("second process", second)]:
        table.add_row(stage, f"{seconds / bills * 1e6:,.1f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
