"""That the audit is as it was written: checkpoints to keep elsewhere, and the check of the chain against them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from tallystick.core.audit_chain import FORMAT, START, Checkpoint, Fault, Link, first_fault
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords
from tallystick.ports.audit import Signer

AT_ONCE = 1_000
MOST = 1_000  # checkpoints that the chain is held against at once


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerification:
    """How many entries were walked, and the first fault among them; None where there is none."""

    entries: int
    fault: Fault | None


def checkpoint(records: OrganizationRecords, signer: Signer, now: Instant) -> Checkpoint:
    """The last entry of the audit as it stands, signed."""
    number = records.audit_written()
    found = records.audit_chain(number - 1, 1) if number else []
    if number and not found:
        raise Refusal("rule_broken", f"audit: entry {number} is missing; verify the audit to see what else is")
    unsigned = Checkpoint(
        organization_id=records.organization_id,
        sequence_number=number,
        digest=found[0].digest if found else START,
        dt_created=now,
        public_key=signer.public_key,
    )
    return msgspec.structs.replace(unsigned, signature=signer.sign(unsigned.signed_text()))


def verify_audit(
    records: OrganizationRecords, signer: Signer, checkpoints: Sequence[Checkpoint], public_key: str | None = None
) -> AuditVerification:
    """Walk all entries, and hold them against checkpoints that were kept elsewhere.

    Refusal `invalid_request` for a checkpoint that is of another organisation, or not signed by the key it names, or
    by another than `public_key` where that is given.
    """
    seen: dict[int, str] = {}
    for place, each in enumerate(checkpoints):
        _require_genuine(f"checkpoints[{place}]", each, records.organization_id, signer, public_key)
        if seen.setdefault(each.sequence_number, each.digest) != each.digest:
            message = f"checkpoints[{place}]: another one tells of the same entry with another digest"
            raise Refusal("invalid_request", message, field="checkpoints")
    written = records.audit_written()
    entries, fault = first_fault(
        _links(records), written, {number: digest for number, digest in seen.items() if number}
    )
    if fault is None and entries > records.audit_written():
        reason = f"entry {written + 1} was not written by this program, which has given {written} numbers"
        fault = Fault(first=written + 1, last=written + 1, reason=reason)
    return AuditVerification(entries=entries, fault=fault)


def _links(records: OrganizationRecords) -> Iterator[Link]:
    after = 0
    while found := records.audit_chain(after, AT_ONCE):
        yield from found
        after = found[-1].number


def _require_genuine(
    named: str, given: Checkpoint, organization_id: str, signer: Signer, public_key: str | None
) -> None:
    if given.format != FORMAT:
        raise Refusal("invalid_request", f"{named}.format: must be {FORMAT}, got {given.format}", field="checkpoints")
    if given.organization_id != organization_id:
        message = f"{named}.organizationId: is that of another organisation, {given.organization_id[:40]!r}"
        raise Refusal("invalid_request", message, field="checkpoints")
    if public_key is not None and given.public_key != public_key.lower():
        message = f"{named}.publicKey: is another key than the one that you trust, {given.public_key[:64]!r}"
        raise Refusal("invalid_request", message, field="checkpoints")
    if not signer.signed(given.signed_text(), given.signature, given.public_key):
        message = f"{named}.signature: is not that of this checkpoint by its public key; it was changed or made up"
        raise Refusal("invalid_request", message, field="checkpoints")
