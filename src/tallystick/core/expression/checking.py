"""Static types: what an expression will be, found before any value is known, and what can never work refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from tallystick.core.expression.evaluation import type_of
from tallystick.core.expression.functions import FUNCTIONS, Function
from tallystick.core.expression.tree import (
    CONSTANTS,
    LEVELS,
    Binary,
    BinaryOperator,
    Boolean,
    Call,
    Conditional,
    Constant,
    Expression,
    ExpressionError,
    Level,
    Null,
    Number,
    Reference,
    Text,
    Type,
    Unary,
    UnaryOperator,
)

_MAX_NAMES = 12  # of known names that a message lists


def check(expression: Expression, types: Mapping[str, Type], functions: Mapping[str, Function] = FUNCTIONS) -> Type:
    """The type of the expression, given the type of each name that it may refer to.

    Raises ExpressionError, naming the reference or operation and its position, for a name that `types` does not
    hold and for operands that no value of their types could satisfy. An expression that passes raises
    CalculationError only for values (division by zero, bounds) or where ANY turns out to be another type.
    """
    return _Check(types, functions).type(expression)


class _Check:
    def __init__(self, types: Mapping[str, Type], functions: Mapping[str, Function]) -> None:
        self._types = types
        self._functions = functions

    def type(self, expression: Expression) -> Type:
        match expression:
            case Number(value=value) | Text(value=value) | Boolean(value=value):
                return type_of(value)
            case Null():
                return Type.NULL
            case Constant(name=name):
                return type_of(CONSTANTS[name])
            case Reference():
                return self._reference(expression)
            case Unary(operator=operator, operand=operand):
                wanted = Type.BOOLEAN if operator is UnaryOperator.NOT else Type.NUMBER
                self._want(operand, wanted, operator, expression.position)
                return wanted
            case Binary():
                return self._binary(expression)
            case Conditional(condition=condition, when_true=when_true, when_false=when_false):
                self._want(condition, Type.BOOLEAN, "?", expression.position)
                branches = (self.type(when_true), self.type(when_false))
                return _common(branches, "?", "the two results must be of one type", expression.position)
            case Call():
                return self._call(expression)

    def _reference(self, reference: Reference) -> Type:
        found = self._types.get(reference.name)
        if found is None:
            raise ExpressionError(_unknown(reference.name, self._types), reference.position)
        return found

    def _want(self, operand: Expression, wanted: Type, operation: str, position: int) -> Type:
        """The type of an operand, which must be the wanted one (ANY accepts all)."""
        found = self.type(operand)
        if wanted is not Type.ANY and found not in {wanted, Type.NULL, Type.ANY}:
            named = f"{operand.name} is" if isinstance(operand, Reference) else "found"
            raise ExpressionError(f"{operation} needs a {wanted}; {named} a {found}", operand.position or position)
        return found

    def _binary(self, binary: Binary) -> Type:
        operator, position = binary.operator, binary.position
        match LEVELS[operator]:
            case Level.AND | Level.OR:
                self._want(binary.left, Type.BOOLEAN, operator, position)
                self._want(binary.right, Type.BOOLEAN, operator, position)
                return Type.BOOLEAN
            case Level.EQUALITY | Level.ORDER:
                sides = (self.type(binary.left), self.type(binary.right))
                if LEVELS[operator] is Level.ORDER and Type.BOOLEAN in sides:
                    raise ExpressionError(f"{operator}: true and false have no order", position)
                _common(sides, operator, "both sides must be of one type", position)
                return Type.BOOLEAN
            case _ if operator is BinaryOperator.ADD:
                return self._addition(binary)
            case _:
                self._want(binary.left, Type.NUMBER, operator, position)
                self._want(binary.right, Type.NUMBER, operator, position)
                return Type.NUMBER

    def _addition(self, binary: Binary) -> Type:
        sides = {self.type(binary.left), self.type(binary.right)}
        if Type.TEXT in sides:
            return Type.TEXT
        if Type.BOOLEAN in sides and Type.ANY not in sides:
            raise ExpressionError("+ needs two numbers, or a text; found a boolean", binary.position)
        if Type.ANY in sides:
            return Type.ANY
        return Type.NULL if sides == {Type.NULL} else Type.NUMBER

    def _call(self, call: Call) -> Type:
        function = self._functions.get(call.function)
        if function is None:
            raise ExpressionError(f"no function {call.function!r}", call.position)
        if not function.takes(len(call.arguments)):
            raise ExpressionError(f"{call.function} takes {function.arity}", call.position)
        given = [
            self._want(argument, function.parameter(index), call.function, call.position)
            for index, argument in enumerate(call.arguments)
        ]
        if not function.alike:
            return function.result
        common = _common(given, call.function, "the arguments must be of one type", call.position)
        return common if function.result is Type.ANY else function.result


def _common(types: Iterable[Type], operation: str, rule: str, position: int) -> Type:
    """The one type that all have, null aside; ANY when one of them is known only later."""
    given = set(types) - {Type.NULL}
    known = given - {Type.ANY}
    if len(known) > 1:
        raise ExpressionError(f"{operation}: {rule}; found a {' and a '.join(sorted(known))}", position)
    if Type.ANY in given:
        return Type.ANY
    return known.pop() if known else Type.NULL


def _unknown(name: str, types: Mapping[str, Type]) -> str:
    close = get_close_matches(name, types, n=1)
    if close:
        return f"unknown field {name[:80]!r}; did you mean {close[0]}?"
    known = sorted(types)
    listed = ", ".join(known[:_MAX_NAMES]) + (", …" if len(known) > _MAX_NAMES else "")
    return f"unknown field {name[:80]!r}; " + (f"there are {listed}" if known else "there are none to refer to")
