"""Organisations: the tenants, each with its settings and its first service user."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from tallystick.control import bills, organization_config, service_users
from tallystick.control.desk import Desk
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Organization, Records

MAX_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrganization:
    """What the creator is told once: the secret is kept only as a digest."""

    organization: Organization
    api_key: str
    api_secret: str


def create_organization(records: Records, name: str, currency: str, now: Instant) -> NewOrganization:
    """Add a tenant with default settings in `currency` and one service user that may do everything."""
    if not name.strip() or len(name) > MAX_NAME or "\x00" in name:
        raise Refusal("invalid_request", f"name: must have 1 to {MAX_NAME} printable characters", field="name")
    organization = Organization(id=str(uuid4()), name=name.strip(), created=now)
    organization_config.require_currency_code(currency)
    records.add_organization(organization)
    bound = records.organization(organization.id)
    organization_config.initialise(bound, currency, now)
    with bound.transaction() as write:
        bills.initialise(write, Desk(records=bound, actor=organization_config.OPERATOR, now=now))
    user, secret = service_users.create(records, organization.id, "first service user", ("all",), now)
    return NewOrganization(organization=organization, api_key=user.access_key, api_secret=secret)
