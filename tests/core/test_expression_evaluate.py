"""The calculation language as values: exact decimals, nulls, texts, and what has no value."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from tallystick.core.expression import (
    CalculationError,
    Call,
    Expression,
    Function,
    Number,
    Reference,
    Scalar,
    Type,
    evaluate,
    parse,
    table,
    type_of,
)
from tallystick.core.expression.functions import FUNCTIONS

VALUES: dict[str, Scalar] = {
    "tokens": Decimal(1500),
    "small": Decimal("0.000000000000000001"),
    "big": Decimal(99999999999999999999),
    "minus": Decimal("-2.5"),
    "region": "eu",
    "empty": "",
    "flag": True,
    "nothing": None,
    "account.discount": Decimal("0.15"),
}


def value(source: str) -> Scalar:
    return evaluate(parse(source), VALUES)


# Worked by hand; an answer that must be exact is written to its last digit.
NUMBERS = [
    ("0.1 + 0.2", "0.3"),
    ("1e-05 * 3", "0.00003"),
    ("tokens / 1000", "1.5"),
    ("1 / 3", "0." + "3" * 50),
    ("2 / 3", "0." + "6" * 49 + "7"),
    ("10 / 4 * 4", "10"),
    ("big * big", "9999999999999999999800000000000000000001"),
    ("big * big + small * small", "9999999999999999999800000000000000000001.000000000000000000000000000000000001"),
    ("big - small", "99999999999999999998.999999999999999999"),
    ("tokens * (1 - account.discount)", "1275"),
    ("7 % 3", "1"),
    ("-7 % 3", "-1"),
    ("7 % -3", "1"),
    ("7.5 % 2", "1.5"),
    ("big % 7", "1"),  # 10^20 is 2 modulo 7
    ("2 ^ 10", "1024"),
    ("2 ^ -2", "0.25"),
    ("-2 ^ 2", "-4"),
    ("(-2) ^ 2", "4"),
    ("(-2) ^ 3", "-8"),
    ("2 ^ 3 ^ 2", "512"),
    ("1.1 ^ 2", "1.21"),
    ("4 ^ 0.5", "2"),
    ("0 ^ 0", "1"),
    ("0 ^ 5", "0"),
    ("1.0001 ^ 10000 > 2.718 ? 1 : 0", "1"),
    ("-minus", "2.5"),
    ("+minus", "-2.5"),
    ("-0", "0"),
    ("0 * -1", "0"),
    ("2 * Math.PI", "6.28318530717958647692528676656"),
    ("Math.max(1, 3, 2)", "3"),
    ("Math.min(1, -3, 2, minus)", "-3"),
    ("Math.abs(-2)", "2"),
    ("Math.abs(minus)", "2.5"),
    ("Math.pow(2, 3)", "8"),
    ("isnull(nothing, 7)", "7"),
    ("isnull(tokens, 7)", "1500"),
    ("isnull(isnull(nothing, null), 3)", "3"),
    ("tokens > 1000 ? tokens - 1000 : 0", "500"),
    ('IN(region, "us", "eu") ? 1 : 0', "1"),
]


@pytest.mark.parametrize(("source", "expected"), NUMBERS)
def test_numbers(source: str, expected: str) -> None:
    result = value(source)
    assert result == Decimal(expected)
    assert str(result) != "-0"


# scale, value, floor, ceil, round: halves go towards the greater number, as Java's Math.round does.
@pytest.mark.parametrize(
    ("number", "scale", "floor", "ceil", "rounded"),
    [
        ("2.5", None, "2", "3", "3"),
        ("-2.5", None, "-3", "-2", "-2"),
        ("2.4", None, "2", "3", "2"),
        ("-2.6", None, "-3", "-2", "-3"),
        ("0.5", None, "0", "1", "1"),
        ("-0.5", None, "-1", "0", "0"),
        ("3", None, "3", "3", "3"),
        ("1.005", "2", "1", "1.01", "1.01"),
        ("-1.005", "2", "-1.01", "-1", "-1"),
        ("1.23456", "4", "1.2345", "1.2346", "1.2346"),
        ("1250", "-2", "1200", "1300", "1300"),
        ("-1250", "-2", "-1300", "-1200", "-1200"),
        ("1249.99", "-2", "1200", "1300", "1200"),
        ("49", "-2", "0", "100", "0"),
        ("1.5", "30", "1.5", "1.5", "1.5"),
        ("12345678901234567890.5", "0", "12345678901234567890", "12345678901234567891", "12345678901234567891"),
    ],
)
def test_rounding_to_a_scale(number: str, scale: str | None, floor: str, ceil: str, rounded: str) -> None:
    arguments = f"({number})" if scale is None else f"({number}, {scale})"
    for function, expected in (("floor", floor), ("ceil", ceil), ("round", rounded)):
        result = value(f"Math.{function}{arguments}")
        assert result == Decimal(expected), function
        assert "E" not in str(result), function


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 == 1.0", True),
        ("1 != 1.00", False),
        ("1 < 2", True),
        ("2 <= 2", True),
        ("2 > 2", False),
        ("2 >= 2", True),
        ("region == 'eu'", True),
        ("region == 'EU'", False),
        ('region != "us"', True),
        ("'a' < 'b'", True),
        ("'B' < 'a'", True),  # by code point
        ("'10' < '9'", True),
        ("flag == true", True),
        ("flag AND region == 'eu'", True),
        ("flag and not flag", False),
        ("false OR flag", True),
        ("!flag OR false", False),
        ("IN(tokens, 1, 1500.0)", True),
        ("IN(region, 'us')", False),
        ("IN(flag, false)", False),
        ("1 < 2 == 3 < 4", True),
        # only what decides is computed
        ("false AND 1 / 0 > 1", False),
        ("true OR 1 / 0 > 1", True),
        ("(tokens == 0 ? 0 : 3000 / tokens) == 2", True),
        ("(true ? 1 : 1 / 0) == 1", True),
    ],
)
def test_truths(source: str, expected: bool) -> None:
    assert value(source) is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("region + '-' + 'west'", "eu-west"),
        ("'n' + 1.50", "n1.5"),
        ("1.0 + 'n'", "1n"),
        ("'n' + 1e3", "n1000"),
        ("'n' + -0.000001", "n-0.000001"),
        ("1 + 2 + 'n'", "3n"),
        ("'n' + 1 + 2", "n12"),
        ("'is ' + flag", "is true"),
        ("region + (1 > 2)", "eufalse"),
        ("empty + ''", ""),
        ("flag ? 'on' : 'off'", "on"),
        ("isnull(nothing, region)", "eu"),
        ("DateTime.TS_FMT", "yyyy-MM-dd'T'HH:mm:ss.SSSX"),
    ],
)
def test_texts(source: str, expected: str) -> None:
    assert value(source) == expected


NULL_RULES = [
    ("null", None),
    ("nothing", None),
    ("a_field_without_a_value", None),
    *((f"nothing {symbol} 2", None) for symbol in "+-*/%^"),
    *((f"2 {symbol} nothing", None) for symbol in "+-*/%^"),
    ("nothing / 0", None),
    ("-nothing", None),
    ("+nothing", None),
    ("'a' + nothing", None),
    ("nothing + 'a'", None),
    ("Math.max(1, nothing)", None),
    ("Math.round(nothing)", None),
    ("Math.round(1.5, nothing)", None),
    ("Math.pow(nothing, 2)", None),
    ("Math.abs(nothing)", None),
    ("isnull(nothing, nothing)", None),
    ("nothing == null", True),
    ("nothing != null", False),
    ("tokens == null", False),
    ("tokens != null", True),
    ("'' == null", False),
    ("0 == null", False),
    ("false == null", False),
    *((f"nothing {symbol} 2", False) for symbol in ("<", "<=", ">", ">=")),
    *((f"'a' {symbol} nothing", False) for symbol in ("<", "<=", ">", ">=")),
    ("nothing <= nothing", False),
    ("nothing AND true", False),
    ("true AND nothing", False),
    ("nothing OR true", True),
    ("nothing OR nothing", False),
    ("NOT nothing", True),
    ("(nothing ? 1 : 2) == 2", True),
    ("IN(nothing, 1, 2)", False),
    ("IN(nothing, 1, null)", True),
    ("IN(tokens, null, 1500)", True),
]


@pytest.mark.parametrize(("source", "expected"), NULL_RULES)
def test_null_rules(source: str, expected: bool | None) -> None:
    assert value(source) is expected


@pytest.mark.parametrize(
    ("source", "operation", "position", "reason"),
    [
        ("1 + tokens / 0", "/", 12, "division by zero"),
        ("0 / 0", "/", 3, "division by zero"),
        ("tokens % (1 - 1)", "%", 8, "division by zero"),
        ("0 ^ -1", "^", 3, "division by zero"),
        ("(-8) ^ 0.5", "^", 6, "fractional exponent"),
        ("9^9^9^9", "^", 4, "the exponent is above 10000"),
        ("9^9999", "^", 2, "too large"),
        ("9^-9999", "^", 2, "the number is too small: below 10^-200"),
        ("big ^ 10000 ^ 1", "^", 5, "the number is too large"),
        ("(10^-200) ^ 10000", "^", 11, "the number is too large or too small"),
        ("10^100", "^", 3, "the number is too large: 10^100 or more"),
        ("10^60 * 10^60", "*", 7, "the number is too large"),
        ("10^-150 / 10^60", "/", 9, "the number is too small"),
        ("10^99 + 10^-199 + 10^-199 * 10^-2", "*", 27, "the number is too small"),
        ("(10^99 + 1/3) * (1/3 + 10^-190) * (10^-190 + 1)", "*", 33, "more digits than are computed exactly"),
        ("Math.pow(9, 99999)", "Math.pow", 1, "the exponent is above 10000"),
        ("Math.round(1, 0.5)", "Math.round", 1, "must be a whole number between -100 and 100"),
        ("Math.floor(1, 101)", "Math.floor", 1, "must be a whole number between -100 and 100"),
        ("region * 2", "*", 8, "needs two numbers, got a text and a number"),
        ("flag + 1", "+", 6, "needs two numbers, or a text, got a boolean and a number"),
        ("-region", "-", 1, "needs a number, got a text"),
        ("tokens == region", "==", 8, "cannot compare a number with a text"),
        ("tokens < region", "<", 8, "cannot compare a number with a text"),
        ("flag < true", "<", 6, "true and false have no order"),
        ("region AND flag", "AND", 8, "needs true or false, got a text"),
        ("flag AND 1", "AND", 6, "needs true or false, got a number"),
        ("NOT 0", "NOT", 1, "needs true or false, got a number"),
        ("1 ? 2 : 3", "?", 3, "needs true or false, got a number"),
        ("IN(region, 1)", "IN", 1, "cannot compare a number with a text"),
        ("isnull(nothing, 1) + isnull(region, 1)", "isnull", 22, "cannot compare a number with a text"),
        ("Math.max(1, region)", "Math.max", 1, "argument 2 must be a number, got a text"),
        ("Math.abs(flag)", "Math.abs", 1, "argument 1 must be a number, got a boolean"),
    ],
)
def test_what_has_no_value_names_the_operation(source: str, operation: str, position: int, reason: str) -> None:
    with pytest.raises(CalculationError) as caught:
        value(source)
    assert reason in str(caught.value)
    assert (caught.value.operation, caught.value.position) == (operation, position)
    assert str(caught.value).startswith(f"{operation} at character {position}: ")


def test_a_text_never_grows_beyond_its_bound() -> None:
    expression = parse("a + a + 'x'")
    assert len(str(evaluate(expression, {"a": "y" * 2047}))) == 4095
    with pytest.raises(CalculationError, match=r"\+ at character 7: the text has 4097 characters; at most 4096"):
        evaluate(expression, {"a": "y" * 2048})
    with pytest.raises(CalculationError, match="a at character 1: the text has 4097 characters"):
        evaluate(expression, {"a": "y" * 4097})


@pytest.mark.parametrize("unusable", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+100", "-1E+999999", "1E-999999"])
@pytest.mark.parametrize("source", ["a", "a == 1", "a < 1", "-a", "a + 1", "'n' + a", "Math.round(a)", "IN(1, a)"])
def test_a_value_that_is_no_number_of_use_is_refused_where_it_is_read(unusable: str, source: str) -> None:
    with pytest.raises(CalculationError, match="a at character"):
        evaluate(parse(source), {"a": Decimal(unusable)})


def test_the_callers_decimal_context_changes_nothing() -> None:
    expression = parse("Math.round((big * big + 1) / 7, 3) + big % 11 + Math.floor(-big, -3) - 1.5 ^ 40")
    expected = evaluate(expression, VALUES)
    with localcontext() as context:
        context.prec = 3
        context.Emax, context.Emin = 5, -5
        assert evaluate(expression, VALUES) == expected


def test_further_functions_come_by_an_argument() -> None:
    further = {
        **FUNCTIONS,
        **table(
            Function(
                name="length",
                parameters=(Type.TEXT,),
                result=Type.NUMBER,
                minimum=1,
                maximum=1,
                implementation=lambda text: Decimal(len(text)),
            ),
            Function(
                name="given",
                parameters=(Type.ANY,),
                result=Type.NUMBER,
                minimum=0,
                maximum=None,
                takes_null=True,
                implementation=lambda *values: Decimal(sum(each is not None for each in values)),
            ),
        ),
    }
    expression = parse("length(region) + given(region, nothing, tokens) + given()", further)
    assert evaluate(expression, VALUES, further) == 4
    with pytest.raises(CalculationError, match="length at character 1: argument 1 must be a text, got a number"):
        evaluate(parse("length(1)", further), {}, further)
    assert evaluate(parse("length(nothing)", further), VALUES, further) is None
    with pytest.raises(CalculationError, match="no such function"):
        evaluate(expression, VALUES)


@pytest.mark.parametrize(
    ("by_hand", "reason"),
    [
        (Call("Math.max", (Number(Decimal(1)),)), "Math.max: takes 2 or more arguments"),
        (Call("sqrt", (Reference("a"),)), "sqrt: no such function"),
    ],
)
def test_a_tree_built_by_hand_is_checked_as_well(by_hand: Expression, reason: str) -> None:
    with pytest.raises(CalculationError, match=reason):
        evaluate(by_hand, {})


def test_the_type_of_a_value() -> None:
    values: list[Scalar] = [Decimal(1), "1", True, None]
    assert [type_of(each) for each in values] == [Type.NUMBER, Type.TEXT, Type.BOOLEAN, Type.NULL]
