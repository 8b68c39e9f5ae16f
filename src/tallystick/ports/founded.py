"""What an organisation has exactly one of, since it was made, under its own id: its settings, its custom fields."""

from __future__ import annotations

from typing import TypeVar

from tallystick.core.entity import Entity, Value
from tallystick.core.organization import OrganizationConfig
from tallystick.ports import OrganizationRecords

V = TypeVar("V", bound=Value)


def config_of(records: OrganizationRecords) -> Entity[OrganizationConfig]:
    """The organisation's settings in force."""
    return founded(records, OrganizationConfig)


def founded(records: OrganizationRecords, of: type[V]) -> Entity[V]:
    """What is in force of a kind that every organisation is made with."""
    entity = records.get(of, records.organization_id)
    assert entity is not None, f"the organisation {records.organization_id} was never initialised: no {of.kind}"
    return entity
