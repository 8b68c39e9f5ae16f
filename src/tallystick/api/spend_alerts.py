"""Spend alerts over HTTP: an extension of ours. A reply also says whether the alert is armed, or when it fired."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.api.crud import IDS, Crud, Reply, where_of
from tallystick.api.routing import Call, entity_reply
from tallystick.control.spend_alerts import SPEND_ALERTS, states_of
from tallystick.core.entity import Entity
from tallystick.core.spend_alert import SpendAlert
from tallystick.ports import OrganizationRecords, Where


def _where(call: Call) -> Where:
    active = call.query.flag("active")
    return where_of(
        call,
        id=call.query.texts("ids"),
        account_id=call.query.text("accountId"),
        active=None if active is None else ("true" if active else "false"),
    )


def _show(records: OrganizationRecords, alerts: Sequence[Entity[SpendAlert]]) -> list[Reply]:
    states = states_of(records, alerts)
    return [_shown(each, states[each.id].fired, states[each.id].value) for each in alerts]


def _shown(alert: Entity[SpendAlert], fired: object, value: object) -> Reply:
    state = {"firedAt": fired, "firedValue": value}
    return {**entity_reply(alert), "armed": fired is None, **{name: each for name, each in state.items() if each}}


ROUTES = Crud(
    noun=SPEND_ALERTS,
    path="/spendalerts",
    tag="Portal",
    where=_where,
    show=_show,
    filters={
        "ids": IDS,
        "accountId": "Only alerts of this account.",
        "active": "true: only alerts that are watched; false: only the others.",
    },
).routes()
