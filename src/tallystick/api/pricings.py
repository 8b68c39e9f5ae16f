"""Pricings over HTTP. A reply also says of which type its aggregation is, and its segment as one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tallystick.api.crud import IDS, Crud, Reply, where_of
from tallystick.api.routing import Call, entity_reply
from tallystick.control.pricings import PRICINGS, segment_string
from tallystick.core.catalog import Pricing
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.ports import OrganizationRecords, Where


def _where(call: Call) -> Where:
    query = call.query
    priced = query.text("aggregationId")
    compound = priced is not None and call.records.get(CompoundAggregation, priced) is not None
    where = where_of(
        call,
        id=query.texts("ids"),
        plan_id=query.text("planId"),
        plan_template_id=query.text("planTemplateId"),
        **{"compound_aggregation_id" if compound else "aggregation_id": priced},
    )
    return replace(where, active_on=query.instant("date"))


def _show(_: OrganizationRecords, pricings: Sequence[Entity[Pricing]]) -> list[Reply]:
    return [_reply(pricing) for pricing in pricings]


def _reply(pricing: Entity[Pricing]) -> Reply:
    kind = "SIMPLE" if pricing.value.aggregation_id is not None else "COMPOUND"
    reply = {**entity_reply(pricing), "aggregationType": kind}
    segment = segment_string(pricing.value)
    return reply if segment is None else {**reply, "segmentString": segment}


ROUTES = Crud(
    noun=PRICINGS,
    path="/pricings",
    tag="Pricings",
    where=_where,
    show=_show,
    filters={
        "ids": IDS,
        "planId": "Only pricings of this plan.",
        "planTemplateId": "Only pricings of this template.",
        "aggregationId": "Only pricings of this aggregation, or compound aggregation.",
        "date": "Only pricings in force at this date (its midnight, UTC) or date and time.",
    },
).routes()
