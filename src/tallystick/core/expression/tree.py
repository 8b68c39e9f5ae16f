"""The calculation language as a frozen tree: ten kinds of node, and what can be asked of a tree without values.

A consumer that translates trees (a usage store writing SQL, say) is one `match` over the ten classes. Each
node knows the `position` of its operator or first character in the text it came from, counted from 1 (0 when
built by hand); positions do not count when trees are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum, StrEnum
from typing import TypeAlias

Scalar: TypeAlias = Decimal | str | bool | None
"""What an expression is computed from and comes to: an exact number, a text, a truth value, or null."""


class Type(StrEnum):
    """The static type of an expression. Every type includes null; NULL is the literal alone."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    NULL = "null"
    ANY = "any"  # known only when values are: a custom field may be a number or a text


class ExpressionError(ValueError):
    """The text is no expression, or its types do not fit. `position` is the character at fault, from 1."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"character {position}: {reason}" if position else reason)
        self.reason = reason
        self.position = position


class CalculationError(ValueError):
    """A well-formed expression has no value for these inputs. `operation` is the operator or function at fault."""

    def __init__(self, operation: str, reason: str, position: int = 0) -> None:
        place = f" at character {position}" if position else ""
        super().__init__(f"{operation}{place}: {reason}")
        self.operation = operation
        self.reason = reason
        self.position = position


class Level(int, Enum):
    """How tightly an operator binds: a greater level binds first."""

    CONDITIONAL = 1
    OR = 2
    AND = 3
    NOT = 4
    EQUALITY = 5
    ORDER = 6
    SUM = 7
    PRODUCT = 8
    SIGN = 9
    POWER = 10
    PRIMARY = 11


class BinaryOperator(StrEnum):
    """An operator between two operands, by the symbol it is written with."""

    OR = "OR"
    AND = "AND"
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    REMAINDER = "%"
    POWER = "^"


class UnaryOperator(StrEnum):
    """An operator before one operand."""

    PLUS = "+"
    MINUS = "-"
    NOT = "NOT"


LEVELS: dict[BinaryOperator, Level] = {
    BinaryOperator.OR: Level.OR,
    BinaryOperator.AND: Level.AND,
    BinaryOperator.EQUAL: Level.EQUALITY,
    BinaryOperator.NOT_EQUAL: Level.EQUALITY,
    BinaryOperator.LESS: Level.ORDER,
    BinaryOperator.LESS_OR_EQUAL: Level.ORDER,
    BinaryOperator.GREATER: Level.ORDER,
    BinaryOperator.GREATER_OR_EQUAL: Level.ORDER,
    BinaryOperator.ADD: Level.SUM,
    BinaryOperator.SUBTRACT: Level.SUM,
    BinaryOperator.MULTIPLY: Level.PRODUCT,
    BinaryOperator.DIVIDE: Level.PRODUCT,
    BinaryOperator.REMAINDER: Level.PRODUCT,
    BinaryOperator.POWER: Level.POWER,
}

# pi to 30 decimals; the timestamp pattern is text that m3ter's formulas name.
CONSTANTS: dict[str, Decimal | str] = {
    "Math.PI": Decimal("3.141592653589793238462643383280"),
    "DateTime.TS_FMT": "yyyy-MM-dd'T'HH:mm:ss.SSSX",
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written: exact, never negative (a sign before it is a `Unary`)."""

    value: Decimal
    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text, with its escapes resolved."""

    value: str
    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""

    value: bool
    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Null:
    """`null`."""

    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Constant:
    """A named constant: a key of `CONSTANTS`."""

    name: str
    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Reference:
    """A field by its code, or a dotted name such as `aggregation.requests`, as written."""

    name: str
    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Unary:
    """`+operand`, `-operand` or `NOT operand`."""

    operator: UnaryOperator
    operand: Expression
    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`."""

    operator: BinaryOperator
    left: Expression
    right: Expression
    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? when_true : when_false`; a null condition counts as false."""

    condition: Expression
    when_true: Expression
    when_false: Expression
    position: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)`, the name as the function table has it: `Math.max`, `isnull`, `IN`."""

    function: str
    arguments: tuple[Expression, ...]
    position: int = field(default=0, compare=False, kw_only=True)


Expression: TypeAlias = Number | Text | Boolean | Null | Constant | Reference | Unary | Binary | Conditional | Call


def operands(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside this one, in the order they are written."""
    match expression:
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case Conditional(condition=condition, when_true=when_true, when_false=when_false):
            return (condition, when_true, when_false)
        case Call(arguments=arguments):
            return arguments
        case _:
            return ()


def nodes(expression: Expression) -> Iterator[tuple[Expression, int]]:
    """Every node with its depth (the root has 1), without recursion."""
    waiting = [(expression, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((inner, depth + 1) for inner in operands(node))


def rewritten(expression: Expression, change: Callable[[Call], Call]) -> Expression:
    """The expression with each call in it changed, the inner ones first."""

    def inner(part: Expression) -> Expression:
        return rewritten(part, change)

    match expression:
        case Unary(operand=operand):
            return replace(expression, operand=inner(operand))
        case Binary(left=left, right=right):
            return replace(expression, left=inner(left), right=inner(right))
        case Conditional(condition=condition, when_true=when_true, when_false=when_false):
            return replace(
                expression, condition=inner(condition), when_true=inner(when_true), when_false=inner(when_false)
            )
        case Call(arguments=arguments):
            return change(replace(expression, arguments=tuple(inner(each) for each in arguments)))
        case _:
            return expression


def references(expression: Expression) -> frozenset[str]:
    """The names of the fields and other values that the expression reads."""
    return frozenset(node.name for node, _ in nodes(expression) if isinstance(node, Reference))
