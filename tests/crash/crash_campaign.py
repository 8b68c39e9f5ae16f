"""A campaign: senders send, the server is killed in many ways, again and again, and the oracle says what came of it."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import crash_power
from crash_oracle import BILLED_MONTH, PRICE, Expected, Reader, compare, read_logs
from crash_sender import Address, Pace, Sender

from tallystick.cli.launch import HOST, free_port
from tallystick.failpoints import BILLS, EXPORTS, HAND_OVER, POINTS, VARIABLE
from tenant import Tenant, new_tenant

HERE = Path(__file__).parent
START_SECONDS = 180  # on a machine that does much else, starts are slow
STEADY = Pace()
ALIVE_SECONDS = 0.4  # how long a server lives at most that is killed at a random time
# The places on the way of measurements and bills; those of the hand-over have a test of their own.
PLACES = [name for name in POINTS if not name.startswith((*HAND_OVER, EXPORTS))]
SETTINGS = {
    "TALLYSTICK_SEGMENT_BYTES": "100000",
    "TALLYSTICK_PROJECT_ROWS": "2000",
    "TALLYSTICK_BILL_CHUNK": "7",
    "TALLYSTICK_GATHERED_UIDS": "100",
}


class DidNotStart(Exception):
    """The server ended, or did not answer, before it was ready."""


@contextmanager
def launcher() -> Iterator[subprocess.Popen[str]]:
    """The process that starts servers."""
    # What it loads must start no threads, since it forks: neither Arrow's allocator nor numpy's linear algebra.
    alone = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "crash_launcher.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **alone},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


class Stage:
    """One data directory and the server on it. `directory` and `url` make it a server for `new_tenant`."""

    def __init__(self, where: Path, starter: subprocess.Popen[str], environment: Mapping[str, str]) -> None:
        self.directory = where / "data"
        self.record = where / "synced.record"
        self.log = where / "server.log"
        self.logs = where / "intents"
        self.logs.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._starter = starter
        self._environment = {"CRASH_RECORD": str(self.record), **SETTINGS, **environment}
        self._group: int | None = None
        self._failpoint = False

    def start(self, **environment: str) -> None:
        """Start a server; it is not ready yet."""
        assert self._group is None
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._failpoint = VARIABLE in environment
        wanted = {
            "arguments": ["serve", "--data", str(self.directory), "--host", HOST, "--port", str(self.port)],
            "environment": {**self._environment, "TALLYSTICK_DATA": str(self.directory), **environment},
            "log": str(self.log),
        }
        self._starter.stdin.write(json.dumps(wanted) + "\n")
        self._starter.stdin.flush()
        self._group = int(self._starter.stdout.readline())

    def wait_until_ready(self) -> bool:
        """True once the server answers; False when it was killed at a failpoint on the way. DidNotStart else."""
        until = time.monotonic() + START_SECONDS
        while not self._healthy():
            if not self.alive():
                said = self.log.read_text(errors="replace").rpartition("serving ")[2]
                if self._failpoint and "startup failed" not in said:
                    return False
                raise DidNotStart(said)
            if time.monotonic() > until:
                raise DidNotStart(f"no answer within {START_SECONDS} s; {self._stacks()}")
            time.sleep(0.01)
        return True

    def _stacks(self) -> str:
        """Where the threads of a server that hangs are."""
        assert self._group is not None
        size = self.log.stat().st_size
        os.killpg(self._group, signal.SIGUSR2)  # see crash_launcher.STACKS
        time.sleep(1)  # they are written one after the other
        with self.log.open("rb") as log:
            log.seek(size)
            return log.read().decode(errors="replace")

    def alive(self) -> bool:
        """Whether any process of the server is left."""
        assert self._group is not None
        try:
            os.killpg(self._group, 0)
        except ProcessLookupError:
            return False
        return True

    def processes(self) -> list[int]:
        """All processes of the server."""
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.getpgid(int(each.name)) == self._group:
                    found.append(int(each.name))
        return found

    def kill(self) -> None:
        """End the server at once, as far as it has not ended itself, and wait until it is gone."""
        if self._group is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        while self.alive():
            time.sleep(0.002)
        self._group = None

    def stop(self, within: float = 30) -> float:
        """Ask the server to drain and stop; gives how long it took. AssertionError when it does not."""
        assert self._group is not None
        began = time.monotonic()
        os.kill(self._group, signal.SIGTERM)
        while self.alive():
            assert time.monotonic() - began < within, f"still there {within} s after SIGTERM"
            time.sleep(0.002)
        self._group = None
        return time.monotonic() - began

    def cut(self, chance: random.Random, *, harsh: bool = False) -> str:
        """Cut the power of the server, which was killed."""
        assert self._group is None
        return crash_power.cut(self.directory, self.record, chance, harsh=harsh)

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@dataclass
class Shop:
    """What the senders' measurements belong to."""

    tenant: Tenant
    token: str
    meter_id: str

    @property
    def path(self) -> str:
        return f"/organizations/{self.tenant.id}/measurements"

    def reader(self, port: int) -> Reader:
        return Reader(HOST, port, self.tenant.id, self.token)


