"""The hash of a set of measurements, whatever their order: the sum of the SHA-256 of each, modulo 2^256.

A bill keeps this instead of a row for each measurement behind it: one that is changed, taken out, put in or exchanged
for another changes the sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256

import msgspec

from tallystick.core.period import Instant
from tallystick.core.quantity import plain

_MODULUS = 2**256
_EPOCH, _MICROSECOND = Instant.parse("1970-01-01"), timedelta(microseconds=1)


class SetHash(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many measurements, and their hash in hexadecimal; that of none is 0."""

    measurements: int = 0
    hash: str = f"{0:064x}"


def element(position: int, ts: Instant, number: Decimal | None, uid: str, text: str | None) -> bytes:
    """A measurement as it is hashed: its place in the journal, its time in microseconds since 1970, its number of the
    counted field, how many bytes the uid has, the uid, and its text of the counted field. UTF-8, with spaces between
    the first five."""
    counted = "" if number is None else plain(number)
    return f"{position} {(ts - _EPOCH) // _MICROSECOND} {counted} {len(uid.encode())} {uid}{text or ''}".encode()


def set_hash(elements: Iterable[bytes]) -> SetHash:
    """The hash of a set of measurements: each SHA-256 is read as a number, its first byte being the lowest."""
    count, total = 0, 0
    for each in elements:
        count += 1
        total += int.from_bytes(sha256(each).digest(), "little")
    return SetHash(measurements=count, hash=f"{total % _MODULUS:064x}")
