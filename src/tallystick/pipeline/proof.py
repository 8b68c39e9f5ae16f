"""Make the proof of a bill: all that it was calculated from, in one file (docs/decisions/0453-proofs.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tallystick.core import wire
from tallystick.core.audit_chain import START, Checkpoint
from tallystick.core.bill import Answer, BillRecord, body_of
from tallystick.core.entity import Used
from tallystick.core.period import Instant
from tallystick.core.proof import (
    FORMAT,
    MOST_MEASUREMENTS,
    KeptEntry,
    KeptMeasurement,
    KeptVersion,
    Manifest,
    Part,
    ProofLine,
    line_of,
    part_digests,
    written,
)
from tallystick.pipeline.ledger import read_draws
from tallystick.pipeline.replay import at_version
from tallystick.pipeline.seal import behind_row, read_seal, seal_of
from tallystick.ports import AuditWhere, OrganizationRecords, OrganizationUsage, Page, UsageRow
from tallystick.ports.audit import Signer

ENTRIES = 1_000  # of the audit that tell of one bill


def proof_of(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    record: BillRecord,
    *,
    checkpoint: Checkpoint,
    signer: Signer,
    now: Instant,
) -> bytes:
    """The proof of a bill as a file. Refusal `not_found` for a version of something configured that is not there."""
    bill, evidence = record.bill, record.evidence
    seal = read_seal(records, record)
    sets = seal or seal_of(usage, record, now)
    measurements = _measurements(usage, record)
    lines = [
        line_of(Part.BILL, bill.id, body_of(record)),
        *_configuration(records, record),
        *(_measurement(each) for each in measurements or ()),
        *(line_of(Part.SET, f"{each.answer}/{number}", wire.encode(each)) for number, each in enumerate(sets.sets)),
        *(line_of(Part.DRAW, each.id, wire.encode(each)) for each in read_draws(records, bill.id)),
        *_entries(records, bill.id),
        line_of(Part.CHECKPOINT, str(checkpoint.sequence_number), wire.encode(checkpoint)),
    ]
    manifest = Manifest(
        format=FORMAT,
        organization_id=records.organization_id,
        bill_id=bill.id,
        account_code=bill.account_code,
        bill_total=bill.bill_total,
        currency=bill.currency,
        engine_version=evidence.engine_version,
        journal_position=evidence.up_to,
        measurements="SUMMARIZED" if measurements is None else "INCLUDED",
        parts=part_digests(lines),
        dt_created=now,
        dt_sealed=seal.dt_sealed if seal else None,
        public_key=signer.public_key,
    )
    manifest = msgspec.structs.replace(manifest, signature=signer.sign(manifest.signed_text()))
    return written(manifest, lines)


def _configuration(records: OrganizationRecords, record: BillRecord) -> Iterator[ProofLine]:
    """Every version of something configured that the bill used, also for what it adjusts of earlier bills."""
    wanted: dict[Used, None] = dict.fromkeys(record.evidence.uses)
    for earlier in record.evidence.earlier:
        wanted |= dict.fromkeys((*earlier.uses, *(earlier.levels or ())))
    for used in wanted:
        entity = at_version(records, used)
        kept = KeptVersion(
            kind=used.kind,
            id=used.id,
            version=used.version,
            dt_created=Instant.of(entity.created),
            created_by=entity.created_by,
            dt_last_modified=Instant.of(entity.modified),
            last_modified_by=entity.modified_by,
            value=msgspec.Raw(wire.encode(entity.value)),
        )
        yield line_of(Part.CONFIGURATION, f"{used.kind} {used.id} version {used.version}", wire.encode(kept))


def _answers(record: BillRecord) -> Iterable[Answer]:
    yield from record.evidence.answers
    for earlier in record.evidence.earlier:
        yield from (*earlier.then, *earlier.now)


def _measurements(usage: OrganizationUsage, record: BillRecord) -> list[UsageRow] | None:
    """Every measurement behind the bill, in the order of the journal; None where there are too many."""
    if sum(row.count for answer in _answers(record) for row in answer.rows) > MOST_MEASUREMENTS:
        return None
    found: dict[int, UsageRow] = {}
    for answer in _answers(record):
        for row in answer.rows:
            behind = usage.behind(behind_row(answer.question, row), None, MOST_MEASUREMENTS)
            found |= {each.position: each for each in behind}
    return None if len(found) > MOST_MEASUREMENTS else [found[position] for position in sorted(found)]


def _measurement(row: UsageRow) -> ProofLine:
    kept = KeptMeasurement(
        position=row.position,
        uid=row.uid,
        meter_id=row.meter_id,
        account_id=row.account_id,
        ts=row.ts,
        dt_received=row.received,
        numbers=dict(row.numbers),
        texts=dict(row.texts),
        ets=row.ets,
        withdrawn=row.withdrawn,
    )
    return line_of(Part.MEASUREMENT, row.uid, wire.encode(kept))


def _entries(records: OrganizationRecords, bill_id: str) -> Iterator[ProofLine]:
    """What the audit says of the bill, oldest first, each with the digest of the entry before it."""
    found = records.audit(AuditWhere(id=bill_id), Page(size=ENTRIES)).rows
    for entry in reversed(found):
        links = records.audit_chain(max(entry.number - 2, 0), 2)
        before = next((each.digest for each in links if each.number == entry.number - 1), START)
        link = next((each for each in links if each.number == entry.number), None)
        if link is not None:
            kept = KeptEntry(number=link.number, before=before, facts=link.facts, digest=link.digest)
            yield line_of(Part.AUDIT, f"entry {link.number}", wire.encode(kept))
