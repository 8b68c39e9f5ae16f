"""From a line of a bill to its days, and to the very measurements."""

from __future__ import annotations

from tallystick.console.bill import state_of
from tallystick.console.chart_drawing import Chart, Frame, Series
from tallystick.console.charts import bars
from tallystick.console.page import Html, Page, Visit
from tallystick.control import bills
from tallystick.core.bill import BillRecord, LineItem
from tallystick.core.explain import explain_line
from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.quantity import tidy
from tallystick.core.wording import number
from tallystick.core.working import Priced
from tallystick.pipeline.lineage import UsageInput, Which, line_measurements, line_usage

PAGE_ROWS = 50
GLANCE = Rounding(decimals=6, mode=RoundingMode.HALF_EVEN)  # of an average price, which is a quotient


def _line(visit: Visit) -> Html:
    record, line = _found(visit)
    usage = line_usage(visit.records, visit.usage, record, line)
    working = record.working(line.id)
    return Html(
        "bill_line.html",
        {
            "bill": record.bill,
            "state": state_of(record.bill),
            "line": line,
            "told": explain_line(line, working),
            "priced": next((step for step in working if isinstance(step, Priced)), None),
            "usage": usage,
            "average": tidy(round_money(line.average_unit_price, GLANCE)),
            "charts": {each.number: _chart(each) for each in usage.inputs},
        },
    )


def _chart(of: UsageInput) -> Chart:
    days = [each.day.strftime("%-d %b") for each in of.days]
    frame = Frame(key=f"days-{of.number}", title=f"{of.name} by day", unit=of.unit, show=number)
    return bars(frame, days, [Series(of.name, tuple(each.value for each in of.days))])


def _measurements(visit: Visit) -> Html:
    record, line = _found(visit)
    query = visit.query
    which = Which(
        input=query.number("input", lowest=1, highest=100) or 1,
        day=query.day("day"),
        account_id=query.text("accountId"),
        deciding=query.flag("deciding") is True,
    )
    page = query.page(highest=PAGE_ROWS)
    found = line_measurements(visit.records, visit.usage, record, line, which, page)
    fields = dict.fromkeys(name for row in found.rows for name in row.fields)
    return Html(
        "bill_measurements.html",
        {
            "bill": record.bill,
            "line": line,
            "which": which,
            "rows": found.rows,
            "next_token": found.next_token,
            "fields": tuple(fields),
            "up_to": record.evidence.up_to,
        },
    )


def _found(visit: Visit) -> tuple[BillRecord, LineItem]:
    record = bills.get_bill(visit.records, visit.path["id"])
    return record, bills.get_line_item(record, visit.path["line"])


PAGES = (
    Page(
        method="GET",
        path="/bills/{id}/lines/{line}",
        run=_line,
        title="A line of a bill: its working and its days",
        section="bills",
    ),
    Page(
        method="GET",
        path="/bills/{id}/lines/{line}/measurements",
        run=_measurements,
        title="The measurements behind a line of a bill",
        section="bills",
    ),
)
