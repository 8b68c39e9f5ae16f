"""Checkpoints of the audit, and its check against them, from the command line and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.cli.main import run
from tenant import Tenant

Run = Callable[..., str]


def test_checkpoints_are_kept_and_the_audit_is_held_against_them(
    command: Run, organization: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "checkpoints.jsonl"
    lines = [command("audit", "checkpoint")]
    with organization.http() as http:
        http.post("/products", json={"name": "Storage", "code": "storage"})
        lines.append(command("audit", "checkpoint"))
        kept.write_text("".join(lines))
        early, late = (json.loads(line) for line in lines)
        assert late["sequenceNumber"] == early["sequenceNumber"] + 1
        assert late["organizationId"] == organization.id
        told = command("audit", "verify", "--checkpoint", str(kept), "--public-key", late["publicKey"])
        walked = f"the {late['sequenceNumber']} entries of the audit are as they were written"
        assert told == f"{walked} and agree with 2 checkpoints\n"
        assert json.loads(command("audit", "verify", "--json"))["verified"] is True

        changed = late | {"digest": early["digest"]}
        reply = http.post("/audit/verification", json={"checkpoints": [early, changed]})
        assert reply.status_code == 400
        assert reply.json()["message"].startswith("checkpoints[1].signature: ")
    kept.write_text(json.dumps(changed))
    assert run(["audit", "verify", "--checkpoint", str(kept)]) == 1
    assert "it was changed or made up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"), [("", "there is no checkpoint"), ("{", "cannot read"), (None, "cannot read")]
)
def test_a_file_that_holds_no_checkpoints(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept"
    if text is not None:
        file.write_text(text)
    assert run(["audit", "verify", "--checkpoint", str(file)]) == 1
    assert said in capsys.readouterr().err
