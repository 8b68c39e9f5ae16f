"""Plan group links over HTTP."""

from __future__ import annotations

from tallystick.api.crud import IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.plan_group_links import PLAN_GROUP_LINKS
from tallystick.ports import Where


def _where(call: Call) -> Where:
    query = call.query
    return where_of(call, id=query.texts("ids"), plan_id=query.text("plan"), plan_group_id=query.text("planGroup"))


ROUTES = Crud(
    noun=PLAN_GROUP_LINKS,
    path="/plangrouplinks",
    tag="Plan group links",
    where=_where,
    filters={"ids": IDS, "plan": "Only links of this plan.", "planGroup": "Only links of this group."},
).routes()