def open_shop(stage: Stage, accounts: int) -> Shop:
    """A meter, a price for a call, and accounts on it, on the running server."""
    tenant = new_tenant(stage)  # type: ignore[arg-type]  # it asks for directory and url alone
    with tenant.http() as http_client:

        def create(path: str, **body: Any) -> str:
            reply = http_client.post(path, json=body)
            assert reply.status_code == http.client.OK, reply.text
            return str(reply.json()["id"])

        product = create("/products", name="Cloud", code="cloud")
        fields = [
            {"code": "model", "name": "Model", "category": "WHAT"},
            {"code": "calls", "name": "Calls", "category": "MEASURE", "unit": "1"},
            {"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "1"},
        ]
        meter = create("/meters", productId=product, name="LLM", code="llm", dataFields=fields, derivedFields=[])
        template = create(
            "/plantemplates",
            productId=product,
            name="Monthly",
            code="monthly",
            currency="USD",
            billFrequency="MONTHLY",
            standingCharge=0,
        )
        plan = create("/plans", planTemplateId=template, name="Plan", code="plan")
        calls = create(
            "/aggregations",
            meterId=meter,
            name="Calls",
            code="calls",
            targetField="calls",
            aggregation="SUM",
            quantityPerUnit=1,
            rounding="NONE",
            unit="calls",
        )
        start = f"{BILLED_MONTH}-01T00:00:00Z"
        bands = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": str(PRICE)}]
        create("/pricings", planId=plan, aggregationId=calls, startDate=start, cumulative=True, pricingBands=bands)
        for number in range(accounts):
            code = f"account-{number:03d}"
            account = create("/accounts", name=code, code=code, emailAddress="someone@example.invalid")
            create("/accountplans", accountId=account, planId=plan, startDate=start)
        return Shop(tenant, http_client.headers["authorization"].removeprefix("Bearer "), meter)


def run_bills(reader: Reader, within: float = 120) -> None:
    """Bill the month, and wait until it is done."""
    job = reader.ask("POST", "/billjobs", {"lastDateInBillingPeriod": f"{BILLED_MONTH}-31"})
    until = time.monotonic() + within
    while job["status"] != "COMPLETE":
        assert time.monotonic() < until, f"the bill job is {job['status']} after {within} s"
        time.sleep(0.05)
        job = reader.ask("GET", f"/billjobs/{job['id']}")


@dataclass
class Score:
    """What happened so far."""

    kills: Counter[str] = field(default_factory=Counter)
    reached: set[str] = field(default_factory=set)  # failpoints at which a server ended itself
    cuts: int = 0
    restart_seconds: list[float] = field(default_factory=list)
    checks: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class Campaign:
    """Senders and a server on a stage. `between` is asked after every kill whether it is enough."""

    stage: Stage
    shop: Shop
    senders: list[Sender]
    chance: random.Random
    score: Score = field(default_factory=Score)
    patience: float = 20.0  # a place that is not reached within so many seconds is not waited for any longer
    between: Callable[[Campaign], bool] = lambda _: False

    @property
    def unknown(self) -> int:
        return sum(sender.unknown for sender in self.senders)

    @property
    def acknowledged(self) -> int:
        return sum(sender.acknowledged for sender in self.senders)

    def run(self, plans: Iterator[tuple[str, int]], *, cut_share: float) -> None:
        """Kill the running server once for each plan (`random_plans`), and start it again."""
        for name, times in plans:
            self.stage.kill()
            self.score.kills[name] += 1
            if self.chance.random() < cut_share:
                self.stage.cut(self.chance)
                self.score.cuts += 1
            began = time.monotonic()
            if name in POINTS:
                self.stage.start(**{VARIABLE: f"{name}={times}"})
            else:
                self.stage.start()
            if name == "while starting":
                time.sleep(self.chance.random() * 0.5)
            elif not self.stage.wait_until_ready():
                self.score.reached.add(name)
            else:
                self.score.restart_seconds.append(time.monotonic() - began)
                self.live(name)
            if self.between(self):
                break
        self._restart()

    def live(self, name: str, until: float | None = None) -> None:
        """Let the server live until it is to be killed: at a failpoint, after a random time, or after `until` s."""
        failures = self._failures()
        if name.startswith(BILLS):
            with suppress(OSError, http.client.HTTPException):
                self.shop.reader(self.stage.port).ask(
                    "POST", "/billjobs", {"lastDateInBillingPeriod": f"{BILLED_MONTH}-31"}
                )
        longest = until or (self.patience if name in POINTS else ALIVE_SECONDS * self.chance.random())
        end = time.monotonic() + longest
        while time.monotonic() < end:
            if self._failures() > failures:
                self.score.reached.add(name)
                return
            time.sleep(0.01)

    def wait_for(self, measurements: int) -> None:
        """Return once so many are acknowledged."""
        while self.acknowledged < measurements:
            time.sleep(0.002)

    def _failures(self) -> int:
        return sum(sender.failures for sender in self.senders)

    def _restart(self) -> None:
        """A server that nothing happens to."""
        self.stage.kill()
        self.stage.start()
        assert self.stage.wait_until_ready()

    def interim_check(self) -> list[str]:
        """Ask the oracle while the senders pause."""
        self._restart()
        for sender in self.senders:
            sender.pause()
        faults = self.compare(read_logs(self.stage.logs))
        for sender in self.senders:
            sender.go_on()
        return faults

    def check(self) -> list[str]:
        """Let the senders come to an end, bill, and ask the oracle. The server must be running."""
        for sender in self.senders:
            sender.finish()
        for sender in self.senders:
            sender.join(60)
            assert not sender.is_alive(), f"{sender.name} got no answer"
        expected = read_logs(self.stage.logs)
        assert not expected.unanswered, "every sender has had its answer"
        return self.compare(expected)

    def compare(self, expected: Expected) -> list[str]:
        """What the oracle says."""
        reader = self.shop.reader(self.stage.port)
        run_bills(reader)
        self.score.checks += 1
        self.score.faults = compare(expected, reader, self.shop.meter_id)
        return self.score.faults


def begin(
    where: Path,
    starter: subprocess.Popen[str],
    *,
    seed: int,
    accounts: int = 20,
    senders: int = 3,
    pace: Pace = STEADY,
    **environment: str,
) -> Campaign:
    """A campaign on an empty directory: the server runs, the senders have begun."""
    stage = Stage(where, starter, environment)
    stage.start()
    assert stage.wait_until_ready()
    shop = open_shop(stage, accounts)
    address = Address(HOST, stage.port, shop.path, shop.token)
    made = [
        Sender(f"s{seed}x{number}", address, stage.logs / f"{number}.intents", accounts, pace)
        for number in range(senders)
    ]
    for sender in made:
        sender.start()
    return Campaign(stage, shop, made, random.Random(seed))


def random_plans(chance: random.Random) -> Iterator[tuple[str, int]]:
    """For ever: at a random time, while starting, at the n-th fsync, or at any other failpoint."""
    while True:
        kind = chance.choices(("random time", "while starting", "fsync", "point"), (4, 1, 3, 3))[0]
        if kind == "fsync":
            yield chance.choice(("journal.written", "journal.synced")), chance.randint(1, 12)
        elif kind == "point":
            yield chance.choice(PLACES), chance.randint(1, 3)
        else:
            yield kind, 1
