"""What a measurement runs on: a real server process on an empty directory, an organisation, and the load process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from load import Line, Result, Spec
from results import CheckFailed
from rich.progress import Progress

from tallystick.cli import line
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, signed_in
from tallystick.cli.launch import Server, free_port, launched
from tallystick.core import wire

HERE = Path(__file__).parent
VISIBLE_WITHIN_SECONDS = 300
SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class Tenant:
    """An organisation of the running server, and a client and a token signed in to it."""

    server: Server
    client: Client
    token: str
    id: str

    @property
    def host(self) -> str:
        return urlsplit(self.server.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.server.url).port or 0

    def path(self, rest: str) -> str:
        """A path within the organisation."""
        return f"/organizations/{self.id}{rest}"

    def create(self, path: str, **body: object) -> str:
        """Create an entity; gives its id."""
        made: dict[str, Any] = self.client.post(path, body)
        return str(made["id"])


@contextmanager
def tenant_on(directory: Path) -> Iterator[Tenant]:
    """A server on an empty directory, with one organisation; stopped in order at the end."""
    with launched(directory, free_port()) as server, tenant_of(server) as tenant:
        yield tenant


@contextmanager
def tenant_of(server: Server) -> Iterator[Tenant]:
    """A new organisation of a running server."""
    with Connection(data=server.directory).operator() as operator:
        body = wire.encode({"name": "Bench", "currency": "USD"})
        made = wire.decode(dict[str, str], operator.raw("POST", "/operator/organizations", body, again=False).content)
    with line.over_network() as send:
        client = signed_in(send, server.url, made["apiKey"], made["apiSecret"])
        client.organization = made["orgId"]
        yield Tenant(server, client, _token(client, made["apiKey"], made["apiSecret"]), made["orgId"])


def _token(client: Client, key: str, secret: str) -> str:
    basic = "Basic " + b64encode(f"{key}:{secret}".encode()).decode()
    grant = wire.encode({"grant_type": "client_credentials"})
    reply = client.raw("POST", "/oauth/token", grant, again=True, authorization=basic)
    return str(wire.decode(dict[str, Any], reply.content)["access_token"])


def run_load(spec: Spec, progress: Progress, title: str, begun: Callable[[], None] = lambda: None) -> Result:
    """Run the load process to its end; `begun` is called after its warm-up. Raises CheckFailed when an answer was not
    what it must be."""
    task = progress.add_task(title, total=spec.seconds)
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, str(HERE / "load.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    result: Result | None = None
    try:
        process.stdin.write(msgspec.json.encode(spec))
        process.stdin.close()
        for text in process.stdout:
            said = msgspec.json.decode(text, type=Line)
            if said.result is None and not said.answered:
                begun()
            result = said.result
            progress.update(task, completed=min(time.monotonic() - start, spec.seconds))
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()
    progress.update(task, completed=spec.seconds)
    if result is None or result.failure:
        raise CheckFailed(f"{title}: {result.failure if result else 'the load process failed'}")
    return result


def usage_sums(tenant: Tenant, meter_id: str, field: str) -> tuple[int, Decimal]:
    """COUNT and SUM of a field of a meter over everything, by the usage query."""
    asked = [
        {"meterId": meter_id, "fieldCode": field, "fieldType": "MEASURE", "function": function}
        for function in ("COUNT", "SUM")
    ]
    rows = tenant.client.post("/usage/query", {"aggregations": asked})["data"]
    row = rows[0] if rows else {}
    return int(row.get(f"{field}.COUNT") or 0), Decimal(row.get(f"{field}.SUM") or 0)


def wait_visible(tenant: Tenant, meter_id: str, field: str, count: int) -> tuple[float, Decimal]:
    """Wait until so many measurements are in usage queries; gives the seconds it took and the sum of the field.

    Raises CheckFailed when there are more, or not enough after a while.
    """
    start = time.monotonic()
    while True:
        found, total = usage_sums(tenant, meter_id, field)
        waited = time.monotonic() - start
        if found == count:
            return waited, total
        if found > count or waited > VISIBLE_WITHIN_SECONDS:
            raise CheckFailed(f"usage query: counts {found:,} measurements, but {count:,} were accepted")
        time.sleep(0.05)


class Watch:
    """What is used while it is entered: by the server `peak` resident MiB and `seconds` of processor time, and by
    programs other than server and load `others`, their share of the machine's processors.

    Processor time is the figure to trust on a machine that others use too.
    """

    def __init__(self, server: Server) -> None:
        self._pid = server.process.pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0.0
        self.seconds = 0.0
        self.others = 0.0

    def begin(self) -> None:
        """Count processor time from here on, not from entering."""
        self._start = self._used()

    def __enter__(self) -> Watch:
        self.begin()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        elapsed, server, own, busy = (now - before for now, before in zip(self._used(), self._start, strict=True))
        self.seconds = server
        self.others = max(0.0, busy - server - own) / (elapsed * (os.cpu_count() or 1))
        self._stop.set()
        self._thread.join()

    def _used(self) -> tuple[float, float, float, float]:
        """Seconds so far: of the clock, and of processors by the server, by this process and the load, by everyone."""
        own = sum(os.times()[:4])
        return time.monotonic(), processor_seconds(self._pid), own, busy_seconds()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, resident(self._pid))


def resident(pid: int) -> float:
    """Resident memory of a process and its children, in MiB; pages they share are counted once per process."""
    total = 0.0
    for each in [pid, *descendants(pid)]:
        try:
            status = Path(f"/proc/{each}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmRSS")) / 1024
    return total


def busy_seconds() -> float:
    """Processor time that all programs of the machine have used."""
    user, nice, system, _idle, _wait, interrupt, soft, stolen = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, interrupt, soft, stolen))) / os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """Processor time that a process and its children have used, those that have ended included, in user and in kernel
    mode."""
    ticks = 0
    for each in [pid, *descendants(pid)]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found
