"""What the emitter costs the program that calls it.

    python bench/run.py --only emitter

Processor time of the calling thread for each measurement: in memory, and written ahead to a file before `emit`
returns. The whole minute without a server is `python tests/client/outage.py --away 60`.
"""

from __future__ import annotations

import time
from pathlib import Path

from ingest import Options
from results import Figure, percentile

from tallystick.client import Emitter, EmitterSettings

ROUND, ROUNDS = 1_000, 200
NOBODY = "http://127.0.0.1:9"


def emitter(options: Options) -> list[Figure]:
    """The figures of the emitter."""
    rounds = ROUNDS // 10 if options.quick else ROUNDS
    return [
        _cost("emit", "kept in memory", options.directory / "spool-memory", rounds, write_ahead=False),
        _cost("emit, written ahead", "written to a file", options.directory / "spool-ahead", rounds, write_ahead=True),
    ]


def _cost(name: str, workload: str, spool: Path, rounds: int, *, write_ahead: bool) -> Figure:
    settings = EmitterSettings(
        url=NOBODY,
        organization="bench",
        key="k",
        secret="s",  # noqa: S106  no server is there to take it
        spool=spool,
        write_ahead=write_ahead,
        memory_bytes=1 << 30,
        linger_seconds=60,
    )
    sender = Emitter(settings)
    costs = []
    for _ in range(rounds):
        before = time.thread_time()
        for number in range(ROUND):
            sender.emit("llm", "acorn", {"calls": 1, "tokens": number}, what={"model": "small"})
        costs.append((time.thread_time() - before) / ROUND * 1e6)
    sender.close(0)
    costs.sort()
    return Figure(
        name=name,
        workload=f"{rounds * ROUND:,} measurements of two numbers and a text, {workload}; processor time of the caller",
        value=percentile(costs, 50),
        unit="µs",
        p50=percentile(costs, 50),
        p99=percentile(costs, 99),
        spread_unit="µs",
    )
