"""A bill as a file to be checked elsewhere: its proof. The invoice and its lines are files of `invoice_pages.py`."""

from __future__ import annotations

from tallystick.console.page import File, Page, Visit
from tallystick.control import bills
from tallystick.control.audit_proof import checkpoint
from tallystick.pipeline.proof import proof_of


def _proof(visit: Visit) -> File:
    """The proof of a bill, to be checked elsewhere."""
    record = bills.get_bill(visit.records, visit.path["id"])
    signer = visit.app.signer
    made = checkpoint(visit.records, signer, visit.now)
    file = proof_of(visit.records, visit.usage, record, checkpoint=made, signer=signer, now=visit.now)
    return File(file, "application/x-ndjson", f"proof-{record.bill.account_code}-{record.bill.start_date}.jsonl")


PAGES = (
    Page(
        method="GET",
        path="/bills/{id}/proof",
        run=_proof,
        title="The proof of a bill as a file",
        section="bills",
    ),
)
