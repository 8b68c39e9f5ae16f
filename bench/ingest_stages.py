"""Where the processor time of a measurement goes, thread by thread and stage by stage: batches of 1,000 in this
process, on real stores, with the threads of the server but without HTTP.

    python bench/ingest_stages.py [--seconds 5] [--connections 8] [--alone]

The batches are those of `ingest.py`; every total is held against the bench's own. A stage is a function of the product,
timed in the thread that runs it; what a stage inside another takes is not counted in the outer one. `--alone` takes one
thread after the other: one connection, and nothing is projected before all is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import traffic
import uvloop
from bill_stages import keep
from results import check
from rich.console import Console
from rich.table import Table

from tallystick import worker
from tallystick.app import App, build
from tallystick.control.organizations import create_organization
from tallystick.core.catalog import Product
from tallystick.core.meter import Category, DataField, Meter
from tallystick.pipeline.ingest import claim, columns, intake, recording, sorting
from tallystick.pipeline.ingest.intake import Intake
from tallystick.ports import UsageColumn, UsageQuery
from tallystick.settings import Settings
from tallystick.stores.journal_file import FileJournal
from tallystick.stores.uid_index import SortedUidIndex
from tallystick.stores.usage_clickhouse.connection import Connection
from tallystick.worker import Worker

FIELDS = (
    ("model", Category.WHAT),
    ("region", Category.WHERE),
    ("calls", Category.MEASURE),
    ("seconds", Category.MEASURE),
)
OTHERS = "threads of the engines"
BESIDE = "process of the sorter"
SETTLE_SECONDS = 3.0  # after the warm-up, in which the sorter starts: its start is not what a measurement costs
TICKS = os.sysconf("SC_CLK_TCK")


class Stages:
    """Processor time by stage, each without what other stages inside it took, of all threads."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)  # (thread, stage) →
        self._inside = threading.local()

    def time(self, owner: Any, name: str, stage: str) -> None:
        """Count the time of a function or method, called by this name, as a stage."""
        function: Callable[..., Any] = getattr(owner, name)
        inside = self._inside

        def timed(*given: Any, **named: Any) -> Any:
            outer, inside.seconds, start = getattr(inside, "seconds", 0.0), 0.0, time.thread_time()
            try:
                return function(*given, **named)
            finally:
                took = time.thread_time() - start
                self.seconds[threading.current_thread().name, stage] += took - inside.seconds
                inside.seconds = outer + took

        setattr(owner, name, timed)


def _stages() -> Stages:
    stages = Stages()
    for owner, name, stage in (
        (intake, "split", "split the body"),
        (Intake, "_sort_out", "sort out, all else"),
        (columns.Forms, "rows", "read the JSON into rows"),
        (columns.Form, "columns", "columns: times, decimals, digests"),
        (sorting, "uid_keys", "keys of the uids"),
        (sorting, "pack_many", "journal entries"),
        (intake, "not_counted", "what did not count"),
        (intake, "verdicts", "verdicts"),
        (claim.Claimer, "_decide", "decide"),
        (claim.Claimer, "_put", "put, all else"),
        (claim, "appended", "keep for the projection"),
        (SortedUidIndex, "look_up", "uid index: look up"),
        (SortedUidIndex, "put", "uid index: put"),
        (SortedUidIndex, "flush", "uid index: write"),
        (FileJournal, "append", "journal: append"),
        (recording, "write", "write down what did not count"),
        (worker, "project", "project, all else"),
        (Connection, "insert", "insert"),
    ):
        stages.time(owner, name, stage)
    return stages


@contextmanager
def _app(directory: Path) -> Iterator[tuple[App, str, str]]:
    """The app with an organisation and the meter of the traffic: the app and their ids."""
    app = build(Settings(data=str(directory)))
    try:
        made = create_organization(app.records, "Bench", "USD", app.clock.now())
        organization_id = made.organization.id
        with app.records.organization(organization_id).transaction() as write:
            product = keep(write, "product", Product(name="API", code="api"))
            fields = tuple(
                DataField(code=code, name=code, category=kind, unit="1" if kind.numeric else None)
                for code, kind in FIELDS
            )
            code = traffic.METER
            meter = Meter(product_id=product, name=code, code=code, data_fields=fields, derived_fields=())
            meter_id = keep(write, code, meter)
        yield app, organization_id, meter_id
    finally:
        app.close()


