"""Kill the server at every step of the hand-over: nothing is lost, and each thing keeps its id, so that whoever counts
by ids counts it once. A real server, killed by SIGKILL, and a real receiver of signed webhooks."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from subprocess import Popen

import httpx
import pytest
from crash_campaign import Stage

from tallystick.failpoints import POINTS, VARIABLE
from tenant import Tenant, new_tenant

# Those of Stripe are in test_stripe_crash.py.
POINTS_HERE = [name for name in POINTS if name.startswith(("outbox.", "handover."))]


class Receiver:
    """Takes webhooks: what came under each id, in order."""

    def __init__(self) -> None:
        self.came: dict[str, list[bytes]] = defaultdict(list)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came[self.headers["webhook-id"]].append(body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test says what it saw."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def names(self) -> Counter[str]:
        """How many ids each account came under."""
        return Counter(str(json.loads(bodies[0])["m3terEvent"]["new"]["code"]) for bodies in self.came.values())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def stage(tmp_path: Path, starter: Popen[str]) -> Iterator[Stage]:
    stage = Stage(tmp_path, starter, {"TALLYSTICK_OUTGOING_ALLOW": "127.0.0.1"})
    yield stage
    stage.kill()


def listening(http: httpx.Client, url: str) -> None:
    hook = http.post("/integrationdestinations/webhooks", json={"name": "counter", "url": url})
    assert hook.status_code == 200, hook.text
    config = {"entityType": "Account", "destination": "WEBHOOK", "destinationId": hook.json()["id"]}
    made = http.post("/integrationconfigs", json=config)
    assert made.status_code == 200, made.text


def make(tenant: Tenant, code: str) -> bool:
    """Create an account; returns whether the server lived to say so."""
    body = {"name": code, "code": code, "emailAddress": "ap@acme.example"}
    try:
        with tenant.http() as http:
            return http.post("/accounts", json=body).status_code == 200
    except httpx.HTTPError:
        return False


def test_whatever_step_the_server_is_killed_at_each_effect_is_there_once_by_its_id(
    stage: Stage, receiver: Receiver
) -> None:
    stage.start()
    assert stage.wait_until_ready()
    tenant = new_tenant(stage)  # type: ignore[arg-type]  # it asks for directory and url alone
    with tenant.http() as http:
        listening(http, receiver.url)
    acknowledged: set[str] = set()
    for place, point in enumerate(POINTS_HERE):
        stage.kill()
        stage.start(**{VARIABLE: f"{point}={1 + place % 2}"})
        if stage.wait_until_ready():
            until, numbers = time.monotonic() + 60, count()
            while stage.alive():
                assert time.monotonic() < until, f"{point} was not reached"
                code = f"{point} {next(numbers)}"
                if make(tenant, code):
                    acknowledged.add(code)
                time.sleep(0.3)  # so that what happens does not become runs all at once
    stage.kill()
    stage.start()
    assert stage.wait_until_ready()
    until = time.monotonic() + 60
    with tenant.http() as http:
        kept = {each["code"] for each in http.get("/accounts", params={"pageSize": 100}).json()["data"]}
        while set(receiver.names()) < kept or unfinished(http):
            assert time.monotonic() < until, (kept - set(receiver.names()), unfinished(http))
            time.sleep(0.05)
    assert acknowledged <= kept, "what was acknowledged is there"
    assert receiver.names() == dict.fromkeys(kept, 1), "each account came under one id, and none that is not there"
    assert all(len(set(bodies)) == 1 for bodies in receiver.came.values()), "a repetition has the same bytes"
    assert any(len(bodies) > 1 for bodies in receiver.came.values()), "the kill after the effect was one"


def unfinished(http: httpx.Client) -> list[str]:
    found = []
    for status in ("WAITING", "STARTED", "AWAITING_RETRY"):
        found += [each["id"] for each in http.get("/integrationruns", params={"status": status}).json()["data"]]
    return found
