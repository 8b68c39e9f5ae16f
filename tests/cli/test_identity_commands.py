"""`tallystick identity`, `event-mapping` and `event-source`: from a file of each to usage that counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from storefront import Storefront, read, send

from tallystick.core import wire

Run = Callable[..., str]
KEY = "sk_live_0123456789abcdef"


def used(uid: str, value: str) -> dict[str, object]:
    return {
        "uid": uid,
        "meter": "traffic",
        "identity": {"type": "apiKey", "value": value},
        "ts": "2025-01-10T12:00:00Z",
        "measure": {"bytes": 4},
        "where": {"region": "eu"},
        "metadata": {"file": "a"},
    }


def waiting(command: Run) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(command("identity", "unmapped", "--json"))
    return found


def test_what_waits_is_seen_given_away_and_gone(command: Run, http: httpx.Client, tmp_path: Path) -> None:
    shop = Storefront(http)
    members = [used("a", KEY), used("b", KEY), used("c", "other"), used("d", "third")]
    read(send(http, "POST", "/measurements", {"measurements": members}))
    first = waiting(command)[0]
    assert (first["count"], first.get("hint")) == (2, "cdef")
    seen = command("identity", "unmapped")
    assert KEY not in seen
    mark = command("identity", "fingerprint", "apiKey", KEY).strip()
    assert mark in seen
    assert mark in command("identity", "give", mark, "--account", "acme", "--from", "2025-01-01")
    assert "no usage waits" in command("identity", "give", "000000000000", "--account", "acme", code=1)
    test_key = command("identity", "fingerprint", "apiKey", "test-key").strip()
    read(send(http, "POST", "/measurements", {"measurements": [used("t1", "test-key"), used("t2", "test-key")]}))
    assert command("identity", "dismiss", test_key, "--reason", "a test").strip() == "dismissed: 2"
    assert "no usage waits" in command("identity", "dismiss", test_key, "--reason", "again", code=1)
    assert "is that of acme" in command("identity", "add", "apiKey", "other", "--account", "acme", "--shown")
    file = tmp_path / "keys.csv"
    file.write_text("type,value,account,startDate,priority\napiKey,third,acme,2025-01-01T00:00:00Z,2\n")
    assert command("identity", "import", str(file)).strip() == "added: 1, there already: 0"
    assert command("identity", "import", str(file)).strip() == "added: 0, there already: 1"
    until = time.monotonic() + 20
    while waiting(command):
        assert time.monotonic() < until
        time.sleep(0.1)
    listed = json.loads(command("identity", "list", "--account", "acme", "--json"))
    # The storefront has one from the start.
    assert [each.get("value") for each in listed] == [None, "other", None, "w-17"]
    assert KEY not in json.dumps(listed)
    command("identity", "remove", listed[0]["id"])
    assert len(json.loads(command("identity", "list", "--json"))) == 3
    assert "type" in command("identity", "list", "--type", "apiKey")
    file.write_text("type,value\napiKey,x\n")
    assert "row 1: account is missing" in command("identity", "import", str(file), code=1)
    assert shop.ids["/accounts"]


def test_mappings_come_from_a_file_and_are_tried_before_they_count(
    command: Run, http: httpx.Client, tmp_path: Path
) -> None:
    Storefront(http)
    file, event = tmp_path / "mappings.csv", tmp_path / "event.json"
    file.write_text(
        "code,type,meter,account,fields.bytes,fields.region,fields.file\n"
        "puts,put,traffic,customer,=size * 2,zone,name\n"
    )
    assert command("event-mapping", "import", str(file)).strip() == "made: 1, changed: 0"
    assert command("event-mapping", "import", str(file)).strip() == "made: 0, changed: 1"
    sent = {"event_id": "1", "event_type": "put", "customer": "acme", "size": 4, "zone": "eu", "name": "a",
            "timestamp": "2025-01-10T12:00:00Z"}  # fmt: skip
    event.write_bytes(wire.encode(sent))
    (tried,) = json.loads(command("event-mapping", "try", str(event)))["events"]
    assert tried["measurements"][0]["measure"] == {"bytes": 8}
    made = json.loads(command("event-source", "create", "puts", "--form", "plain"))
    for secret in (made["secret"], json.loads(command("event-source", "secret", "puts"))["secret"]):
        answer = httpx.post(made["url"], content=wire.encode(sent), headers={"x-api-key": secret})
        assert read(answer)["events"][0]["verdict"] in {"accepted", "duplicate"}
    assert "puts" in command("event-source", "list")
    assert "size * 2" in command("event-mapping", "list", "--json")
    assert "customer" in command("event-mapping", "list")
    assert "removed: puts" in command("event-mapping", "remove", "puts")
    assert "none of this code" in command("event-mapping", "remove", "puts", code=1)
    file.write_text("code,meter\nx,nothing\n")
    assert "no meter with the code" in command("event-mapping", "import", str(file), code=1)
