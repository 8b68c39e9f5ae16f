"""The portal's bills: a list, each bill with why it says what it says, and its lines as CSV."""

from __future__ import annotations

from tallystick.console.page import File, Html
from tallystick.console.portal.overview import usage_charts
from tallystick.console.portal.page import Asked, View
from tallystick.console.portal.visit import PortalVisit
from tallystick.core.explain import explain_bill
from tallystick.core.portal import PortalPage
from tallystick.invoice.lines_csv import csv_of

PAGE_SIZE = 24


def _list(visit: PortalVisit, asked: Asked) -> Html:
    found = visit.bills(asked.query.page(highest=PAGE_SIZE))
    return Html("portal/bills.html", {"bills": found.rows, "next_token": found.next_token})


def _bill(visit: PortalVisit, asked: Asked) -> Html:
    record = visit.bill(asked.path["id"])
    told = {each.line_item_id: each for each in explain_bill(record)}
    lines = [(line, told[line.id]) for line in record.bill.line_items]
    values = {"bill": record.bill, "lines": lines, "charts": usage_charts(visit, record)}
    return Html("portal/bill.html", values)


def _csv(visit: PortalVisit, asked: Asked) -> File:
    bill = visit.bill(asked.path["id"]).bill
    return File(csv_of(bill), "text/csv; charset=utf-8", f"bill-{bill.start_date}-{bill.id[:8]}.csv")


VIEWS = (
    View(method="GET", path="/bills", run=_list, title="Bills", part=PortalPage.BILLS),
    View(method="GET", path="/bills/{id}", run=_bill, title="A bill with its working", part=PortalPage.BILLS),
    View(method="GET", path="/bills/{id}/csv", run=_csv, title="A bill's lines as CSV", part=PortalPage.BILLS),
)
