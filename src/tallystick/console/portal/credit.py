"""The portal's prepaid credit: balances with how they burn down, and commitments with what is left of them."""

from __future__ import annotations

from tallystick.console import charts
from tallystick.console.chart_drawing import Chart, Frame
from tallystick.console.page import Html
from tallystick.console.portal.page import Asked, View
from tallystick.console.portal.visit import HeldBalance, PortalVisit
from tallystick.core.portal import PortalPage


def _credit(visit: PortalVisit, _: Asked) -> Html:
    balances = [(each, _chart(visit, each, f"balance-{at}")) for at, each in enumerate(visit.balances())]
    return Html("portal/credit.html", {"balances": balances, "commitments": visit.commitments()})


def _chart(visit: PortalVisit, held: HeldBalance, key: str) -> Chart | None:
    burning, show = held.burning, visit.show
    if burning is None:
        return None
    frame = Frame(key=key, title="What is left, day by day", unit=held.balance.value.currency, show=show.number_text)
    return charts.burn_down(frame, [show.short_day(day) for day in burning.days], burning.left, burning.expected)


VIEWS = (View(method="GET", path="/credit", run=_credit, title="Balances and commitments", part=PortalPage.BALANCES),)
