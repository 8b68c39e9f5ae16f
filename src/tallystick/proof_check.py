"""Check the proof of a bill without the server: nothing is read but the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from tallystick.core import wire
from tallystick.core.aggregation import Measured, Question
from tallystick.core.audit_chain import Checkpoint, link_digest
from tallystick.core.bill import BillRecord
from tallystick.core.entity import Entity, Value
from tallystick.core.ledger import LedgerEntry
from tallystick.core.proof import (
    FORMAT,
    KeptEntry,
    KeptMeasurement,
    KeptVersion,
    Manifest,
    Part,
    ProofFault,
    ProofLine,
    manifest_faults,
    read_lines,
)
from tallystick.core.seal import KIND as SEAL
from tallystick.core.seal import BillSeal, SealedAnswer
from tallystick.core.set_hash import SetHash
from tallystick.pipeline.ledger import KIND as LEDGER
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import (
    Behind,
    Document,
    DocumentWhere,
    Found,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    UsageRow,
)
from tallystick.ports.audit import Signer
from tallystick.stores import plain_aggregation, plain_lineage
from tallystick.stores.audit_key import KeyFileSigner


@dataclass(frozen=True, slots=True)
class ProofCheck:
    """What a proof is of (None where not even that can be read), and all that is wrong with it."""

    manifest: Manifest | None
    faults: tuple[ProofFault, ...]


def check_file(file: Path, public_key: str | None = None) -> ProofCheck:
    """Check the proof in a file, as `check_proof`. Raises OSError where it cannot be read."""
    return check_proof(file.read_bytes(), KeyFileSigner(file.parent), public_key)  # which checks, and signs nothing


def check_proof(file: bytes, signer: Signer, public_key: str | None = None) -> ProofCheck:
    """Check a proof: every line, the signature, the bill calculated again, the sets of measurements, and the entries of
    the audit. `public_key` is the one that is trusted; without it, the one that the proof names."""
    lines, faults = read_lines(file)
    manifest = _manifest(lines, faults)
    if manifest is None:
        return ProofCheck(None, tuple(faults or [ProofFault(part="manifest", name="", message="is missing")]))
    rest = [each for each in lines if each.part is not Part.MANIFEST]
    faults += manifest_faults(manifest, rest)
    faults += _signature(manifest, signer, public_key)
    if lines[0].name != manifest.bill_id:
        faults.append(ProofFault(part="manifest", name="", message="its line has the name of another bill"))
    try:
        faults += _replayed(manifest, rest)
        faults += _audited(manifest, rest, signer)
    except (msgspec.MsgspecError, KeyError, IndexError, StopIteration, ValueError, AssertionError) as problem:
        message = f"the bill cannot be calculated from what is left: {type(problem).__name__} {problem}"
        faults.append(ProofFault(part="bill", name=manifest.bill_id, message=message))
    return ProofCheck(manifest, tuple(faults))


def _manifest(lines: Sequence[ProofLine], faults: list[ProofFault]) -> Manifest | None:
    if not lines or lines[0].part is not Part.MANIFEST:
        return None
    try:
        manifest = wire.decode(Manifest, bytes(lines[0].content))
    except msgspec.MsgspecError as problem:
        faults.append(ProofFault(part="manifest", name="", message=f"is none: {problem}"))
        return None
    if manifest.format != FORMAT:
        faults.append(ProofFault(part="manifest", name="", message=f"format: must be {FORMAT}, got {manifest.format}"))
        return None
    return manifest


def _signature(manifest: Manifest, signer: Signer, public_key: str | None) -> Iterator[ProofFault]:
    if public_key is not None and manifest.public_key != public_key.lower():
        message = f"is signed by another key than the one that you trust, {manifest.public_key[:64]}"
        yield ProofFault(part="manifest", name="", message=message)
    if not signer.signed(manifest.signed_text(), manifest.signature, manifest.public_key):
        message = "the signature is not that of this manifest by its public key: it was changed or made up"
        yield ProofFault(part="manifest", name="", message=message)


def _content(lines: Sequence[ProofLine], part: Part) -> list[bytes]:
    return [bytes(each.content) for each in lines if each.part is part]


def _replayed(manifest: Manifest, lines: Sequence[ProofLine]) -> Iterator[ProofFault]:
    """The bill calculated again, and the sets of its measurements."""
    bodies = _content(lines, Part.BILL)
    if len(bodies) != 1:
        yield ProofFault(part="bill", name=manifest.bill_id, message="is missing, or there is more than one")
        return
    record = wire.decode(BillRecord, bodies[0])
    bill = record.bill
    told = (manifest.bill_id, manifest.bill_total, manifest.account_code, manifest.journal_position)
    if told != (bill.id, bill.bill_total, bill.account_code, record.evidence.up_to):
        yield ProofFault(part="manifest", name="", message="tells of another bill than the one that is there")
    included = manifest.measurements == "INCLUDED"
    measured = [wire.decode(KeptMeasurement, each) for each in _content(lines, Part.MEASUREMENT)]
    usage = _BundleUsage(manifest.organization_id, record, measured if included else None)
    sets = tuple(wire.decode(SealedAnswer, each) for each in _content(lines, Part.SET))
    seal = BillSeal(
        bill_id=bill.id, digest=record.evidence.digest, sets=sets, dt_sealed=manifest.dt_sealed or manifest.dt_created
    )
    records = _BundleRecords(manifest.organization_id, lines, seal if included else None)
    found = verify_bill(cast(OrganizationRecords, records), cast(OrganizationUsage, usage), record)
    if not found.verified:
        yield ProofFault(part="bill", name=bill.id, message=found.difference or "it comes out differently")


def _audited(manifest: Manifest, lines: Sequence[ProofLine], signer: Signer) -> Iterator[ProofFault]:
    """Entries of the audit by their digests, and the checkpoint by its signature."""
    for content in _content(lines, Part.AUDIT):
        entry = wire.decode(KeptEntry, content)
        if link_digest(entry.before, entry.facts) != entry.digest:
            message = "its digest is not that of what it says behind the entry before"
            yield ProofFault(part="audit", name=f"entry {entry.number}", message=message)
    for content in _content(lines, Part.CHECKPOINT):
        kept = wire.decode(Checkpoint, content)
        if kept.organization_id != manifest.organization_id:
            yield ProofFault(part="checkpoint", name=str(kept.sequence_number), message="is of another organisation")
        if not signer.signed(kept.signed_text(), kept.signature, kept.public_key):
            yield ProofFault(part="checkpoint", name=str(kept.sequence_number), message="is not signed by its key")


class _BundleRecords:
    """The records that a replay reads, out of a proof."""

    def __init__(self, organization_id: str, lines: Sequence[ProofLine], seal: BillSeal | None) -> None:
        self.organization_id = organization_id
        self._seal = seal
        kept = (wire.decode(KeptVersion, each) for each in _content(lines, Part.CONFIGURATION))
        self._versions = {(each.kind, each.id, each.version): each for each in kept}
        self._draws = [wire.decode(LedgerEntry, each) for each in _content(lines, Part.DRAW)]

    def at_version(self, of: type[Value], id: str, version: int) -> Entity[Any] | None:
        kept = self._versions.get((of.kind, id, version))
        if kept is None:
            return None
        return Entity(
            id=kept.id,
            version=kept.version,
            value=wire.decode(of, bytes(kept.value)),
            created=kept.dt_created,
            created_by=kept.created_by,
            modified=kept.dt_last_modified,
            modified_by=kept.last_modified_by,
        )

    def document(self, kind: str, id: str) -> Document | None:
        if kind != SEAL or self._seal is None:
            return None
        return Document(id=id, sort=id, keys={}, body=wire.encode(self._seal))

    def documents(self, kind: str, where: DocumentWhere, page: Page) -> Found[Document]:
        draws = self._draws if kind == LEDGER and page.token is None else []
        return Found(tuple(Document(id=each.id, sort="", keys={}, body=wire.encode(each)) for each in draws))


class _BundleUsage:
    """The usage that a replay asks, out of a proof: measured from its measurements, or what the bill recorded where the
    measurements are not all there (too many, or units of events that reach back before the period)."""

    def __init__(self, organization_id: str, record: BillRecord, measured: Sequence[KeptMeasurement] | None) -> None:
        self._rows = None if measured is None else [_row(organization_id, each) for each in measured]
        evidence = record.evidence
        answers = [*evidence.answers, *(one for each in evidence.earlier for one in (*each.then, *each.now))]
        self._recorded = {each.question: each.rows for each in answers}

    def measure(self, question: Question) -> list[Measured]:
        if self._rows is not None and question.correlation is None:
            return plain_aggregation.measure(self._rows, question)
        asked = msgspec.structs.replace(question, accounts=None) if question not in self._recorded else question
        return list(self._recorded.get(asked, ()))

    def measure_many(self, questions: Sequence[Question]) -> list[Iterable[Measured]]:
        return [self.measure(each) for each in questions]

    def set_of(self, behind: Behind) -> SetHash:
        assert self._rows is not None, "sets are held against measurements that are there"
        return plain_lineage.set_of(self._rows, behind)


def _row(organization_id: str, kept: KeptMeasurement) -> UsageRow:
    return UsageRow(
        position=kept.position,
        organization_id=organization_id,
        meter_id=kept.meter_id,
        account_id=kept.account_id,
        uid=kept.uid,
        ts=kept.ts,
        ets=kept.ets,
        received=kept.dt_received,
        numbers=kept.numbers,
        texts=kept.texts,
        withdrawn=kept.withdrawn,
    )
