"""A bill as files: the invoice as PDF, its lines for spreadsheets."""

from __future__ import annotations

from tallystick.console.page import File, Page, Visit
from tallystick.control import bills, invoices
from tallystick.control.audit_proof import checkpoint
from tallystick.core.bill import Bill
from tallystick.core.bill_csv import bill_csv
from tallystick.pipeline.proof import proof_of


def _pdf(visit: Visit) -> File:
    record = bills.get_bill(visit.records, visit.path["id"])
    directory = visit.app.settings.invoices
    view = invoices.invoice_of_record(visit.organization, visit.records, record, directory=directory)
    printed = visit.app.printer.print(view, visit.organization.id)
    return File(printed.pdf, "application/pdf", f"{_name(record.bill)}.pdf")


def _csv(visit: Visit) -> File:
    bill = bills.get_bill(visit.records, visit.path["id"]).bill
    return File(bill_csv(bill), "text/csv; charset=utf-8", f"{_name(bill)}.csv")


def _name(bill: Bill) -> str:
    return f"{bill.sequential_invoice_number or 'bill'}-{bill.account_code}-{bill.start_date}"


def _proof(visit: Visit) -> File:
    """The proof of a bill, to be checked elsewhere."""
    record = bills.get_bill(visit.records, visit.path["id"])
    signer = visit.app.signer
    made = checkpoint(visit.records, signer, visit.now)
    file = proof_of(visit.records, visit.usage, record, checkpoint=made, signer=signer, now=visit.now)
    return File(file, "application/x-ndjson", f"proof-{record.bill.account_code}-{record.bill.start_date}.jsonl")


PAGES = (
    Page(method="GET", path="/bills/{id}/pdf", run=_pdf, title="The invoice of a bill as PDF", section="bills"),
    Page(method="GET", path="/bills/{id}/csv", run=_csv, title="The lines of a bill as CSV", section="bills"),
    Page(
        method="GET",
        path="/bills/{id}/proof",
        run=_proof,
        title="The proof of a bill as a file",
        section="bills",
    ),
)
