"""What pages of meters and aggregations share: forms that keep what was typed, faults of formulas shown with their
place, and previews."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tallystick.console.page import Visit
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.catalog import Product
from tallystick.core.entity import Entity, Value
from tallystick.core.period import Period
from tallystick.pipeline.sample import CountedPreview, recent_period
from tallystick.ports import Page as Part
from tallystick.ports import Where

V = TypeVar("V", bound=Value)
PRODUCTS = 200
_PLACE = re.compile(r"character ([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Shown:
    """A preview with the codes of its accounts and the fields that it is split by."""

    found: CountedPreview
    codes: Mapping[str, str]
    fields: Sequence[str]


def shown(visit: Visit, found: CountedPreview, fields: Sequence[str]) -> Shown:
    """A preview ready for a page."""
    return Shown(found, visit.records.codes(Account, {row.account_id for row in found.rows}), fields)


def period_of(visit: Visit, meter_ids: Sequence[str]) -> Period:
    """The stretch of time that previews look at."""
    return recent_period(visit.usage, meter_ids, visit.now, visit.config.timezone)


def place_in(message: str, formula: str) -> tuple[str, str, str] | None:
    """A formula before, at and after the character that a message names; None where it names none in it."""
    found = _PLACE.search(message)
    at = int(found[1]) - 1 if found else -1
    if not formula or not 0 <= at <= len(formula):
        return None
    return formula[:at], formula[at : at + 1] or " ", formula[at + 1 :]


def changed(of: type[V], before: Entity[V] | None, typed: Mapping[str, Any]) -> V:
    """A value as it was, with what a form has in place of it; what was left empty is taken away."""
    kept = {} if before is None else wire.decode(dict[str, Any], wire.encode(before.value))
    merged = {name: value for name, value in {**kept, **typed}.items() if value is not None and value != ""}
    return wire.decode_sent(of, wire.encode(merged))


def products(visit: Visit) -> list[tuple[str, str]]:
    """The products that a form offers: id and name."""
    found = visit.records.find(Product, Where(), Part(size=PRODUCTS)).rows
    return [("", "Any (global)"), *((each.id, each.value.name) for each in found)]
