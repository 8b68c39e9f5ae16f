"""Filters of the calculation language as conditions of the engine, where those are exactly what `evaluate` computes.

What the engine cannot compute exactly is not translated: the caller then evaluates the filter in Python. Numbers are
256-bit decimals whose whole digits and decimals are counted, so that none can overflow. No comparison is ever null:
null equals null alone and has no order; AND, OR and NOT take null as false.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from tallystick.core.expression import (
    Binary,
    BinaryOperator,
    Boolean,
    Call,
    Expression,
    ExpressionError,
    Null,
    Number,
    Reference,
    Text,
    Type,
    Unary,
    UnaryOperator,
    check,
    is_compilable,
    parse,
    references,
)
from tallystick.core.quantity import QUANTITY_DECIMALS, plain
from tallystick.stores.usage_clickhouse.connection import Bindings
from tallystick.stores.usage_clickhouse.schema import Fields

_DIGITS = 76  # of a Decimal256
_WHOLE = 20  # digits of a measured quantity before its point
_ORDERINGS = {
    BinaryOperator.LESS,
    BinaryOperator.LESS_OR_EQUAL,
    BinaryOperator.GREATER,
    BinaryOperator.GREATER_OR_EQUAL,
}


class _Inexact(Exception):
    """A number in the filter may have more digits than the engine's decimals."""


@dataclass(frozen=True, slots=True)
class _Term:
    """A translated expression. A number has at most `whole` digits before its point and exactly `scale` after it."""

    sql: str
    type: Type
    whole: int = 0
    scale: int = 0

    @property
    def truth(self) -> str:
        """The term as a condition: null is false."""
        return "0" if self.type is Type.NULL else f"ifNull({self.sql}, 0)"

    def at(self, scale: int) -> str:
        """A number with another scale, so that two of them can be compared or added."""
        return self.sql if scale == self.scale else f"toDecimal256({self.sql}, {scale})"


_NULL = _Term("NULL", Type.NULL)


def condition(text: str, fields: Fields, bindings: Bindings) -> str | None:
    """The filter as a condition over a meter's columns; None where only Python computes what it means.

    Raises core.expression.ExpressionError where the text is no expression.
    """
    expression = parse(text)
    types = {name: _type(name, fields) for name in references(expression)}
    try:
        # A history in which a field was a text and then a number has no one type: Python looks at each value.
        if check(expression, types) is not Type.BOOLEAN or not is_compilable(expression, types):
            return None
        return _Translation(fields, bindings).term(expression).truth
    except (ExpressionError, _Inexact):
        return None


def _type(name: str, fields: Fields) -> Type:
    match name in fields.numbers, name in fields.texts:
        case True, True:
            return Type.ANY
        case True, False:
            return Type.NUMBER
        case False, True:
            return Type.TEXT
        case _:
            return Type.NULL


class _Translation:
    def __init__(self, fields: Fields, bindings: Bindings) -> None:
        self._fields = fields
        self._bindings = bindings

    def term(self, expression: Expression) -> _Term:
        match expression:
            case Reference(name=name):
                return self._reference(name)
            case Unary(operator=operator, operand=operand):
                return _unary(operator, self.term(operand))
            case Binary(operator=operator, left=left, right=right):
                return _binary(operator, self.term(left), self.term(right))
            case Call(function="isnull", arguments=(value, otherwise)):
                return _first_given(self.term(value), self.term(otherwise))
            case Call(function="IN", arguments=(value, *candidates)):
                among = self.term(value)
                return reduce(_either, (_equal(among, self.term(each)) for each in candidates))
            case Number() | Text() | Boolean() | Null():
                return self._literal(expression)
            case _:
                raise AssertionError(f"not compilable: {expression}")

    def _literal(self, literal: Number | Text | Boolean | Null) -> _Term:
        match literal:
            case Number(value=value):
                digits = plain(value)
                scale = len(digits.partition(".")[2])
                return _number(f"toDecimal256({self._bindings.text(digits)}, {scale})", len(digits) - scale, scale)
            case Text(value=value):
                return _Term(self._bindings.text(value), Type.TEXT)
            case Boolean(value=value):
                return _Term(str(int(value)), Type.BOOLEAN)
            case Null():
                return _NULL

    def _reference(self, name: str) -> _Term:
        if name in self._fields.numbers and name in self._fields.texts:
            raise _Inexact
        if (column := self._fields.numbers.get(name)) is not None:
            return _number(f"toDecimal256({column}, {QUANTITY_DECIMALS})", _WHOLE, QUANTITY_DECIMALS)
        if (column := self._fields.texts.get(name)) is not None:
            return _Term(column, Type.TEXT)
        return _NULL


