"""What formulas can do with texts, and how values become texts and numbers. Places in a text are counted from 0."""

from __future__ import annotations

import re
from decimal import Decimal

from tallystick.core.expression.tokens import MAX_TEXT
from tallystick.core.expression.tree import CalculationError, Scalar
from tallystick.core.quantity import ONE, ZERO, plain

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?")


def as_text(value: Decimal | str | bool) -> str:
    """How a value reads inside a text: numbers without exponent or trailing zeros, `true`, `false`."""
    if isinstance(value, str):
        return value
    return ("true" if value else "false") if isinstance(value, bool) else plain(value)


def to_text(value: Scalar) -> Scalar:
    """Any value as a text; null stays null."""
    return None if value is None else as_text(value)


def to_number(value: Scalar) -> Scalar:
    """A text such as '1.50' or '1e-05' as the exact number, true as 1, false as 0; null stays null."""
    if value is None or isinstance(value, Decimal):
        return value
    if isinstance(value, bool):
        return ONE if value else ZERO
    found = _number(value)
    if found is None:
        raise CalculationError("Number.of", f"{value[:40]!r} is no number")
    return found


def to_number_or_null(value: Scalar) -> Scalar:
    """The same, but null for a text that is no number."""
    return _number(value) if isinstance(value, str) else to_number(value)


def _number(text: str) -> Decimal | None:
    return Decimal(text.strip()) if _NUMBER.fullmatch(text.strip()) else None


def length(text: str) -> Decimal:
    return Decimal(len(text))


def index_of(text: str, part: str) -> Decimal:
    """Where a part begins; -1 where it is not in the text."""
    return Decimal(text.find(part))


def substring(text: str, start: Decimal, end: Decimal | None = None) -> str:
    """The characters from one place until before another; places beyond an end of the text are that end."""
    return text[_place(start) : None if end is None else _place(end)]


def split(text: str, separator: str, index: Decimal) -> str | None:
    """The part at an index, from 0; null where there are not so many."""
    if not separator:
        raise CalculationError("String.split", "the separator must not be empty")
    parts, place = text.split(separator), _place(index)
    return parts[place] if place < len(parts) else None


def replace(text: str, old: str, new: str) -> str:
    """The text with every `old` replaced."""
    if not old:
        raise CalculationError("String.replace", "the text to be replaced must not be empty")
    # Known before it is made: otherwise a short formula could make millions of characters, again and again.
    longer = len(text) + text.count(old) * (len(new) - len(old))
    if longer > MAX_TEXT:
        raise CalculationError("String.replace", f"the text has {longer} characters; at most {MAX_TEXT}")
    return text.replace(old, new)


def _place(value: Decimal) -> int:
    if value < 0 or value != value.to_integral_value():
        raise CalculationError("String", f"a place must be a whole number from 0, got {plain(value)[:40]}")
    return int(min(value, Decimal(10**6)))
