"""External mappings: what entities are called in other systems. An external id stands for one entity of a type."""

from __future__ import annotations

from tallystick.control.desk import ID, REFERENCED, Draft, Noun, rule_broken
from tallystick.core.event import noun
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.integration import IntegrationConfig
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Where

# What can be mapped and is known here: its id must exist.
_KNOWN = {each.kind: each for each in REFERENCED.values() if each is not None}


def _rules(draft: Draft[ExternalMapping]) -> ExternalMapping:
    value = draft.value
    config = value.integration_config_id
    if config is not None and draft.read.get(IntegrationConfig, config) is None:
        message = f"integrationConfigId: there is no integration configuration {config[:40]!r} in this organisation"
        raise Refusal("unknown_reference", message, field="integrationConfigId")
    if not _exists(draft.read, value):
        message = f"m3terId: there is no {value.m3ter_entity[:80]} {value.m3ter_id!r} in this organisation"
        raise Refusal("unknown_reference", message, field="m3terId")
    there = [each for each in draft.read.every(ExternalMapping, Where(equal=value.place)) if each.id != draft.id]
    other = value.clash([each.value for each in there])
    if other is not None:
        raise rule_broken("externalId", f"{value.external_id[:80]!r} is mapped to the {value.m3ter_entity} {other}")
    if there:
        raise rule_broken("externalId", f"the mapping {there[0].id} says the same; update that one")
    return value


def _exists(read: OrganizationRecords, mapping: ExternalMapping) -> bool:
    kind = noun(mapping.m3ter_entity)
    if kind == "bill":
        return read.document("bill", mapping.m3ter_id) is not None
    of = _KNOWN.get(kind)
    return of is None or (ID.fullmatch(mapping.m3ter_id) is not None and read.get(of, mapping.m3ter_id) is not None)


EXTERNAL_MAPPINGS = Noun(of=ExternalMapping, check=_rules)
