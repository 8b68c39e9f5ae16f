"""The portal's first page: what the present period comes to so far, clearly an estimate, beside the last bill."""

from __future__ import annotations

from tallystick.console import charts
from tallystick.console.chart_drawing import Chart, Frame, Series
from tallystick.console.page import Html
from tallystick.console.portal.page import Asked, View
from tallystick.console.portal.visit import DailyUsage, PortalVisit
from tallystick.core.bill import Bill, BillRecord, LineItemType
from tallystick.core.portal import PortalPage
from tallystick.core.quantity import subtract
from tallystick.core.spend_alert import charged
from tallystick.ports import Page

MOST_LINES, MOST_CHARTS = 6, 8  # of a bill


def _overview(visit: PortalVisit, _: Asked) -> Html:
    made = visit.estimates()
    records = [each for each in made if isinstance(each, BillRecord)]
    shown = visit.bills(Page(size=1)).rows if PortalPage.BILLS in visit.settings.pages else ()
    last = next(iter(shown), None)
    ahead = visit.forecasts() if records else {}
    values = {
        "estimates": [_estimate(visit, each, ahead.get(each.bill.id)) for each in records],
        "unknown": len(made) - len(records),
        "allowed": visit.allowed(),
        "last": last,
        "payment": None if last is None else visit.payments((last,))[last.id],
    }
    return Html("portal/overview.html", values)


def _estimate(visit: PortalVisit, record: BillRecord, ahead: Bill | None) -> dict[str, object]:
    bill, charges = record.bill, charged(record.bill)
    paid = subtract(bill.bill_total, charges)
    expected = None if ahead is None else charged(ahead)
    shown = {"bill": bill, "charges": charges, "paid": paid, "expected": expected}
    return {**shown, "charts": usage_charts(visit, record)}


def usage_charts(visit: PortalVisit, record: BillRecord) -> list[tuple[Chart, bool]]:
    """A chart per day of what the first usage lines counted, and whether its days add up to the line."""
    lines = [each for each in record.bill.line_items if each.line_item_type is LineItemType.USAGE and each.quantity]
    found = [each for line in lines[:MOST_LINES] for each in visit.daily_usage(record, line)][:MOST_CHARTS]
    return [(_chart(visit, each, f"usage-{at}"), each.adds_up) for at, each in enumerate(found)]


def _chart(visit: PortalVisit, usage: DailyUsage, key: str) -> Chart:
    show = visit.show
    frame = Frame(key=key, title=usage.name, unit=usage.unit, show=show.number_text)
    return charts.bars(frame, [show.short_day(day) for day in usage.days], [Series(usage.name, usage.values)])


VIEWS = (View(method="GET", path="", run=_overview, title="Overview: the present period and its estimate"),)
