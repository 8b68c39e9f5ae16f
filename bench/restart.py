"""Restart after kill -9 on a large data directory: how long until a write is accepted and a duplicate is refused.

The directory is filled through the product's own writers, in a process that ends itself by SIGKILL: the journal frame
by frame, the uid index with its claims, the usage store by one insert. The server then starts on it as after a crash.
Random uids stand for those of customers; 1,000 measurements with real content are sent again at the end. The index may
be given more uids than the journal has measurements: 100 million of them need 4 GB, their measurements 40.

    python bench/restart.py COUNT UIDS BEHIND DIRECTORY ORGANIZATION ACCOUNT METER     the filling process: see `_fill`
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import httpx
from ingest import Options
from results import Figure, check, compare, rounded
from stage import HERE, processor_seconds, resident, tenant_on

from tallystick.cli.launch import Server, free_port
from tallystick.core.measurement import content_digest, uid_key
from tallystick.core.measurement_reading import JournalEntry, pack, read_measurement
from tallystick.core.period import Instant
from tallystick.errors import Rejection
from tallystick.ports import Block
from tallystick.stores.journal_file import FileJournal
from tallystick.stores.uid_index import SortedUidIndex
from tallystick.stores.usage_clickhouse import ClickHouseUsage
from tallystick.stores.usage_clickhouse.connection import DATABASE

FRAME = 10_000  # measurements of a commit group under full load
CLAIMED_AT_ONCE = 50_000
SAMPLE = 1_000  # of them are sent again
BEHIND = 50_000  # uids that a crash takes from the index at most: what it holds in memory


def restarts(options: Options) -> list[Figure]:
    """Seconds from the start of the process until a new measurement is accepted, by how much is stored."""
    prepared = _prepare(options)
    empty = _restart(options, prepared, 0, 0)
    full = _restart(options, prepared, options.stored, 0)
    cut = _restart(options, prepared, options.stored, min(BEHIND, options.stored // 2))
    more = f", {options.uids:,} uids" if options.uids > options.stored else ""
    figures = []
    for name, (seconds, processor, memory) in (
        (f"restart, {options.stored:,} journaled{more}", full),
        (f"restart, {options.stored:,} journaled{more}, index behind", cut),
    ):
        figures.append(
            Figure(
                name=name,
                workload=f"kill -9, then from the start of the process until {SAMPLE:,} of the stored measurements are "
                f"refused as duplicates and a new one is accepted; processor time of the server {processor:.1f} s "
                f"(empty: {empty[1]:.1f} s), then {memory:.0f} MiB.",
                value=rounded(seconds),
                unit="s",
                compared_with=(compare(seconds, "an empty data directory", empty[0], "s"),),
            )
        )
    return figures


@dataclass(frozen=True)
class _Prepared:
    """A directory with an organisation in which nothing was measured yet."""

    data: Path
    organization: str
    account: str
    meter: str
    path: str
    token: str


def _prepare(options: Options) -> _Prepared:
    data = options.directory / "restart"
    with tenant_on(data) as tenant:
        meter = tenant.create(
            "/meters",
            name="LLM",
            code="llm",
            dataFields=[{"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "1"}],
            derivedFields=[],
        )
        account = tenant.create("/accounts", name="Acme", code="acme", emailAddress="someone@example.invalid")
        return _Prepared(data, tenant.id, account, meter, tenant.path("/measurements"), tenant.token)


def _restart(options: Options, prepared: _Prepared, stored: int, behind: int) -> tuple[float, float, float]:
    """Fill a copy, start, write; gives seconds, processor seconds and resident MiB."""
    data = options.directory / f"restart-{stored}-{behind}"
    shutil.copytree(prepared.data, data, ignore=shutil.ignore_patterns("usage"))  # its own, where it lies, is empty
    path, token = prepared.path, prepared.token
    if stored:
        counts = [str(stored), str(options.uids), str(behind)]
        arguments = [*counts, str(data), prepared.organization, prepared.account, prepared.meter]
        ended = subprocess.run([sys.executable, str(HERE / "restart.py"), *arguments], check=False)
        check("the filling process", ended.returncode, -signal.SIGKILL)
    began = perf_counter()
    server = Server(data, free_port(), {})
    try:
        server.wait_until_ready()
        with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
            verdicts = _send(client, path, [_original(number) for number in range(SAMPLE)])
            check("verdicts", verdicts, ["duplicate" if stored else "accepted"] * SAMPLE)
            check("a new one", _send(client, path, [_original(-1)]), ["accepted"])
        seconds = perf_counter() - began
        return seconds, processor_seconds(server.process.pid), resident(server.process.pid)
    finally:
        server.stop()


def _send(client: httpx.Client, path: str, members: list[bytes]) -> list[str]:
    reply = client.post(path, content=b'{"measurements":[' + b",".join(members) + b"]}")
    check("status", reply.status_code, 200)
    return [each["verdict"] for each in reply.json()["measurements"]]


def _original(number: int) -> bytes:
    return (
        f'{{"uid":"sample-{number}","meter":"llm","account":"acme","ts":"2025-06-01T00:00:00Z",'
        f'"measure":{{"tokens":{abs(number)}}},"metadata":{{"request":"{number:0100d}"}}}}'
    ).encode()


def _fill(stored: int, uids: int, behind: int, data: Path, organization: str, account: str, meter: str) -> None:
    """Append `stored` measurements, the sample last; claim all uids but the last `behind`, and others until there are
    `uids`; end as by kill -9."""
    journal = FileJournal(data / "journal", segment_bytes=268_435_456)
    index = SortedUidIndex(data / "uids")
    for first in range(stored, uids, CLAIMED_AT_ONCE):
        count = min(CLAIMED_AT_ONCE, uids - first)
        keys = [os.urandom(16) for _ in range(count)]
        index.put(keys, [bytes(16)] * count, 1, 0)
    received = Instant.of(datetime.now(UTC))
    filler = _original(10**6)
    for first in range(0, stored, FRAME):
        count = min(FRAME, stored - first)
        keys = []
        contents: list[bytes] = []
        entries: list[bytes] = []
        for number in range(first, first + count):
            place = number - (stored - SAMPLE)
            uid = f"sample-{place}" if place >= 0 else f"filler-{number}"
            original = _original(place) if place >= 0 else filler
            entry = JournalEntry(account_id=account, meter_id=meter, meter_version=1, uid=uid, original=original)
            entries.append(pack(entry))
            keys.append(uid_key(organization, uid))
            contents.append(_digest(original) if place >= 0 else bytes(16))
        (block,) = journal.append(
            [Block(organization_id=organization, kind="measurement", received=received, entries=entries)]
        )
        if block.last <= stored - behind:
            index.put(keys, contents, block.first, block.last)
    usage = ClickHouseUsage(data / "usage")
    connection = usage._connection
    rows = (
        f"INSERT INTO {DATABASE}.measurement"  # noqa: S608  ids of ours and whole numbers
        " (organization, meter, account, uid, position, ts, received)"
        f" SELECT '{organization}', '{meter}', '{account}', 'filler-' || toString(number), number,"
        f" toDateTime64('2025-06-01 00:00:00', 6, 'UTC'), now64(6, 'UTC') FROM numbers(1, {stored})"
    )
    connection.command(rows)
    connection.command(f"INSERT INTO {DATABASE}.mark VALUES ({stored})")  # noqa: S608  a whole number
    os.kill(os.getpid(), signal.SIGKILL)


def _digest(original: bytes) -> bytes:
    measurement = read_measurement(original)
    assert not isinstance(measurement, Rejection)
    return content_digest(measurement)


if __name__ == "__main__":
    _fill(*map(int, sys.argv[1:4]), Path(sys.argv[4]), *sys.argv[5:8])
