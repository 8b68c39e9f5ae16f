"""Exact decimals: the one context that all arithmetic on quantities and prices runs in, and how values become units.

Adding, subtracting and multiplying are exact or raise. Dividing is the one operation that may round, in one
function with a declared precision. Nothing here reads the thread's ambient decimal context.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
)
from functools import lru_cache

from tallystick.core.aggregation import UnitRounding

# Enough for any sum of products of a quotient, a quantity and two configured numbers: the digits of a result
# reach from about 10^100 down to about 10^-150. Digits that are not used cost nothing.
EXACT_DIGITS = 400
DIVISION_DIGITS = 50

QUANTITY_LIMIT = Decimal("1E+20")  # a quantity is below this in size …
QUANTITY_DECIMALS = 18  # … and keeps this many decimals
MAX_TEXT = 1000  # characters of a number: the exact expansion of any binary double of use fits
SMALLEST_EXPONENT = -400  # below what a binary double can say: a mistake, not a measurement

_TRAPS = [InvalidOperation, DivisionByZero, Overflow, FloatOperation]
EXACT = Context(prec=EXACT_DIGITS, rounding=ROUND_HALF_EVEN, traps=[*_TRAPS, Inexact])
_DIVISION = Context(prec=DIVISION_DIGITS, rounding=ROUND_HALF_EVEN, traps=_TRAPS)
# Only reads, and never rounds: as many digits as MAX_TEXT characters and a wider exponent than _NUMBER can spell.
_READING = Context(prec=MAX_TEXT, rounding=ROUND_HALF_EVEN, Emin=-(10**8), Emax=10**8, traps=[*_TRAPS, Inexact])

ZERO = Decimal(0)
ONE = Decimal(1)
_TWO = Decimal(2)
_QUANTITY_STEP = Decimal((0, (1,), -QUANTITY_DECIMALS))
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,7})?")


def add(left: Decimal, right: Decimal) -> Decimal:
    """left + right, exactly; raises decimal.Inexact rather than round."""
    return EXACT.add(left, right)


def subtract(left: Decimal, right: Decimal) -> Decimal:
    """left − right, exactly; raises decimal.Inexact rather than round."""
    return EXACT.subtract(left, right)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """left × right, exactly; raises decimal.Inexact rather than round."""
    return EXACT.multiply(left, right)


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum; 0 of nothing."""
    result = ZERO
    for value in values:
        result = EXACT.add(result, value)
    return result


def negate(value: Decimal) -> Decimal:
    """−value with all its digits; zero has no sign."""
    return value.copy_negate() if value else ZERO


def divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """dividend / divisor, rounded once, half to even, to 50 significant digits (exact whenever it fits into them).

    The only division in the product. Raises decimal.DivisionByZero (decimal.InvalidOperation for 0 / 0).
    """
    return tidy(_DIVISION.divide(dividend, divisor))


def tidy(value: Decimal) -> Decimal:
    """The same number in its one canonical form: no trailing zeros after the point, no exponent above 0, no −0.

    Equal numbers become equal digits, whatever scale they came with. The value must be finite.
    """
    if not value:
        return ZERO
    text = str(value)
    if "E" not in text and ("." not in text or text[-1] != "0"):
        return value  # it is in that form already: this is almost every number, and costs least to find out
    plainest = EXACT.normalize(value)
    whole = EXACT.to_integral_value(plainest)
    return EXACT.quantize(whole, ONE) if whole == plainest else plainest


def tidy_text(value: Decimal) -> str:
    """The canonical form of a number as text: `str(tidy(value))`, found out and written at once."""
    if not value:
        return "0"
    text = str(value)
    if "E" not in text and ("." not in text or text[-1] != "0"):
        return text
    return str(tidy(value))


# `tidy` of prices and limits, which are configured once and appear on every bill.
tidy_setting = lru_cache(maxsize=4096)(tidy)


def plain(value: Decimal) -> str:
    """The number as text without an exponent and without trailing zeros: "250", "0.00001", "-1.5"."""
    assert value.is_finite(), f"{value} cannot be written as a number"
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_units(value: Decimal, quantity_per_unit: Decimal, rounding: UnitRounding) -> Decimal:
    """value / quantity_per_unit in units (source: reference 3.1).

    UP goes to the next whole unit away from zero, DOWN to the one towards zero, NEAREST to the nearest with halves
    away from zero: units(−value) = −units(value). These are decided on the exact remainder, never on a rounded
    quotient. NONE keeps the quotient (see `divide`). `quantity_per_unit` must be above 0.
    """
    assert quantity_per_unit > 0, f"quantityPerUnit must be above 0, got {quantity_per_unit}"
    if rounding is UnitRounding.NONE:
        return divide(value, quantity_per_unit)
    size = value.copy_abs()
    whole = EXACT.divide_int(size, quantity_per_unit)
    rest = EXACT.remainder(size, quantity_per_unit)
    if (rounding is UnitRounding.UP and rest > 0) or (
        rounding is UnitRounding.NEAREST and EXACT.multiply(rest, _TWO) >= quantity_per_unit
    ):
        whole = EXACT.add(whole, ONE)
    return tidy(whole.copy_sign(value))


def parse_quantity(value: str | int | Decimal) -> Decimal:
    """A measured quantity as it counts: finite, below 10^20 in size, at most 18 decimals, no −0.

    More than 18 decimals are rounded here, once, half to even. Raises ValueError that states the broken rule for what
    is no number, NaN, infinities, sizes of 10^20 and more and exponents below −400; the work is bounded whatever the
    value says.
    """
    number = _read(value)
    if not number.is_finite():
        raise ValueError("must be a finite number below 10^20, not NaN or Infinity")
    if not number:
        return ZERO
    if number.adjusted() >= 20:
        raise ValueError("must be a finite number below 10^20 in size")
    if number.adjusted() < SMALLEST_EXPONENT:
        raise ValueError(f"must be 0 or at least 10^{SMALLEST_EXPONENT} in size")
    rounded = tidy(number.quantize(_QUANTITY_STEP, ROUND_HALF_EVEN, _DIVISION))
    # 99999999999999999999.9999999999999999999 is below the limit until it is rounded.
    if rounded.copy_abs() >= QUANTITY_LIMIT:
        raise ValueError("must be below 10^20 in size when rounded to 18 decimals")
    return rounded


def _read(value: str | int | Decimal) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueError(f"must be a number of at most {MAX_TEXT} characters")
        if not _NUMBER.fullmatch(value):
            raise ValueError(f"must be a finite number such as 12.5 or 1e-05, got {value[:40]!r}")
        return _READING.create_decimal(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a number, got {type(value).__name__}")
    # Turning an int into decimal digits takes quadratic time: compare before converting.
    if not -(10**20) < value < 10**20:
        raise ValueError("must be a finite number below 10^20 in size")
    return Decimal(value)
