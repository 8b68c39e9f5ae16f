"""The organisation's custom fields: default values per kind of entity. One set, made with the organisation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from tallystick.control.desk import Desk, Noun, in_use, rule_broken
from tallystick.core.attributes import PREFIXES, custom_names, custom_types
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.core.expression import Expression, Type, parse, references
from tallystick.core.lookup import WITH_LOOKUPS
from tallystick.core.meter import Meter
from tallystick.core.organization import OrganizationCustomFields
from tallystick.ports import OrganizationRecords
from tallystick.ports.founded import founded

CUSTOM_FIELDS = Noun(of=OrganizationCustomFields)


def current(records: OrganizationRecords) -> Entity[OrganizationCustomFields]:
    """The defaults in force."""
    return founded(records, OrganizationCustomFields)


def update(desk: Desk, value: OrganizationCustomFields, version: int | None) -> Entity[OrganizationCustomFields]:
    """Replace the defaults. Refusals: `version_mismatch`, `in_use` for one that a formula refers to."""
    with desk.records.transaction() as write:
        require_those_in_use(write, value)
        return CUSTOM_FIELDS.update_within(desk, write, current(write), value, version)


def require_those_in_use(read: OrganizationRecords, value: OrganizationCustomFields) -> None:
    """Refuse to take away a default that a formula refers to, or to make it a number instead of a text."""
    before, after = (custom_types(each, PREFIXES) for each in (current(read).value, value))
    changed = {name for name in before if after.get(name) is not before[name]}
    for kind, user, formula in _formulas(read) if changed else ():
        named = changed.intersection(references(parse(formula, WITH_LOOKUPS)))
        if named:
            name = min(named)
            raise in_use("default of", name, [(kind, user)], field=name.partition(".")[0])


def _formulas(read: OrganizationRecords) -> Iterator[tuple[str, str, str]]:
    """(kind, id, formula) of all that may refer to custom fields."""
    for meter in read.every(Meter):
        yield from ((Meter.kind, meter.id, field.calculation) for field in meter.value.derived_fields)
    for compound in read.every(CompoundAggregation):
        yield CompoundAggregation.kind, compound.id, compound.value.calculation


def require_defaults(tree: Expression, types: Mapping[str, Type], prefixes: Collection[str], place: str) -> None:
    """Refuse a formula that refers to a custom field without a default, or to one that there is not for it."""
    for name in custom_names(references(tree)):
        prefix, _, field = name.partition(".")
        if prefix not in prefixes:
            message = f"{name[:80]}: there are only custom fields of {', '.join(prefixes)} here"
            raise rule_broken(place, message)
        if name not in types:
            message = f"there is no custom field {field[:80]!r} of the {prefix}"
            raise rule_broken(place, f"{message}: give it a default in the organisation's custom fields first")
