"""Bills as they are attached to messages."""

from __future__ import annotations

from dataclasses import dataclass

from tallystick.control import bills, invoices
from tallystick.core import wire
from tallystick.core.bill import BillRecord
from tallystick.invoice.pdf import Printer
from tallystick.ports import OrganizationRecords, Records


@dataclass(frozen=True, slots=True)
class PrintedBills:
    """Fulfils `MailedBills`."""

    records: Records
    printer: Printer

    def record(self, records: OrganizationRecords, bill_id: str) -> BillRecord | None:
        """The bill as it stands."""
        document = records.document(bills.KIND, bill_id)
        return None if document is None else wire.decode(BillRecord, document.body)

    def pdf(self, records: OrganizationRecords, record: BillRecord) -> tuple[str, bytes]:
        """Its invoice."""
        organization = self.records.find_organization(records.organization_id)
        assert organization is not None, "what is handed over is of an organisation that exists"
        directory = self.printer.directory
        view = invoices.invoice_of_record(organization, records, record, directory=directory)
        printed = self.printer.print(view, records.organization_id)
        return f"{invoices.file_name(record.bill)}.pdf", printed.pdf

    def organization_name(self, records: OrganizationRecords) -> str:
        """The seller of the invoice settings, else the organisation."""
        organization = self.records.find_organization(records.organization_id)
        assert organization is not None, "what is handed over is of an organisation that exists"
        return invoices.current(records).value.seller_name or organization.name

    def language(self, records: OrganizationRecords) -> str:
        """That of the invoice settings."""
        return invoices.current(records).value.locale
