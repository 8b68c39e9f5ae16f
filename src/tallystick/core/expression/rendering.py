"""A tree as text, with no more parentheses than it needs: `parse(render(tree)) == tree`."""

from __future__ import annotations

from tallystick.core.expression.tree import (
    LEVELS,
    Binary,
    BinaryOperator,
    Boolean,
    Call,
    Conditional,
    Constant,
    Expression,
    Level,
    Null,
    Number,
    Reference,
    Text,
    Unary,
    UnaryOperator,
)

_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def render(expression: Expression) -> str:
    """Write an expression in the calculation language; parsing it gives an equal tree."""
    return _within(expression, Level.CONDITIONAL)


def _within(expression: Expression, level: int) -> str:
    """The expression where one that binds at `level` or tighter is wanted."""
    text = _text(expression)
    return text if _level(expression) >= level else f"({text})"


def _level(expression: Expression) -> Level:
    match expression:
        case Binary(operator=operator):
            return LEVELS[operator]
        case Unary(operator=UnaryOperator.NOT):
            return Level.NOT
        case Unary():
            return Level.SIGN
        case Conditional():
            return Level.CONDITIONAL
        case _:
            return Level.PRIMARY


def _text(expression: Expression) -> str:
    match expression:
        case Unary(operator=UnaryOperator.NOT, operand=operand):
            return f"NOT {_within(operand, Level.NOT)}"
        case Unary(operator=operator, operand=operand):
            return f"{operator}{_within(operand, Level.SIGN)}"
        case Binary(operator=BinaryOperator.POWER, left=left, right=right):
            return f"{_within(left, Level.PRIMARY)} ^ {_within(right, Level.SIGN)}"
        case Binary(operator=operator, left=left, right=right):
            level = LEVELS[operator]
            return f"{_within(left, level)} {operator} {_within(right, level + 1)}"
        case Conditional(condition=condition, when_true=when_true, when_false=when_false):
            return f"{_within(condition, Level.OR)} ? {render(when_true)} : {render(when_false)}"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(render(argument) for argument in arguments)})"
        case _:
            return _word(expression)


def _word(expression: Number | Text | Boolean | Null | Constant | Reference) -> str:
    match expression:
        case Number(value=number):
            return f"{number:f}"
        case Text(value=text):
            return f"'{text.translate(_ESCAPES)}'"
        case Boolean(value=truth):
            return "true" if truth else "false"
        case Null():
            return "null"
        case Constant(name=name) | Reference(name=name):
            return name
