"""What the emitter writes down of a call: one measurement as a line of JSON, with the uid that it keeps for ever."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import TypeAlias

import msgspec

Number: TypeAlias = int | Decimal | float
Numbers: TypeAlias = Mapping[str, Number]
Texts: TypeAlias = Mapping[str, str]

MAX_BYTES = 500_000  # of one measurement: what fits into a request by itself


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """A measurement as it is sent."""

    uid: str
    meter: str
    account: str
    ts: str | datetime
    measure: Numbers | None = None
    ets: str | datetime | None = None
    who: Texts | None = None
    what: Texts | None = None
    where: Texts | None = None
    other: Texts | None = None
    metadata: Texts | None = None
    income: Numbers | None = None
    cost: Numbers | None = None


class Uids:
    """Uids that no other process gives: a part drawn at random for each process, and a number.

    A forked child draws anew, else both would give the same ones.
    """

    def __init__(self) -> None:
        self.draw()

    def draw(self) -> None:
        """Begin another row of uids."""
        self._prefix = os.urandom(14).hex() + "-"
        self._numbers = count()

    def next(self) -> str:
        """A uid that was never given before."""
        return f"{self._prefix}{next(self._numbers):x}"


UIDS = Uids()
os.register_at_fork(after_in_child=UIDS.draw)


def line_of(line: Line) -> bytes:
    """A measurement as one line of JSON, numbers exact. ValueError or TypeError where it can be none: that is a fault
    of the program which calls, and is told there and then."""
    if not line.meter or not line.account:
        raise ValueError("meter and account: name both")
    for name in ("measure", "income", "cost"):
        numbers = getattr(line, name)
        if numbers is not None:
            _require_numbers(name, numbers)
    encoded = _ENCODER.encode(line)
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"a measurement may have {MAX_BYTES:,} bytes, this one has {len(encoded):,}")
    return encoded


def now() -> datetime:
    """The moment of a measurement for which none is given."""
    return datetime.now(UTC)


def _require_numbers(name: str, numbers: Numbers) -> None:
    for field, value in numbers.items():
        of = type(value)
        if of is int:
            continue
        if not isinstance(value, int | float | Decimal) or of is bool:
            raise TypeError(f"{name}.{field}: must be an int, a Decimal or a float, got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"{name}.{field}: must be a finite number, got {value!r}")


# Decimals as the digits that they have: never through a float.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
