"""Limits measured beside the product: the disk's fsync rate, a bare chDB insert, bare SQL on what was loaded.

`python limits.py NAME ARGUMENT…` runs one of the chDB limits in a process of its own, as the engine wants it, and
prints a JSON value.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from clickhouse_connect.driver import create_client
from traffic import Traffic

BLOCK = 100_000  # rows of a bare insert
APPEND = b"x" * 4096
FLEET_REPEATS = 7
TABLE = """CREATE TABLE bench.raw (
    uid String, meter LowCardinality(String), account String, ts DateTime64(3, 'UTC'),
    what Tuple(model String), where Tuple(region String),
    measure Tuple(calls Decimal(38, 18), seconds Decimal(38, 18))
) ENGINE = MergeTree ORDER BY (meter, account, ts) SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""


def fsync_rate(directory: Path, seconds: float = 1.0) -> float:
    """How often in a second 4 KiB can be appended to a file and made durable."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        start, done = perf_counter(), 0
        while (took := perf_counter() - start) < seconds:
            os.write(file.fileno(), APPEND)
            os.fdatasync(file.fileno())
            done += 1
    return done / took


def in_own_process(name: str, *arguments: str) -> Any:
    """The answer of one of LIMITS, run in a process of its own."""
    command = [sys.executable, str(Path(__file__)), name, *arguments]
    return msgspec.json.decode(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def raw_insert(directory: str, until: str, accounts: str, seconds: str) -> float:
    """Rows a second that chDB takes of the same measurements as JSONEachRow, fsynced, with nothing around it."""
    templates = Traffic(until, int(accounts)).warm_up
    lines = b"".join(body[len(b'{"measurements":[') : -2].replace(b"},{", b"}\n{") + b"\n" for body in templates)
    count = lines.count(b"\n")
    block = lines * (BLOCK // count)
    client = create_client(interface="chdb", path=directory)
    client.command("CREATE DATABASE bench")
    client.command(TABLE)
    settings = {"date_time_input_format": "best_effort", "insert_deduplicate": 0}
    start, rows = perf_counter(), 0
    while (took := perf_counter() - start) < float(seconds):
        client.raw_insert("bench.raw", insert_block=block, fmt="JSONEachRow", settings=settings)
        rows += count * (BLOCK // count)
    held = int(client.query("SELECT count() FROM bench.raw").result_rows[0][0])
    client.close()
    assert held == rows, f"chDB holds {held} of {rows} rows"
    return rows / took


def bare_sql(directory: str, meter_id: str, start: str, end: str, accounts: str) -> dict[str, list[float]]:
    """Seconds of bare SQL on a stopped server's usage store: one account's month, for each account; the fleet."""
    client = create_client(interface="chdb", path=directory)
    slots = client.query(
        "SELECT number FROM tallystick.slot WHERE field = 'calls' AND meter = {meter:String}", {"meter": meter_id}
    ).result_rows
    column = f"n{int(slots[0][0])}"
    statement = (
        f"SELECT account, count({column}), sum(toDecimal256({column}, 18)) FROM tallystick.measurement "  # noqa: S608  a number
        "WHERE meter = {meter:String} AND ts >= {start:DateTime64(6, 'UTC')} AND ts < {end:DateTime64(6, 'UTC')} "
    )
    bound = {"meter": meter_id, "start": start, "end": end}
    month = statement + "AND account = {account:String} GROUP BY account"
    fleet = statement + "GROUP BY account ORDER BY account"
    times = {
        "month": [_timed(client, month, {**bound, "account": account}) for account in accounts.split(",")],
        "fleet": [_timed(client, fleet, bound) for _ in range(FLEET_REPEATS)],
    }
    client.close()
    return times


def _timed(client: Any, statement: str, bound: dict[str, str]) -> float:
    start = perf_counter()
    rows = client.query(statement, bound).result_rows
    assert rows, "the bare SQL found nothing"
    return perf_counter() - start


def month_around(until: str) -> tuple[datetime, datetime]:
    """The 31 days that end with the day after an instant."""
    day = datetime.fromisoformat(until).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=30), day + timedelta(days=1)


LIMITS: dict[str, Callable[..., object]] = {"raw_insert": raw_insert, "bare_sql": bare_sql}

if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(LIMITS[sys.argv[1]](*sys.argv[2:])))
