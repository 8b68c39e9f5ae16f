"""What holds for every formula: writing and reading agree, nothing unforeseen is raised, numbers are exact."""

from __future__ import annotations

import operator
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.expression import (
    CONSTANTS,
    FUNCTIONS,
    MAX_TEXT,
    Binary,
    BinaryOperator,
    Boolean,
    CalculationError,
    Call,
    Conditional,
    Constant,
    Expression,
    ExpressionError,
    Null,
    Number,
    Reference,
    Scalar,
    Text,
    Type,
    Unary,
    UnaryOperator,
    check,
    evaluate,
    parse,
    references,
    render,
    type_of,
)
from tallystick.core.expression.arithmetic import GREATEST_EXPONENT, LEAST_EXPONENT

TYPES = {
    "tokens": Type.NUMBER,
    "rest": Type.NUMBER,
    "region": Type.TEXT,
    "model": Type.TEXT,
    "trial": Type.BOOLEAN,
    "aggregation.requests": Type.NUMBER,
    "account.custom": Type.ANY,
}

quantities = st.decimals(
    min_value=Decimal(-(10**20) + 1), max_value=Decimal(10**20 - 1), places=None, allow_nan=False, allow_infinity=False
).filter(lambda value: value == 0 or value.adjusted() > -30)
written = st.one_of(
    st.integers(0, 10**6).map(Decimal),
    st.decimals(min_value=0, max_value=10**19, places=5),
    st.integers(0, 10**30 - 1).map(lambda digits: Decimal(digits).scaleb(-30)),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
leaves: st.SearchStrategy[Expression] = st.one_of(
    st.builds(Number, written),
    st.builds(Text, texts),
    st.builds(Boolean, st.booleans()),
    st.builds(Null),
    st.builds(Constant, st.sampled_from(sorted(CONSTANTS))),
    st.builds(Reference, st.sampled_from(sorted(TYPES))),
)


def _calls(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def arguments(name: str) -> st.SearchStrategy[Expression]:
        function = FUNCTIONS[name]
        sizes = st.integers(function.minimum, function.maximum or 5)
        several = sizes.flatmap(lambda size: st.lists(inner, min_size=size, max_size=size))
        return several.map(lambda given: Call(name, tuple(given)))

    return st.sampled_from(sorted(FUNCTIONS)).flatmap(arguments)


def _compounds(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.one_of(
        st.builds(Unary, st.sampled_from(UnaryOperator), inner),
        st.builds(Binary, st.sampled_from(BinaryOperator), inner, inner),
        st.builds(Conditional, inner, inner, inner),
        _calls(inner),
    )


trees = st.recursive(leaves, _compounds, max_leaves=25)


def _values(types: dict[str, Type]) -> st.SearchStrategy[dict[str, Scalar]]:
    by_type: dict[Type, st.SearchStrategy[Scalar]] = {
        Type.NUMBER: st.none() | quantities,
        Type.TEXT: st.none() | texts,
        Type.BOOLEAN: st.none() | st.booleans(),
        Type.ANY: st.none() | quantities | texts,
    }
    return st.fixed_dictionaries({name: by_type[of] for name, of in types.items()})


def outcome(tree: Expression, values: dict[str, Scalar]) -> Scalar | CalculationError:
    """The value of a formula, or the one error that it may raise."""
    try:
        return evaluate(tree, values)
    except CalculationError as error:
        return error


@given(trees)
@settings(max_examples=100, deadline=None)
def test_writing_a_tree_and_reading_it_gives_the_same_tree(tree: Expression) -> None:
    text = render(tree)
    assert parse(text) == tree
    assert render(parse(text)) == text
    assert references(parse(text)) == references(tree)


@given(trees, _values(TYPES))
@settings(max_examples=100, deadline=None)
def test_a_formula_has_a_value_within_bounds_or_a_calculation_error(
    tree: Expression, values: dict[str, Scalar]
) -> None:
    value = outcome(tree, values)
    if isinstance(value, CalculationError):
        assert value.operation
        assert value.reason
    if isinstance(value, Decimal):
        assert value == 0 or LEAST_EXPONENT <= value.adjusted() < GREATEST_EXPONENT
    if isinstance(value, str):
        assert len(value) <= MAX_TEXT


def _typed(levels: int) -> dict[Type, st.SearchStrategy[Expression]]:
    """Trees that fit together, by their type: of the levels below, or leaves."""
    chosen: dict[Type, list[st.SearchStrategy[Expression]]] = {
        Type.NUMBER: [st.builds(Number, written), st.sampled_from([Reference("tokens"), Reference("rest"), Null()])],
        Type.TEXT: [st.builds(Text, texts), st.sampled_from([Reference("region"), Reference("model"), Null()])],
        Type.BOOLEAN: [st.builds(Boolean, st.booleans()), st.sampled_from([Reference("trial"), Null()])],
    }
    if levels:
        inner = _typed(levels - 1)
        number, text, truth = inner[Type.NUMBER], inner[Type.TEXT], inner[Type.BOOLEAN]
        arithmetic = st.sampled_from([BinaryOperator(symbol) for symbol in "+-*/%^"])
        ordering = st.sampled_from([BinaryOperator(symbol) for symbol in ("<", "<=", ">", ">=", "==", "!=")])
        logic = st.sampled_from([BinaryOperator.AND, BinaryOperator.OR])
        sign = st.sampled_from([UnaryOperator.PLUS, UnaryOperator.MINUS])
        rounding = st.sampled_from(["Math.floor", "Math.ceil", "Math.round", "Math.abs"])
        for of, same in inner.items():
            chosen[of].append(st.builds(Conditional, truth, same, same))
            chosen[of].append(st.builds(Call, st.just("isnull"), st.tuples(same, same)))
            chosen[Type.BOOLEAN].append(st.builds(Call, st.just("IN"), st.tuples(same, same, same)))
        chosen[Type.NUMBER].append(st.builds(Binary, arithmetic, number, number))
        chosen[Type.NUMBER].append(st.builds(Unary, sign, number))
        chosen[Type.NUMBER].append(st.builds(Call, rounding, st.tuples(number)))
        chosen[Type.NUMBER].append(st.builds(Call, st.just("Math.max"), st.tuples(number, number, number)))
        chosen[Type.TEXT].append(st.builds(Binary, st.just(BinaryOperator.ADD), text, text))
        chosen[Type.TEXT].append(st.builds(Binary, st.just(BinaryOperator.ADD), st.builds(Text, texts), number))
        chosen[Type.BOOLEAN].append(st.builds(Binary, logic, truth, truth))
        chosen[Type.BOOLEAN].append(st.builds(Binary, ordering, number, number))
        chosen[Type.BOOLEAN].append(st.builds(Binary, ordering, text, text))
        chosen[Type.BOOLEAN].append(st.builds(Unary, st.just(UnaryOperator.NOT), truth))
    return {of: st.one_of(strategies) for of, strategies in chosen.items()}


_TYPED = _typed(4)
fitting = st.sampled_from([Type.NUMBER, Type.TEXT, Type.BOOLEAN]).flatmap(lambda of: st.tuples(st.just(of), _TYPED[of]))


@given(fitting, _values(TYPES))
@settings(max_examples=100, deadline=None)
def test_what_fits_together_passes_the_check_and_comes_to_the_type_it_promised(
    typed: tuple[Type, Expression], values: dict[str, Scalar]
) -> None:
    of, tree = typed
    promised = check(tree, TYPES)
    assert promised in {of, Type.NULL}  # a literal null fits where any type does
    value = outcome(tree, values)
    if isinstance(value, CalculationError):
        # Types fit: what is left are values that have no result.
        mistyped = ("needs", "cannot compare", "must be a number", "no order")
        assert not any(word in value.reason for word in mistyped)
    else:
        assert type_of(value) in {promised, Type.NULL}


@given(trees, _values({name: of for name, of in TYPES.items() if of is not Type.ANY}))
@settings(max_examples=100, deadline=None)
def test_what_the_check_lets_pass_has_the_type_it_promised(tree: Expression, values: dict[str, Scalar]) -> None:
    known = {name: of for name, of in TYPES.items() if of is not Type.ANY}
    try:
        promised = check(tree, known)
    except ExpressionError:
        return
    value = outcome(tree, values)
    assert isinstance(value, CalculationError) or type_of(value) in {promised, Type.NULL}


# Words of the language in any order meet far more of the grammar than random characters do.
words = st.lists(
    st.sampled_from([
        "(", ")", "?", ":", ",", "+", "-", "!", "^", "==", "<", "AND", "NOT", "a", "b.c", "1", ".5", "'x'", "IN",
        "null", "Math.max", "isnull(", " ", "'", '"', "\\", "=", "&", "\n", "é", "1e9999", "\ud800", "\x00",
    ]),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.one_of(st.text(max_size=200), words, st.binary(max_size=100).map(lambda data: data.decode("latin-1"))))
@settings(max_examples=100, deadline=None)
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionError as error:
        place = error.position
    else:
        assert parse(render(tree)) == tree
        place = 0
    assert 0 <= place <= len(text) + 1


# An independent evaluator: Python's own operators on exact fractions.
_FRACTIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_COMPARISONS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
operand = st.one_of(
    st.integers(-(10**19), 10**19).map(Decimal),
    st.decimals(min_value=-(10**15), max_value=10**15, places=18, allow_nan=False),
)


@given(st.lists(operand, min_size=2, max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_sums_and_products_of_quantities_are_exact(numbers: list[Decimal], data: st.DataObject) -> None:
    symbols = [data.draw(st.sampled_from(sorted(_FRACTIONS))) for _ in numbers[1:]]
    tree: Expression = Reference("n0")
    expected = Fraction(numbers[0])
    for index, (symbol, number) in enumerate(zip(symbols, numbers[1:], strict=True), start=1):
        tree = Binary(BinaryOperator(symbol), tree, Reference(f"n{index}"))
        expected = _FRACTIONS[symbol](expected, Fraction(number))
    result = outcome(tree, {f"n{index}": number for index, number in enumerate(numbers)})
    if isinstance(result, CalculationError):
        assert _beyond_bounds(numbers, symbols)
    else:
        assert isinstance(result, Decimal)
        assert Fraction(result) == expected


def _beyond_bounds(numbers: list[Decimal], symbols: list[str]) -> bool:
    """Whether one of the steps leaves the range of numbers that expressions compute with."""
    reached = Fraction(numbers[0])
    for symbol, number in zip(symbols, numbers[1:], strict=True):
        reached = _FRACTIONS[symbol](reached, Fraction(number))
        if reached and not Fraction(10) ** LEAST_EXPONENT <= abs(reached) < Fraction(10) ** GREATEST_EXPONENT:
            return True
    return False


@given(operand, operand, st.sampled_from(sorted(_COMPARISONS)))
@settings(max_examples=100, deadline=None)
def test_comparisons_agree_with_fractions(left: Decimal, right: Decimal, symbol: str) -> None:
    for first, second in ((left, right), (left, left)):
        expected = _COMPARISONS[symbol](Fraction(first), Fraction(second))
        assert evaluate(parse(f"a {symbol} b"), {"a": first, "b": second}) is expected


@given(operand, st.integers(-25, 25))
@settings(max_examples=100, deadline=None)
def test_rounding_agrees_with_fractions(number: Decimal, scale: int) -> None:
    step = Fraction(10) ** -scale
    units = Fraction(number) / step
    expected = {"floor": units // 1, "ceil": -(-units // 1), "round": (units + Fraction(1, 2)) // 1}
    for function, whole in expected.items():
        result = evaluate(parse(f"Math.{function}(n, {scale})"), {"n": number})
        assert isinstance(result, Decimal)
        assert Fraction(result) == whole * step


@given(operand, operand.filter(bool))
@settings(max_examples=100, deadline=None)
def test_division_is_off_by_half_a_unit_of_its_fiftieth_digit_at_most(left: Decimal, right: Decimal) -> None:
    result = evaluate(parse("a / b"), {"a": left, "b": right})
    assert isinstance(result, Decimal)
    exact = Fraction(left) / Fraction(right)
    if exact:
        assert abs(Fraction(result) / exact - 1) <= Fraction(1, 2) * Fraction(10) ** -49


@pytest.mark.parametrize("exponent", range(-8, 9))
def test_whole_powers_agree_with_fractions(exponent: int) -> None:
    result = evaluate(parse("(3 / 8) ^ n"), {"n": Decimal(exponent)})
    assert isinstance(result, Decimal)
    exact = Fraction(3, 8) ** exponent
    assert abs(Fraction(result) / exact - 1) <= Fraction(1, 2) * Fraction(10) ** -49
