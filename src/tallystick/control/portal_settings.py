"""How an organisation's portal looks: one set of settings, made with the organisation, and a logo if it has one."""

from __future__ import annotations

from tallystick.control.desk import Desk, Noun
from tallystick.core.entity import Entity
from tallystick.core.logo import PortalLogo
from tallystick.core.portal import PortalSettings
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Page, Transaction, Where

PORTAL_SETTINGS = Noun(of=PortalSettings)
PORTAL_LOGO = Noun(of=PortalLogo)


def initialise(write: Transaction, desk: Desk) -> None:
    """Give a new organisation its portal settings."""
    PORTAL_SETTINGS.create_within(desk, write, PortalSettings(), write.organization_id)


def current(records: OrganizationRecords) -> Entity[PortalSettings]:
    """The settings in force."""
    return PORTAL_SETTINGS.retrieve(records, records.organization_id)


def update(desk: Desk, value: PortalSettings, version: int | None) -> Entity[PortalSettings]:
    """Replace the settings. Refusal `version_mismatch`."""
    return PORTAL_SETTINGS.update(desk, desk.records.organization_id, value, version)


def logo(records: OrganizationRecords) -> Entity[PortalLogo] | None:
    """The logo, if there is one."""
    return next(iter(records.find(PortalLogo, Where(), Page(size=1)).rows), None)


def get_logo(records: OrganizationRecords) -> Entity[PortalLogo]:
    """The logo; Refusal `not_found` where there is none."""
    entity = logo(records)
    if entity is None:
        raise Refusal("not_found", "logo: this organisation has no logo")
    return entity


def set_logo(desk: Desk, value: PortalLogo) -> Entity[PortalLogo]:
    """Take another logo."""
    with desk.records.transaction() as write:
        before = logo(write)
        if before is None:
            return PORTAL_LOGO.create_within(desk, write, value, desk.new_id())
        return PORTAL_LOGO.update_within(desk, write, before, value, None)


def remove_logo(desk: Desk) -> Entity[PortalLogo]:
    """Have no logo any more, and return what it was; Refusal `not_found` where there is none."""
    with desk.records.transaction() as write:
        entity = get_logo(write)
        write.remove(entity, at=desk.now, by=desk.actor.id)
        return entity
