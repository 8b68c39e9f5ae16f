"""Amounts of money and the one place where they are rounded: when a line becomes money."""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
    Inexact,
    InvalidOperation,
)
from enum import StrEnum
from functools import cache

import msgspec

from tallystick.core.quantity import EXACT_DIGITS, multiply, plain, subtract


class RoundingMode(StrEnum):
    """How an exact amount becomes a payable one; the names are Java's, as on the wire."""

    UP = "UP"
    DOWN = "DOWN"
    CEILING = "CEILING"
    FLOOR = "FLOOR"
    HALF_UP = "HALF_UP"
    HALF_DOWN = "HALF_DOWN"
    HALF_EVEN = "HALF_EVEN"
    UNNECESSARY = "UNNECESSARY"


class Rounding(msgspec.Struct, frozen=True, kw_only=True):
    """To how many decimals, 0 or more, a currency's amounts are rounded, and how."""

    decimals: int = 2
    mode: RoundingMode = RoundingMode.HALF_UP


DEFAULT_ROUNDING = Rounding()

_MODES = {
    RoundingMode.UP: ROUND_UP,
    RoundingMode.DOWN: ROUND_DOWN,
    RoundingMode.CEILING: ROUND_CEILING,
    RoundingMode.FLOOR: ROUND_FLOOR,
    RoundingMode.HALF_UP: ROUND_HALF_UP,
    RoundingMode.HALF_DOWN: ROUND_HALF_DOWN,
    RoundingMode.HALF_EVEN: ROUND_HALF_EVEN,
    RoundingMode.UNNECESSARY: ROUND_HALF_EVEN,  # never applied: its context traps what would round
}
_CONTEXTS = {
    mode: Context(
        prec=EXACT_DIGITS,
        rounding=name,
        traps=[InvalidOperation, Inexact] if mode is RoundingMode.UNNECESSARY else [InvalidOperation],
    )
    for mode, name in _MODES.items()
}


# A quotient that does not end is cut at 50 digits, which leaves a trace far below this; what is measured and priced
# by people does not reach that far down.
_TRACE_EXPONENT = -36
_TRACE = Decimal((0, (1,), _TRACE_EXPONENT))
_HALF, _TWO = Decimal("0.5"), Decimal(2)


def rounding_for(max_decimal_places: int | None, rounding_mode: RoundingMode | None) -> Rounding:
    """The rounding of a currency with these settings, either of which may be unset.

    Unset means 2 decimals and HALF_UP, for every currency alike: the organisation's own settings decide, not a list
    of what countries do, so that a yen without settings shows two decimals until someone sets it to 0.
    """
    return Rounding(
        decimals=DEFAULT_ROUNDING.decimals if max_decimal_places is None else max_decimal_places,
        mode=rounding_mode or DEFAULT_ROUNDING.mode,
    )


def round_money(amount: Decimal, rounding: Rounding = DEFAULT_ROUNDING) -> Decimal:
    """The amount with exactly `rounding.decimals` decimals (trailing zeros kept: 250.00), never −0.

    The only place where money is rounded; the modes mean what Java's RoundingMode says. Raises ValueError when the mode
    is UNNECESSARY and the amount has more decimals. The trace of a division does not count: a third of a unit at 0.03
    is 0.01 in every mode, although the digits of the third end somewhere.
    """
    context, step = _CONTEXTS[rounding.mode], _step(rounding.decimals)
    try:
        rounded = _without_trace(amount, step).quantize(step, context=context)
    except Inexact:
        raise ValueError(
            f"the amount {plain(amount)} needs rounding to {rounding.decimals} decimals, "
            "which the currency's rounding mode UNNECESSARY forbids"
        ) from None
    return rounded or rounded.copy_abs()


@cache
def _step(decimals: int) -> Decimal:
    """One of the last decimal."""
    return Decimal((0, (1,), -decimals))


def _without_trace(amount: Decimal, step: Decimal) -> Decimal:
    """The amount, or the multiple of half a step that it misses by no more than the trace of a division."""
    text = str(amount)
    if len(text) <= -_TRACE_EXPONENT and "E" not in text:
        return amount  # too short to have a trace: this is almost every amount, and costs least to find out
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int), f"{amount} is no amount"
    if exponent >= _TRACE_EXPONENT:
        return amount
    nearest = multiply(multiply(amount, _TWO).quantize(step, context=_CONTEXTS[RoundingMode.HALF_EVEN]), _HALF)
    return nearest if subtract(amount, nearest).copy_abs() <= _TRACE else amount
