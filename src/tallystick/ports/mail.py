"""What messages are made of that other parts know: bills as files, and links to want no more of them."""

from __future__ import annotations

from typing import Protocol

from tallystick.core.bill import BillRecord
from tallystick.core.email import MessageKind
from tallystick.ports import OrganizationRecords

SENT = "emailsent"  # the kind of document that says that a message went to somebody


class MailedBills(Protocol):
    """Bills as they are attached."""

    def record(self, records: OrganizationRecords, bill_id: str) -> BillRecord | None:
        """The bill as it stands, None where it is no more."""

    def pdf(self, records: OrganizationRecords, record: BillRecord) -> tuple[str, bytes]:
        """Its invoice as a file: name and content. Refusals where it cannot be printed."""

    def organization_name(self, records: OrganizationRecords) -> str:
        """What the organisation calls itself on invoices."""

    def language(self, records: OrganizationRecords) -> str:
        """The organisation's own language for invoices."""


class OptOutLinks(Protocol):
    """Links by which a recipient ends messages of a kind."""

    def link(self, organization_id: str, address: str, kind: MessageKind) -> str | None:
        """The address of the page; None where the server's own address is not set."""