async def _send(app: App, organization_id: str, load: traffic.Traffic, connections: int, seconds: float) -> list[int]:
    """As many batches as fit into the time, each connection waiting for its answer; how often each template was."""
    sent = [0] * traffic.TEMPLATES
    until = time.monotonic() + seconds
    templates = [traffic.Template(body) for body in load.templates]
    answers = [traffic.Template(answer) for answer in load.answers]

    async def connection(number: int) -> None:
        count = 0
        while time.monotonic() < until:
            place = count % traffic.TEMPLATES
            own, before = traffic.sending_prefix(number, count), traffic.sending_prefix(number, count - 1)
            answer = await intake.ingest(app, organization_id, bytes(templates[place].filled(own, before)))
            check("the answer is what it must be", answer == answers[place].filled(own, before), True)
            sent[place] += 1
            count += 1

    await asyncio.gather(*map(connection, range(connections)))
    return sent


async def _warm_up(app: App, organization_id: str, load: traffic.Traffic) -> None:
    for body in load.warm_up:
        answer = await intake.ingest(app, organization_id, body)
        check("accepted", answer.count(b'"verdict":"accepted"'), traffic.FRESH)
    await asyncio.sleep(SETTLE_SECONDS)


def _check(app: App, organization_id: str, meter_id: str, expected: traffic.Totals) -> None:
    """Wait until all is projected, and hold the sum of calls against what was sent."""
    while app.usage.mark < app.journal.last:
        time.sleep(0.01)
    column = UsageColumn(meter_id=meter_id, field="calls", function="SUM")
    query = UsageQuery(
        start=None,
        end=None,
        meter_ids=None,
        account_ids=None,
        filters=(),
        columns=(column,),
        groups=(),
        limit=10,
        zone="UTC",
    )
    (answer,) = app.usage.organization(organization_id).query(query)
    assert answer.values[0] is not None
    check("SUM and COUNT of calls", answer.values[0], (expected.calls, expected.count))


def _threads() -> dict[str, float]:
    """Seconds of processor time by thread of the interpreter; the rest of the process's are the engines', whose threads
    come and go."""
    used: dict[str, float] = {}
    for thread in threading.enumerate():
        used[thread.name] = _seconds(Path(f"/proc/self/task/{thread.native_id}/stat"))
    used[OTHERS] = time.process_time() - sum(used.values())
    children: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread of the engine that has ended since
            children += (task / "children").read_text().split()
    used[BESIDE] = sum(_seconds(Path(f"/proc/{each}/stat")) for each in children)
    return used


def _seconds(stat: Path) -> float:
    """Processor time of a thread or a process."""
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--alone", action="store_true", help="one connection, and the projection after all is sent")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="tallystick-bench-"))
    load = traffic.Traffic(datetime.now(UTC).isoformat(), 10_000)
    try:
        with _app(directory) as (app, organization_id, meter_id):
            gc.freeze()
            gc.set_threshold(100_000, 20, 100)  # as the server has it
            sys.setswitchinterval(0.0005)
            projecting = Worker(app)
            uvloop.run(_warm_up(app, organization_id, load))
            stages, before, began = _stages(), _threads(), time.monotonic()
            if not asked.alone:
                projecting.start()
            sent = uvloop.run(_send(app, organization_id, load, 1 if asked.alone else asked.connections, asked.seconds))
            lasted = time.monotonic() - began
            if asked.alone:
                projecting.start()
            _check(app, organization_id, meter_id, load.totals(sent))
            used = {name: seconds - before.get(name, 0.0) for name, seconds in _threads().items()}
            projecting.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    _show(stages, used, 1_000 * sum(sent), lasted)
    return 0


def _show(stages: Stages, used: dict[str, float], count: int, lasted: float) -> None:
    title = f"{count:,} measurements, {count / lasted:,.0f}/s; processor time of one"
    table = Table("thread", "stage", title=title)
    table.add_column("µs", justify="right")
    for thread, seconds in sorted(used.items(), key=lambda item: -item[1]):
        if seconds / count * 1e6 < 0.02:
            continue
        table.add_section()
        table.add_row(thread, "", f"{seconds / count * 1e6:.2f}")
        parts = {stage: each for (name, stage), each in stages.seconds.items() if name == thread}
        for stage, each in sorted(parts.items(), key=lambda item: -item[1]):
            table.add_row("", stage, f"{each / count * 1e6:.2f}")
        if parts:
            table.add_row("", "all else", f"{(seconds - sum(parts.values())) / count * 1e6:.2f}")
    table.add_section()
    table.add_row("together", "", f"{sum(used.values()) / count * 1e6:.2f}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
