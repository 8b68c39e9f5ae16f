"""The portal's bills: a list, each bill with why it says what it says, and its lines as CSV."""

from __future__ import annotations

from tallystick.console.page import File, Html
from tallystick.console.portal.overview import usage_charts
from tallystick.console.portal.page import Asked, View
from tallystick.console.portal.visit import PortalVisit
from tallystick.core.bill import Bill
from tallystick.core.bill_csv import bill_csv
from tallystick.core.explain import explain_bill
from tallystick.core.portal import PortalPage

PAGE_SIZE = 24


def _list(visit: PortalVisit, asked: Asked) -> Html:
    found = visit.bills(asked.query.page(highest=PAGE_SIZE))
    values = {"bills": found.rows, "payments": visit.payments(found.rows), "next_token": found.next_token}
    return Html("portal/bills.html", values)


def _bill(visit: PortalVisit, asked: Asked) -> Html:
    record = visit.bill(asked.path["id"])
    told = {each.line_item_id: each for each in explain_bill(record)}
    lines = [(line, told[line.id]) for line in record.bill.line_items]
    payment = visit.payments((record.bill,))[record.bill.id]
    values = {"bill": record.bill, "payment": payment, "lines": lines, "charts": usage_charts(visit, record)}
    return Html("portal/bill.html", values)


def _pdf(visit: PortalVisit, asked: Asked) -> File:
    record = visit.bill(asked.path["id"])
    return File(visit.invoice_pdf(record), "application/pdf", f"{_name(record.bill)}.pdf")


def _html(visit: PortalVisit, asked: Asked) -> File:
    """As a file to keep: an invoice has styles of its own, which no page here may have."""
    record = visit.bill(asked.path["id"])
    return File(visit.invoice_html(record), "text/html; charset=utf-8", f"{_name(record.bill)}.html")


def _csv(visit: PortalVisit, asked: Asked) -> File:
    bill = visit.bill(asked.path["id"]).bill
    return File(bill_csv(bill), "text/csv; charset=utf-8", f"{_name(bill)}.csv")


def _name(bill: Bill) -> str:
    return f"{bill.sequential_invoice_number or 'bill'}-{bill.start_date}"


VIEWS = (
    View(method="GET", path="/bills", run=_list, title="Bills", part=PortalPage.BILLS),
    View(method="GET", path="/bills/{id}", run=_bill, title="A bill with its working", part=PortalPage.BILLS),
    View(method="GET", path="/bills/{id}/pdf", run=_pdf, title="An invoice as PDF", part=PortalPage.BILLS),
    View(method="GET", path="/bills/{id}/html", run=_html, title="An invoice as HTML", part=PortalPage.BILLS),
    View(method="GET", path="/bills/{id}/csv", run=_csv, title="A bill's lines as CSV", part=PortalPage.BILLS),
)
