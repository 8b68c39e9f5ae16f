"""What it takes to say whether an account may use a feature, while usage arrives.

    python bench/run.py --only entitlements

The account of `live_balance.py`, with a million measurements in its open period, 10,000 a second arriving, is asked
about through the gate as the API does, in one process without HTTP. Every answer's `used` is held against the bench's
own sum at the journal position that the answer names.
"""

from __future__ import annotations

import gc
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bill_stages import BENCH, NOW, entity_id
from ingest import Options
from live_balance import (
    FEW_LOOKS,
    MEASUREMENTS,
    MOST_LOOKS,
    ORGANIZATION,
    PAUSE_SECONDS,
    QUICK,
    Look,
    Measurements,
    _records,
)
from results import Figure, check, milliseconds, percentile

from tallystick.control.desk import Desk
from tallystick.control.entitlements import ENTITLEMENTS, FEATURES
from tallystick.core.account import Account
from tallystick.core.aggregation import Aggregation
from tallystick.core.entitlement import Entitlement, Feature
from tallystick.core.period import Instant
from tallystick.pipeline.entitlements import standings
from tallystick.pipeline.gate import Gate
from tallystick.ports import OrganizationRecords
from tallystick.stores.running_usage import RunningUsage
from tallystick.stores.usage_clickhouse import ClickHouseUsage

LIMIT = Decimal(10) ** 15
ACCOUNT = entity_id(Account, "large")
ASKED_A_LOOK = 20  # answers for each look anew


class Running:
    """The bench's day, going on: staleness is reckoned by it."""

    def __init__(self) -> None:
        self._apart = datetime.now(UTC) - NOW

    def now(self) -> Instant:
        return Instant.of(datetime.now(UTC) - self._apart)


def entitlements(options: Options) -> list[Figure]:
    """Answers of the gate, and looks anew."""
    wanted, looks = min(options.measurements, MEASUREMENTS), MOST_LOOKS if options.seconds > QUICK else FEW_LOOKS
    directory = options.directory / "entitlements"
    directory.mkdir()
    usage, done = RunningUsage(ClickHouseUsage(directory / "usage")), threading.Event()
    gate = Gate(Running(), Decimal(1))
    try:
        used = Measurements(usage, wanted)
        gc.freeze()
        records = _records(directory, "SUM")
        _entitle(records)

        def arrive() -> None:
            while not done.wait(PAUSE_SECONDS):
                used.more()

        thread = threading.Thread(target=arrive)
        thread.start()
        try:
            asked = _asked(gate, records, usage, used, looks * ASKED_A_LOOK)
            looked = _looked(records, usage, looks)
        finally:
            done.set()
            thread.join()
    finally:
        gate.close()
        usage.close()
        shutil.rmtree(directory, ignore_errors=True)
    workload = f"an account with {wanted:,} measurements in its open period, 10,000 a second arriving, no HTTP"
    return [
        _figure("may it be used, from the gate", f"{workload}; {len(asked):,} answers, each checked", asked),
        _figure("may it be used, looked at anew", f"{workload}; {len(looked):,} looks", looked),
    ]


def _entitle(records: OrganizationRecords) -> None:
    desk = Desk(records=records, actor=BENCH, now=NOW)
    feature = FEATURES.create(desk, Feature(name="Calls", code="calls", aggregation_id=entity_id(Aggregation, "SUM")))
    ENTITLEMENTS.create(
        desk, Entitlement(feature_id=feature.id, account_id=ACCOUNT, hard_limit=LIMIT, needs_credit=True)
    )


def _asked(gate: Gate, records: OrganizationRecords, usage: RunningUsage, used: Measurements, many: int) -> list[Look]:
    took, sums = [], {}

    def ask() -> tuple[OrganizationRecords, object, int]:
        return records, usage.organization(ORGANIZATION), usage.mark

    for _ in range(many):
        start, processor = time.perf_counter(), time.thread_time()
        found = gate.check(ask, ACCOUNT, "calls", Decimal(1))  # type: ignore[arg-type]  # an OrganizationUsage
        took.append(Look(time.perf_counter() - start, time.thread_time() - processor))
        if found.up_to not in sums:
            sums[found.up_to] = sum(int(block[0].sum()) for block in used.up_to(found.up_to))
        check("used, by the gate", (found.allowed, found.used), (True, Decimal(sums[found.up_to])))
        time.sleep(PAUSE_SECONDS / 50)
    return took


def _looked(records: OrganizationRecords, usage: RunningUsage, many: int) -> list[Look]:
    took = []
    now = Instant.of(NOW + timedelta(seconds=1))
    for _ in range(many):
        start, processor = time.perf_counter(), time.thread_time()
        standings(records, usage.organization(ORGANIZATION), (ACCOUNT,), now=now, up_to=usage.mark)
        took.append(Look(time.perf_counter() - start, time.thread_time() - processor))
        time.sleep(PAUSE_SECONDS)
    return took[2:]  # the first two collect all usage


def _figure(name: str, workload: str, looks: list[Look]) -> Figure:
    processor = [each.processor for each in looks]
    return Figure(
        name=name,
        workload=f"{workload}; processor time of the thread that asks",
        value=milliseconds(percentile(processor, 50)),
        unit="ms",
        p50=milliseconds(percentile(processor, 50)),
        p99=milliseconds(percentile(processor, 99)),
    )
