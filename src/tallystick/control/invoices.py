"""Invoices of bills, and the settings they are made by: one set for each organisation, made with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tallystick.control import bills, portal_settings
from tallystick.control.desk import Desk, Noun
from tallystick.core.account import Account
from tallystick.core.bill import Bill, BillRecord
from tallystick.core.entity import Entity
from tallystick.core.invoice_config import InvoiceConfig
from tallystick.errors import Refusal
from tallystick.invoice.formats import locale_of
from tallystick.invoice.view import InvoiceView, Source, view_of
from tallystick.ports import Organization, OrganizationRecords, Transaction

INVOICE_CONFIG = Noun(of=InvoiceConfig)
T = TypeVar("T")


def initialise(write: Transaction, desk: Desk) -> None:
    """Give a new organisation its invoice settings."""
    INVOICE_CONFIG.create_within(desk, write, InvoiceConfig(), write.organization_id)


def current(records: OrganizationRecords) -> Entity[InvoiceConfig]:
    """The settings in force."""
    return INVOICE_CONFIG.retrieve(records, records.organization_id)


def update(desk: Desk, value: InvoiceConfig, version: int | None) -> Entity[InvoiceConfig]:
    """Replace the settings. Refusals: `version_mismatch`; `invalid_request` for a language that does not exist."""
    _named("locale", lambda: locale_of(value.locale))
    return INVOICE_CONFIG.update(desk, desk.records.organization_id, value, version)


def invoice_of(
    organization: Organization,
    records: OrganizationRecords,
    bill_id: str,
    *,
    locale: str | None = None,
    paper: str | None = None,
    directory: Path | None = None,
) -> InvoiceView:
    """The invoice of a bill. Refusals: `not_found`; `invalid_request` for an unknown language or paper."""
    return invoice_of_record(
        organization, records, bills.get_bill(records, bill_id), locale=locale, paper=paper, directory=directory
    )


def invoice_of_record(
    organization: Organization,
    records: OrganizationRecords,
    record: BillRecord,
    *,
    locale: str | None = None,
    paper: str | None = None,
    directory: Path | None = None,
    estimate: bool = False,
) -> InvoiceView:
    """The invoice of a bill that is at hand; an `estimate` is of one that was previewed and is kept nowhere."""
    account = records.get(Account, record.bill.account_id)
    if account is None:
        raise Refusal("not_found", f"id: the account {record.bill.account_code} of this bill is no more", field="id")
    logo = portal_settings.logo(records)
    source = Source(
        record=record,
        account=account.value,
        organization_name=organization.name,
        config=current(records).value,
        logo=None if logo is None else logo.value,
        estimate=estimate,
    )
    return _named("locale", lambda: view_of(source, locale=locale, paper=paper, directory=directory))


def file_name(bill: Bill) -> str:
    """What a downloaded invoice is called, without its ending: plain letters only, whatever the account's code is."""
    plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in bill.account_code)
    return f"{bill.sequential_invoice_number or 'bill'}-{plain}-{bill.start_date.isoformat()}"


def _named(field: str, made: Callable[[], T]) -> T:
    try:
        return made()
    except ValueError as problem:
        name = str(problem).partition(":")[0]
        raise Refusal("invalid_request", str(problem), field=name if name.isidentifier() else field) from None
