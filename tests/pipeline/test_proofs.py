"""The proof of a bill: made once, checked without the server; whoever changes anything of it is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk, calls_world
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import World, at, bands, id_of
from effort import drawing
from tallystick.control.audit_proof import checkpoint
from tallystick.core import wire
from tallystick.core.account import ChildBillingMode
from tallystick.core.aggregation import Method, TimeUnit
from tallystick.core.bill import BillRecord, approve, lock
from tallystick.core.proof import Manifest
from tallystick.pipeline.proof import proof_of
from tallystick.proof_check import check_proof
from tallystick.stores.audit_key import KeyFileSigner

Opener = Callable[[World], Desk]
NOW = at("2023-12-02")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> KeyFileSigner:
    return KeyFileSigner(tmp_path_factory.mktemp("key"))


def proved(desk: Desk, record: BillRecord, signer: KeyFileSigner) -> bytes:
    made = checkpoint(desk.records, signer, NOW)
    return proof_of(desk.records, desk.usage, record, checkpoint=made, signer=signer, now=NOW)


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory, signer: KeyFileSigner) -> bytes:
    """November of acme: a fee of 5.00 and 60 calls at 0.10."""
    desk = Desk(tmp_path_factory.mktemp("desk"), calls_world())
    for number, calls in enumerate((10, 20, 30), start=1):
        desk.use("acme", f"2023-11-{number:02}", calls=calls)
    desk.run(**NOVEMBER)
    desk.use("acme", "2023-11-05", calls=1000)  # later than the bill, and not in its proof
    (record,) = desk.bill_records()
    file = proved(desk, record, signer)
    desk.close()
    return file


def test_a_proof_stands_alone(proof: bytes, signer: KeyFileSigner) -> None:
    found = check_proof(proof, signer, signer.public_key)
    assert found.faults == ()
    assert found.manifest is not None
    assert (found.manifest.bill_total, found.manifest.journal_position) == (Decimal("11.00"), 3)
    assert found.manifest.parts["measurement"].records == 3


def test_it_can_be_checked_by_who_knows_the_format_only(proof: bytes) -> None:
    """A verifier of one's own: JSON and SHA-256, and the sum of the measurements times the price."""
    lines = [json.loads(line, parse_float=Decimal) for line in proof.decode().splitlines()]
    for text, line in zip(proof.decode().splitlines(), lines, strict=True):
        content = text[text.index('"content":') + len('"content":') : -1]
        assert sha256(content.encode()).hexdigest() == line["sha256"]
    by_part: dict[str, list[Any]] = {}
    for line in lines:
        by_part.setdefault(line["part"], []).append(line)
    for part, told in by_part["manifest"][0]["content"]["parts"].items():
        text = "".join(f"{each['name']} {each['sha256']}\n" for each in by_part.get(part, []))
        assert (len(by_part.get(part, [])), sha256(text.encode()).hexdigest()) == (told["records"], told["sha256"])
    calls = sum(Decimal(each["content"]["numbers"]["calls"]) for each in by_part["measurement"])
    bill = by_part["bill"][0]["content"]["bill"]
    assert calls == 60
    assert Decimal(bill["billTotal"]) == Decimal("5.00") + calls * Decimal("0.10")


@settings(**drawing(60))
@given(data=st.data())
def test_any_byte_that_is_changed_is_found_and_its_line_is_named(
    proof: bytes, signer: KeyFileSigner, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(proof) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda each: each != proof[place]))
    changed = proof[:place] + bytes([other]) + proof[place + 1 :]
    found = check_proof(changed, signer)
    assert found.faults, f"byte {place} became {other}"
    number = proof[:place].count(b"\n") + 1
    line = json.loads(proof.splitlines()[number - 1])
    named = {(each.part, each.name) for each in found.faults}
    parts = {part for part, _ in named}
    assert (line["part"], line["name"]) in named or "line" in parts or line["part"] in parts


def with_line(proof: bytes, part: str, change: Callable[[dict[str, Any]], None], signer: KeyFileSigner | None) -> bytes:
    """Change the first line of a part and make its digest anew; with a signer, the manifest and its signature too."""
    lines = [json.loads(line) for line in proof.decode().splitlines()]
    target = next(each for each in lines if each["part"] == part)
    change(target["content"])
    if signer is not None:
        parts = lines[0]["content"]["parts"]
        _sign(target)
        for name in parts:
            text = "".join(f"{each['name']} {each['sha256']}\n" for each in lines if each["part"] == name)
            parts[name]["sha256"] = sha256(text.encode()).hexdigest()
        manifest = wire.decode(Manifest, json.dumps(lines[0]["content"]).encode())
        manifest = msgspec.structs.replace(manifest, public_key=signer.public_key)
        manifest = msgspec.structs.replace(manifest, signature=signer.sign(manifest.signed_text()))
        lines[0]["content"] = json.loads(wire.encode(manifest))
    for each in lines:
        _sign(each)
    return b"".join(json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for each in lines)


def _sign(line: dict[str, Any]) -> None:
    content = json.dumps(line["content"], separators=(",", ":"), ensure_ascii=False)
    line["sha256"] = sha256(content.encode()).hexdigest()


