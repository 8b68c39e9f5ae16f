"""That the audit is as it was written: checkpoints to keep elsewhere, and the check against those that were kept."""

from __future__ import annotations

import msgspec

from tallystick.console.page import File, Html, Page, Visit
from tallystick.control.audit_proof import MOST, AuditVerification, checkpoint, verify_audit
from tallystick.core import wire
from tallystick.core.audit_chain import Checkpoint
from tallystick.errors import Refusal

FORM_BYTES = 2_000_000
JSON_LINES = "application/x-ndjson"


def _form(visit: Visit) -> Html:
    return _shown(visit, None, 0)


def _shown(visit: Visit, found: AuditVerification | None, kept: int) -> Html:
    key = visit.app.signer.public_key
    return Html("audit_check.html", {"found": found, "kept": kept, "written": _written(visit), "public_key": key})


def _written(visit: Visit) -> int:
    return visit.records.audit_written()


def _verify(visit: Visit) -> Html:
    kept = _checkpoints(visit)
    found = verify_audit(visit.records, visit.app.signer, kept, visit.form.text("publicKey"))
    return _shown(visit, found, len(kept))


def _checkpoints(visit: Visit) -> list[Checkpoint]:
    """The checkpoints that were pasted and those of the file, one a line."""
    file = visit.form.files.get("file", b"").decode(errors="replace")
    lines = [line for line in (visit.form.raw("checkpoints") + "\n" + file).splitlines() if line.strip()]
    if len(lines) > MOST:
        raise Refusal("invalid_request", f"checkpoints: at most {MOST} at once, got {len(lines)}", field="checkpoints")
    return [_read(number, line) for number, line in enumerate(lines, start=1)]


def _read(number: int, line: str) -> Checkpoint:
    try:
        return wire.decode(Checkpoint, line.encode())
    except msgspec.MsgspecError as problem:
        message = f"checkpoints: line {number} is no checkpoint as `tallystick audit checkpoint` prints it: {problem}"
        raise Refusal("invalid_request", message, field="checkpoints") from None


def _checkpoint(visit: Visit) -> File:
    """A signed note of the last entry as a file of one line."""
    made = checkpoint(visit.records, visit.app.signer, visit.now)
    name = f"checkpoint-{made.sequence_number}.jsonl"
    return File(wire.encode(made) + b"\n", JSON_LINES, name)


PAGES = (
    Page(
        method="GET",
        path="/audit/verification",
        run=_form,
        title="Checkpoints of the audit, and its check against them",
        section="settings",
    ),
    Page(
        method="POST",
        path="/audit/verification",
        run=_verify,
        title="Check that the audit is as it was written",
        section="settings",
        again=_form,
        file_bytes=FORM_BYTES,
    ),
    Page(
        method="GET",
        path="/audit/checkpoint/download",
        run=_checkpoint,
        title="A checkpoint of the audit as a file",
        section="settings",
    ),
)
