"""`tallystick simulate`: from a file with a candidate to who pays more and who less."""

from __future__ import annotations

import csv
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from storefront import BANDS, Storefront, read, send

from tallystick.core import wire
from tenant import Tenant

Run = Callable[..., str]


@pytest.fixture
def candidate(organization: Tenant, tmp_path: Path) -> Path:
    """January: acme 20.00 and 40 bytes at 0.25, 30.00; calm 20.00. The candidate: 0.5 a byte."""
    with organization.http() as http:
        shop = Storefront(http)
        one = {"uid": "u1", "meter": "traffic", "account": "acme", "ts": "2025-01-10T12:00:00Z"}
        shop.measure(one | {"measure": {"bytes": 40}, "where": {"region": "eu"}, "metadata": {"file": "a"}})
        other = shop.make("/accounts", code="calm", customFields={"tier": "gold"})["id"]
        shop.make("/accountplans", accountId=other)
        read(send(http, "POST", "/bills/preview", {"accountIds": [shop.ids["/accounts"]]}))  # waits until it counts
        body = shop.body("/pricings", pricingBands=[BANDS[0] | {"unitPrice": Decimal("0.5")}])
        path = tmp_path / "candidate.json"
        path.write_bytes(wire.encode({"pricings": [{"id": shop.ids["/pricings"], **body}]}))
    return path


def told(text: str) -> dict[str, Any]:
    return wire.decode(dict[str, Any], text.encode())


def test_a_candidate_is_simulated_with_segments_and_a_cap(command: Run, candidate: Path, tmp_path: Path) -> None:
    asked = ["simulate", str(candidate), "--until", "2025-01-31", "--segment-by", "customFields.tier", "--cap", "20%"]
    made = told(command(*asked, "--json"))
    (effect,) = made["effects"]
    # 30.00 to 40.00, which a cap of 20% holds at 36.00; 20.00 stays.
    assert [effect[each] for each in ("oldTotal", "newTotal", "rises", "same", "capCost")] == [50, 60, 1, 1, 4]
    assert [(each["value"], each["effect"]["bills"]) for each in made["segments"]] == [("(none)", 1), ("gold", 1)]
    assert [each["accountCode"] for each in made["losers"]] == ["acme"]
    shown = command(*asked, "--csv", str(tmp_path / "bills.csv"))
    assert "Those who would pay more" in shown
    assert "pay less" not in shown
    rows = list(csv.DictReader((tmp_path / "bills.csv").open()))
    assert [(each["account"], each["capped total"], each["segments"]) for each in rows] == [
        ("acme", "36.00", "customFields.tier: (none)"),
        ("calm", "", "customFields.tier: gold"),
    ]


def test_without_a_candidate_nothing_changes(command: Run, candidate: Path) -> None:
    made = told(command("simulate", "--until", "2025-01-31", "--account", "acme", "--json"))
    assert [(each["oldTotal"], each["newTotal"]) for each in made["effects"]] == [(30, 30)]
    assert candidate.exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--until", "soon"], "--until: name the last day"),
        (["--until", "2025-01-31", "--cap", "much"], "--cap: give a percentage"),
        (["nothing.json", "--until", "2025-01-31"], "cannot read the candidate"),
        (["--until", "2025-01-31", "--plan", "none"], "no plan with the code"),
        (["--until", "2025-01-31", "--segment-by", "shoe size"], "segmentBy"),
    ],
)
def test_what_makes_no_sense_is_said(command: Run, asked: list[str], said: str) -> None:
    assert said in command("simulate", *asked, code=1)


def test_a_rollout_from_files(command: Run, candidate: Path, organization: Tenant, tmp_path: Path) -> None:
    with organization.http() as http:
        plan = read(http.get("/plans"))["data"][0]
        body = {"name": "Next", "code": "next-plan", "planTemplateId": plan["planTemplateId"]}
        other = read(send(http, "POST", "/plans", body))["id"]
    files = {
        "shadow": {"planId": plan["id"], "shadowPlanId": other, "startDate": "2025-01-01"},
        "experiment": {
            "startDate": "2090-01-01",
            "variants": [{"code": "a", "planId": plan["id"]}, {"code": "b", "planId": other}],
        },
        "migration": {"fromPlanId": plan["id"], "toPlanId": other, "notBefore": "2090-01-01"},
    }
    for kind, given in files.items():
        path = tmp_path / f"{kind}.json"
        path.write_bytes(wire.encode({"code": f"my-{kind}", "name": "Mine", **given}))
        if kind == "migration":
            shown = command("rollout", "preview", str(path))
            assert "acme" in shown
            assert "2090-01-01" in shown
        assert f"my-{kind}" in command("rollout", "create", kind, str(path))
        assert told(command("rollout", "show", kind, f"my-{kind}", "--json"))["code"] == f"my-{kind}"
        command("rollout", "show", kind, f"my-{kind}")
    assert [len(each) for each in told(command("rollout", "list", "--json")).values()] == [1, 1, 1]
    assert "my-experiment" in command("rollout", "list")
    command("rollout", "delete", "experiment", "my-experiment")
    assert "my-experiment" not in command("rollout", "list")
    assert "KIND: must be one of" in command("rollout", "show", "plan", "x", code=1)
    assert candidate.exists()
