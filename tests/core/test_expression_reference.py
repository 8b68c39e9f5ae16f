"""The page that describes the calculation language says what the language does, and leaves nothing out."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from tallystick.core.expression import (
    CONSTANTS,
    BinaryOperator,
    Expression,
    Scalar,
    Type,
    UnaryOperator,
    check,
    evaluate,
    parse,
    type_of,
)
from tallystick.core.lookup import WITH_LOOKUPS

PAGE = (Path(__file__).parents[2] / "docs/reference/calculation-language.md").read_text(encoding="utf-8")
VALUES: dict[str, Scalar] = {"tokens": Decimal(1500), "region": "eu", "trial": True, "nothing": None}
TYPES = {name: type_of(value) for name, value in VALUES.items() if value is not None} | {"nothing": Type.NUMBER}


def rows(heading: str) -> list[tuple[str, str]]:
    """The rows of the two-column tables of formulas below a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \| `?(.+?)`? \|$", section, re.MULTILINE)


@pytest.mark.parametrize(("formula", "value"), [*rows("Examples"), *rows("m3ter's list")])
def test_each_example_has_the_value_that_the_page_gives(formula: str, value: str) -> None:
    assert evaluate(parse(formula), VALUES) == evaluate(parse(value), {})


@pytest.mark.parametrize(("formula", "message"), rows("What is refused"))
def test_each_refused_formula_has_the_message_that_the_page_gives(formula: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        evaluate(_checked(formula), VALUES)


def _checked(formula: str) -> Expression:
    expression = parse(formula)
    check(expression, TYPES)
    return expression


def test_the_page_has_examples_and_refusals() -> None:
    assert len(rows("Examples")) >= 20
    assert len(rows("What is refused")) >= 8
    assert len(rows("m3ter's list")) == 16


# What m3ter's pages name (reference 2.1); the lookup functions are in test_lookup_functions.py.
M3TER = (
    "+ - * / ^ % == != < > <= >= ? : AND OR ( ) null true false Math.PI DateTime.TS_FMT Math.max Math.min Math.floor "
)
M3TER += "Math.ceil Math.round Math.pow Math.abs isnull IN"


def test_everything_that_m3ter_names_is_in_its_list() -> None:
    formulas = " ".join(formula for formula, _ in rows("m3ter's list"))
    words = set(re.findall(r"[A-Za-z][A-Za-z_.]*|[<>=!]=|[^\s\w]", formulas))
    assert set(M3TER.split()) <= words


def test_every_operator_function_and_constant_is_on_the_page() -> None:
    written = set(re.findall(r"`([^`]+)`", PAGE))
    assert {str(symbol) for symbol in [*BinaryOperator, *UnaryOperator]} <= written
    assert set(CONSTANTS) <= written
    assert set(WITH_LOOKUPS) <= {name.partition("(")[0] for name in written}
