"""Which expressions a usage store may compute itself, because it gets exactly what `evaluate` gets.

The rules that a translation keeps: == and != compare null as a value of its own (SQL: IS NOT DISTINCT FROM), an
ordering with null is false, NOT of null is true, and so no comparison is ever null. Numbers are exact decimals,
texts are ordered by code point, and IN means == with any of its candidates.
"""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.core.expression.checking import check
from tallystick.core.expression.tree import (
    Binary,
    BinaryOperator,
    Call,
    Conditional,
    Constant,
    Expression,
    Reference,
    Text,
    Type,
    nodes,
)

_OPERATORS = frozenset(BinaryOperator) - {
    BinaryOperator.DIVIDE,
    BinaryOperator.REMAINDER,
    BinaryOperator.POWER,
}
_FUNCTIONS = frozenset({"isnull", "IN"})


def is_compilable(expression: Expression, types: Mapping[str, Type] | None = None) -> bool:
    """Whether the expression stays within literals, bare field codes, comparisons, AND, OR, NOT, signs, + - *, IN
    and isnull.

    Division, remainder, powers, rounding, ? and :, constants, dotted names and joined texts are computed only in
    Python. With the `types` that the expression passed `check` with, a + between two text fields is told from one
    between numbers; without them only a + beside a quoted text is.
    """
    return all(_compilable(node, types) for node, _ in nodes(expression))


def _compilable(node: Expression, types: Mapping[str, Type] | None) -> bool:
    match node:
        case Reference(name=name):
            return "." not in name
        case Binary(operator=BinaryOperator.ADD, left=left, right=right):
            if types is not None:
                return check(node, types) is Type.NUMBER
            return not isinstance(left, Text) and not isinstance(right, Text)
        case Binary(operator=operator):
            return operator in _OPERATORS
        case Call(function=function):
            return function in _FUNCTIONS
        case Conditional() | Constant():
            return False
        case _:
            return True
