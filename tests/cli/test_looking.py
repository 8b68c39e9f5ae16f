"""Commands that look: accounts, usage by day, jobs; and the doctor, who looks at the installation itself."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from storefront import read, send

from tallystick.checkup import FAILED, OK, WARNING, compared
from tallystick.cli.launch import Server
from tallystick.cli.main import run
from tallystick.cli.usage import sparkline
from tenant import Tenant

Run = Callable[..., str]
TODAY = datetime.now(UTC).date()


@pytest.fixture
def shop(organization: Tenant) -> Tenant:
    """Acme with its child Beech; Acme used 2, 0 and 6 GB on the last three days, and holds credit of 50."""
    with organization.http() as http:
        product = _made(http, "/products", name="Storage", code="storage")
        fields = [{"code": "gigabytes", "name": "Gigabytes", "category": "MEASURE", "unit": "GB"}]
        _made(http, "/meters", name="Disk", code="disk", productId=product, dataFields=fields, derivedFields=[])
        acme = _made(http, "/accounts", name="Acme", code="acme", emailAddress="a@example.com")
        _made(http, "/accounts", name="Beech", code="beech", emailAddress="b@example.com", parentAccountId=acme)
        balance = _made(
            http,
            "/balances",
            accountId=acme,
            name="Prepaid",
            code="prepaid",
            currency="USD",
            startDate="2025-01-01T00:00:00Z",
            endDate="2090-01-01T00:00:00Z",
        )
        read(send(http, "POST", f"/balances/{balance}/transactions", {"amount": 50}))
        used = [
            {
                "uid": f"{days}-{number}",
                "meter": "disk",
                "account": "acme",
                "ts": f"{TODAY - timedelta(days=days)}T00:0{number}:00Z",
                "measure": {"gigabytes": gigabytes},
            }
            for days, parts in ((2, (1, 1)), (0, (2, 4)))
            for number, gigabytes in enumerate(parts)
        ]
        read(send(http, "POST", "/measurements", {"measurements": used}))
    return organization


def _made(http: Any, path: str, **body: object) -> str:
    return str(read(send(http, "POST", path, body))["id"])


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([None, None], "··"),
        ([0, 0], "▁▁"),
        ([0, 4, 8], "▁▅█"),
        ([1, None, 100], "▁·█"),
        ([-5, 5], "▁█"),
        ([Decimal("0.0001"), Decimal("0.0002")], "▅█"),
    ],
)
def test_a_line_of_characters_as_high_as_the_values(values: list[Any], line: str) -> None:
    assert sparkline([None if value is None else Decimal(value) for value in values]) == line


def test_usage_by_day(command: Run, shop: Tenant) -> None:
    until = time.monotonic() + 20

    def days() -> str:
        """As many as have come since the first that was used: it may have been midnight meanwhile."""
        return str((datetime.now(UTC).date() - TODAY).days + 3)

    def values() -> list[Any]:
        (row,) = json.loads(command("usage", "acme", "--days", days(), "--json"))
        return [day["value"] for day in row["days"]]

    while values()[:3] != [2, None, 6]:  # visible within a second
        assert time.monotonic() < until, values()
        time.sleep(0.02)
    said = command("usage", "acme", "--days", days())
    for part in ("disk", "gigabytes", "▃·█"):
        assert part in said
    assert "nothing was used" in command("usage", "beech", "--days", "3")
    assert "no meter with the code 'memory'" in command("usage", "--meter", "memory", code=1)


def test_an_account_with_its_family_credit_and_bills(command: Run, shop: Tenant) -> None:
    said = command("account", "show", "acme")
    for part in ("Acme (acme)", "a@example.com", "parent of beech", "Prepaid", "50.00"):
        assert part in said
    assert "child of Acme (acme)" in command("account", "show", "beech")
    found = json.loads(command("account", "show", "acme", "--json"))
    assert [each["code"] for each in found["children"]] == ["beech"]
    listed = json.loads(command("account", "list", "--json"))
    assert [each["code"] for each in listed] == ["beech", "acme"]
    assert [each["code"] for each in json.loads(command("account", "list", "--parent", "acme", "--json"))] == ["beech"]
    assert len(json.loads(command("account", "list", "--limit", "1", "--json"))) == 1


def test_bill_jobs(command: Run, shop: Tenant) -> None:
    assert "there is no bill job yet" in command("job", "show", code=1)
    made = json.loads(command("bill", "run", "--until", "2025-01-31", "--json"))
    (listed,) = json.loads(command("job", "list", "--json"))
    assert listed["id"] == made["id"]
    assert json.loads(command("job", "show", "--json"))["status"] == "COMPLETE"
    assert made["id"] in command("job", "show", made["id"])
    assert json.loads(command("job", "list", "--active", "--json")) == []


@pytest.mark.parametrize(
    ("journal", "usage", "uids", "damage", "result"),
    [
        (0, 0, 0, None, OK),
        (5, 3, 4, None, OK),
        (2_000_000, 3, 4, None, WARNING),
        (5, 6, 5, None, FAILED),
        (5, 5, 6, None, FAILED),
        (5, 5, 5, "segment 1: a frame is broken", FAILED),
    ],
)
def test_how_far_the_stores_are(journal: int, usage: int, uids: int, damage: str | None, result: str) -> None:
    finding = compared(journal, usage, uids, damage)
    assert finding.result == result
    assert bool(finding.hint) == (result != OK)


def doctor(capsys: pytest.CaptureFixture[str], directory: Path, code: int) -> dict[str, Any]:
    assert run(["doctor", "--data", str(directory), "--json"]) == code
    return {each["check"]: each for each in json.loads(capsys.readouterr().out)}


def test_the_doctor_beside_a_running_server(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    found = doctor(capsys, server.directory, 0)
    assert set(found) == {
        "libraries", "time zones", "disk", "durable writes", "signing key", "records", "server", "clock"
    }  # fmt: skip
    assert found["server"]["result"] == OK
    assert run(["doctor", "--data", str(server.directory)]) == 0
    assert "what to do" in capsys.readouterr().out


def test_the_doctor_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(capsys, tmp_path / "nowhere", 1)["data directory"]["result"] == FAILED
    assert doctor(capsys, tmp_path, 0)["journal"]["found"].startswith("none yet")
    assert run(["org", "create", "Acme", "--data", str(tmp_path)]) == 0
    capsys.readouterr()
    assert {each["result"] for each in doctor(capsys, tmp_path, 0).values()} == {OK}

    key = tmp_path / "keys" / "signing.key"
    key.chmod(0o644)
    wrong = doctor(capsys, tmp_path, 1)["signing key"]
    assert (wrong["result"], wrong["hint"]) == (FAILED, f"chmod 600 {key}")
    key.chmod(0o600)

    records = tmp_path / "records.sqlite"
    shutil.copy(records, tmp_path / "kept")
    records.write_bytes(b"no database" * 1000)
    assert doctor(capsys, tmp_path, 1)["records"]["result"] == FAILED
    shutil.copy(tmp_path / "kept", records)

    (segment,) = (tmp_path / "journal").glob("*.journal")
    segment.write_bytes(b"\xff" * 100)
    assert doctor(capsys, tmp_path, 1)["journal"]["result"] == FAILED
