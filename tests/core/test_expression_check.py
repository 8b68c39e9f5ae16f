"""The calculation language as types: what a formula will be, and what is refused before a value is known."""

import pytest

from tallystick.core.expression import ExpressionError, Type, check, parse

FIELDS = {
    "tokens": Type.NUMBER,
    "seconds": Type.NUMBER,
    "region": Type.TEXT,
    "model": Type.TEXT,
    "trial": Type.BOOLEAN,
    "account.custom": Type.ANY,
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1.5", Type.NUMBER),
        ("'eu'", Type.TEXT),
        ("true", Type.BOOLEAN),
        ("null", Type.NULL),
        ("Math.PI", Type.NUMBER),
        ("DateTime.TS_FMT", Type.TEXT),
        ("account.custom", Type.ANY),
        ("tokens * seconds / 60 % 7 ^ 2 - -1", Type.NUMBER),
        ("tokens + 1", Type.NUMBER),
        ("tokens + null", Type.NUMBER),
        ("null + null", Type.NULL),
        ("(null + null) + region", Type.TEXT),
        ("region + '-' + model", Type.TEXT),
        ("region + tokens", Type.TEXT),
        ("trial + region", Type.TEXT),
        ("account.custom + tokens", Type.ANY),
        ("account.custom + region", Type.TEXT),
        ("account.custom * 2", Type.NUMBER),
        ("tokens > 1 AND region == 'eu' OR NOT trial", Type.BOOLEAN),
        ("region < model", Type.BOOLEAN),
        ("tokens == null", Type.BOOLEAN),
        ("account.custom == 'gold'", Type.BOOLEAN),
        ("null AND trial", Type.BOOLEAN),
        ("trial ? tokens : 0", Type.NUMBER),
        ("trial ? region : null", Type.TEXT),
        ("null ? null : null", Type.NULL),
        ("trial ? account.custom : 0", Type.ANY),
        ("Math.max(tokens, seconds, null)", Type.NUMBER),
        ("Math.round(tokens / 3, 2)", Type.NUMBER),
        ("isnull(tokens, 0)", Type.NUMBER),
        ("isnull(region, 'none')", Type.TEXT),
        ("isnull(null, null)", Type.NULL),
        ("IN(region, 'eu', 'us', null)", Type.BOOLEAN),
        ("IN(account.custom, 1)", Type.BOOLEAN),
    ],
)
def test_the_type_of_a_formula(source: str, expected: Type) -> None:
    assert check(parse(source), FIELDS) is expected


@pytest.mark.parametrize(
    ("source", "position", "message"),
    [
        ("tokens + token", 10, "unknown field 'token'; did you mean tokens?"),
        ("1 + account.other", 5, "unknown field 'account.other'"),
        ("tokens * region", 10, "* needs a number; region is a text"),
        ("'2' * tokens", 1, "* needs a number; found a text"),
        ("-region", 2, "- needs a number; region is a text"),
        ("+trial", 2, "+ needs a number; trial is a boolean"),
        ("tokens - (1 > 2)", 13, "- needs a number; found a boolean"),
        ("trial + tokens", 7, "+ needs two numbers, or a text; found a boolean"),
        ("trial + null", 7, "+ needs two numbers, or a text; found a boolean"),
        ("tokens AND trial", 1, "AND needs a boolean; tokens is a number"),
        ("trial OR region", 10, "OR needs a boolean; region is a text"),
        ("NOT tokens", 5, "NOT needs a boolean; tokens is a number"),
        ("tokens ? 1 : 2", 1, "? needs a boolean; tokens is a number"),
        ("trial ? 1 : 'one'", 7, "?: the two results must be of one type; found a number and a text"),
        ("tokens == region", 8, "==: both sides must be of one type; found a number and a text"),
        ("region != true", 8, "!=: both sides must be of one type; found a boolean and a text"),
        ("tokens < '1'", 8, "<: both sides must be of one type; found a number and a text"),
        ("1 < tokens < 3", 12, "<: true and false have no order"),
        ("trial >= true", 7, ">=: true and false have no order"),
        ("Math.max(tokens, region)", 18, "Math.max needs a number; region is a text"),
        ("Math.round(region)", 12, "Math.round needs a number; region is a text"),
        ("isnull(tokens, 'none')", 1, "isnull: the arguments must be of one type; found a number and a text"),
        ("IN(region, 'eu', 1)", 1, "IN: the arguments must be of one type; found a number and a text"),
    ],
)
def test_what_can_never_work_is_refused_with_its_place(source: str, position: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check(parse(source), FIELDS)
    assert str(caught.value).startswith(f"character {position}: {message}")
    assert caught.value.position == position


def test_an_unknown_field_is_told_what_there_is() -> None:
    with pytest.raises(ExpressionError, match="unknown field 'x'; there are a, b"):
        check(parse("x"), {"b": Type.TEXT, "a": Type.TEXT})
    with pytest.raises(ExpressionError, match="unknown field 'x'; there are none to refer to"):
        check(parse("x"), {})
    with pytest.raises(ExpressionError, match=r"there are f0, f1, f10, .*, f18, f19, …$"):
        check(parse("x"), {f"f{index}": Type.TEXT for index in range(20)})


def test_types_of_a_deep_tree_are_found_once_each() -> None:
    assert check(parse("isnull(" * 60 + "tokens" + ", 0)" * 60), FIELDS) is Type.NUMBER
