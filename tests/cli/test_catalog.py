"""The catalogue as files, by commands: what each prints, writes and ends with, as a pipeline would use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallystick.cli.catalog import CALLED_WRONGLY, CHANGES, DRIFT, WAITS
from tallystick.cli.main import run
from tallystick.core import wire

Run = Callable[..., str]
PRODUCTS = "products:\n  - {code: api, name: API}\n"
METERS = """\
meters:
  - code: requests
    name: Requests
    product: api
    dataFields:
      - {code: calls, name: Calls, category: MEASURE, unit: calls}
aggregations:
  - {code: calls, name: Calls, meter: requests, targetField: calls, aggregation: SUM, unit: calls}
"""
PLANS = """\
planTemplates:
  - {code: monthly, name: Monthly, product: api, currency: USD, billFrequency: MONTHLY, standingCharge: 5}
plans:
  - code: basic
    name: Basic
    planTemplate: monthly
    pricings:
      - aggregation: calls
        startDate: 2025-01-01
        pricingBands:
          - {lowerLimit: 0, unitPrice: 0.10}
"""
JUNE = ("--until", "2025-06-30")


@pytest.fixture
def files(tmp_path: Path, command: Run) -> Path:
    """A catalogue that was written by hand, in files of one's own choice, and applied."""
    directory = tmp_path / "by-hand"
    (directory / "usage").mkdir(parents=True)
    (directory / "products.yaml").write_text(PRODUCTS)
    (directory / "usage" / "meters.yml").write_text(METERS)
    (directory / "plans.yaml").write_text(PLANS)
    command("catalog", "apply", str(directory), "--yes", "--no-simulation", "--reason", "the first prices")
    return directory


def price(directory: Path, text: str) -> None:
    plans = directory / "plans.yaml"
    plans.write_text(plans.read_text().replace("0.10", text))


def test_a_catalogue_that_was_written_by_hand_is_pulled_and_found_equal(
    files: Path, command: Run, tmp_path: Path
) -> None:
    assert "nothing to change" in command("catalog", "plan", str(files))
    pulled = tmp_path / "pulled"
    assert "15 files written" in command("catalog", "pull", str(pulled))
    assert "nothing wrong" in command("catalog", "validate", str(pulled))
    assert "nothing to change" in command("catalog", "plan", str(pulled))
    bytes_of = {path.name: path.read_bytes() for path in pulled.iterdir()}
    assert "as it was" in command("catalog", "pull", str(pulled))
    assert {path.name: path.read_bytes() for path in pulled.iterdir()} == bytes_of
    assert bytes_of["plans.yaml"].decode().endswith("          - {lowerLimit: 0, unitPrice: 0.1}\n")


def test_a_price_is_planned_applied_and_gone_back_from(files: Path, command: Run, http: httpx.Client) -> None:
    account = http.post("/accounts", json={"name": "Acme", "code": "acme", "emailAddress": "a@acme.example"}).json()
    plan = http.get("/plans").json()["data"][0]["id"]
    start = {"accountId": account["id"], "planId": plan, "startDate": "2025-01-01T00:00:00Z"}
    assert http.post("/accountplans", json=start).status_code == 200
    used = {"uid": "u", "meter": "requests", "account": "acme", "ts": "2025-06-10T00:00:00Z", "measure": {"calls": 100}}
    assert http.post("/measurements", json={"measurements": [used]}).status_code == 200

    price(files, "0.25")
    shown = command("catalog", "plan", str(files), *JUNE, code=CHANGES)
    assert "~ pricings plans basic aggregation.calls 2025-01-01T00:00:00Z" in shown
    assert "pricingBands[0].unitPrice: 0.1 → 0.25" in shown
    assert shown.splitlines()[-1].split() == ["USD", "1", "15.00", "30.00", "15.00", "1", "0", "0"]
    made = wire.decode(dict[str, Any], command("catalog", "plan", str(files), "--json", *JUNE, code=CHANGES))
    assert "Applied as version 3." in command("catalog", "apply", "--plan", made["id"], "--yes", "--reason", "costs")
    assert "nothing to change" in command("catalog", "apply", str(files), "--yes")

    rows = command("catalog", "history").splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["3", "2", "1"]
    assert rows[1].split()[-1] == "costs"
    assert rows[3].split()[2:4] == ["changed", "otherwise"]
    one = command("catalog", "history", "3")
    assert "0.1 → 0.25" in one
    assert "15.00     30.00" in one
    assert command("catalog", "revert", "2", "--yes", *JUNE).splitlines()[-1] == "Applied as version 4."
    price(files, "0.10")
    command("catalog", "plan", str(files), code=CHANGES)
    (files / "plans.yaml").write_text(PLANS)
    assert "nothing to change" in command("catalog", "plan", str(files))
    assert "no version 9" in command("catalog", "history", "9", code=1)


