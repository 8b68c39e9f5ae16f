"""Counter pricings over HTTP."""

from __future__ import annotations

from dataclasses import replace

from tallystick.api.crud import IDS, Crud, where_of
from tallystick.api.routing import Call
from tallystick.control.counter_pricings import COUNTER_PRICINGS
from tallystick.ports import Where


def _where(call: Call) -> Where:
    query = call.query
    where = where_of(
        call, id=query.texts("ids"), plan_id=query.text("planId"), plan_template_id=query.text("planTemplateId")
    )
    return replace(where, active_on=query.instant("date"))


ROUTES = Crud(
    noun=COUNTER_PRICINGS,
    path="/counterpricings",
    tag="Counter pricings",
    where=_where,
    filters={
        "ids": IDS,
        "planId": "Only counter pricings of this plan.",
        "planTemplateId": "Only counter pricings of this template.",
        "date": "Only those in force at this date (its midnight, UTC) or date and time.",
    },
).routes()
