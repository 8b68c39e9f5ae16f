"""Reading little of very many entities of one organisation: what they say, and whom others refer to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, not_, select

from tallystick.core.entity import Text, Value
from tallystick.stores.records_sql.entities import CHUNK, OF_KIND, Run, kind_of
from tallystick.stores.records_sql.schema import INTEGER, entity, entity_reference
from tallystick.stores.records_sql.statements import matches
from tallystick.stores.records_sql.texts import storable_of

_TEXT = (entity.c.id, entity.c.version, entity.c.body)

# The texts of a list of ids.
BY_IDS = select(*_TEXT).where(OF_KIND, matches(entity.c.id, "among", single=False))

# The texts of those that refer to one of a list of ids by a field.
BY_REFERENCE = (
    select(*_TEXT)
    .join(entity_reference, entity_reference.c.sequence == entity.c.sequence)
    .where(
        entity_reference.c.organization_id == bindparam("organization_id"),
        entity_reference.c.kind == bindparam("kind"),
        entity_reference.c.name == bindparam("name"),
        matches(entity_reference.c.target, "among", single=False),
    )
)

# The texts of a kind, in order of creation, from a place on.
OF_ALL = (
    select(*_TEXT, entity.c.sequence)
    .where(OF_KIND, entity.c.sequence > bindparam("above", type_=INTEGER))
    .order_by(entity.c.sequence)
    .limit(bindparam("size", type_=INTEGER))
)

# The ids that entities refer to which are of other kinds than some.
REFERRED_TO = (
    select(entity_reference.c.target)
    .distinct()
    .where(
        entity_reference.c.organization_id == bindparam("organization_id"),
        entity_reference.c.refers == 1,
        not_(matches(entity_reference.c.kind, "besides", single=False)),
    )
)

# Those of a list of ids.
REFERRED_TO_AMONG = REFERRED_TO.where(matches(entity_reference.c.target, "among", single=False))


def texts(run: Run, organization_id: str, of: type[Value], name: str, among: Collection[str]) -> Iterator[Text]:
    """See ports.texts.Texts."""
    parameters: dict[str, Any] = {"organization_id": organization_id, "kind": kind_of(of)}
    if name:
        assert name in {"id", *of.references}, f"{of.__name__} does not refer by {name}"
        wanted = storable_of(among)
        statement = BY_IDS if name == "id" else BY_REFERENCE
        yield from run(statement, parameters | {"name": name, "among": wanted}) if wanted else ()
        return
    above, rows = 0, _next(run, parameters, 0)
    while rows:
        for id_, version, body, above in rows:  # noqa: B007 - the last one is where the next chunk begins
            yield id_, version, body
        rows = _next(run, parameters, above) if len(rows) == CHUNK else ()


def _next(run: Run, parameters: dict[str, Any], above: int) -> Sequence[Any]:
    return run(OF_ALL, parameters | {"above": above, "size": CHUNK})


def referred_to(
    run: Run, organization_id: str, besides: Collection[type[Value]], among: Collection[str] | None
) -> set[str]:
    """See ports.texts.Texts."""
    parameters: dict[str, Any] = {"organization_id": organization_id, "besides": [kind_of(each) for each in besides]}
    if among is None:
        return {target for (target,) in run(REFERRED_TO, parameters)}
    wanted = storable_of(among)
    return {target for (target,) in run(REFERRED_TO_AMONG, parameters | {"among": wanted})} if wanted else set()
