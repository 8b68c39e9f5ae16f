"""Compound aggregations over HTTP. A reply also says which segments the aggregations that it names have in common."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.api.crud import CODES, IDS, Crud, Reply, where_of
from tallystick.api.routing import Call, entity_reply
from tallystick.control.compound_aggregations import COMPOUND_AGGREGATIONS
from tallystick.control.compound_inputs import measured_for
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.core.scope import shared_segments
from tallystick.ports import OrganizationRecords, Where


def _show(records: OrganizationRecords, compounds: Sequence[Entity[CompoundAggregation]]) -> list[Reply]:
    return [_reply(records, each) for each in compounds]


def _reply(records: OrganizationRecords, compound: Entity[CompoundAggregation]) -> Reply:
    segments = shared_segments(measured_for(records, compound.value))
    return entity_reply(compound) | ({"segments": list(segments)} if segments else {})


def _where(call: Call) -> Where:
    query = call.query
    return where_of(call, id=query.texts("ids"), code=query.texts("codes"), product_id=query.texts("productId"))


ROUTES = Crud(
    noun=COMPOUND_AGGREGATIONS,
    path="/compoundaggregations",
    tag="Compound aggregations",
    where=_where,
    show=_show,
    filters={"ids": IDS, "codes": CODES, "productId": "Only those of these products, comma-joined."},
).routes()
