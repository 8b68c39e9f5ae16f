"""A correction for many failed measurements at once: what is changed in the JSON of each.

Fields are named as a failed measurement names the one at fault: `measure.tokens`, `what.model`, and `account`, `meter`,
`ts`, `ets` for what stands outside of the maps. The uid is never changed: it is what makes a replay count once.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import msgspec

from tallystick.core import wire
from tallystick.core.entity import Value
from tallystick.core.measurement import MAPS
from tallystick.core.quantity import parse_quantity
from tallystick.errors import Rejection

OUTSIDE = ("account", "meter", "ts", "ets")
MOST = 20  # changes of a kind in one correction

Place = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Parts = dict[str, msgspec.Raw]


class SetField(Value, frozen=True, kw_only=True):
    """Give a field this value, whatever it had. With `only_if_missing`, only where it has none."""

    field: Place
    value: Any
    only_if_missing: bool = False

    def check(self) -> None:
        _require_place(self.field)


class RenameField(Value, frozen=True, kw_only=True):
    """Move the value of a field to another, where it has one: into another map, too."""

    field: Place
    to: Place

    def check(self) -> None:
        _require_place(self.field)
        _require_place(self.to, "to")


class Correction(Value, frozen=True, kw_only=True):
    """What is changed, in this order: codes of meter and account, fields moved, texts read as numbers, fields set."""

    meter: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | None = None
    account: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | None = None
    rename_fields: Annotated[tuple[RenameField, ...], msgspec.Meta(max_length=MOST)] = ()
    read_numbers: Annotated[tuple[Place, ...], msgspec.Meta(max_length=MOST)] = ()
    set_fields: Annotated[tuple[SetField, ...], msgspec.Meta(max_length=MOST)] = ()

    def check(self) -> None:
        for place in self.read_numbers:
            _require_place(place, "readNumbers")


def corrected(sent: bytes, correction: Correction) -> bytes | Rejection:
    """The measurement with the changes made, all else as it was sent; a Rejection where that is no JSON object."""
    try:
        parts = _PARTS.decode(sent)
        maps = {name: _PARTS.decode(parts[name]) for name in MAPS if name in parts and parts[name] != _NULL}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        return Rejection("invalid_measurement", f"measurement: is no object whose parts can be changed: {problem}")
    found = _Parts(parts, maps)
    for name, text in (("meter", correction.meter), ("account", correction.account)):
        if text is not None:
            found.put(name, msgspec.Raw(wire.encode(text)))
    for each in correction.rename_fields:
        value = found.take(each.field)
        if value is not None:
            found.put(each.to, value)
    for place in correction.read_numbers:
        value = found.get(place)
        if value is not None:
            found.put(place, _as_number(value))
    for change in correction.set_fields:
        if not change.only_if_missing or found.get(change.field) is None:
            found.put(change.field, msgspec.Raw(wire.encode(change.value)))
    return found.written()


class _Parts:
    """A measurement that is being corrected."""

    def __init__(self, parts: Parts, maps: dict[str, Parts]) -> None:
        self._parts = parts
        self._maps = maps

    def get(self, place: str) -> msgspec.Raw | None:
        name, _, code = place.partition(".")
        return self._maps.get(name, {}).get(code) if code else self._parts.get(name)

    def take(self, place: str) -> msgspec.Raw | None:
        name, _, code = place.partition(".")
        return self._maps.get(name, {}).pop(code, None) if code else self._parts.pop(name, None)

    def put(self, place: str, value: msgspec.Raw) -> None:
        name, _, code = place.partition(".")
        if code:
            self._maps.setdefault(name, {})[code] = value
        else:
            self._parts[name] = value

    def written(self) -> bytes:
        maps = {name: msgspec.Raw(msgspec.json.encode(values)) for name, values in self._maps.items()}
        return msgspec.json.encode({**self._parts, **maps})


def _as_number(value: msgspec.Raw) -> msgspec.Raw:
    """A text that says a number as that number; anything else as it is, so that ingest says what is wrong with it."""
    try:
        text = _TEXT.decode(value).strip().replace(",", "")
        parse_quantity(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return value
    return msgspec.Raw(wire.encode(Decimal(text)))


def _require_place(place: str, name: str = "field") -> None:
    part, dot, code = place.partition(".")
    if (part in MAPS and code) if dot else part in OUTSIDE:
        return
    raise ValueError(f"{name}: must be {', '.join(OUTSIDE)} or a field in its map, such as measure.tokens")


_PARTS = msgspec.json.Decoder(Parts)
_TEXT = msgspec.json.Decoder(str)
_NULL = b"null"