def _number(sql: str, whole: int, scale: int) -> _Term:
    if whole + scale > _DIGITS:
        raise _Inexact
    return _Term(sql, Type.NUMBER, whole, scale)


def _unary(operator: UnaryOperator, term: _Term) -> _Term:
    if operator is UnaryOperator.NOT:
        return _Term(f"(NOT {term.truth})", Type.BOOLEAN)
    if term.type is Type.NULL or operator is UnaryOperator.PLUS:
        return term
    return _number(f"negate({term.sql})", term.whole, term.scale)


def _binary(operator: BinaryOperator, left: _Term, right: _Term) -> _Term:
    match operator:
        case BinaryOperator.AND:
            return _Term(f"({left.truth} AND {right.truth})", Type.BOOLEAN)
        case BinaryOperator.OR:
            return _either(left, right)
        case BinaryOperator.EQUAL:
            return _equal(left, right)
        case BinaryOperator.NOT_EQUAL:
            return _Term(f"(NOT {_equal(left, right).sql})", Type.BOOLEAN)
    if Type.NULL in {left.type, right.type}:
        return _Term("0", Type.BOOLEAN) if operator in _ORDERINGS else _NULL
    if operator in _ORDERINGS:
        one, other, _ = _aligned(left, right)
        return _Term(f"ifNull({one} {operator} {other}, 0)", Type.BOOLEAN)
    if operator is BinaryOperator.MULTIPLY:
        return _number(f"({left.sql} * {right.sql})", left.whole + right.whole, left.scale + right.scale)
    one, other, (whole, scale) = _aligned(left, right)
    return _number(f"({one} {operator} {other})", whole + 1, scale)


def _either(left: _Term, right: _Term) -> _Term:
    return _Term(f"({left.truth} OR {right.truth})", Type.BOOLEAN)


def _equal(left: _Term, right: _Term) -> _Term:
    """Null equals null and nothing else."""
    if left.type is Type.NULL and right.type is Type.NULL:
        return _Term("1", Type.BOOLEAN)
    if Type.NULL in {left.type, right.type}:
        given = right if left.type is Type.NULL else left
        return _Term(f"isNull({given.sql})", Type.BOOLEAN)
    one, other, _ = _aligned(left, right)
    return _Term(f"ifNull({one} = {other}, isNull({one}) AND isNull({other}))", Type.BOOLEAN)


def _first_given(left: _Term, right: _Term) -> _Term:
    if left.type is Type.NULL or right.type is Type.NULL:
        return right if left.type is Type.NULL else left
    one, other, (whole, scale) = _aligned(left, right)
    sql = f"ifNull({one}, {other})"
    return _number(sql, whole, scale) if left.type is Type.NUMBER else _Term(sql, left.type)


def _aligned(left: _Term, right: _Term) -> tuple[str, str, tuple[int, int]]:
    """Two terms in comparable form, and the digits (whole, scale) that hold both."""
    whole, scale = max(left.whole, right.whole), max(left.scale, right.scale)
    if left.type is Type.NUMBER:
        _number("", whole, scale)
        return left.at(scale), right.at(scale), (whole, scale)
    return left.sql, right.sql, (0, 0)
