"""Events of configuration: an entity was created, updated or deleted (source: reference 2.12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tallystick.core.entity import Entity, Value, is_sealed
from tallystick.core.event import Event
from tallystick.core.event_fields import fields_of
from tallystick.core.ids import named_id
from tallystick.core.period import Instant

EVENT_TYPE = "ConfigurationChange"
# What is too large to be told: whoever wants it asks for it.
_NOT_TOLD: Mapping[str, frozenset[str]] = {"lookupdata": frozenset({"rows"}), "portallogo": frozenset({"content"})}


def event_name(kind: str, action: str) -> str:
    """`configuration.account.created`."""
    return f"configuration.{kind}.{action}"


def configuration_event(
    organization_id: str, action: str, entity: Entity[Any], before: Entity[Any] | None, at: Instant
) -> Event:
    """The event of a change: with `new`, as the entity is now, and `old`, as it was. What was deleted has `old` only,
    what is new `new` only. Its id follows from the change."""
    kind = entity.value.kind
    details: dict[str, Any] = {"eventName": event_name(kind, action)}
    if action != "deleted":
        details["new"] = shown(entity)
    old = entity if action == "deleted" else before
    if old is not None:
        details["old"] = shown(old)
    return Event(
        id=named_id(organization_id, f"{kind}/{entity.id}/{entity.version}/{action}"),
        event_name=event_name(kind, action),
        event_time=at,
        m3ter_event=details,
    )


def shown(entity: Entity[Any]) -> dict[str, object]:
    """An entity as an event shows it: the fields of its reply, without secrets and what is too large."""
    value = entity.value
    left_out = _NOT_TOLD.get(value.kind, frozenset())
    fields = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    return {
        "id": entity.id,
        "version": entity.version,
        **{
            wire: each
            for wire, name in fields
            if (each := getattr(value, name)) is not None and wire not in left_out and not is_sealed(wire)
        },
        "dtCreated": Instant.of(entity.created),
        "dtLastModified": Instant.of(entity.modified),
        "createdBy": entity.created_by,
        "lastModifiedBy": entity.modified_by,
    }


class _Envelope(msgspec.Struct, rename="camel"):
    id: str
    version: int
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str


def told_fields(of: type[Value]) -> dict[str, str]:
    """What formulas over events of a kind may refer to, after `new.` or `old.`: field to type."""
    left_out = _NOT_TOLD.get(of.kind, frozenset())
    own = {name: kind for name, kind in fields_of(of).items() if name not in left_out and not is_sealed(name)}
    return {**fields_of(_Envelope), **own}
