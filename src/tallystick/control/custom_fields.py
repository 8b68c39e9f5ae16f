"""The organisation's custom fields: default values per kind of entity. One set, made with the organisation."""

from __future__ import annotations

from tallystick.control.desk import Desk, Noun
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationCustomFields
from tallystick.ports import OrganizationRecords

CUSTOM_FIELDS = Noun(of=OrganizationCustomFields)


def current(records: OrganizationRecords) -> Entity[OrganizationCustomFields]:
    """The defaults in force."""
    entity = records.get(OrganizationCustomFields, records.organization_id)
    assert entity is not None, f"the organisation {records.organization_id} was never initialised"
    return entity


def update(desk: Desk, value: OrganizationCustomFields, version: int | None) -> Entity[OrganizationCustomFields]:
    """Replace the defaults. Refusal `version_mismatch`."""
    with desk.records.transaction() as write:
        return CUSTOM_FIELDS.update_within(desk, write, current(write), value, version)
