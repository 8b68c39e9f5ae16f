"""From the bill before to this one: volume, price, mix, credits and corrections."""

from __future__ import annotations

from tallystick.console.bill import state_of
from tallystick.console.chart_drawing import Chart, Frame
from tallystick.console.charts import horizontal_bars
from tallystick.console.page import Html, Page, Visit
from tallystick.control import bills
from tallystick.control.bill_comparison import bridge_to_bill
from tallystick.core.bridge import Bridge
from tallystick.core.wording import money


def _bridge(visit: Visit) -> Html:
    bill = bills.get_bill(visit.records, visit.path["id"]).bill
    found = bridge_to_bill(visit.records, bill.id)
    return Html("bill_bridge.html", {"bill": bill, "state": state_of(bill), "bridge": found, "chart": _chart(found)})


def _chart(bridge: Bridge) -> Chart | None:
    rows = [(step.cause.capitalize(), step.amount) for step in bridge.steps if step.amount]
    if not rows:
        return None
    frame = Frame(key="steps", title="From the bill before", unit=bridge.currency, across="Because of", show=money)
    return horizontal_bars(frame, rows)


PAGES = (
    Page(
        method="GET",
        path="/bills/{id}/bridge",
        run=_bridge,
        title="From the bill before to this one, in five steps",
        section="bills",
    ),
)
