"""Invoices over HTTP: a bill as PDF or HTML, its lines as CSV, and the settings of invoices. An extension of ours."""

from __future__ import annotations

from typing import Any

from tallystick.api.crud import Reply, desk_of, request_type, value_of
from tallystick.api.routing import Call, Envelope, Raw, Route, entity_reply
from tallystick.control import bills, invoices
from tallystick.core.bill_csv import bill_csv
from tallystick.core.invoice_config import InvoiceConfig
from tallystick.errors import Refusal
from tallystick.invoice.html import html_of

TAG = "Invoices"
CONFIG = "/invoiceconfig"
PDF, HTML = "pdf", "html"


def invoice(call: Call) -> Raw:
    """The invoice of a bill as a file."""
    form = call.query.text("format") or PDF
    if form not in {PDF, HTML}:
        raise Refusal("invalid_request", f"format: must be pdf or html, got {form[:40]!r}", field="format")
    directory = call.app.settings.invoices
    record = bills.get_bill(call.records, call.path["id"])
    organization = call.app.records.find_organization(call.organization_id)
    assert organization is not None, "a request is bound to an organisation that exists"
    view = invoices.invoice_of_record(
        organization,
        call.records,
        record,
        locale=call.query.text("locale"),
        paper=call.query.text("paper"),
        directory=directory,
    )
    name = invoices.file_name(record.bill)
    if form == HTML:
        return Raw(html_of(view, directory, call.organization_id).encode(), "text/html", f"{name}.html")
    printed = call.app.printer.print(view, call.organization_id)
    return Raw(printed.pdf, "application/pdf", f"{name}.pdf", warning=_warning(printed.missing))


def line_items_csv(call: Call) -> Raw:
    """The lines of a bill as a file for spreadsheets."""
    bill = bills.get_bill(call.records, call.path["id"]).bill
    return Raw(bill_csv(bill), "text/csv", f"{invoices.file_name(bill)}.csv")


def _warning(missing: str) -> str | None:
    if not missing:
        return None
    codes = " ".join(f"U+{ord(each):04X}" for each in missing[:20])
    return f"no font has a shape for {codes}: put one into the fonts of TALLYSTICK_INVOICE_DIR"


def _retrieve(call: Call) -> Reply:
    return entity_reply(invoices.current(call.records))


def _update(call: Call, body: Any) -> Reply:
    return entity_reply(invoices.update(desk_of(call), value_of(InvoiceConfig, body), body.version))


def _route(method: str, path: str, run: object, summary: str, **more: object) -> Route:
    scope = "config:retrieve" if method == "GET" else "config:update"
    return Route(method=method, path=path, run=run, summary=summary, tag=TAG, scope=scope, **more)  # type: ignore[arg-type]  # the named fields of Route


ROUTES = (
    _route(
        "GET",
        "/bills/{id}/invoice",
        invoice,
        "Download the invoice of a bill",
        reply=Raw,
        query={
            "format": "pdf or html; pdf if not given.",
            "locale": "Language and formats, such as en-GB or ja; the account's or the organisation's if not given.",
            "paper": "A4 or LETTER; the account's or the organisation's if not given.",
        },
    ),
    _route("GET", "/bills/{id}/lineitems.csv", line_items_csv, "Download the lines of a bill as CSV", reply=Raw),
    _route("GET", CONFIG, _retrieve, "Retrieve the invoice settings", reply=Envelope(InvoiceConfig)),
    _route(
        "PUT",
        CONFIG,
        _update,
        "Replace the invoice settings",
        body=request_type(InvoiceConfig),
        reply=Envelope(InvoiceConfig),
    ),
)
