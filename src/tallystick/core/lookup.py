"""Lookup tables in formulas: which revision is in force, and what it says (docs/decisions/0162-lookup-tables.md).

`lookup("table", "field", key, …)` gives a field of the row with this key; without such a row it has no result.
`lookupOrNull` gives null then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tallystick.core.entity import Entity
from tallystick.core.expression import (
    FUNCTIONS,
    CalculationError,
    Call,
    Expression,
    Function,
    Scalar,
    Text,
    Type,
    parse,
    table,
)
from tallystick.core.expression.tree import nodes
from tallystick.core.lookup_types import LookupData, LookupTable, LookupTableRevision, key_text
from tallystick.core.period import BEGINNING, FOREVER, Instant

LOOKUP = "lookup"
LOOKUP_OR_NULL = "lookupOrNull"
_MAX_KEYS = 5


@dataclass(frozen=True, slots=True)
class Published:
    """A revision that is or was in force, with its rows by key."""

    revision: Entity[LookupTableRevision]
    data: Entity[LookupData] | None
    by_key: Mapping[str, Mapping[str, Any]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        key_of = self.revision.value.key_of
        rows = self.data.value.rows if self.data else ()
        object.__setattr__(self, "by_key", {key_of(row): row for row in rows})

    def find(self, name: str, keys: Sequence[Scalar]) -> Scalar:
        """The field of the row with these keys; None where there is no such row, or nothing in it.

        Raises CalculationError for a field or a number of keys that the revision does not have.
        """
        revision = self.revision.value
        if revision.type_of(name) is None:
            raise CalculationError(LOOKUP, f"the revision {revision.name!r} has no field {name[:80]!r}")
        if len(keys) != len(revision.keys):
            raise CalculationError(
                LOOKUP, f"the revision {revision.name!r} has {len(revision.keys)} keys, not {len(keys)}"
            )
        row = self.by_key.get(",".join(key_text(key) for key in keys), {})
        value: Scalar = row.get(name)
        return Decimal(value) if isinstance(value, int) else value


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables by code, each with its revisions in the order in which they were published."""

    published: Mapping[str, tuple[Published, ...]] = field(default_factory=dict)
    entities: Mapping[str, tuple[Entity[Any], ...]] = field(default_factory=dict)  # what each was made of

    def __bool__(self) -> bool:
        return bool(self.published)

    def only(self, codes: Iterable[str]) -> Tables:
        """Those with these codes."""
        wanted = [code for code in codes if code in self.published]
        return Tables({code: self.published[code] for code in wanted}, {code: self.entities[code] for code in wanted})

    def names(self, at: Instant, known: Instant = FOREVER) -> dict[str, str]:
        """The name of the revision in force, by the code of its table; see `functions`."""
        found = ((code, in_force(revisions, at, known)) for code, revisions in sorted(self.published.items()))
        return {code: each.revision.value.name for code, each in found if each}

    def functions(self, at: Instant, known: Instant = FOREVER) -> Mapping[str, Function]:
        """What formulas may call, with the tables as they held at a moment, by what was published up to another."""

        def find(code: Scalar, name: Scalar, *keys: Scalar) -> Scalar:
            found = in_force(self.published.get(str(code), ()), at, known)
            if found is None:
                raise CalculationError(
                    LOOKUP, f"the lookup table {str(code)[:80]!r} has no revision in force at {at.wire()}"
                )
            return found.find(str(name), keys)

        def must_find(code: Scalar, name: Scalar, *keys: Scalar) -> Scalar:
            value = find(code, name, *keys)
            if value is None:
                key = ", ".join(key_text(each) for each in keys)
                raise CalculationError(LOOKUP, f"the lookup table {str(code)[:80]!r} says no {name} for {key[:200]}")
            return value

        return {**FUNCTIONS, **table(_function(LOOKUP, must_find), _function(LOOKUP_OR_NULL, find))}


def in_force(revisions: Iterable[Published], at: Instant, known: Instant) -> Published | None:
    """The last one published, among those whose start date has come and that were not withdrawn."""
    found = None
    for each in revisions:
        value = each.revision.value
        assert value.published_at is not None, "only what was published is looked at"
        withdrawn = value.withdrawn_at is not None and value.withdrawn_at <= known
        if value.published_at <= known and not withdrawn and (value.start_date or BEGINNING) <= at:
            found = each
    return found


def tables_of(entities: Iterable[Entity[Any]]) -> Tables:
    """The lookup tables among entities, with their published revisions and rows; others are left aside."""
    every = [each for each in entities if isinstance(each.value, LookupTable | LookupTableRevision | LookupData)]
    data = {each.value.lookup_table_revision_id: each for each in every if isinstance(each.value, LookupData)}
    revisions: dict[str, list[Published]] = {}
    for each in every:
        if isinstance(each.value, LookupTableRevision) and each.value.published_at is not None:
            revisions.setdefault(each.value.lookup_table_id, []).append(Published(each, data.get(each.id)))
    published, made_of = {}, {}
    for each in every:
        if isinstance(each.value, LookupTable):
            of_it = tuple(sorted(revisions.get(each.id, ()), key=_order))
            published[each.value.code] = of_it
            parts = ((one.revision, one.data) for one in of_it)
            made_of[each.value.code] = (each, *(part for pair in parts for part in pair if part))
    return Tables(published, made_of)


def codes_of(calculation: str) -> tuple[str, ...]:
    """The codes of the tables that a calculation reads, sorted; none for one that never could be kept."""
    return tuple(sorted(tables_in(parse(calculation, WITH_LOOKUPS)))) if LOOKUP in calculation else ()


def tables_in(expression: Expression) -> dict[str, tuple[set[str], set[int]]]:
    """The tables that an expression reads: code → (fields, numbers of keys).

    Raises ValueError where a table or a field is not written as a text: it must be known before anything is computed.
    """
    found: dict[str, tuple[set[str], set[int]]] = {}
    for node, _ in nodes(expression):
        if isinstance(node, Call) and node.function in {LOOKUP, LOOKUP_OR_NULL}:
            code, name, *keys = node.arguments
            if not isinstance(code, Text) or not isinstance(name, Text):
                raise ValueError(
                    f"{node.function} names its table and field by texts, such as {LOOKUP}('rates', 'price', x)"
                )
            fields, counts = found.setdefault(code.value, (set(), set()))
            fields.add(name.value)
            counts.add(len(keys))
    return found


def _order(each: Published) -> tuple[Instant, str]:
    assert each.revision.value.published_at is not None, "only what was published is put in order"
    return each.revision.value.published_at, each.revision.id


def _function(name: str, implementation: Any) -> Function:
    return Function(
        name=name,
        parameters=(Type.TEXT, Type.TEXT, Type.ANY),
        result=Type.ANY,
        implementation=implementation,
        minimum=3,
        maximum=2 + _MAX_KEYS,
    )


NO_TABLES = Tables()
# What formulas that may read lookup tables are parsed and checked with.
WITH_LOOKUPS = NO_TABLES.functions(BEGINNING)
