"""The check of the audit in the console: against nothing, against checkpoints, and after somebody was at the file."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import httpx
import pytest
from visitor import Visitor

from tenant import Tenant

ATTACKS = {
    "edited": (["UPDATE audit_entry SET actor_id = 'eve' WHERE organization_id = :o AND number = 3"], 3),
    "deleted": (["DELETE FROM audit_entry WHERE organization_id = :o AND number = 3"], 3),
    "reordered": (
        [
            f"UPDATE audit_entry SET number = {new} WHERE organization_id = :o AND number = {old}"
            for old, new in ((2, 99), (3, 2), (99, 3))
        ],
        2,
    ),
    "cut off": (
        [
            "DELETE FROM audit_entry WHERE organization_id = :o AND number >= 4",
            "UPDATE sequence_number SET last = 3 WHERE organization_id = :o AND name = 'audit'",
        ],
        4,
    ),
}


def kept(admin: Visitor) -> str:
    """A checkpoint as the page gives it."""
    reply = admin.http.get("/audit/checkpoint/download")
    number = json.loads(reply.text)["sequenceNumber"]
    assert reply.headers["content-disposition"].endswith(f"checkpoint-{number}.jsonl")
    return reply.text


def product(http: httpx.Client, code: str) -> dict[str, Any]:
    made: dict[str, Any] = http.post("/products", json={"name": code, "code": code}).json()
    return made


def test_it_is_as_it_was_written(http: httpx.Client, admin: Visitor) -> None:
    product(http, "storage")
    early = kept(admin)
    product(http, "compute")
    page = admin.get("/audit/verification")
    assert "Keep a checkpoint" in page
    assert "without a checkpoint" in admin.post("/audit/verification")
    pasted = {"checkpoints": early}
    assert "agree with 1 checkpoint" in admin.post("/audit/verification", pasted)
    both = admin.post("/audit/verification", pasted, files={"file": kept(admin).encode()})
    assert "agree with 2 checkpoints" in both
    other = {**pasted, "publicKey": "ab" * 32}
    assert "is another key than the one that you trust" in admin.post("/audit/verification", other, 422)


@pytest.mark.parametrize("text", ["{", "[]", '{"digest": 1}'])
def test_what_is_no_checkpoint_is_refused_with_its_line(admin: Visitor, text: str) -> None:
    admin.get("/audit/verification")
    sent = text.encode(errors="replace").decode()
    assert "line 1 is no checkpoint" in admin.post("/audit/verification", {"checkpoints": sent}, 422)


@pytest.mark.parametrize("attack", ATTACKS)
def test_somebody_was_at_the_file(http: httpx.Client, admin: Visitor, organization: Tenant, attack: str) -> None:
    """Behind the server's back, in the file of the database; the checkpoint was kept elsewhere."""
    for code in ("storage", "compute", "network"):
        product(http, code)
    checkpoint = kept(admin)
    statements, first = ATTACKS[attack]
    with sqlite3.connect(organization.data / "records.sqlite", timeout=30) as file:
        for statement in statements:
            file.execute(statement, {"o": organization.id})
    admin.get("/audit/verification")
    page = admin.post("/audit/verification", {"checkpoints": checkpoint})
    assert "The audit is not as it was written" in page
    assert f"entry {first} " in page
