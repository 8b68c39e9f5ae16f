"""The proof of a bill: made once, checked without the server; whoever changes anything of it is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from billing_desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st
from proof_worlds import WORLDS, proved, tiers

from billing_world import World
from effort import drawing
from tallystick.core import wire
from tallystick.core.proof import Manifest
from tallystick.core.rating import ENGINE_VERSION
from tallystick.proof_check import check_proof
from tallystick.stores.audit_key import KeyFileSigner

Opener = Callable[[World], Desk]
GOLDEN = Path(__file__).parent.parent / "golden" / "engines"


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> KeyFileSigner:
    return KeyFileSigner(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory, signer: KeyFileSigner) -> bytes:
    directory = tmp_path_factory.mktemp("desk")
    desk = tiers(lambda world: Desk(directory, world))
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


# ------------------------------------------------------------------------------------------------------ kinds of bills


@pytest.mark.parametrize("name", WORLDS)
def test_bills_of_every_kind_are_proved(open_desk: Opener, signer: KeyFileSigner, name: str) -> None:
    build, total = WORLDS[name]
    desk = build(open_desk)
    for record in desk.bill_records():
        found = check_proof(proved(desk, record, signer), signer)
        assert found.faults == ()
    assert found.manifest is not None
    assert found.manifest.bill_total == Decimal(total)


def test_too_many_measurements_are_summarized(
    open_desk: Opener, signer: KeyFileSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = tiers(open_desk)
    monkeypatch.setattr("tallystick.pipeline.proof.MOST_MEASUREMENTS", 2)
    found = check_proof(proved(desk, desk.bill_records()[0], signer), signer)
    assert found.faults == ()
    assert found.manifest is not None
    assert (found.manifest.measurements, found.manifest.parts["measurement"].records) == ("SUMMARIZED", 0)


# ------------------------------------------------------------------------------------------------------ golden bills


def test_every_released_engine_has_golden_bills() -> None:
    assert {each.name for each in GOLDEN.iterdir()} >= {ENGINE_VERSION}
    assert {each.stem for each in (GOLDEN / ENGINE_VERSION).iterdir()} == set(WORLDS)


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*/*.jsonl")), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_golden_bill_of_a_released_engine_still_comes_out_the_same(file: Path, signer: KeyFileSigner) -> None:
    """From the stored inputs and the stored digest, by the engine of now."""
    found = check_proof(file.read_bytes(), signer)
    assert found.faults == ()
    assert found.manifest is not None
    assert found.manifest.engine_version == file.parent.name
    assert found.manifest.bill_total == Decimal(WORLDS[file.stem][1])
