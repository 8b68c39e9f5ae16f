"""Where the processor time of a bill goes, stage by stage: a bill run in this process, on real stores, without HTTP.

    python bench/bill_stages.py [--accounts 2000] [--months 2] [--close APPROVED] [--profile]

The workload is that of `bills.py`: three usage lines and a standing charge each, and a commitment or a balance for
every tenth account. Every bill's total is held against the bench's own. A stage is a function of the product, timed
where it is called; what a stage inside another takes is not counted in the outer one. `--months` bills the same
accounts so many months in a row, each by a table of its own: what is special of the first month is that nobody has a
bill yet. `--close` approves, or locks, the bills of a month before those of the next are made.
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
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from bills import PRICES, STANDING_CHARGE, Month, Usage
from results import check
from rich.console import Console
from rich.table import Table

from tallystick.control import balance_transactions
from tallystick.control.bills import BillFilter, approve_bills, get_bill_config, set_bill_config
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
from tallystick.core.organization import BillConfig
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
APPROVED, LOCKED = "APPROVED", "LOCKED"


class Took(NamedTuple):
    """What a run took: processor time, by the clock, and processor time of the second process; seconds."""

    seconds: float
    lasted: float
    second: float


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
        (casting, "_cast_group", "rate and write from moulds"),
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

    def __init__(
        self, url: str, records: OrganizationRecords, usage: ClickHouseUsage, accounts: int, months: int
    ) -> None:
        self.url = url
        self.records = records
        every = [Month.before(NOW.date())]
        while len(every) < months:
            every.insert(0, Month.before(every[0].first))
        self.usages = {month: Usage(accounts, month, seed) for seed, month in enumerate(every, start=1)}
        self.first, self.usage = every[0], self.usages[every[0]]
        self.left = self.usage.commitments | self.usage.balances  # of each credit, after the bills that were checked
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
        first = Instant.midnight(self.first.first)
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
        first, end = self.first.first, NOW.date() + timedelta(days=365)
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
        for body in (body for usage in self.usages.values() for body in usage.bodies):
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

    def check(self, job_id: str, month: Month) -> None:
        """Every account has one bill, of the amount that the bench computed."""
        usage, due = self.usages[month], {}
        for code in usage.quantities:
            charged = usage.charges(code)
            paid = min(charged, self.left.get(code, Decimal(0)))
            due[code] = charged - paid
            if paid:
                self.left[code] -= paid
        documents = every_document(self.records, "bill", DocumentWhere(equal={"job_id": [job_id]}))
        bills = [wire.decode(BillRecord, each.body).bill for each in documents]
        found = {each.account_code: each.bill_total for each in bills}
        check("bills", len(bills), len(due))
        check("totals of bills", found, due)


def entity_id(of: type[Value], name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{of.kind}/{name}"))


def keep(write: Transaction, name: str, value: Value) -> str:
    """Store an entity with an id made of its name; gives the id."""
    id_ = entity_id(type(value), name)
    by = BENCH.id
    write.insert(Entity(id=id_, version=1, value=value, created=NOW, created_by=by, modified=NOW, modified_by=by))
    return id_


@contextmanager
def _world(directory: Path, accounts: int, months: int) -> Iterator[tuple[World, ClickHouseUsage]]:
    url = f"sqlite:///{directory / 'records.sqlite'}"
    records = open_records(url)
    usage = ClickHouseUsage(directory / "usage")
    try:
        made = create_organization(records, "Bench", "USD", NOW)
        yield World(url, records.organization(made.organization.id), usage, accounts, months), usage
    finally:
        usage.close()
        records.close()


def _run(world: World, usage: ClickHouseUsage, month: Month, chunk: int, id: str, *, foundry: bool) -> None:
    """Ask for the bills of a month and make them."""
    request = BillJobRequest(last_date_in_billing_period=month.last)
    records = world.records
    create_job(records, request, id=id, actor=BENCH, now=NOW, up_to=world.up_to)
    asked = usage.organization(records.organization_id)
    with Foundry(world.url, records.organization_id, asked) if foundry else nullcontext() as second:
        job = bill_run.run_job(records, asked, id, chunk_size=chunk, foundry=second)
    check("bill job", (job.status, job.failures), (BillJobStatus.COMPLETE, ()))


def _close(world: World, job_id: str, month: Month, how: str) -> None:
    """Approve all bills of a job, and lock them if that is asked."""
    desk = Desk(records=world.records, actor=BENCH, now=NOW)
    approve_bills(desk, BillFilter(job_id=job_id))
    if how == LOCKED:
        set_bill_config(desk, BillConfig(bill_lock_date=month.last), get_bill_config(world.records).version)


def _measured(run: Callable[[], None], profile: cProfile.Profile | None) -> Took:
    start, second, began = time.process_time(), _of_second_process(), time.perf_counter()
    if profile:
        profile.enable()
    run()
    if profile:
        profile.disable()
    return Took(time.process_time() - start, time.perf_counter() - began, _of_second_process() - second)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--months", type=int, default=1, help="that are billed, one after the other")
    parser.add_argument("--close", choices=(APPROVED, LOCKED), help="bills, before those of the next month are made")
    parser.add_argument("--chunk", type=int, default=bill_run.CHUNK, help="account periods in one transaction")
    parser.add_argument("--foundry", action="store_true", help="with a second process, as runs of many bills have it")
    parser.add_argument("--profile", action="store_true", help="print the functions that took longest, too")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="tallystick-bench-"))
    console = Console(highlight=False)
    try:
        with _world(directory, asked.accounts, asked.months) as (world, usage):
            gc.freeze()
            gc.set_threshold(100_000, 20, 100)  # as the server has it
            stages = None if asked.profile else _stages()
            for month in world.usages:
                job = entity_id(Product, f"job of {month.first}")
                run = partial(_run, world, usage, month, asked.chunk, job, foundry=asked.foundry)
                profile = cProfile.Profile(time.process_time) if asked.profile else None
                if stages:
                    stages.seconds.clear()
                took = _measured(run, profile)
                world.check(job, month)
                _show(console, f"{month.first:%B}: {asked.accounts:,} bills", stages or profile, asked.accounts, took)
                if asked.close:
                    _close(world, job, month, asked.close)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _of_second_process() -> float:
    """Seconds of processor time of the processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _show(console: Console, title: str, found: Stages | cProfile.Profile | None, bills: int, took: Took) -> None:
    """Print the stages of a month, or its functions."""
    if isinstance(found, cProfile.Profile):
        console.print(title)
        for order in ("cumulative", "tottime"):
            pstats.Stats(found).strip_dirs().sort_stats(order).print_stats(SHOWN)
        return
    assert found is not None, "stages are timed where functions are not"
    table = Table(title=f"{title}, {bills / took.lasted:,.0f}/s; processor time for a bill, without what is below it")
    table.add_column("stage")
    table.add_column("µs", justify="right")
    rest = took.seconds - sum(found.seconds.values())
    rows = [*found.seconds.items(), ("all else", rest), ("together", took.seconds), ("second process", took.second)]
    for stage, seconds in rows:
        table.add_row(stage, f"{seconds / bills * 1e6:,.1f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
