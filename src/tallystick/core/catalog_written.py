"""How entries of a catalogue are written: plain values in one canonical form, without what is as by default."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import msgspec

from tallystick.core import wire
from tallystick.core.entity import Value
from tallystick.core.period import Instant
from tallystick.core.quantity import tidy

V = TypeVar("V", bound=msgspec.Struct)


def shown(value: object) -> Any:
    """An entry as plain values, as files have it: without what is as by default, names as on the wire."""
    if isinstance(value, msgspec.Struct):
        rows = zip(value.__struct_fields__, value.__struct_encode_fields__, defaults_of(type(value)), strict=True)
        return {
            name: shown(found)
            for own, name, default in rows
            if (found := getattr(value, own)) != default or type(found) is not type(default)
        }
    if isinstance(value, tuple | list):
        return [shown(each) for each in value]
    if isinstance(value, Instant):
        return moment_text(value)
    return {name: shown(each) for name, each in value.items()} if isinstance(value, dict) else value


def moment_text(instant: Instant) -> str:
    """An instant as people write it: without milliseconds where there are none."""
    return instant.wire().replace(".000Z", "Z")


@cache
def defaults_of(of: type[msgspec.Struct]) -> tuple[object, ...]:
    """The default of each field, in their order; NODEFAULT for what must be given."""
    return tuple(each.default for each in msgspec.structs.fields(of))


def tidied(value: V) -> V:
    """The same with every number in its canonical form, so that equal entries are written alike."""
    tidy_value: V = _tidied(value)
    return tidy_value


def _tidied(value: Any) -> Any:
    if isinstance(value, Decimal):
        return tidy(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(
            value, **{name: _tidied(getattr(value, name)) for name in value.__struct_fields__}
        )
    if isinstance(value, tuple | list):
        return tuple(_tidied(each) for each in value)
    return {name: _tidied(each) for name, each in value.items()} if isinstance(value, dict) else value


def written(entry: Value) -> bytes:
    """An entry as JSON with sorted names: equal entries give equal bytes."""
    return wire.canonical(shown(entry))


def unknown_fields(value: object, sent: object, place: str) -> Iterator[str]:
    """The places of what was sent and is no field of what was read from it."""
    if isinstance(value, msgspec.Struct) and isinstance(sent, dict):
        names = dict(zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True))
        for name, inner in sent.items():
            here = f"{place}.{name}" if place else str(name)
            if name not in names:
                yield here
            else:
                yield from unknown_fields(getattr(value, names[name]), inner, here)
    elif isinstance(value, tuple | list) and isinstance(sent, list):
        for number, (one, other) in enumerate(zip(value, sent, strict=False)):
            yield from unknown_fields(one, other, f"{place}[{number}]")
