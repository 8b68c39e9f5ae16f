"""The portal's spend alerts: the one thing that a customer changes there."""

from __future__ import annotations

from tallystick.console.page import Html, Redirect
from tallystick.console.portal.page import Asked, View
from tallystick.console.portal.visit import PortalVisit
from tallystick.core import wire
from tallystick.core.portal import PortalPage
from tallystick.core.spend_alert import OF_CUSTOMERS, SpendAlert, SpendAlertType
from tallystick.errors import Refusal


def _list(visit: PortalVisit, _: Asked) -> Html:
    values = {
        "alerts": visit.alerts(),
        "balances": [each.balance for each in visit.balances()],
        "types": OF_CUSTOMERS,
    }
    return Html("portal/alerts.html", values)


def _add(visit: PortalVisit, asked: Asked) -> Redirect:
    form = asked.form
    kind, threshold = form.choice("type", SpendAlertType), form.decimal("threshold")
    if kind not in OF_CUSTOMERS:
        raise Refusal("invalid_request", "type: choose what to be told of", field="type")
    if threshold is None:
        raise Refusal("invalid_request", "threshold: is needed", field="threshold")
    typed = {
        "type": kind,
        "threshold": threshold,
        "name": form.text("name"),
        "email": form.text("email"),
        "balanceId": form.text("balanceId") if kind is SpendAlertType.BALANCE_BELOW else None,
    }
    visit.add_alert(lambda account_id: wire.decode(SpendAlert, wire.encode({**typed, "accountId": account_id})))
    return Redirect(asked.base + "/alerts")


def _remove(visit: PortalVisit, asked: Asked) -> Redirect:
    visit.remove_alert(asked.path["id"])
    return Redirect(asked.base + "/alerts")


VIEWS = (
    View(method="GET", path="/alerts", run=_list, title="Spend alerts", part=PortalPage.ALERTS),
    View(method="POST", path="/alerts", run=_add, title="Set an alert", part=PortalPage.ALERTS, again=_list),
    View(method="POST", path="/alerts/{id}/remove", run=_remove, title="Remove an alert", part=PortalPage.ALERTS),
)