def raised(content: dict[str, Any]) -> None:
    content["bill"]["billTotal"] = "12.00" if isinstance(content["bill"]["billTotal"], str) else 12


def more_calls(content: dict[str, Any]) -> None:
    content["numbers"]["calls"] = "11" if isinstance(content["numbers"]["calls"], str) else 11


def another_uid(content: dict[str, Any]) -> None:
    content["uid"] = "another"


def dearer(content: dict[str, Any]) -> None:
    content["version"] = content["version"] + 1


FORGERIES = [("bill", raised), ("measurement", more_calls), ("measurement", another_uid), ("configuration", dearer)]


@pytest.mark.parametrize(("part", "change"), FORGERIES)
def test_who_makes_the_digest_of_a_line_anew_is_found_by_the_manifest(
    proof: bytes, signer: KeyFileSigner, part: str, change: Callable[[dict[str, Any]], None]
) -> None:
    found = check_proof(with_line(proof, part, change, None), signer)
    assert (part, "") in {(each.part, each.name) for each in found.faults}


@pytest.mark.parametrize(("part", "change"), FORGERIES)
def test_who_signs_anew_too_is_found_by_the_calculation_and_by_the_key(
    proof: bytes, signer: KeyFileSigner, tmp_path: Path, part: str, change: Callable[[dict[str, Any]], None]
) -> None:
    forger = KeyFileSigner(tmp_path)
    forged = with_line(proof, part, change, forger)
    found = check_proof(forged, signer, signer.public_key)
    said = " / ".join(map(str, found.faults))
    assert "another key than the one that you trust" in said
    assert any(each.part in {"bill", "manifest"} and "key" not in each.message for each in found.faults), said


@pytest.mark.parametrize("drop", ["measurement", "configuration", "bill", "manifest", "checkpoint", "set"])
def test_a_line_that_is_taken_out_is_missed(proof: bytes, signer: KeyFileSigner, drop: str) -> None:
    lines = proof.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if f'"part":"{drop}"'.encode() in line)
    found = check_proof(b"".join(lines[:first] + lines[first + 1 :]), signer)
    assert drop in {each.part for each in found.faults}


@pytest.mark.parametrize("file", [b"", b"\n", b"{}", b"\xff\xfe", b'{"part":"bill"}\n'])
def test_what_is_no_proof_is_said_to_be_none(file: bytes, signer: KeyFileSigner) -> None:
    found = check_proof(file, signer)
    assert found.manifest is None
    assert found.faults


# ------------------------------------------------------------------------------------------------------ every kind of bill


def test_a_bill_of_many_things_is_proved(open_desk: Opener, signer: KeyFileSigner) -> None:
    """A gauge, a maximum, segments, a calculation, a pool with a child, late usage of a locked month."""
    world = World()
    meter = world.meter("requests", ("calls", "held"), ("model",))
    world.aggregation("calls", meter, segmented_fields=("model",), segments=({"model": "large"}, {"model": "*"}))
    world.aggregation("held", meter, target_field="held", aggregation=Method.TIME_WEIGHTED_SUM, time_unit=TimeUnit.DAY)
    world.aggregation("peak", meter, aggregation=Method.MAX)
    both = world.compound("both", "aggregation.peak + aggregation.held")
    world.template(standing_charge=Decimal(5))
    world.plan()
    for name in ("large", "other"):
        segment = {"model": "large" if name == "large" else "*"}
        world.pricing(name, bands((0, "0.10")), segment=segment, description=name)
    world.pricing("held", bands((0, "1")), compound_aggregation_id=both.id, description="Held")
    world.account("group")
    world.account("east", parent_account_id=id_of("account", "group"))
    world.account_plan(account="group", child_billing_mode=ChildBillingMode.PARENT_BREAKDOWN)
    desk = open_desk(world)
    desk.use("group", "2023-09-15", held=2)
    for day, (account, model) in enumerate((("group", "large"), ("east", "small"), ("east", "large")), start=5):
        desk.use(account, f"2023-11-{day:02}", texts={"model": model}, calls=day)
    desk.run(**NOVEMBER)
    for record in desk.bill_records():
        assert check_proof(proved(desk, record, signer), signer).faults == ()


def test_an_adjustment_for_a_locked_month_is_proved(open_desk: Opener, signer: KeyFileSigner) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-10-05", calls=10)
    desk.run(now="2023-11-01T06:00:00Z", last_date_in_billing_period=date(2023, 10, 31))
    (record,) = desk.bill_records()
    closed = lock(approve(record.bill, by="a", at=at("2023-11-02")), by="a", at=at("2023-11-02"))
    desk.put(msgspec.structs.replace(record, bill=closed))
    desk.use("acme", "2023-10-06", calls=4)
    desk.use("acme", "2023-11-06", calls=5)
    desk.run(**NOVEMBER)
    (_, november) = desk.bill_records()
    assert len(november.evidence.earlier) == 1
    assert check_proof(proved(desk, november, signer), signer).faults == ()
