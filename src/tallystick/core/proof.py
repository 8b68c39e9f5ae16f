"""The proof of a bill: a file of lines from which somebody without the server can calculate the bill again.

Each line is a record of one part, with the SHA-256 of its content. The first line, the manifest, has a digest of each
part and is signed. docs/guides/proof-format.md describes the format for who writes a verifier of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.period import Instant

FORMAT = 1
MOST_MEASUREMENTS = 100_000


class Part(StrEnum):
    """What a line is a record of, in the order of the file."""

    MANIFEST = "manifest"
    BILL = "bill"
    CONFIGURATION = "configuration"
    MEASUREMENT = "measurement"
    SET = "set"
    DRAW = "draw"
    AUDIT = "audit"
    CHECKPOINT = "checkpoint"


class ProofLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a proof: what it is of, its name there, and the SHA-256 of the bytes of its content."""

    part: Part
    name: str
    sha256: str
    content: msgspec.Raw


class PartDigest(msgspec.Struct, frozen=True, kw_only=True):
    """How many lines a part has, and the SHA-256 of their names and digests in order."""

    records: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a proof is of, what it is made of, and the signature (Ed25519, hexadecimal) of the rest.

    `measurements` is INCLUDED, or SUMMARIZED where there are too many: then the answers of the bill's evidence and
    the hashes of the sets stand for them. `dt_sealed` is when the sets were kept, null where only this proof has them.
    """

    format: int
    organization_id: str
    bill_id: str
    account_code: str
    bill_total: Decimal
    currency: str
    engine_version: str
    journal_position: int
    measurements: str
    parts: Mapping[str, PartDigest]
    dt_created: Instant
    dt_sealed: Instant | None
    public_key: str
    signature: str = ""

    def signed_text(self) -> bytes:
        """What the signature is of: all the rest as JSON with sorted names and without spaces."""
        names = zip(self.__struct_encode_fields__, self.__struct_fields__, strict=True)
        given: dict[str, Any] = {wire_name: getattr(self, name) for wire_name, name in names if name != "signature"}
        return wire.canonical(given)


class KeptVersion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A version of something configured, as it was; `value` is what the audit's digest of it is made of."""

    kind: str
    id: str
    version: int
    dt_created: Instant
    created_by: str
    dt_last_modified: Instant
    last_modified_by: str
    value: msgspec.Raw


class KeptMeasurement(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A measurement as the usage store has it: its place in the journal, and the values of its meter's fields.
    `withdrawn` is the position of what took it out, which is beyond that of the bill."""

    position: int
    uid: str
    meter_id: str
    account_id: str
    ts: Instant
    dt_received: Instant
    numbers: dict[str, Decimal]
    texts: dict[str, str]
    ets: Instant | None = None
    withdrawn: int | None = None


class KeptEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry of the audit: the digest of the entry before, what it says, and its own digest over both."""

    number: int
    before: str
    facts: tuple[str | int | None, ...]
    digest: str


class ProofFault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a proof, and where."""

    part: str
    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.part}{' ' if self.name else ''}{self.name}: {self.message}"


def line_of(part: Part, name: str, content: bytes) -> ProofLine:
    """A record as a line."""
    return ProofLine(part=part, name=name, sha256=sha256(content).hexdigest(), content=msgspec.Raw(content))


def part_digests(lines: Iterable[ProofLine]) -> dict[str, PartDigest]:
    """The digest of each part but the manifest: SHA-256 over `name`, a space, `sha256` and a newline of each line."""
    texts: dict[str, list[str]] = {each.value: [] for each in Part if each is not Part.MANIFEST}
    for line in lines:
        texts[line.part].append(f"{line.name} {line.sha256}\n")
    return {
        part: PartDigest(records=len(found), sha256=sha256("".join(found).encode()).hexdigest())
        for part, found in texts.items()
    }


def written(manifest: Manifest, lines: Sequence[ProofLine]) -> bytes:
    """A proof as a file."""
    head = line_of(Part.MANIFEST, manifest.bill_id, wire.encode(manifest))
    return b"".join(wire.encode(each) + b"\n" for each in (head, *lines))


def read_lines(file: bytes) -> tuple[list[ProofLine], list[ProofFault]]:
    """The lines of a file that are as they were written, and what is wrong with the others."""
    lines: list[ProofLine] = []
    faults: list[ProofFault] = []
    for number, text in enumerate(file.removesuffix(b"\n").split(b"\n"), start=1):
        try:
            line = wire.decode(ProofLine, text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
            faults.append(ProofFault(part="line", name=str(number), message=f"is no line of a proof: {problem}"))
            continue
        if line.sha256 != sha256(bytes(line.content)).hexdigest() or wire.encode(line) != text:
            message = f"line {number} is not as it was written: its content has another digest"
            faults.append(ProofFault(part=line.part, name=line.name, message=message))
            continue
        lines.append(line)
    if not file.endswith(b"\n"):
        faults.append(
            ProofFault(part="line", name=str(len(lines)), message="the file is cut off: its last line has no end")
        )
    return lines, faults


def manifest_faults(manifest: Manifest, lines: Sequence[ProofLine]) -> list[ProofFault]:
    """Parts whose lines are not those that the manifest tells of."""
    found, faults = part_digests(lines), []
    for part in found.keys() | manifest.parts.keys():
        told, there = manifest.parts.get(part), found.get(part)
        if told != there:
            count = f"{there.records if there else 0} of {told.records if told else 0} lines are there"
            same = "the lines are not those that the manifest tells of"
            message = same if told and there and told.records == there.records else count
            faults.append(ProofFault(part=part, name="", message=message))
    return sorted(faults, key=str)
