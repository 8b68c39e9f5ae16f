"""The value of an expression, in exact decimals.

Null: arithmetic, signs, + on texts and the Math functions give null when any side is null; == and != treat null
as a value equal to itself alone; an ordering with null is false; AND, OR, NOT and ? treat null as false.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal, DecimalException
from typing import Any, assert_never

from tallystick.core.expression.arithmetic import bounded, compute
from tallystick.core.expression.functions import FUNCTIONS, Function
from tallystick.core.expression.texts import as_text
from tallystick.core.expression.tokens import MAX_TEXT
from tallystick.core.expression.tree import (
    CONSTANTS,
    Binary,
    BinaryOperator,
    Boolean,
    CalculationError,
    Call,
    Conditional,
    Constant,
    Expression,
    Null,
    Number,
    Reference,
    Scalar,
    Text,
    Type,
    Unary,
    UnaryOperator,
)
from tallystick.core.quantity import negate

_ORDERINGS: dict[BinaryOperator, Callable[[Any, Any], bool]] = {
    BinaryOperator.LESS: operator.lt,
    BinaryOperator.LESS_OR_EQUAL: operator.le,
    BinaryOperator.GREATER: operator.gt,
    BinaryOperator.GREATER_OR_EQUAL: operator.ge,
}


def type_of(value: Scalar) -> Type:
    """The type of a value: NULL for None."""
    match value:
        case bool():
            return Type.BOOLEAN
        case Decimal():
            return Type.NUMBER
        case str():
            return Type.TEXT
        case None:
            return Type.NULL
        case _:
            assert_never(value)


def evaluate(
    expression: Expression, values: Mapping[str, Scalar], functions: Mapping[str, Function] = FUNCTIONS
) -> Scalar:
    """Compute the expression; a reference that `values` does not hold is null (`check` refuses misspelt ones).

    `functions` must be the table that the expression was parsed with. Operands are computed from left to right; of
    AND, OR and ? only those that decide. Raises CalculationError, naming the operation and its place, for division
    by zero, operands of the wrong type, and numbers or texts beyond the bounds of `arithmetic` and MAX_TEXT.
    """
    return _Evaluation(values, functions).value(expression)


class _Evaluation:
    def __init__(self, values: Mapping[str, Scalar], functions: Mapping[str, Function]) -> None:
        self._values = values
        self._functions = functions

    def value(self, expression: Expression) -> Scalar:
        match expression:
            case Number(value=value) | Text(value=value) | Boolean(value=value):
                return value
            case Reference():
                return self._reference(expression)
            case Binary():
                return self._binary(expression)
            case Unary():
                return self._unary(expression)
            case Call():
                return self._call(expression)
            case Conditional(condition=condition, when_true=when_true, when_false=when_false):
                chosen = self._truth(condition, "?", expression.position)
                return self.value(when_true if chosen else when_false)
            case Constant(name=name):
                return CONSTANTS[name]
            case Null():
                return None

    def _reference(self, reference: Reference) -> Scalar:
        value = self._values.get(reference.name)
        if isinstance(value, Decimal):
            return _placed(reference.position, lambda: bounded(value, reference.name))
        if isinstance(value, str) and len(value) > MAX_TEXT:
            reason = f"the text has {len(value)} characters; at most {MAX_TEXT}"
            raise CalculationError(reference.name, reason, reference.position)
        return value

    def _truth(self, condition: Expression, operation: str, position: int) -> bool:
        value = self.value(condition)
        if value is None:
            return False
        if isinstance(value, bool):
            return value
        raise CalculationError(operation, f"needs true or false, got a {type_of(value)}", position)

    def _unary(self, unary: Unary) -> Scalar:
        if unary.operator is UnaryOperator.NOT:
            return not self._truth(unary.operand, unary.operator, unary.position)
        value = self.value(unary.operand)
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise CalculationError(unary.operator, f"needs a number, got a {type_of(value)}", unary.position)
        return negate(value) if unary.operator is UnaryOperator.MINUS else value

    def _binary(self, binary: Binary) -> Scalar:
        symbol, position = binary.operator, binary.position
        if symbol is BinaryOperator.AND or symbol is BinaryOperator.OR:
            # AND is decided by a first false, OR by a first true.
            if self._truth(binary.left, symbol, position) is (symbol is BinaryOperator.OR):
                return symbol is BinaryOperator.OR
            return self._truth(binary.right, symbol, position)
        left, right = self.value(binary.left), self.value(binary.right)
        if symbol is BinaryOperator.EQUAL or symbol is BinaryOperator.NOT_EQUAL:
            _require_alike(symbol, (left, right), position)
            return (left == right) is (symbol is BinaryOperator.EQUAL)
        if symbol in _ORDERINGS:
            return _ordered(symbol, left, right, position)
        if left is None or right is None:
            return None
        if isinstance(left, Decimal) and isinstance(right, Decimal):
            return _placed(position, lambda: compute(symbol, left, right))
        if symbol is BinaryOperator.ADD and (isinstance(left, str) or isinstance(right, str)):
            return _joined(left, right, position)
        raise _needs_numbers(symbol, left, right, position)

    def _call(self, call: Call) -> Scalar:
        function = self._functions.get(call.function)
        if function is None or not function.takes(len(call.arguments)):
            reason = f"takes {function.arity}" if function else "no such function"
            raise CalculationError(call.function, reason, call.position)
        arguments = [self.value(argument) for argument in call.arguments]
        for index, argument in enumerate(arguments):
            wanted, given = function.parameter(index), type_of(argument)
            if given not in {wanted, Type.NULL} and wanted is not Type.ANY:
                reason = f"argument {index + 1} must be a {wanted}, got a {given}"
                raise CalculationError(call.function, reason, call.position)
        if function.alike:
            _require_alike(call.function, arguments, call.position)
        if not function.takes_null and None in arguments:
            return None
        return _placed(call.position, lambda: _applied(function, arguments))


def _applied(function: Function, arguments: list[Scalar]) -> Scalar:
    try:
        result = function.implementation(*arguments)
    except CalculationError as error:
        raise CalculationError(function.name, error.reason) from error
    except DecimalException as error:
        raise CalculationError(function.name, "the result has more digits than are computed exactly") from error
    if isinstance(result, str) and len(result) > MAX_TEXT:
        raise CalculationError(function.name, f"the text has {len(result)} characters; at most {MAX_TEXT}")
    return bounded(result, function.name) if isinstance(result, Decimal) else result


def _placed(position: int, computation: Callable[[], Scalar]) -> Scalar:
    """The result of a computation that does not know its place; its error is told the place."""
    try:
        return computation()
    except CalculationError as error:
        raise CalculationError(error.operation, error.reason, position) from error


def _require_alike(operation: str, values: tuple[Scalar, ...] | list[Scalar], position: int) -> None:
    types = {type_of(value) for value in values} - {Type.NULL}
    if len(types) > 1:
        raise CalculationError(operation, f"cannot compare a {' with a '.join(sorted(types))}", position)


def _ordered(symbol: BinaryOperator, left: Scalar, right: Scalar, position: int) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        raise CalculationError(symbol, "true and false have no order", position)
    _require_alike(symbol, (left, right), position)
    return left is not None and right is not None and _ORDERINGS[symbol](left, right)


def _joined(left: Decimal | str | bool, right: Decimal | str | bool, position: int) -> str:
    joined = as_text(left) + as_text(right)
    if len(joined) > MAX_TEXT:
        raise CalculationError("+", f"the text has {len(joined)} characters; at most {MAX_TEXT}", position)
    return joined


def _needs_numbers(symbol: BinaryOperator, left: Scalar, right: Scalar, position: int) -> CalculationError:
    wanted = "two numbers, or a text" if symbol is BinaryOperator.ADD else "two numbers"
    reason = f"needs {wanted}, got a {type_of(left)} and a {type_of(right)}"
    return CalculationError(symbol, reason, position)