def test_a_dated_change_begins_on_its_day_and_what_has_no_date_wants_a_word(files: Path, command: Run) -> None:
    (files / "plans.yaml").write_text(PLANS.replace("0.10", "0.25").replace("standingCharge: 5", "standingCharge: 6"))
    dated = ("catalog", "apply", str(files), "--from", "next-month", "--no-simulation", "--yes")
    assert "these cannot be dated and would change at once: planTemplates monthly" in command(*dated, code=1)
    shown = command(*dated, "--at-once")
    assert "(in the place of the one that ends there)" in shown
    assert "! it has no date of its own" in shown
    assert "nothing to change" in command(*dated), "to ask for the same again changes nothing"


def test_how_commands_end(files: Path, command: Run, http: httpx.Client, tmp_path: Path) -> None:
    price(files, "0.25")
    plan = ("catalog", "plan", str(files), "--no-simulation", "--json")
    made = wire.decode(dict[str, Any], command(*plan, code=CHANGES))
    apply = ("catalog", "apply", "--plan", made["id"])
    assert "nothing was applied: say --yes" in command(*apply, code=1)
    assert http.post("/products", json={"name": "Other", "code": "other"}).status_code == 200
    assert "was changed since the plan was made" in command(*apply, "--yes", code=DRIFT)
    with (files / "products.yaml").open("a") as products:
        products.write("  - {code: other, name: Other}\n")

    assert http.put("/catalog/settings", json={"requireApproval": True}).status_code == 200
    applied = ("catalog", "apply", str(files), "--no-simulation", "--yes")
    assert "another user must approve it" in command(*applied, code=WAITS)
    waiting = wire.decode(dict[str, Any], command(*plan, code=CHANGES))["id"]
    assert "who asked for a change does not approve it" in command("catalog", "approve", waiting, code=1)
    assert "is REJECTED" in command("catalog", "reject", waiting)
    assert "is REJECTED; make another" in command("catalog", "apply", "--plan", waiting, "--yes", code=1)

    assert run(["catalog", "plan", "--nothing"]) == CALLED_WRONGLY
    assert "there are no YAML files" in command("catalog", "plan", str(tmp_path / "nowhere"), code=1)
    assert "--from: must be a day" in command("catalog", "plan", str(files), "--from", "soon", code=1)


def test_what_the_server_refuses_is_shown_with_its_line(files: Path, command: Run) -> None:
    (files / "plans.yaml").write_text(PLANS + "        code: x\n        tiersSpanPlan: true\n        percent: 3\n")
    said = command("catalog", "validate", str(files), code=1)
    where = f"{files / 'plans.yaml'}:10: plans[0].pricings[0].pricingBands"
    assert f"1 problem\n{where}: must be empty beside percent" in said
    (files / "plans.yaml").write_text(PLANS.replace("currency: USD", "currency: EUR"))
    command("catalog", "validate", str(files))
    said = command("catalog", "plan", str(files), code=1)
    assert f"{files / 'plans.yaml'}:2: planTemplates[0] (planTemplates monthly): currency: there is no currency" in said


def test_the_schema_is_the_one_beside_the_files(files: Path, command: Run, tmp_path: Path) -> None:
    command("catalog", "pull", str(tmp_path / "pulled"))
    assert (tmp_path / "pulled" / "catalog.schema.json").read_text() == command("catalog", "schema")
    assert "is none of the files that are written here" in command("catalog", "pull", str(files), code=1)
