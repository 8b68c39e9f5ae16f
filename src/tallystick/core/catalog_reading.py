"""Read a catalogue that somebody wrote: all that is wrong with it at once, each with its place.

The rules here are those that an entry breaks by itself or together with the others that were sent. Those that need what
is kept already are asked when the catalogue is planned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from tallystick.core import wire
from tallystick.core.catalog_entries import CatalogEntries
from tallystick.core.catalog_parts import (
    ACCOUNTS,
    PARTS,
    SINGLE,
    Key,
    Placed,
    home_of,
    spoken_of,
    taken_apart,
    value_of,
)
from tallystick.core.catalog_written import tidied, unknown_fields
from tallystick.core.entity import wire_name

MOST_PROBLEMS = 100


class Problem(NamedTuple):
    """What is wrong, and where: such as `plans[0].pricings[1].startDate`; empty where it is all of it."""

    place: str
    message: str


def read_entries(sent: Mapping[str, Any]) -> tuple[CatalogEntries, list[Problem]]:
    """A catalogue from plain values, sections by their names, with what is wrong with it. Only where nothing is wrong
    the catalogue is whole."""
    problems: list[Problem] = []
    given: dict[str, Any] = {}
    fields = {each.encode_name: each for each in msgspec.structs.fields(CatalogEntries)}
    for section, value in sent.items():
        if section not in fields:
            problems.append(Problem(str(section), f"there is no section {section!r}; there are {', '.join(fields)}"))
        elif section in SINGLE:
            given[fields[section].name] = _entry(section, PARTS[section].entry, value, problems)
        elif not isinstance(value, list):
            problems.append(Problem(section, "must be a list of entries, each beginning with -"))
        else:
            read = [_entry(f"{section}[{at}]", PARTS[section].entry, each, problems) for at, each in enumerate(value)]
            given[fields[section].name] = tuple(read)
    if problems:
        return CatalogEntries(), problems[:MOST_PROBLEMS]
    catalog = CatalogEntries(**given)
    return catalog, list(_together(catalog))[:MOST_PROBLEMS]


def _entry(place: str, of: type[msgspec.Struct], sent: Any, problems: list[Problem]) -> msgspec.Struct | None:
    if not isinstance(sent, dict):
        problems.append(Problem(place, "must be a mapping of fields"))
        return None
    try:
        entry = wire.decode_sent(of, wire.encode(sent))
    except msgspec.ValidationError as problem:
        problems.append(_from(place, str(problem)))
        return None
    unknown = [Problem(where, "is no field here") for where in unknown_fields(entry, sent, place)]
    problems += unknown
    return None if unknown else tidied(entry)


def _from(place: str, said: str) -> Problem:
    """What the decoder says, with the place of what it says it of: its own, and the field that the rule names."""
    found = re.fullmatch(r"(.*?) - at `(?:key in )?\$?(.*)`", said, re.DOTALL)
    message, path = (found[1], found[2]) if found else (said, "")
    return _named(f"{place}{path.replace('[...]', '')}", message)


def _named(place: str, message: str) -> Problem:
    named = re.match(r"([A-Za-z]+(?:\[\d+\])?(?:\.[A-Za-z]+)*): ", message)
    return Problem(f"{place}.{named[1]}", message[named.end() :]) if named else Problem(place, message)


def _together(catalog: CatalogEntries) -> Iterator[Problem]:
    placed = list(taken_apart(catalog))
    there: dict[Key, str] = {}
    for each in placed:
        if each.key in there:
            yield Problem(each.place, f"{each.key} is there already, at {there[each.key]}")
        there.setdefault(each.key, each.place)
    spoken = spoken_of(catalog)
    for each in placed:
        yield from _by_itself(each)
        yield from _named_by(each, spoken, there)
    settings = catalog.settings
    if settings is not None and settings.default_statement_definition_id is not None:
        yield Problem("settings.defaultStatementDefinitionId", "is an id, which files do not have: leave it out")


def _by_itself(placed: Placed) -> Iterator[Problem]:
    """What the value breaks, whatever the ids turn out to be."""
    try:
        value_of(PARTS[placed.key.section], placed.key, placed.entry, lambda section, code: f"{section} {code}")
    except ValueError as problem:
        yield _named(placed.place, str(problem))


def _named_by(placed: Placed, spoken: frozenset[str], there: Mapping[Key, str]) -> Iterator[Problem]:
    """Codes of what should be among the entries that were sent and is not."""
    part = PARTS[placed.key.section]
    for own, section in part.references.values():
        code = getattr(placed.entry, own, None)
        is_missing = code is not None and section != ACCOUNTS and section in spoken
        if is_missing and Key(section, (str(code),)) not in there:
            name = wire_name(type(placed.entry), own)
            inner = "" if home_of(placed.key) != placed.key.section and name == "plan" else f".{name}"
            yield Problem(f"{placed.place}{inner}", f"{code!r} is the code of none of the {section}")
