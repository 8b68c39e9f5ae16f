"""Lookup tables in formulas: which revision is in force, and what it says (docs/decisions/0162-lookup-tables.md).

`lookup("table", "field", key, …)` gives a field of the row with this key; without such a row it has no result.
`lookupOrNull` gives null then. m3ter's own functions are `Lookup.findNumber("table", "field", otherwise, key, …)`,
`Lookup.findString` alike, and `Lookup.exists("table", key, …)`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from tallystick.core.entity import Entity
from tallystick.core.expression import (
    FUNCTIONS,
    CalculationError,
    Call,
    Expression,
    Function,
    Reference,
    Scalar,
    Text,
    Type,
    parse,
    table,
)
from tallystick.core.expression.tree import nodes, rewritten
from tallystick.core.lookup_types import FieldType, LookupData, LookupTable, LookupTableRevision, key_text
from tallystick.core.period import BEGINNING, FOREVER, Instant

LOOKUP = "lookup"
LOOKUP_OR_NULL = "lookupOrNull"
FIND_NUMBER = "Lookup.findNumber"
FIND_STRING = "Lookup.findString"
EXISTS = "Lookup.exists"
# What stands before the keys of each: the code of the table, a field, what to give where there is nothing.
_BEFORE_KEYS = {LOOKUP: 2, LOOKUP_OR_NULL: 2, FIND_NUMBER: 3, FIND_STRING: 3, EXISTS: 1}
_GIVES = {FIND_NUMBER: FieldType.NUMBER, FIND_STRING: FieldType.STRING}
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
        value: Scalar = (self.row(keys) or {}).get(name)
        return Decimal(value) if isinstance(value, int) else value

    def row(self, keys: Sequence[Scalar]) -> Mapping[str, Any] | None:
        """The row with these keys, if there is one."""
        revision = self.revision.value
        if len(keys) != len(revision.keys):
            raise CalculationError(
                LOOKUP, f"the revision {revision.name!r} has {len(revision.keys)} keys, not {len(keys)}"
            )
        return self.by_key.get(",".join(key_text(key) for key in keys))


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

        def now(code: Scalar) -> Published:
            found = in_force(self.published.get(str(code), ()), at, known)
            if found is None:
                raise CalculationError(
                    LOOKUP, f"the lookup table {str(code)[:80]!r} has no revision in force at {at.wire()}"
                )
            return found

        def find(code: Scalar, name: Scalar, *keys: Scalar) -> Scalar:
            return now(code).find(str(name), keys)

        def find_or_else(code: Scalar, name: Scalar, otherwise: Scalar, *keys: Scalar) -> Scalar:
            if None in keys:
                return otherwise
            value = find(code, name, *keys)
            if value is not None and type(value) is not type(otherwise) and otherwise is not None:
                raise CalculationError(LOOKUP, f"the field {name} of {str(code)[:80]!r} is of another type")
            return otherwise if value is None else value

        def exists(code: Scalar, *keys: Scalar) -> Scalar:
            return None not in keys and now(code).row(keys) is not None

        def must_find(code: Scalar, name: Scalar, *keys: Scalar) -> Scalar:
            value = find(code, name, *keys)
            if value is None:
                key = ", ".join(key_text(each) for each in keys)
                raise CalculationError(LOOKUP, f"the lookup table {str(code)[:80]!r} says no {name} for {key[:200]}")
            return value

        return {
            **FUNCTIONS,
            **table(
                _function(LOOKUP, must_find),
                _function(LOOKUP_OR_NULL, find),
                _or_else(FIND_NUMBER, Type.NUMBER, find_or_else),
                _or_else(FIND_STRING, Type.TEXT, find_or_else),
                Function(
                    name=EXISTS,
                    parameters=(Type.TEXT, Type.ANY),
                    result=Type.BOOLEAN,
                    implementation=exists,
                    minimum=2,
                    maximum=1 + _MAX_KEYS,
                    takes_null=True,
                ),
            ),
        }


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
    return tuple(sorted(tables_in(parse(calculation, WITH_LOOKUPS)))) if may_look_up(calculation) else ()


def may_look_up(calculation: str) -> bool:
    """Whether a text could read tables: False is certain, and cheap."""
    return LOOKUP in calculation.lower()


def tables_in(expression: Expression) -> dict[str, tuple[dict[str, FieldType | None], set[int]]]:
    """The tables that an expression reads: code → (fields with the type they must have, if any; numbers of keys).

    Raises ValueError where a table or a field is not written as a text: it must be known before anything is computed.
    """
    found: dict[str, tuple[dict[str, FieldType | None], set[int]]] = {}
    for node, _ in nodes(expression):
        before = _BEFORE_KEYS.get(node.function) if isinstance(node, Call) else None
        if before is None or not isinstance(node, Call):
            continue
        named = node.arguments[: min(before, 2)]
        texts = [each.value for each in named if isinstance(each, Text)]
        if len(texts) < len(named):
            what = "its table" if before == 1 else "its table and field"
            raise ValueError(f"{node.function} names {what} by texts, such as {LOOKUP}('rates', 'price', x)")
        fields, counts = found.setdefault(texts[0], ({}, set()))
        for name in texts[1:]:
            fields[name] = _GIVES.get(node.function) or fields.get(name)
        counts.add(len(node.arguments) - before)
    return found


def with_named_keys(expression: Expression, fields: Collection[str]) -> Expression:
    """The expression with m3ter's way of naming keys resolved: in its functions a key that is the quoted code of a
    field is what that field has (`Lookup.findNumber("rates", "rate", 1, "country")`); any other key stays as it is."""

    def change(call: Call) -> Call:
        before = _BEFORE_KEYS.get(call.function)
        if before is None or call.function in {LOOKUP, LOOKUP_OR_NULL}:
            return call
        keys = (
            Reference(key.value, position=key.position) if isinstance(key, Text) and key.value in fields else key
            for key in call.arguments[before:]
        )
        return replace(call, arguments=(*call.arguments[:before], *keys))

    return rewritten(expression, change)


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


def _or_else(name: str, type: Type, implementation: Any) -> Function:
    return Function(
        name=name,
        parameters=(Type.TEXT, Type.TEXT, type, Type.ANY),
        result=type,
        implementation=implementation,
        minimum=4,
        maximum=3 + _MAX_KEYS,
        takes_null=True,
    )


NO_TABLES = Tables()
# What formulas that may read lookup tables are parsed and checked with.
WITH_LOOKUPS = NO_TABLES.functions(BEGINNING)
