"""Values to JSON and back, exactly: numbers never pass through binary floats, instants are read leniently."""

from __future__ import annotations

import re
from collections.abc import Hashable
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from tallystick import decoders
from tallystick.core.period import Instant

T = TypeVar("T")


def decode(of: type[T], text: bytes | str) -> T:
    """Read JSON as a typed value; raises msgspec.ValidationError (with the field's path) or DecodeError."""
    decoded: T = _decoder(cast(Hashable, of)).decode(text)
    return decoded


def decode_sent(of: type[T], text: bytes | str) -> T:
    """`decode` for what a client sent: a number written as text must be spelled like one, in plain digits.

    Python reads "1_000", " 1 " and full-width digits as decimals too; whoever sends those means something else.
    """
    value = decode(of, text)
    _require_plain_numbers(value, _decoder(cast(Hashable, Any)).decode(text), "$")
    return value


def convert(of: type[T], value: object) -> T:
    """Values that were read already, such as the fields of a form, as a type; raises msgspec.ValidationError."""
    _decoder(cast(Hashable, of))  # finds out about the type, which `msgspec.convert` would do beside other threads
    return msgspec.convert(value, of)


def encode(value: object) -> bytes:
    """Write JSON: decimals as plain numbers, instants as ISO 8601 with Z, keys in the value's own order."""
    return _ENCODER.encode(value)


def canonical(value: object) -> bytes:
    """Write JSON with sorted keys, for digests and comparisons: equal values give equal bytes."""
    return _CANONICAL.encode(value)


def number(text: str) -> Decimal:
    """A JSON number as an exact decimal; ValueError where its exponent is beyond what a decimal can have."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"number out of range: {text[:40]}") from None


def _require_plain_numbers(value: object, sent: object, path: str) -> None:
    """Hold every decimal that was read against what stood there; ValidationError with the path of the first bad one."""
    if isinstance(value, Decimal):
        if isinstance(sent, str) and not _NUMBER.fullmatch(sent):
            rule = "must be a number, or a text such as '12.5' or '1e-05'"
            raise msgspec.ValidationError(f"{rule}, got {sent[:40]!r} - at `{path}`")
    elif isinstance(value, msgspec.Struct) and isinstance(sent, dict):
        for name, written in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            if written in sent:
                _require_plain_numbers(getattr(value, name), sent[written], f"{path}.{written}")
    elif isinstance(value, dict) and isinstance(sent, dict):
        for key in value.keys() & sent.keys():
            _require_plain_numbers(value[key], sent[key], f"{path}.{key}")
    elif isinstance(value, list | tuple) and isinstance(sent, list):
        for place, (one, other) in enumerate(zip(value, sent, strict=False)):
            _require_plain_numbers(one, other, f"{path}[{place}]")


def _read(of: type, value: Any) -> Any:
    if of is Instant and isinstance(value, str):
        return Instant.parse(value)
    raise ValueError(f"expected {of.__name__}, got {type(value).__name__}")


def _write(value: Any) -> Any:
    if isinstance(value, Instant):
        return value.wire()
    raise TypeError(f"cannot encode {type(value).__name__}")


@cache
def _decoder(of: Hashable) -> msgspec.json.Decoder[Any]:
    return decoders.build(of, dec_hook=_read, float_hook=number)


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,7})?")
_ENCODER = msgspec.json.Encoder(enc_hook=_write, decimal_format="number")
_CANONICAL = msgspec.json.Encoder(enc_hook=_write, decimal_format="number", order="sorted")
