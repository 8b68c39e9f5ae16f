"""Credentials: what lets somebody in who does not say which organisation."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tallystick.errors import Refusal
from tallystick.ports import Credential
from tallystick.stores.records_sql.entities import Run
from tallystick.stores.records_sql.schema import credential as table
from tallystick.stores.records_sql.texts import moment, require_storable, stamp, storable

BY_ID = select(table).where(table.c.purpose == bindparam("purpose"), table.c.id == bindparam("id"))

OF_USER = select(table).where(
    table.c.organization_id == bindparam("organization_id"), table.c.user_id == bindparam("user_id")
)

_THIS = (
    table.c.purpose == bindparam("of_purpose"),
    table.c.id == bindparam("of_id"),
    table.c.organization_id == bindparam("of_organization"),
)
ADD = insert(table)
CHANGE = (
    update(table)
    .where(*_THIS)
    .values({name: bindparam(name) for name in ("user_id", "secret", "created", "used", "expires")})
)
REMOVE = delete(table).where(*_THIS)

# All that a user has for one purpose.
REMOVE_OF_USER = delete(table).where(
    table.c.organization_id == bindparam("of_organization"),
    table.c.user_id == bindparam("of_user"),
    table.c.purpose == bindparam("of_purpose"),
)


# What has expired by an instant.
REMOVE_EXPIRED = delete(table).where(
    table.c.organization_id == bindparam("of_organization"), table.c.expires <= bindparam("by")
)


def credential(run: Run, purpose: str, id: str) -> Credential | None:
    """What lets somebody in for this purpose by this id."""
    rows = run(BY_ID, {"purpose": purpose, "id": id}) if storable(id) else ()
    return _read(rows[0]) if rows else None


def of_user(run: Run, organization_id: str, user_id: str, purposes: Collection[str]) -> list[Credential]:
    """What a user has for the purposes."""
    rows = run(OF_USER, {"organization_id": organization_id, "user_id": user_id}) if storable(user_id) else ()
    return [_read(row) for row in rows if row.purpose in purposes]


def put_credential(connection: Connection, organization_id: str, new: Credential) -> None:
    """Insert or overwrite. Refusal `rule_broken` when another organisation has it."""
    assert new.organization_id == organization_id, "a credential of another organisation"
    stored = connection.execute(BY_ID, {"purpose": new.purpose, "id": require_storable(new.id, "id")}).first()
    columns = {
        "user_id": new.user_id,
        "secret": new.secret,
        "created": stamp(new.created),
        "used": _stamp(new.used),
        "expires": _stamp(new.expires),
    }
    if stored is not None and stored.organization_id == organization_id:
        connection.execute(CHANGE, {**columns, **_this(organization_id, new.purpose, new.id)})
        return
    taken = Refusal("rule_broken", f"{new.purpose.lower()}: {new.id[:80]!r} is used on this server already")
    if stored is not None:
        raise taken
    try:
        connection.execute(ADD, {**columns, "purpose": new.purpose, "id": new.id, "organization_id": organization_id})
    except IntegrityError as error:  # another organisation was faster
        raise taken from error


def remove_credential(connection: Connection, organization_id: str, purpose: str, id: str) -> None:
    """Delete one, if it exists."""
    connection.execute(REMOVE, _this(organization_id, purpose, id))


def remove_credentials(connection: Connection, organization_id: str, user_id: str, purposes: Collection[str]) -> None:
    """Delete all that a user has for the purposes."""
    for purpose in purposes:
        connection.execute(
            REMOVE_OF_USER, {"of_organization": organization_id, "of_user": user_id, "of_purpose": purpose}
        )


def remove_expired(connection: Connection, organization_id: str, by: datetime) -> None:
    """Delete what has expired."""
    connection.execute(REMOVE_EXPIRED, {"of_organization": organization_id, "by": stamp(by)})


def _this(organization_id: str, purpose: str, id: str) -> dict[str, Any]:
    return {"of_organization": organization_id, "of_purpose": purpose, "of_id": id}


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)


def _read(row: Any) -> Credential:
    return Credential(
        purpose=row.purpose,
        id=row.id,
        organization_id=row.organization_id,
        user_id=row.user_id,
        secret=row.secret,
        created=moment(row.created),
        used=None if row.used is None else moment(row.used),
        expires=None if row.expires is None else moment(row.expires),
    )
