"""The server is killed at every step of an export: it goes on by itself, and each row is there once."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path
from subprocess import Popen

from crash_campaign import Stage
from storefront import Storefront, read, send

from tallystick.failpoints import EXPORTS, POINTS, VARIABLE
from tenant import Tenant, new_tenant

PLACES = [name for name in POINTS if name.startswith(EXPORTS)]
ENDED = {"SUCCEEDED", "FAILED"}


def measurement(number: int) -> dict[str, object]:
    return {
        "uid": f"u{number}",
        "meter": "traffic",
        "account": "acme",
        "ts": f"2025-01-{1 + number % 28:02}T00:00:00Z",
        "measure": {"bytes": number},
        "where": {"region": "eu"},
        "metadata": {"file": "a.txt"},
    }


def test_an_export_survives_a_kill_at_every_step(tmp_path: Path, starter: Popen[str]) -> None:
    out = tmp_path / "out"
    stage = Stage(tmp_path / "stage", starter, {"TALLYSTICK_EXPORT_DIR": str(out)})
    stage.start()
    stage.wait_until_ready()
    tenant = new_tenant(stage)  # type: ignore[arg-type]  # it has what a server has: where it is, and its data
    with tenant.http() as http:
        shop = Storefront(http)
        shop.measure(*map(measurement, range(100)))
        to = read(send(http, "POST", "/dataexports/destinations", {"destinationType": "LOCAL"}))["id"]
    stage.kill()
    reached = []
    asked = ""
    for place in [*PLACES, ""]:
        stage.start(**({VARIABLE: f"{place}=1"} if place else {}))
        ready = stage.wait_until_ready()
        if ready and not asked:
            asked = ask(tenant, to)
        reached += [place] if place and died(stage) else []
        if place:
            stage.kill()
    with tenant.http() as http:
        until = time.monotonic() + 60
        while (job := read(http.get(f"/dataexports/jobs/{asked}")))["status"] not in ENDED:
            assert time.monotonic() < until, job
            time.sleep(0.05)
    stage.kill()
    assert (job["status"], job["rowCount"]) == ("SUCCEEDED", 100)
    assert reached == PLACES
    (about,) = [json.loads(path.read_bytes()) for path in out.rglob("manifest.json")]
    rows: Counter[str] = Counter()
    for file in about["files"]:
        content = (out / tenant.id / file["path"]).read_bytes()
        assert sha256(content).hexdigest() == file["sha256"]
        lines = gzip.decompress(content).decode().splitlines()[1:]
        rows.update(line.partition(",")[0] for line in lines)
    assert rows == Counter(f"u{number}" for number in range(100))
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == len(about["files"]) + 1


def ask(tenant: Tenant, to: str) -> str:
    body = {
        "sourceType": "USAGE",
        "startDate": "2025-01-01T00:00:00Z",
        "endDate": "2025-02-01T00:00:00Z",
        "destinationIds": [to],
    }
    with tenant.http() as http:
        return str(read(send(http, "POST", "/dataexports/adhoc", body))["jobId"])


def died(stage: Stage) -> bool:
    until = time.monotonic() + 60
    while stage.alive():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
