"""The catalogue as it stands, as entries: every part by its code, prices by what they are of.

What has no code is called by one made of its name, for as long as nobody gives it one: the oldest of a name first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tallystick.core.account import Account
from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Pricing
from tallystick.core.catalog_change import digest_of
from tallystick.core.catalog_parts import ACCOUNTS, PARTS, PLANS, SINGLE, TEMPLATES, Key, Part, entry_of, key_of
from tallystick.core.compound import CompoundAggregation
from tallystick.core.counter_types import CounterPricing
from tallystick.core.entity import Entity, Value
from tallystick.ports import OrganizationRecords

MOST_CODE = 80
_FIELD_CODES = {Aggregation.kind, CompoundAggregation.kind}
_NAMED_BY_NATURE = {Pricing.kind, CounterPricing.kind}  # whose code, if any, nobody refers to


@dataclass(frozen=True)
class Stock:
    """The catalogue of an organisation: entries and the entities they are of, by what they are known by. `unnamed` are
    those that have no code of their own."""

    entries: dict[Key, Value] = field(default_factory=dict)
    entities: dict[Key, Entity[Any]] = field(default_factory=dict)
    unnamed: tuple[Key, ...] = ()

    @cached_property
    def digest(self) -> str:
        """What this very catalogue is recognised by."""
        return digest_of(self.entries)


def take_stock(read: OrganizationRecords) -> Stock:
    """The catalogue as it stands."""
    stock: dict[Key, Value] = {}
    entities: dict[Key, Entity[Any]] = {}
    unnamed: list[Key] = []
    codes: dict[tuple[str, str], str] = {}

    def code_of(section: str, id: str) -> str:
        return codes[section, id]

    for part in PARTS.values():
        found = _entities(read, part)
        made = _codes(part, found)
        codes.update({(part.section, id_): code for id_, code in made.items()})
        codes.update(_accounts(read, found))
        for each in found:
            entry = entry_of(part, each.value, code_of, made.get(each.id))
            key = key_of(part, entry, _home(each.value, codes))
            assert key not in stock, f"{key} is there twice"
            stock[key], entities[key] = entry, each
            if each.id in made and each.value.code is None:
                unnamed.append(key)
    return Stock(stock, entities, tuple(unnamed))


def _entities(read: OrganizationRecords, part: Part) -> list[Entity[Any]]:
    if part.section in SINGLE:
        single = read.get(part.of, read.organization_id)
        return [] if single is None else [single]
    return list(read.every(part.of))


def _codes(part: Part, found: list[Entity[Any]]) -> dict[str, str]:
    """Ids to codes: their own, else one made of the name that no other has."""
    if "code" not in part.of.__struct_fields__ or part.of.kind in _NAMED_BY_NATURE:
        return {}
    codes = {each.id: each.value.code for each in found if each.value.code is not None}
    taken = set(codes.values())
    for each in found:
        if each.id not in codes:
            stem = _stem(each.value.name, is_field=part.of.kind in _FIELD_CODES)
            numbers = iter(range(2, len(found) + 3))
            code = stem
            while code in taken:
                suffix = f"_{next(numbers)}" if part.of.kind in _FIELD_CODES else f"-{next(numbers)}"
                code = stem[: MOST_CODE - len(suffix)] + suffix
            codes[each.id] = code
            taken.add(code)
    return codes


def _stem(name: str, *, is_field: bool) -> str:
    gap = "_" if is_field else "-"
    text = re.sub(r"[^a-z0-9]+", gap, name.lower()).strip(gap)[:MOST_CODE] or "unnamed"
    return f"_{text}"[:MOST_CODE] if is_field and text[0].isdigit() else text


def _accounts(read: OrganizationRecords, found: list[Entity[Any]]) -> dict[tuple[str, str], str]:
    """The codes of the accounts that plans and groups were made for."""
    ids = {id_ for each in found if (id_ := getattr(each.value, "account_id", None)) is not None}
    return {(ACCOUNTS, id_): code for id_, code in read.codes(Account, ids).items()} if ids else {}


def _home(value: Any, codes: Mapping[tuple[str, str], str]) -> tuple[str, str] | None:
    """The plan or template that a price stands in."""
    if not isinstance(value, Pricing | CounterPricing):
        return None
    if value.plan_id is not None:
        return PLANS, codes[PLANS, value.plan_id]
    assert value.plan_template_id is not None, "a price has a plan or a template"
    return TEMPLATES, codes[TEMPLATES, value.plan_template_id]
