"""`tallystick event` and `tallystick integration`: what happened, what came of it, and handing over again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import httpx
from storefront import read, send

Run = Callable[..., str]
LOST = {"uid": "one", "meter": "nothing", "account": "acme", "ts": "2025-01-10T12:00:00Z", "measure": {"bytes": 1}}


def test_a_hand_over_that_fails_is_seen_and_done_again(command: Run, http: httpx.Client) -> None:
    told = {"eventNames": ["ingest.validation.failure"], "to": ["erp@acme.example"]}  # there is no mail server
    config = {"entityType": "Event", "destination": "EMAIL", "name": "To the ERP", "configData": told}
    made = read(send(http, "POST", "/integrationconfigs", config))["id"]
    assert "To the ERP" in command("integration", "list")
    assert json.loads(command("integration", "list", "--json"))[0]["id"] == made
    read(send(http, "POST", "/measurements", {"measurements": [LOST]}))
    until = time.monotonic() + 30
    while not (failed := json.loads(command("integration", "runs", "--status", "error", "--json"))):
        assert time.monotonic() < until
    (run,) = failed
    assert run["error"] in command("integration", "runs", "--integration", made, "--limit", "5").replace("\n", " ")
    (event,) = json.loads(command("event", "list", "--name", "ingest.validation.failure", "--json"))
    assert [each["id"] for each in json.loads(command("event", "show", event["id"]))["integrationRuns"]] == [run["id"]]
    assert "integration.perform.error" in command("event", "list", "--about", run["id"])
    assert "is handed over again" in command("integration", "retry", run["id"])
    assert "is disabled" in command("integration", "disable", made)
    assert "disabled" in command("integration", "list")
    assert "is enabled" in command("integration", "enable", made)
