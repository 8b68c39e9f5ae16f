"""Which fields of a value formulas may refer to, and of which type each is: from the type itself."""

from __future__ import annotations

import types
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

STRING, NUMBER, BOOLEAN = "String", "Number", "Boolean"


@cache
def fields_of(of: type[msgspec.Struct]) -> dict[str, str]:
    """The fields of a struct that hold a text, a number or a truth value (times are texts), by their names on the
    wire. Lists and objects are left out: a formula cannot say anything of them."""
    hints = get_type_hints(of)
    found = {}
    for name, wire in zip(of.__struct_fields__, of.__struct_encode_fields__, strict=True):
        kind = _kind(hints[name])
        if kind is not None:
            found[wire] = kind
    return found


def _kind(hint: Any) -> str | None:
    origin = get_origin(hint)
    if origin is Annotated:
        return _kind(get_args(hint)[0])
    if origin in {Union, types.UnionType}:
        kinds = {_kind(each) for each in get_args(hint) if each is not type(None)}
        return kinds.pop() if len(kinds) == 1 else None
    if not isinstance(hint, type):
        return None
    if issubclass(hint, bool):
        return BOOLEAN
    if issubclass(hint, int | Decimal):
        return NUMBER
    return STRING if issubclass(hint, str | Enum | date | datetime) else None
