"""Reading entities of one organisation. Each statement is built once per shape and says what it finds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Select, Subquery, and_, bindparam, exists, func, or_, select

from tallystick.core import wire
from tallystick.core.entity import Entity, Value
from tallystick.ports import Found, Page, Where
from tallystick.stores.records_sql.paging import EntityPlace, read_token, write_token
from tallystick.stores.records_sql.schema import INTEGER, entity, entity_reference, entity_version
from tallystick.stores.records_sql.statements import matches
from tallystick.stores.records_sql.texts import moment, stamp, storable, storable_of

V = TypeVar("V", bound=Value)
Parameters = Mapping[str, Any]
# Runs a statement and gives all its rows: on a pooled connection, or inside a transaction.
Run = Callable[[Select[Any], Parameters], Sequence[Any]]

CHUNK = 1_000  # rows that `every` reads at a time
MAX_USERS = 10

_ENTITY = (
    entity.c.id,
    entity.c.version,
    entity.c.body,
    entity.c.created,
    entity.c.created_by,
    entity.c.modified,
    entity.c.modified_by,
)
OF_KIND = and_(
    entity.c.organization_id == bindparam("organization_id"),
    entity.c.kind == bindparam("kind"),
)

# One entity by its id.
BY_ID = select(*_ENTITY).where(OF_KIND, entity.c.id == bindparam("id"))

# Those of a list of ids that exist.
BY_IDS = select(*_ENTITY).where(OF_KIND, matches(entity.c.id, "ids", single=False))

# The codes of those of a list of ids that exist. (A condition on the code would have SQLite walk through all codes.)
CODES = select(entity.c.id, entity.c.code).where(OF_KIND, matches(entity.c.id, "ids", single=False))

# One entity by its code.
BY_CODE = select(*_ENTITY).where(OF_KIND, entity.c.code == bindparam("code"))

# One entity as it stood at a version, unless that version is its removal.
AT_VERSION = select(
    *(entity_version.c[column.name] for column in _ENTITY),
).where(
    entity_version.c.organization_id == bindparam("organization_id"),
    entity_version.c.kind == bindparam("kind"),
    entity_version.c.id == bindparam("id"),
    entity_version.c.version == bindparam("version"),
    entity_version.c.removed == 0,
)

# All versions of one entity that are no removal, oldest first.
VERSIONS = (
    select(*(entity_version.c[column.name] for column in _ENTITY))
    .where(
        entity_version.c.organization_id == bindparam("organization_id"),
        entity_version.c.kind == bindparam("kind"),
        entity_version.c.id == bindparam("id"),
        entity_version.c.removed == 0,
    )
    .order_by(entity_version.c.version)
)

# What was written of a kind after a moment, and every version that was written by then, oldest first.
WRITTEN_SINCE = (
    select(entity_version.c.id)
    .where(
        entity_version.c.organization_id == bindparam("organization_id"),
        entity_version.c.kind == bindparam("kind"),
        entity_version.c.modified > bindparam("moment"),
    )
    .distinct()
)
STOOD_AT = (
    select(*(entity_version.c[column.name] for column in _ENTITY), entity_version.c.removed)
    .where(
        entity_version.c.organization_id == bindparam("organization_id"),
        entity_version.c.kind == bindparam("kind"),
        entity_version.c.modified <= bindparam("moment"),
    )
    .order_by(entity_version.c.id, entity_version.c.version)
)

# The newest sequence number of a kind: where `every` stops, however much is added meanwhile.
ANY = 2**63 - 1  # no sequence number is greater
NEWEST = select(func.max(entity.c.sequence)).where(OF_KIND)

# Entities other than itself that refer to an id, oldest first. The inner part stops at one more than are shown.
_REFERRING = (
    select(entity_reference.c.sequence)
    .distinct()
    .where(
        entity_reference.c.organization_id == bindparam("organization_id"),
        entity_reference.c.target == bindparam("target"),
        entity_reference.c.refers == 1,
    )
    .order_by(entity_reference.c.sequence)
    .limit(MAX_USERS + 1)
)
USERS_OF = (
    select(entity.c.kind, entity.c.id)
    .where(entity.c.sequence.in_(_REFERRING), entity.c.id != bindparam("target"))
    .order_by(entity.c.sequence)
    .limit(MAX_USERS)
)


def get(run: Run, organization_id: str, of: type[V], id: str) -> Entity[V] | None:
    """The entity as it stands."""
    if not storable(id):
        return None
    return _one(of, run(BY_ID, {"organization_id": organization_id, "kind": kind_of(of), "id": id}))


def get_many(run: Run, organization_id: str, of: type[V], ids: Collection[str]) -> dict[str, Entity[V]]:
    """Those of the ids that exist, by id."""
    wanted = storable_of(ids)
    if not wanted:
        return {}
    rows = run(BY_IDS, {"organization_id": organization_id, "kind": kind_of(of), "ids": wanted})
    return {row.id: _entity(of, row) for row in rows}


def codes(run: Run, organization_id: str, of: type[Value], ids: Collection[str]) -> dict[str, str]:
    """The codes of those of the ids that exist and have one, by id."""
    wanted = storable_of(ids)
    if not wanted:
        return {}
    rows = run(CODES, {"organization_id": organization_id, "kind": kind_of(of), "ids": wanted})
    return {row.id: row.code for row in rows if row.code is not None}


def by_code(run: Run, organization_id: str, of: type[V], code: str) -> Entity[V] | None:
    """The entity with this code, compared exactly."""
    if not storable(code):
        return None
    return _one(of, run(BY_CODE, {"organization_id": organization_id, "kind": kind_of(of), "code": code}))


def at_version(run: Run, organization_id: str, of: type[V], id: str, version: int) -> Entity[V] | None:
    """The entity as it stood at a version, removed ones too."""
    if not storable(id):
        return None
    parameters = {"organization_id": organization_id, "kind": kind_of(of), "id": id, "version": version}
    return _one(of, run(AT_VERSION, parameters))


def versions(run: Run, organization_id: str, of: type[V], id: str) -> list[Entity[V]]:
    """Every version of an entity, oldest first."""
    if not storable(id):
        return []
    rows = run(VERSIONS, {"organization_id": organization_id, "kind": kind_of(of), "id": id})
    return [_entity(of, row) for row in rows]


def changed_since(run: Run, organization_id: str, of: type[V], at: datetime) -> dict[str, Entity[V] | None]:
    """The entities of a kind that were written after a moment, as they stood at it."""
    asked = {"organization_id": organization_id, "kind": kind_of(of), "moment": stamp(at)}
    found: dict[str, Entity[V] | None] = {row.id: None for row in run(WRITTEN_SINCE, asked)}
    for row in run(STOOD_AT, asked) if found else ():
        if row.id in found:
            found[row.id] = None if row.removed else _entity(of, row)
    return found


def users_of(run: Run, organization_id: str, id: str) -> list[tuple[str, str]]:
    """(kind, id) of up to 10 other entities that refer to the id, oldest first."""
    if not storable(id):
        return []
    return [(row.kind, row.id) for row in run(USERS_OF, {"organization_id": organization_id, "target": id})]


def find(run: Run, organization_id: str, of: type[V], where: Where, page: Page) -> Found[Entity[V]]:
    """One page of the entities that match, newest first."""
    assert page.size > 0, "a page has at least one row"
    parameters: dict[str, Any] = {"organization_id": organization_id, "kind": kind_of(of), "size": page.size + 1}
    if page.token:
        parameters["below"] = read_token(page.token, EntityPlace).sequence
    conditions = _conditions(of, where, parameters)
    if conditions is None:
        return Found(())
    rows = run(_newest_first(conditions, where.active_on is not None, bool(page.token)), parameters)
    more = len(rows) > page.size
    shown = rows[: page.size]
    return Found(
        tuple(_entity(of, row) for row in shown), write_token(EntityPlace(shown[-1].sequence)) if more else None
    )


def every(run: Run, organization_id: str, of: type[V], where: Where) -> Iterator[Entity[V]]:
    """All entities that match and exist now, oldest first, read in chunks: most often it is one, which has them all.
    Where it is not, there is an end to it though more is written meanwhile."""
    parameters: dict[str, Any] = {"organization_id": organization_id, "kind": kind_of(of), "size": CHUNK, "above": 0}
    conditions = _conditions(of, where, parameters)
    if conditions is None:
        return
    parameters["newest"] = ANY
    while True:
        rows = run(_oldest_first(conditions, where.active_on is not None), parameters)
        if len(rows) == CHUNK and parameters["newest"] == ANY:
            parameters = {**parameters, "newest": run(NEWEST, parameters)[0][0]}
        for row in rows:
            yield _entity(of, row)
        if len(rows) < CHUNK:
            return
        parameters = {**parameters, "above": rows[-1].sequence}


# A condition of a statement: "id", "code", or "" for a field that a parameter names; and whether one value is wanted
# (or one of a list).
Condition = tuple[str, bool]
LEADING: tuple[Condition, ...] = (("", True), ("", False))  # by fields, the narrower first


def _conditions(of: type[Value], where: Where, parameters: dict[str, Any]) -> tuple[Condition, ...] | None:
    """The shape of a filter; its values are added to the parameters. None when nothing can match."""
    if where.active_on is not None:
        parameters["active_on"] = stamp(where.active_on)
    conditions = []
    for index, (name, wanted) in enumerate((where.equal or {}).items()):
        assert name in {"id", "code", *of.references, *of.filters}, f"{of.__name__} has no filter {name}"
        values = storable_of(wanted)
        if not values:
            return None
        single = len(values) == 1
        parameters[f"name_{index}"] = name
        parameters[f"value_{index}"] = values[0] if single else values
        conditions.append((name if name in {"id", "code"} else "", single))
    return tuple(conditions)


@cache
def _newest_first(conditions: tuple[Condition, ...], active: bool, goes_on: bool) -> Select[Any]:
    """Entities that match, newest first, from the place of the page on."""

    def from_place(sequence: ColumnElement[int]) -> list[ColumnElement[bool]]:
        return [sequence < bindparam("below", type_=INTEGER)] if goes_on else []

    statement, sequence = _matching(conditions, active, from_place)
    return statement.order_by(sequence.desc())


@cache
def _oldest_first(conditions: tuple[Condition, ...], active: bool) -> Select[Any]:
    """Entities that match, oldest first, above one sequence number and up to another."""

    def between(sequence: ColumnElement[int]) -> list[ColumnElement[bool]]:
        return [sequence > bindparam("above", type_=INTEGER), sequence <= bindparam("newest", type_=INTEGER)]

    statement, sequence = _matching(conditions, active, between)
    return statement.order_by(sequence)


def _matching(
    conditions: tuple[Condition, ...],
    active: bool,
    place: Callable[[ColumnElement[int]], list[ColumnElement[bool]]],
) -> tuple[Select[Any], ColumnElement[int]]:
    """Entities for which every condition holds, which are active on an instant and lie in the part of the list that is
    wanted; and the column of their order."""
    statement = select(*_ENTITY, entity.c.sequence).where(OF_KIND).limit(bindparam("size", type_=INTEGER))
    leads = next((index for shape in LEADING for index, each in enumerate(conditions) if each == shape), None)
    if leads is None:
        sequence: ColumnElement[int] = entity.c.sequence
        statement = statement.where(*place(sequence))
    else:
        leading = _leading(leads, conditions[leads][1], place)
        sequence = leading.c.sequence
        statement = statement.join(leading, sequence == entity.c.sequence)
    for index, (column, single) in enumerate(conditions):
        if column:
            statement = statement.where(matches(entity.c[column], f"value_{index}", single=single))
        elif index != leads:
            of_entity = entity_reference.c.sequence == entity.c.sequence
            statement = statement.where(exists().where(*_wants(index, single), of_entity))
    if active:
        at: BindParameter[str] = bindparam("active_on")
        statement = statement.where(
            or_(entity.c.starts_at.is_(None), entity.c.starts_at <= at),
            or_(entity.c.ends_at.is_(None), entity.c.ends_at > at),
        )
    return statement, sequence


def _leading(index: int, single: bool, place: Callable[[ColumnElement[int]], list[ColumnElement[bool]]]) -> Subquery:
    """The references that a list is driven by. Those with one value lie in the order of lists, so that a page reads as
    many of them as it shows; of those with several values, an entity that has two comes once."""
    wanted = select(entity_reference.c.sequence).where(*_wants(index, single), *place(entity_reference.c.sequence))
    return (wanted if single else wanted.distinct()).subquery()


def _wants(index: int, single: bool) -> tuple[ColumnElement[bool], ...]:
    """The reference is one of the wanted values of the field that a parameter names."""
    return (
        entity_reference.c.organization_id == bindparam("organization_id"),
        entity_reference.c.kind == bindparam("kind"),
        entity_reference.c.name == bindparam(f"name_{index}"),
        matches(entity_reference.c.target, f"value_{index}", single=single),
    )


def kind_of(of: type[Value]) -> str:
    """The name of a kind of entity, which this must be."""
    assert of.kind, f"{of.__name__} is not kept as an entity"
    return of.kind


def _one(of: type[V], rows: Sequence[Any]) -> Entity[V] | None:
    return _entity(of, rows[0]) if rows else None


def _entity(of: type[V], row: Any) -> Entity[V]:
    id_, version, body, created, created_by, modified, modified_by = row[:7]
    return Entity(
        id=id_,
        version=version,
        value=wire.decode(of, body),
        created=moment(created),
        created_by=created_by,
        modified=moment(modified),
        modified_by=modified_by,
    )
