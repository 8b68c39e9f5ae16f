"""A slow, looping, redirecting or private webhook target harms nothing else: on a running server, with real receivers.

The private target could be reached when it was entered: the operator has narrowed what may be reached since.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from receivers import Receiver, answering, receiving, silent
from storefront import Storefront, read, send

from tallystick.cli.launch import free_port, launched
from tenant import Tenant, new_tenant

PATH = "/integrationdestinations/webhooks"
EVENTS = 20
SLOW_SECONDS = 30  # that an attempt may take: longer than all of this test


def webhook(http: httpx.Client, name: str, url: str) -> str:
    """A webhook that is sent every failure of ingest."""
    made: str = read(send(http, "POST", PATH, {"name": name, "url": url}))["id"]
    link = {
        "entityType": "Event",
        "destination": "WEBHOOK",
        "destinationId": made,
        "configData": {"eventNames": ["ingest.*"]},
        "name": name,
    }
    read(send(http, "POST", "/integrationconfigs", link))
    return made


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def ids_of(receiver: Receiver) -> list[str]:
    return [json.loads(each.partition(b"\r\n\r\n")[2])["id"] for each in receiver.requests]


def deliveries(http: httpx.Client, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(http.get(f"{PATH}/{id}/deliveries?pageSize=200"))["data"]
    return found


def test_bad_targets_harm_nothing_else(tmp_path: Path) -> None:
    with ExitStack() as stack:
        private = stack.enter_context(receiving(answering("200 OK")))
        healthy = stack.enter_context(receiving(answering("200 OK")))
        slow = stack.enter_context(receiving(silent))
        loop = stack.enter_context(receiving(answering("302 Found", "Location: /hook")))
        moved = stack.enter_context(receiving(answering("307 Moved", f"Location: {private.url()}")))
        everything = {"TALLYSTICK_OUTGOING_ALLOW": "127.0.0.1,localhost"}
        with launched(tmp_path, free_port(), everything) as server:
            tenant = new_tenant(server)
            with tenant.http() as http:
                store = Storefront(http)
                ids = {
                    "slow": webhook(http, "slow", slow.url()),
                    "loop": webhook(http, "loop", loop.url()),
                    "moved": webhook(http, "moved", moved.url()),
                    "private": webhook(http, "private", f"https://localhost:{private.port}/hook"),
                    "healthy": webhook(http, "healthy", healthy.url()),
                }
        assert private.connections == 0
        listed = ",".join(f"127.0.0.1:{each.port}" for each in (healthy, slow, loop, moved))
        narrowed = {"TALLYSTICK_OUTGOING_ALLOW": listed, "TALLYSTICK_HANDOVER_SECONDS": str(SLOW_SECONDS)}
        with launched(tmp_path, free_port(), narrowed) as server:
            tenant = Tenant(url=server.url, data=tmp_path, id=tenant.id, key=tenant.key, secret=tenant.secret)
            with tenant.http() as http:
                store.http = http
                show(store, http, ids, healthy, slow)
            assert len(slow.requests) == 4, "it holds the few threads of its own, and no other"
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 8, "whoever stops the server does not wait for a slow target"
        assert (private.connections, private.requests) == (0, [])
        assert len(loop.requests) <= len(set(ids_of(loop))) * 3, "a redirect is an answer: it is tried again later"


def show(store: Storefront, http: httpx.Client, ids: dict[str, str], healthy: Receiver, slow: Receiver) -> None:
    """Usage comes in, some of it wrong, and a bill is made, while the bad targets do what they do."""
    wrong = [
        {"uid": f"wrong {number}", "meter": "nothing", "account": "acme", "ts": "2025-01-05T00:00:00Z", "measure": {}}
        for number in range(EVENTS)
    ]
    for each in wrong:
        read(send(http, "POST", "/measurements", {"measurements": [each]}))
    until(lambda: len(slow.requests) == 4)
    right = {"meter": "traffic", "account": "acme", "ts": "2025-01-05T00:00:00Z", "measure": {"bytes": 5}}
    right |= {"who": {"user": "a"}, "where": {"region": "eu"}, "metadata": {"file": "a"}}
    store.measure(*({**right, "uid": f"right {number}"} for number in range(500)))
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}))
    until(lambda: read(http.get(f"/billjobs/{job['id']}"))["status"] == "COMPLETE")
    assert read(http.get("/bills"))["data"] != []
    events = {each["id"] for each in read(http.get("/events?eventName=ingest.validation.failure"))["data"]}
    until(lambda: set(ids_of(healthy)) == events)
    assert len(ids_of(healthy)) == len(events) == EVENTS, "each once"
    # All of it while the slow target has not answered a single attempt: nobody waited for it.
    assert deliveries(http, ids["slow"]) == []
    until(lambda: len(deliveries(http, ids["private"])) >= EVENTS)
    said = {(each["outcome"], each["error"]) for each in deliveries(http, ids["private"])}
    assert [outcome for outcome, _ in said] == ["NOT_SENT"]
    assert "a loopback address" in said.pop()[1]
    for name in ("loop", "moved"):
        until(lambda name=name: len(deliveries(http, ids[name])) >= EVENTS)  # type: ignore[misc]  # bound at once
        assert {each["statusCode"] for each in deliveries(http, ids[name])} <= {302, 307}
