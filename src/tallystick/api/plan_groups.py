"""Plan groups over HTTP."""

from __future__ import annotations

from tallystick.api.crud import IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.plan_groups import PLAN_GROUPS
from tallystick.ports import Where


def _where(call: Call) -> Where:
    return where_of(call, id=call.query.texts("ids"), account_id=call.query.texts("accountId"))


ROUTES = Crud(
    noun=PLAN_GROUPS,
    path="/plangroups",
    tag="Plan groups",
    where=_where,
    filters={"ids": IDS, "accountId": "Only groups made for these accounts, comma-joined."},
).routes()
