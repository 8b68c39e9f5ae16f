"""Numbers inside an expression: exact + − ×, division and powers to 50 digits, rounding, and the bounds of all.

Every number that an expression reads or makes is finite, below 10^100 in size and, unless 0, at least 10^-200:
what lies outside is a mistake in the formula, and refusing it bounds the work of what comes next.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    Underflow,
)

from tallystick.core.expression.tree import BinaryOperator, CalculationError
from tallystick.core.quantity import DIVISION_DIGITS, EXACT, ONE, ZERO, divide, negate, tidy

GREATEST_EXPONENT = 100  # a number is below 10^100 …
LEAST_EXPONENT = -200  # … and 0 or at least 10^-200
MAX_POWER = 10_000  # size of an exponent: 10,000 periods of compound growth, and no runaway
MAX_SCALE = 100  # decimals, or powers of ten, that a number is rounded to

_HALF = Decimal("0.5")
# Ten digits more than are kept, so that rounding to those that are kept is right.
_POWER = Context(
    prec=DIVISION_DIGITS + 10,
    rounding=ROUND_HALF_EVEN,
    traps=[InvalidOperation, DivisionByZero, Overflow, Underflow],
)


def bounded(value: Decimal, operation: str) -> Decimal:
    """The number itself, if it is one that expressions compute with; zero loses its sign."""
    if not value:
        return ZERO
    if not value.is_finite():
        raise CalculationError(operation, "must be a finite number, not NaN or Infinity")
    if value.adjusted() >= GREATEST_EXPONENT:
        raise CalculationError(operation, f"the number is too large: 10^{GREATEST_EXPONENT} or more in size")
    if value.adjusted() < LEAST_EXPONENT:
        raise CalculationError(operation, f"the number is too small: below 10^{LEAST_EXPONENT} in size")
    return value


def compute(operator: BinaryOperator, left: Decimal, right: Decimal) -> Decimal:
    """left operator right for + - * / % ^; CalculationError where there is no such number."""
    try:
        return bounded(_OPERATIONS[operator](left, right), operator)
    except DecimalException as error:
        raise CalculationError(operator, "the result has more digits than are computed exactly") from error


def _divide(left: Decimal, right: Decimal) -> Decimal:
    if not right:
        raise CalculationError(BinaryOperator.DIVIDE, "division by zero")
    return divide(left, right)


def _remainder(left: Decimal, right: Decimal) -> Decimal:
    """What is left of a whole number of `right`, with the sign of `left`, as in Java: -7 % 3 is -1."""
    if not right:
        raise CalculationError(BinaryOperator.REMAINDER, "division by zero")
    return EXACT.remainder(left, right)


def power(base: Decimal, exponent: Decimal) -> Decimal:
    """base ^ exponent, rounded half to even to 50 digits (exact whenever it fits into them); 0 ^ 0 is 1."""
    operation = BinaryOperator.POWER
    if not exponent:
        return ONE
    if not base and exponent < 0:
        raise CalculationError(operation, "division by zero: 0 with a negative exponent")
    if exponent.copy_abs() > MAX_POWER:
        raise CalculationError(operation, f"the exponent is above {MAX_POWER} in size")
    if base < 0 and exponent != exponent.to_integral_value():
        raise CalculationError(operation, "a negative number has no power with a fractional exponent")
    try:
        return divide(bounded(_POWER.power(base, exponent), operation), ONE)
    except (Overflow, Underflow) as error:
        raise CalculationError(operation, "the number is too large or too small") from error


_OPERATIONS: dict[BinaryOperator, Callable[[Decimal, Decimal], Decimal]] = {
    BinaryOperator.ADD: EXACT.add,
    BinaryOperator.SUBTRACT: EXACT.subtract,
    BinaryOperator.MULTIPLY: EXACT.multiply,
    BinaryOperator.DIVIDE: _divide,
    BinaryOperator.REMAINDER: _remainder,
    BinaryOperator.POWER: power,
}


def floor(value: Decimal, scale: Decimal = ZERO) -> Decimal:
    """The greatest number at or below `value` with `scale` decimals (negative: a multiple of a power of ten)."""
    return _rounded(value, scale, ROUND_FLOOR, ZERO)


def ceiling(value: Decimal, scale: Decimal = ZERO) -> Decimal:
    """The least number at or above `value` with `scale` decimals (negative: a multiple of a power of ten)."""
    return _rounded(value, scale, ROUND_CEILING, ZERO)


def round_half_up(value: Decimal, scale: Decimal = ZERO) -> Decimal:
    """The nearest number with `scale` decimals, halves towards the greater: 2.5 is 3 and -2.5 is -2 (Java's round)."""
    return _rounded(value, scale, ROUND_FLOOR, _HALF)


def _rounded(value: Decimal, scale: Decimal, mode: str, shift: Decimal) -> Decimal:
    if scale != scale.to_integral_value() or scale.copy_abs() > MAX_SCALE:
        raise CalculationError("scale", f"the scale must be a whole number between -{MAX_SCALE} and {MAX_SCALE}")
    moved = EXACT.add(EXACT.scaleb(value, scale), shift)
    return tidy(EXACT.scaleb(moved.to_integral_value(mode), negate(scale)))
