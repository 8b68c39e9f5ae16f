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

import msgspec

from tallystick.core.quantity import EXACT_DIGITS, plain


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
    is UNNECESSARY and the amount has more decimals.
    """
    context = _CONTEXTS[rounding.mode]
    try:
        rounded = amount.quantize(Decimal((0, (1,), -rounding.decimals)), context=context)
    except Inexact:
        raise ValueError(
            f"the amount {plain(amount)} needs rounding to {rounding.decimals} decimals, "
            "which the currency's rounding mode UNNECESSARY forbids"
        ) from None
    return rounded or rounded.copy_abs()
