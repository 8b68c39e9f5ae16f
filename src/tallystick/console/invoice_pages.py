"""Invoices in the console: downloads of a bill, and how an organisation's invoices look."""

from __future__ import annotations

from typing import Any

from babel import Locale

from tallystick.console.page import File, Html, Page, Redirect, Visit
from tallystick.control import bills, invoices
from tallystick.core import wire
from tallystick.core.bill_csv import bill_csv
from tallystick.core.entity import Value
from tallystick.core.invoice_config import InvoiceConfig, Paper
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.invoice.html import html_of

# The languages whose words come with the product; another can be typed all the same.
SUGGESTED = ("en-US", "en-GB", "de-DE", "fr-FR", "es-ES", "ja-JP", "zh-CN", "ar-EG", "he-IL")
TEXTS = ("sellerName", "taxId", "contact", "paymentTerms", "footer", "locale", "paper")
ADDRESS = ("addressLine1", "addressLine2", "addressLine3", "postCode", "locality", "region", "country")


def _invoice(visit: Visit) -> File:
    """The invoice as PDF or HTML, in the language asked for."""
    form = visit.query.text("format") or "pdf"
    if form not in {"pdf", "html"}:
        raise Refusal("invalid_request", f"format: must be pdf or html, got {form[:40]!r}", field="format")
    record = bills.get_bill(visit.records, visit.path["id"])
    directory = visit.app.settings.invoices
    view = invoices.invoice_of_record(
        visit.organization,
        visit.records,
        record,
        locale=visit.query.text("locale"),
        paper=visit.query.text("paper"),
        directory=directory,
    )
    name = f"{invoices.file_name(record.bill)}.{form}"
    if form == "html":
        return File(html_of(view, directory, visit.organization.id).encode(), "text/html", name)
    return File(visit.app.printer.print(view, visit.organization.id).pdf, "application/pdf", name)


def _lines(visit: Visit) -> File:
    bill = bills.get_bill(visit.records, visit.path["id"]).bill
    return File(bill_csv(bill), "text/csv", f"{invoices.file_name(bill)}.csv")


def _settings(visit: Visit) -> Html:
    entity = invoices.current(visit.records)
    value = entity.value
    address = {} if value.seller_address is None else _wire(value.seller_address)
    return Html(
        "invoice_settings.html",
        {
            "config": _wire(value),
            "address": address,
            "version": entity.version,
            "papers": [(each.value, "Letter" if each is Paper.LETTER else each.value) for each in Paper],
            "languages": [(name, _language(name)) for name in SUGGESTED],
        },
    )


def _save(visit: Visit) -> Redirect:
    form = visit.form
    body: dict[str, object] = {name: form.text(name) for name in TEXTS if form.text(name) is not None}
    address = {name: form.text(name) for name in ADDRESS if form.text(name) is not None}
    if address:
        body["sellerAddress"] = address
    body["showWorking"] = form.flag("showWorking")
    value = wire.decode(InvoiceConfig, wire.encode(body))
    invoices.update(visit.desk, value, form.number("version", lowest=1, highest=10**9))
    return Redirect("/settings/invoices", notice="Saved. It holds from the next download on.")


def _wire(value: Value) -> dict[str, Any]:
    """A value by the names of its fields on the wire, without what is not given."""
    given = wire.decode(dict[str, Any], wire.encode(value))
    return {name: each for name, each in given.items() if each is not None}


def _language(name: str) -> str:
    locale = Locale.parse(name.replace("-", "_"))
    return str(locale.get_display_name("en"))


PAGES = (
    Page(method="GET", path="/bills/{id}/invoice", run=_invoice, title="A bill's invoice as a file", section="bills"),
    Page(method="GET", path="/bills/{id}/lineitems.csv", run=_lines, title="A bill's lines as CSV", section="bills"),
    Page(method="GET", path="/settings/invoices", run=_settings, title="How invoices look", section="settings"),
    Page(
        method="POST",
        path="/settings/invoices",
        run=_save,
        title="Change how invoices look",
        may=May.ADMINISTER,
        again=_settings,
    ),
)
