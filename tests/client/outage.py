"""The emitter under load while the server is killed and stays away: what was emitted against what was counted.

    python tests/client/outage.py [--away 60] [--rate 2000] [--processes 2]

Each emitting process writes nothing down but the number of what it emitted: measurement n of a process has the value
n, so that their count and their sum say whether one is missing, and whether one counted twice.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

# Run as a program: what the tests find through pytest's settings.
sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "api"))

from storefront import read, send

from tallystick.cli.launch import Server, free_port
from tenant import Tenant, new_tenant

SENDER = """
import sys, time
from tallystick.client import Emitter, EmitterSettings
url, organization, key, secret, spool, account, rate = sys.argv[1:]
emitter = Emitter(EmitterSettings(url=url, organization=organization, key=key, secret=secret, spool=spool,
                                  exit_seconds=60))
emitter.emit("llm", account, {"calls": 1})
assert emitter.flush(60)
print("emitting", flush=True)
began, number, step = time.monotonic(), 1, max(1, int(rate) // 100)
import threading
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
while not stop.is_set():
    for _ in range(step):
        number += 1
        emitter.emit("llm", account, {"calls": number})
    time.sleep(max(0.0, began + number / int(rate) - time.monotonic()))
assert emitter.flush(120), "the server did not take all in time"
print(number, emitter.stats().spooled, emitter.stats().dropped, emitter.stats().duplicates, flush=True)
"""


class Counted(NamedTuple):
    """What became of the measurements of one process."""

    emitted: int
    spooled: int
    dropped: int
    count: int
    sum: int

    @property
    def exactly_once(self) -> bool:
        """Whether each was counted, and none twice: the numbers 1 to n."""
        return self.count == self.emitted and self.sum == self.emitted * (self.emitted + 1) // 2


def outage(directory: Path, *, away: float, rate: int, processes: int, before: float = 1.0) -> list[Counted]:
    """Emit from some processes, kill the server, start it again after a while, and count."""
    port, data = free_port(), directory / "data"
    data.mkdir()
    first = Server(data, port, {})
    senders: list[subprocess.Popen[str]] = []
    try:
        first.wait_until_ready()
        tenant = new_tenant(first)
        meter = _configure(tenant, processes)
        senders = [_sender(tenant, directory / "spool", f"account-{each}", rate) for each in range(processes)]
        assert all(each.stdout and each.stdout.readline() == "emitting\n" for each in senders)
        time.sleep(before)
        first.kill()
        first.process.wait()
        time.sleep(away)
        second = Server(data, port, {})
        try:
            second.wait_until_ready()
            time.sleep(before)
            said = [each.communicate("stop\n", timeout=180)[0].split() for each in senders]
            return [_counted(tenant, meter, at, list(map(int, each))) for at, each in enumerate(said)]
        finally:
            second.stop()
    finally:
        first.kill()
        for each in senders:
            each.kill()


def _configure(tenant: Tenant, accounts: int) -> str:
    with tenant.http() as http:
        fields = [{"code": "calls", "name": "Calls", "category": "MEASURE", "unit": "1"}]
        body = {"name": "LLM", "code": "llm", "dataFields": fields, "derivedFields": []}
        meter = read(send(http, "POST", "/meters", body))["id"]
        for each in range(accounts):
            account = {"name": f"Account {each}", "code": f"account-{each}", "emailAddress": "someone@example.invalid"}
            read(send(http, "POST", "/accounts", account))
        return str(meter)


def _sender(tenant: Tenant, spool: Path, account: str, rate: int) -> subprocess.Popen[str]:
    arguments = [tenant.url, tenant.id, tenant.key, tenant.secret, str(spool), account, str(rate)]
    return subprocess.Popen(
        [sys.executable, "-c", SENDER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _counted(tenant: Tenant, meter: str, number: int, said: list[int]) -> Counted:
    emitted, spooled, dropped, _ = said
    column = {"meterId": meter, "fieldCode": "calls", "fieldType": "MEASURE"}
    until = time.monotonic() + 20
    with tenant.http() as http:
        accounts = {each["code"]: each["id"] for each in read(http.get("/accounts"))["data"]}
        query = {
            "accountIds": [accounts[f"account-{number}"]],
            "aggregations": [{**column, "function": "COUNT"}, {**column, "function": "SUM"}],
        }
        while True:
            rows = read(send(http, "POST", "/usage/query", query))["data"]
            count, total = (int(rows[0][f"calls.{each}"]) if rows else 0 for each in ("COUNT", "SUM"))
            if count >= emitted or time.monotonic() > until:
                return Counted(emitted, spooled, dropped, count, total)
            time.sleep(0.1)


def main() -> int:
    """Run it, and say what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--away", type=float, default=60)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as where:
        found = outage(Path(where), away=options.away, rate=options.rate, processes=options.processes, before=5)
    for number, each in enumerate(found):
        print(f"process {number}: {each}; {'each counted once' if each.exactly_once else 'NOT the same'}")
    return 0 if all(each.exactly_once for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
