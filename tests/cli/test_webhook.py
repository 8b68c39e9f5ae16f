"""`tallystick webhook`: made with a secret printed once, changed, tested, switched, delivered again, deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from storefront import read, send

Run = Callable[..., str]
HOOK = "https://hooks.invalid/in"  # a name that never has an address
LOST = {"uid": "one", "meter": "nothing", "account": "acme", "ts": "2025-01-10T12:00:00Z", "measure": {"bytes": 1}}


def test_a_webhook_from_its_making_to_its_end(command: Run, tmp_path: Path) -> None:
    made = command("webhook", "create", "Ledger", HOOK, "--code", "ledger", "--event", "billing.*", "--event", "plan.*")
    assert "its secret, shown this once: whsec_" in made
    (row,) = json.loads(command("webhook", "list", "--json"))
    assert "whsec_" not in json.dumps(row)
    assert all(each in command("webhook", "list") for each in ("ledger", HOOK, " on"))
    (link,) = json.loads(command("webhook", "show", row["id"]))["integrations"]
    assert link["configData"]["eventNames"] == ["billing.*", "plan.*"]
    secret = tmp_path / "secret"
    secret.write_text("our-own-secret\n")
    assert "is changed" in command(
        "webhook", "update", "ledger", "--name", "Main ledger", "--api-key-file", str(secret)
    )
    changed = json.loads(command("webhook", "show", "ledger"))
    assert {key: changed[key] for key in ("name", "url", "code", "active")} == {
        "name": "Main ledger",
        "url": HOOK,
        "code": "ledger",
        "active": True,
    }
    assert "has another secret" in command("webhook", "rotate", "ledger", "--overlap-hours", "2")
    mine = command("webhook", "rotate", "ledger", "--secret-file", str(secret), "--overlap-hours", "0")
    assert "whsec_" not in mine, "a secret of one's own is not printed"
    assert "our-own-secret" not in mine
    assert "is switched off" in command("webhook", "deactivate", "ledger")
    assert " off" in command("webhook", "list")
    assert "is switched on" in command("webhook", "activate", "ledger")
    assert row["id"] in command("webhook", "delete", "ledger", code=1)
    assert "is deleted" in command("webhook", "delete", "ledger", "--with-integrations")
    assert json.loads(command("integration", "list", "--json")) == []


def test_what_did_not_arrive_is_seen_and_sent_again(command: Run, http: httpx.Client) -> None:
    command("webhook", "create", "Ledger", HOOK, "--code", "ledger", "--event", "ingest.*")
    read(send(http, "POST", "/measurements", {"measurements": [LOST]}))
    until = time.monotonic() + 30
    while not (failed := json.loads(command("webhook", "deliveries", "ledger", "--outcome", "failed", "--json"))):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert failed[0]["id"] in command("webhook", "deliveries", "ledger", "--limit", "5")
    under_way = "0 are delivered again, 1 are under way already"
    assert under_way in command("webhook", "replay", "ledger", failed[0]["id"])
    assert under_way in command("webhook", "replay", "ledger", "--since", "2025-01-01T00:00:00Z", "--failed-only")
    before = ("--since", "2025-01-01T00:00:00Z", "--until", "2025-01-02T00:00:00Z")
    assert "0 are delivered again, 0 are under way" in command("webhook", "replay", "ledger", *before)
    assert "did not arrive" in command("webhook", "ping", "ledger", code=1)


def test_what_cannot_be_is_refused_with_the_reason(command: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    command("webhook", "create", "Ledger", HOOK, "--code", "ledger")
    for given, why in (
        (("create", "x", "https://10.0.0.1/"), "a private address"),
        (("create", "x", HOOK, "--event", "bill*"), "elsewhere than at the end"),
        (("create", "x", HOOK, "--secret-file", str(empty)), "is empty"),
        (("create", "x", HOOK, "--api-key-file", str(tmp_path / "none")), "No such file"),
        (("update", "ledger", "--no-api-key", "--api-key-file", "-"), "cannot stand beside"),
        (("show", "nobody"), "there is no webhook with the code or id 'nobody'"),
        (("replay", "ledger"), "name a delivery, or say --since"),
        (("replay", "ledger", "an-id", "--failed-only"), "name a delivery, or say --since"),
        (("rotate", "ledger", "--overlap-hours", "999"), "overlapHours: must lie between 0 and 168"),
    ):
        assert why in command("webhook", *given, code=1), given
    assert [each["code"] for each in json.loads(command("webhook", "list", "--json"))] == ["ledger"], (
        "nothing half made"
    )
