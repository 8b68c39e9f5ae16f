"""Writing entities of one organisation, inside its transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tallystick.core import wire
from tallystick.core.entity import Entity, Value, wire_name
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.stores.records_sql.schema import entity, entity_reference, entity_version
from tallystick.stores.records_sql.texts import has_escaped_nul, stamp

_THIS = and_(
    entity.c.organization_id == bindparam("of_organization"),
    entity.c.kind == bindparam("of_kind"),
    entity.c.id == bindparam("of_id"),
)

# Add an entity, and give its place in the order of creation.
INSERT = insert(entity).returning(entity.c.sequence)

REPLACED = ("code", "version", "starts_at", "ends_at", "body", "modified", "modified_by")
# Put the next version in place of the present one.
REPLACE = (
    update(entity)
    .where(_THIS, entity.c.version == bindparam("expected"))
    .values({name: bindparam(name) for name in REPLACED})
    .returning(entity.c.sequence)
)

# The version that is stored, and the entity's place in the order of creation.
STORED = select(entity.c.version, entity.c.sequence).where(_THIS)

# The entity that has a code.
OWNER_OF_CODE = select(entity.c.id).where(
    entity.c.organization_id == bindparam("of_organization"),
    entity.c.kind == bindparam("of_kind"),
    entity.c.code == bindparam("code"),
)

REMOVE = delete(entity).where(entity.c.sequence == bindparam("of_sequence"))
FORGET_REFERENCES = delete(entity_reference).where(entity_reference.c.sequence == bindparam("of_sequence"))
ADD_REFERENCES = insert(entity_reference)
KEEP_VERSION = insert(entity_version)


def insert_entity(connection: Connection, organization_id: str, new: Entity[Any]) -> None:
    """Keep a new entity. Refusal `code_in_use` when its kind already has the code."""
    assert new.version == 1, f"a new entity has version 1, got {new.version}"
    row = _row(organization_id, new)
    _require_free_code(connection, row)
    try:
        sequence = connection.execute(INSERT, row).scalar_one()
    except IntegrityError as error:
        raise AssertionError(
            f"{row['kind']} {new.id}: organisation {organization_id} does not exist, or the id is taken"
        ) from error
    _keep_version(connection, row)
    _keep_references(connection, row, sequence, new.value)


def replace_entity(connection: Connection, organization_id: str, new: Entity[Any]) -> None:
    """Keep the next version. Refusal `version_mismatch` when another than `version - 1` is stored."""
    row = _row(organization_id, new)
    _require_version(connection, row, new.version - 1)
    _require_free_code(connection, row)
    changes = {name: row[name] for name in REPLACED}
    sequence = connection.execute(REPLACE, {**changes, **_this(row), "expected": new.version - 1}).scalar_one()
    _keep_version(connection, row)
    connection.execute(FORGET_REFERENCES, {"of_sequence": sequence})
    _keep_references(connection, row, sequence, new.value)


def remove_entity(connection: Connection, organization_id: str, old: Entity[Any], *, at: datetime, by: str) -> None:
    """Take an entity out of use. The removal is kept as one more version, which `at_version` does not give."""
    row = _row(organization_id, old)
    sequence = _require_version(connection, row, old.version)
    connection.execute(FORGET_REFERENCES, {"of_sequence": sequence})
    connection.execute(REMOVE, {"of_sequence": sequence})
    removal = {**row, "version": old.version + 1, "modified": stamp(at), "modified_by": by}
    _keep_version(connection, removal, removed=1)


def _row(organization_id: str, new: Entity[Any]) -> dict[str, Any]:
    """The columns of an entity. Refusal `invalid_request` when a text in it has a NUL character."""
    value = new.value
    assert value.kind, f"{type(value).__name__} is not kept as an entity"
    body = wire.encode(value)
    if has_escaped_nul(body):
        raise _holds_nul(value)
    return {
        "organization_id": organization_id,
        "kind": value.kind,
        "id": new.id,
        "code": getattr(value, "code", None),
        "version": new.version,
        "starts_at": _edge(value, "start_date"),
        "ends_at": _edge(value, "end_date"),
        "body": body.decode(),
        "created": stamp(new.created),
        "created_by": new.created_by,
        "modified": stamp(new.modified),
        "modified_by": new.modified_by,
    }


def _this(row: dict[str, Any]) -> dict[str, Any]:
    return {"of_organization": row["organization_id"], "of_kind": row["kind"], "of_id": row["id"]}


def _edge(value: Value, field: str) -> str | None:
    """A start or an end as a stamp; a date is its midnight in UTC."""
    edge = getattr(value, field, None)
    if edge is None:
        return None
    if isinstance(edge, datetime):
        return stamp(edge)
    assert isinstance(edge, date), f"{field} is neither an instant nor a date"
    return stamp(Instant.midnight(edge))


def _require_free_code(connection: Connection, row: dict[str, Any]) -> None:
    """Refuse a code that another entity of the kind has. No one else writes now, so what is free stays free."""
    if row["code"] is None:
        return
    owner = connection.execute(OWNER_OF_CODE, {**_this(row), "code": row["code"]}).scalar()
    if owner is not None and owner != row["id"]:
        raise Refusal("code_in_use", f"code: the {row['kind']} {owner} has the code {row['code']!r}", field="code")


def _require_version(connection: Connection, row: dict[str, Any], expected: int) -> int:
    """The place of the stored entity in the order of creation; refuse when it has another version or is gone."""
    stored = connection.execute(STORED, _this(row)).first()
    if stored is None:
        raise Refusal("not_found", f"{row['kind']} {row['id']} does not exist")
    if stored.version != expected:
        raise Refusal(
            "version_mismatch",
            f"version: the {row['kind']} {row['id']} has version {stored.version}, the request has {expected}",
            field="version",
        )
    sequence: int = stored.sequence
    return sequence


def _keep_version(connection: Connection, row: dict[str, Any], removed: int = 0) -> None:
    columns = {column.name: row[column.name] for column in entity_version.c if column.name != "removed"}
    connection.execute(KEEP_VERSION, {**columns, "removed": removed})


def _keep_references(connection: Connection, row: dict[str, Any], sequence: int, value: Value) -> None:
    of_entity = {"organization_id": row["organization_id"], "kind": row["kind"], "sequence": sequence}
    references = [
        {**of_entity, "name": name, "target": target, "refers": int(name in value.references)}
        for name in dict.fromkeys((*value.references, *value.filters))
        for target in dict.fromkeys(_targets(name, getattr(value, name)))
    ]
    if references:
        connection.execute(ADD_REFERENCES, references)


def _targets(name: str, held: object) -> Iterator[str]:
    """The texts that a field is found by."""
    if held is None:
        return
    if isinstance(held, bool):
        yield "true" if held else "false"
    elif isinstance(held, str):
        yield str(held)
    elif isinstance(held, date):
        yield held.isoformat()
    else:
        assert isinstance(held, tuple), f"{name} cannot be filtered by: it is a {type(held).__name__}"
        for each in held:
            yield from _targets(name, each)


def _holds_nul(value: Value) -> Refusal:
    for name in value.__struct_fields__:
        if has_escaped_nul(wire.encode(getattr(value, name))):
            field = wire_name(type(value), name)
            return Refusal("invalid_request", f"{field}: has a NUL character (U+0000); remove it", field=field)
    raise AssertionError("a NUL character in no field")
