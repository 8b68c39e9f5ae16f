"""What changes between two catalogues, and how a change of prices is dated: what holds until then stays as it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.catalog_entries import CounterPricingEntry, PlanTemplateEntry, PricingEntry
from tallystick.core.catalog_parts import NESTED, PARTS, Entries, Key, Part, home_of, key_of, put_together
from tallystick.core.catalog_written import moment_text, shown, written
from tallystick.core.compound import codes_in
from tallystick.core.difference import Difference, differences
from tallystick.core.entity import Value
from tallystick.core.period import Instant

Price = PricingEntry | CounterPricingEntry
_OF_ITS_TIME = {"startDate", "endDate", "code"}  # what a price has by itself that follows another
AT_ONCE = "it has no date of its own: it changes at once, for open bills too"


class Action(StrEnum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


class CatalogChange(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What becomes of one entry. Of a price that takes the place of another from its start on, `succeeds` is true and
    the fields tell what it has other than that one. `at_once` says why a change cannot be dated, where it should be."""

    action: Action
    section: str
    name: str
    fields: tuple[Difference, ...]
    succeeds: bool = False
    at_once: str | None = None


def digest_of(entries: Entries) -> str:
    """What a whole catalogue is recognised by."""
    return sha256(wire.canonical(shown(put_together(entries)))).hexdigest()


def within(entries: Entries, sections: Iterable[str]) -> dict[Key, Value]:
    """The entries that stand in these sections."""
    wanted = set(sections)
    return {key: entry for key, entry in entries.items() if home_of(key) in wanted}


def changes_of(current: Entries, target: Entries, *, is_dated: bool = False) -> tuple[CatalogChange, ...]:
    """What makes the one catalogue of the other, section by section, both of the same sections."""
    order = {section: number for number, section in enumerate(PARTS)}
    keys = sorted({*current, *target}, key=lambda key: (order[key.section], key.name))
    made = (_change(key, current, target, is_dated) for key in keys)
    return tuple(each for each in made if each is not None)


def _change(key: Key, current: Entries, target: Entries, is_dated: bool) -> CatalogChange | None:
    before, after = current.get(key), target.get(key)
    if before is not None and after is not None and written(before) == written(after):
        return None
    action = Action.UPDATE if before and after else Action.DELETE if before else Action.CREATE
    of = predecessor(key, target) if action is Action.CREATE else None
    fields = differences(written(of) if of else written(before) if before else None, written(after) if after else None)
    undated = is_dated and key.section not in NESTED and action is not Action.CREATE
    return CatalogChange(
        action=action,
        section=key.section,
        name=" ".join(filter(None, key.name)),
        fields=tuple(each for each in fields if of is None or each.field not in _OF_ITS_TIME),
        succeeds=of is not None,
        at_once=AT_ONCE if undated else None,
    )


def predecessor(key: Key, entries: Entries) -> Value | None:
    """The price that ends where this one starts, of the same plan and the same usage."""
    if key.section not in NESTED:
        return None
    start = entries[key].start_date  # type: ignore[attr-defined]  # prices have one
    ending = (entry for other, entry in entries.items() if other[0] == key[0] and other.name[:-1] == key.name[:-1])
    return next((each for each in ending if getattr(each, "end_date", None) == start), None)


# ------------------------------------------------------------------------------------------------------ dated


def dated(current: Entries, wanted: Entries, at: Instant) -> dict[Key, Value]:
    """The wanted catalogue with its prices from a moment on: before it the prices are those that there are.

    A price that changes ends there and another begins; one that is not wanted any more ends there; a new one begins
    there. Prices of a plan or a template that is new are as they are written, as nothing was charged by it. What the
    prices before are of stays. To do it again changes nothing more.
    """
    homes = {(home_of(key), key.name[:1]) for key in current if key.section not in NESTED}
    made: dict[Key, Value] = {}
    lines: dict[Key, tuple[list[Price], list[Price]]] = defaultdict(lambda: ([], []))
    for side, entries in enumerate((current, wanted)):
        for key, entry in entries.items():
            if key.section not in NESTED:
                if side:
                    made[key] = entry
            elif (key.name[0], key.name[1:2]) not in homes:
                made[key] = entry
            elif Key(key.name[0], key.name[1:2]) in wanted:
                assert isinstance(entry, PricingEntry | CounterPricingEntry), "prices are nested"
                lines[Key(key.section, key.name[:-1])][side].append(entry)
    for line, (before, after) in lines.items():
        home = (line.name[0], line.name[1])
        for price in _joined(list(_until(before, at)), list(_since(after, at)), at):
            made[key_of(PARTS[line.section], price, home)] = price
    _keep_what_is_named(made, current)
    return made


