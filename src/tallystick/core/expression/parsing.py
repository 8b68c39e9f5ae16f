"""From a text to a tree: a precedence parser, so that each error names its place and what was expected there."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from tallystick.core.expression.functions import FUNCTIONS, Function
from tallystick.core.expression.tokens import Kind, Token, number, text, tokens
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
    Unary,
    UnaryOperator,
    nodes,
)

MAX_DEPTH = 64  # levels of a tree: consumers walk it by recursion
MAX_NODES = 1000
_MAX_NESTING = 2 * MAX_DEPTH  # a tree of full depth with a pair of parentheses at each level

_BINARY = {str(operator): operator for operator in BinaryOperator if operator is not BinaryOperator.POWER}
_SIGNS = {"+": UnaryOperator.PLUS, "-": UnaryOperator.MINUS, "!": UnaryOperator.NOT}
_LITERALS = {"TRUE": True, "FALSE": False}


def parse(source: str, functions: Mapping[str, Function] = FUNCTIONS) -> Expression:
    """Read an expression; `functions` are those it may call.

    Raises ExpressionError, with the character at fault and what was expected, for anything that is not one
    expression of at most 5,000 characters, 64 levels and 1,000 nodes. References are not looked up: see `check`.
    """
    parser = _Parser(tokens(source), functions)
    expression = parser.whole()
    for count, (node, depth) in enumerate(nodes(expression), start=1):
        if depth > MAX_DEPTH:
            raise _too_deep(node.position)
        if count > MAX_NODES:
            raise ExpressionError(f"more than {MAX_NODES} values and operators", node.position)
    return expression


def _too_deep(position: int) -> ExpressionError:
    return ExpressionError(
        f"nested deeper than {MAX_DEPTH} levels; group a long chain with parentheses, or use IN", position
    )


class _Parser:
    """One pass over the tokens. Each method reads what it is named after and leaves the next token current."""

    def __init__(self, read: list[Token], functions: Mapping[str, Function]) -> None:
        self._tokens = read
        self._index = 0
        self._nesting = 0
        self._functions = functions

    def whole(self) -> Expression:
        expression = self._conditional()
        if self._current.kind is not Kind.END:
            raise self._expected("an operator or the end")
        return expression

    # -- tokens

    @property
    def _current(self) -> Token:
        return self._tokens[self._index]

    def _at(self, *symbols: str) -> bool:
        return self._current.kind is Kind.SYMBOL and self._current.text in symbols

    def _take(self) -> Token:
        token = self._current
        self._index += 1
        return token

    def _require(self, symbol: str, expected: str) -> None:
        if not self._at(symbol):
            raise self._expected(expected)
        self._index += 1

    def _expected(self, expected: str) -> ExpressionError:
        return ExpressionError(f"expected {expected}, found {self._current}", self._current.position)

    def _nest(self, levels: int = 1) -> None:
        self._nesting += levels
        if self._nesting > _MAX_NESTING:
            raise _too_deep(self._current.position)

    # -- the grammar, from the loosest binding to the tightest

    def _conditional(self) -> Expression:
        condition = self._binary(Level.OR)
        if not self._at("?"):
            return condition
        position = self._take().position
        self._nest()
        when_true = self._conditional()
        self._require(":", "an operator or : and the value when the condition is false")
        when_false = self._conditional()
        self._nesting -= 1
        return Conditional(condition, when_true, when_false, position=position)

    def _binary(self, level: int) -> Expression:
        """Operands joined by operators that bind at `level` or tighter; equal ones from the left."""
        left = self._not(level) if self._at("NOT") else self._signed()
        while self._current.kind is Kind.SYMBOL:
            operator = _BINARY.get(self._current.text)
            if operator is None or LEVELS[operator] < level:
                break
            position = self._take().position
            self._nest()
            right = self._binary(LEVELS[operator] + 1)
            self._nesting -= 1
            left = Binary(operator, left, right, position=position)
        return left

    def _not(self, level: int) -> Expression:
        if level > Level.NOT:
            raise self._expected("a value (put NOT and its condition in parentheses)")
        position = self._take().position
        self._nest()
        operand = self._binary(Level.NOT)
        self._nesting -= 1
        return Unary(UnaryOperator.NOT, operand, position=position)

    def _signed(self) -> Expression:
        signs: list[Token] = []
        while self._at(*_SIGNS):
            signs.append(self._take())
        self._nest(len(signs))
        expression = self._power()
        self._nesting -= len(signs)
        for sign in reversed(signs):
            expression = Unary(_SIGNS[sign.text], expression, position=sign.position)
        return expression

    def _power(self) -> Expression:
        base = self._primary()
        if not self._at("^"):
            return base
        position = self._take().position
        self._nest()
        exponent = self._signed()  # from the right: 2^3^2 is 2^9, and 2^-1 needs no parentheses
        self._nesting -= 1
        return Binary(BinaryOperator.POWER, base, exponent, position=position)

    def _primary(self) -> Expression:
        token = self._current
        if self._at("("):
            return self._parenthesised()
        if token.kind in {Kind.SYMBOL, Kind.END}:
            raise self._expected("a value")
        self._index += 1
        match token.kind:
            case Kind.NUMBER:
                return Number(number(token), position=token.position)
            case Kind.TEXT:
                return Text(text(token), position=token.position)
            case Kind.LITERAL if token.text in _LITERALS:
                return Boolean(_LITERALS[token.text], position=token.position)
            case Kind.LITERAL:
                return Null(position=token.position)
            case _:
                return self._named(token)

    def _parenthesised(self) -> Expression:
        self._index += 1
        self._nest()
        expression = self._conditional()
        self._nesting -= 1
        self._require(")", "an operator or )")
        return expression

    def _named(self, name: Token) -> Expression:
        if self._at("("):
            return self._call(name)
        if name.text in CONSTANTS:
            return Constant(name.text, position=name.position)
        if name.text in self._functions:
            raise self._expected(f"( after the function {name.text}")
        return Reference(name.text, position=name.position)

    def _call(self, name: Token) -> Expression:
        function = self._functions.get(name.text)
        if function is None:
            raise ExpressionError(_unknown_function(name.text, self._functions), name.position)
        self._index += 1
        self._nest()
        arguments: list[Expression] = []
        while not self._at(")") or arguments:
            arguments.append(self._conditional())
            if not self._at(","):
                break
            self._index += 1
        self._nesting -= 1
        self._require(")", f"an operator, a comma or ) in {name.text}(…)")
        if not function.takes(len(arguments)):
            given = f"{len(arguments)} given"
            raise ExpressionError(f"{name.text} takes {function.arity}; {given}", name.position)
        return Call(name.text, tuple(arguments), position=name.position)


# What other languages ask the present, or chance, by.
_TIMELESS = frozenset({"NOW", "TODAY", "CURRENTTIME", "CURRENTMILLIS", "CURRENTTIMEMILLIS", "RANDOM"})
_NO_CLOCK = "a formula has no clock and no chance, so that it always gives the same; name a time, such as timestamp.ts"


def _unknown_function(name: str, functions: Mapping[str, Function]) -> str:
    if name.rpartition(".")[2].upper() in _TIMELESS:
        return f"no function {name[:80]!r}: {_NO_CLOCK}"
    by_capitals = {known.upper(): known for known in functions}
    close = get_close_matches(name.upper(), by_capitals, n=1)
    advice = f"did you mean {by_capitals[close[0]]}?" if close else f"there are {', '.join(sorted(functions))}"
    return f"no function {name[:80]!r}; {advice}"
