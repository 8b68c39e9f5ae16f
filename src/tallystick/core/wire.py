"""Values to JSON and back, exactly: numbers never pass through binary floats, instants are read leniently."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from tallystick.core.period import Instant

T = TypeVar("T")


def decode(of: type[T], text: bytes | str) -> T:
    """Read JSON as a typed value; raises msgspec.ValidationError (with the field's path) or DecodeError."""
    decoded: T = _decoder(cast(Hashable, of)).decode(text)
    return decoded


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
    return msgspec.json.Decoder(cast("type[Any]", of), dec_hook=_read, float_hook=number)


_ENCODER = msgspec.json.Encoder(enc_hook=_write, decimal_format="number")
_CANONICAL = msgspec.json.Encoder(enc_hook=_write, decimal_format="number", order="sorted")