def _keep_what_is_named(made: dict[Key, Value], current: Entries) -> None:
    """What prices of the time before are of stays, although it is not wanted: they could not be understood without."""
    waiting = [key for key in made if key.section in NESTED]
    while waiting:
        for key in _named(made[waiting[0]], PARTS[waiting[0].section]):
            if key not in made and key in current:
                made[key] = current[key]
                waiting.append(key)
        del waiting[0]


def _named(entry: Value, part: Part) -> Iterator[Key]:
    """What an entry names by its code, in its fields and in its formulas."""
    for own, section in part.references.values():
        code = getattr(entry, own, None)
        if code is not None:
            yield Key(section, (code,))
    formula = getattr(entry, "calculation", None) or getattr(entry, "condition", None)
    if formula is not None:
        for code in codes_in(formula):
            yield Key("aggregations", (code,))


def brought_forward(current: Entries, wanted: Entries, end: Instant) -> dict[Key, Value]:
    """The wanted catalogue as though the next of its new prices that begin at a moment or later held already, and ever:
    what a simulation of an earlier period is asked with, in which they would have no part."""
    lines: dict[Key, list[Price]] = defaultdict(list)
    for key, entry in wanted.items():
        if isinstance(entry, PricingEntry | CounterPricingEntry):
            lines[Key(key.section, key.name[:-1])].append(entry)
    made = dict(wanted)
    for line, prices in lines.items():
        keys = {each.start_date: Key(line.section, (*line.name, moment_text(each.start_date))) for each in prices}
        new = [each for each in prices if each.start_date >= end and not _is_in(current, keys[each.start_date], each)]
        if new:
            begin = min(each.start_date for each in prices)
            for key in keys.values():
                del made[key]
            first = min(new, key=lambda each: each.start_date)
            made[keys[begin]] = msgspec.structs.replace(first, start_date=begin, end_date=None)
    return made


def billed_as_before(current: Entries, wanted: Entries) -> dict[Key, Value]:
    """The wanted catalogue with the billing periods that there are: a simulation compares bills of the same period, and
    of others there would be none."""
    made = dict(wanted)
    for key, entry in wanted.items():
        before = current.get(key)
        if isinstance(entry, PlanTemplateEntry) and isinstance(before, PlanTemplateEntry):
            often = {name: getattr(before, name) for name in ("bill_frequency", "bill_frequency_interval")}
            made[key] = msgspec.structs.replace(entry, **often)
    return made


def _is_in(entries: Entries, key: Key, entry: Value) -> bool:
    return key in entries and written(entries[key]) == written(entry)


def _until(prices: Iterable[Price], at: Instant) -> Iterator[Price]:
    for each in prices:
        if each.start_date < at:
            end = at if each.end_date is None or each.end_date > at else each.end_date
            yield msgspec.structs.replace(each, end_date=end)


def _since(prices: Iterable[Price], at: Instant) -> Iterator[Price]:
    for each in prices:
        if each.end_date is None or each.end_date > at:
            yield msgspec.structs.replace(each, start_date=max(each.start_date, at))


def _joined(past: Sequence[Price], future: Sequence[Price], at: Instant) -> list[Price]:
    """What was and what is to be, one after the other; as one price where nothing changes."""
    last = next((each for each in past if each.end_date == at), None)
    first = next((each for each in future if each.start_date == at), None)
    same = last is not None and first is not None and _terms(last) == _terms(first)
    kept = [each for each in past if not (same and each is last)]
    codes = {each.code for each in kept}
    made: list[Price] = list(kept)
    for each in future:
        price = msgspec.structs.replace(each, code=None) if each.code in codes else each
        if same and each is first and last is not None:
            price = msgspec.structs.replace(price, start_date=last.start_date)
        made.append(price)
    return made


def _terms(price: Price) -> Mapping[str, Any]:
    """What a price says beside when it holds and what it is called."""
    row: dict[str, Any] = shown(price)
    return {name: value for name, value in row.items() if name not in {"startDate", "endDate", "code"}}
