"""Organisations and their service users: what the operator and the sign-in see."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, select, update

from tallystick.ports import Organization, ServiceUser
from tallystick.stores.records_sql.schema import organization, service_user
from tallystick.stores.records_sql.texts import moment, require_storable, stamp

# All organisations, oldest first.
ORGANIZATIONS = select(organization).order_by(organization.c.created, organization.c.id)

ORGANIZATION_BY_ID = select(organization).where(organization.c.id == bindparam("id"))

ADD_ORGANIZATION = insert(organization)

USER_BY_ID = select(service_user).where(service_user.c.id == bindparam("id"))

# The service user that signs in with an access key.
USER_BY_KEY = select(service_user).where(service_user.c.access_key == bindparam("access_key"))

# The service users of an organisation, oldest first.
USERS = (
    select(service_user)
    .where(service_user.c.organization_id == bindparam("organization_id"))
    .order_by(service_user.c.created, service_user.c.id)
)

ADD_USER = insert(service_user)

REPLACE_USER = (
    update(service_user)
    .where(service_user.c.id == bindparam("of_id"), service_user.c.organization_id == bindparam("of_organization"))
    .values({name: bindparam(name) for name in ("name", "access_key", "secret_digest", "scopes", "revoked")})
)


def organization_row(new: Organization) -> dict[str, Any]:
    """The columns of an organisation."""
    return {"id": new.id, "name": require_storable(new.name, "name"), "created": stamp(new.created)}


def read_organization(row: Any) -> Organization:
    """The organisation of a row."""
    return Organization(id=row.id, name=row.name, created=moment(row.created))


def user_row(new: ServiceUser) -> dict[str, Any]:
    """The columns of a service user."""
    return {
        "id": new.id,
        "organization_id": new.organization_id,
        "name": require_storable(new.name, "name"),
        "access_key": new.access_key,
        "secret_digest": new.secret_digest,
        "scopes": msgspec.json.encode(new.scopes).decode(),
        "created": stamp(new.created),
        "revoked": None if new.revoked is None else stamp(new.revoked),
    }


def read_user(row: Any) -> ServiceUser:
    """The service user of a row."""
    return ServiceUser(
        id=row.id,
        organization_id=row.organization_id,
        name=row.name,
        access_key=row.access_key,
        secret_digest=row.secret_digest,
        scopes=msgspec.json.decode(row.scopes, type=tuple[str, ...]),
        created=moment(row.created),
        revoked=None if row.revoked is None else moment(row.revoked),
    )
