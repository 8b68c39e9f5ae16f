"""Conditions on fields of measurements, as people look for them: `tokens >= 1000`, `region contains eu`.

They are of the explorer only. What a bill leaves out is said by the filters of aggregations, in the calculation
language.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum


class Comparator(StrEnum):
    """How the value of a field is compared with the wanted one. Texts are compared as they are written."""

    EQUAL = "EQUAL"
    NOT_EQUAL = "NOT_EQUAL"  # of what has no such field too
    LESS = "LESS"
    LESS_OR_EQUAL = "LESS_OR_EQUAL"
    GREATER = "GREATER"
    GREATER_OR_EQUAL = "GREATER_OR_EQUAL"
    CONTAINS = "CONTAINS"
    STARTS_WITH = "STARTS_WITH"
    PRESENT = "PRESENT"
    ABSENT = "ABSENT"

    @property
    def takes_value(self) -> bool:
        """Whether there is something to compare with."""
        return self not in {Comparator.PRESENT, Comparator.ABSENT}

    @property
    def of_texts(self) -> bool:
        """Whether it looks into texts and cannot be asked of numbers."""
        return self in {Comparator.CONTAINS, Comparator.STARTS_WITH}

    @property
    def orders(self) -> bool:
        """Whether it is about more and less, and so is asked of numbers only."""
        return self in _ORDERINGS


_ORDERINGS = {Comparator.LESS, Comparator.LESS_OR_EQUAL, Comparator.GREATER, Comparator.GREATER_OR_EQUAL}


def holds(comparator: Comparator, found: Decimal | str | None, wanted: Decimal | str) -> bool:
    """Whether a measurement's value meets a condition; `found` is None where it has no such field."""
    if found is None:
        return comparator in {Comparator.ABSENT, Comparator.NOT_EQUAL}
    if comparator in {Comparator.PRESENT, Comparator.ABSENT}:
        return comparator is Comparator.PRESENT
    if isinstance(found, str):
        assert isinstance(wanted, str), "a text is compared with a text"
        return _holds_of_texts(comparator, found, wanted)
    assert isinstance(wanted, Decimal), "a number is compared with a number"
    return {
        Comparator.EQUAL: found == wanted,
        Comparator.NOT_EQUAL: found != wanted,
        Comparator.LESS: found < wanted,
        Comparator.LESS_OR_EQUAL: found <= wanted,
        Comparator.GREATER: found > wanted,
        Comparator.GREATER_OR_EQUAL: found >= wanted,
    }[comparator]


def _holds_of_texts(comparator: Comparator, found: str, wanted: str) -> bool:
    return {
        Comparator.EQUAL: found == wanted,
        Comparator.NOT_EQUAL: found != wanted,
        Comparator.CONTAINS: wanted in found,
        Comparator.STARTS_WITH: found.startswith(wanted),
    }[comparator]
