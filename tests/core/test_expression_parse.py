"""The calculation language as text: what a formula means, how tightly its operators bind, where a mistake is."""

from decimal import Decimal

import pytest

from tallystick.core.expression import (
    MAX_DEPTH,
    Binary,
    BinaryOperator,
    Boolean,
    Call,
    Conditional,
    Constant,
    Expression,
    ExpressionError,
    Function,
    Null,
    Number,
    Reference,
    Text,
    Type,
    Unary,
    UnaryOperator,
    is_compilable,
    parse,
    references,
    render,
    table,
)
from tallystick.core.expression.functions import FUNCTIONS
from tallystick.core.expression.tree import nodes


def number(text: str) -> Number:
    return Number(Decimal(text))


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("12", number("12")),
        ("0.1", number("0.1")),
        (".5", number("0.5")),
        ("1e3", number("1000")),
        ("1E-05", number("0.00001")),
        ("1234567890123456789", number("1234567890123456789")),
        ("'eu'", Text("eu")),
        (r"'it\'s'", Text("it's")),
        ("\"say 'no'\"", Text("say 'no'")),
        (r'"a\"b\\c\n\t\r\u00e9"', Text('a"b\\c\n\t\ré')),
        ("''", Text("")),
        ("'naïve — 計算'", Text("naïve — 計算")),
        ("true", Boolean(True)),
        ("FALSE", Boolean(False)),
        ("null", Null()),
        ("Math.PI", Constant("Math.PI")),
        ("bytes_out", Reference("bytes_out")),
        ("_a$1", Reference("_a$1")),
        ("aggregation.watch_seconds", Reference("aggregation.watch_seconds")),
        ("new.account.customField", Reference("new.account.customField")),
        ("android", Reference("android")),  # begins like AND
        ("nothing", Reference("nothing")),
        ("-a", Unary(UnaryOperator.MINUS, Reference("a"))),
        ("+a", Unary(UnaryOperator.PLUS, Reference("a"))),
        ("!a", Unary(UnaryOperator.NOT, Reference("a"))),
        ("not a", Unary(UnaryOperator.NOT, Reference("a"))),
        ("a ? b : c", Conditional(Reference("a"), Reference("b"), Reference("c"))),
        ("a?.5:c", Conditional(Reference("a"), number("0.5"), Reference("c"))),
        ("isnull(a, 0)", Call("isnull", (Reference("a"), number("0")))),
        ("IN(a,'x')", Call("IN", (Reference("a"), Text("x")))),
        (" \n\ta\r\n", Reference("a")),
    ],
)
def test_a_formula_reads_as_its_tree(source: str, tree: Expression) -> None:
    assert parse(source) == tree


# Each formula means the same as the one in which every operation is in parentheses.
@pytest.mark.parametrize(
    ("source", "grouped"),
    [
        ("a + b * c", "a + (b * c)"),
        ("a * b + c", "(a * b) + c"),
        ("a - b - c", "(a - b) - c"),
        ("a - b + c", "(a - b) + c"),
        ("a / b * c", "(a / b) * c"),
        ("a % b * c", "(a % b) * c"),
        ("a + b % c", "a + (b % c)"),
        ("a ^ b ^ c", "a ^ (b ^ c)"),
        ("a * b ^ c", "a * (b ^ c)"),
        ("-a ^ b", "-(a ^ b)"),
        ("a ^ -b", "a ^ (-b)"),
        ("a ^ -b ^ c", "a ^ (-(b ^ c))"),
        ("-a * b", "(-a) * b"),
        ("a - -b", "a - (-b)"),
        ("a--b", "a - (-b)"),
        ("- - a", "-(-a)"),
        ("a < b + c", "a < (b + c)"),
        ("a < b == c > d", "(a < b) == (c > d)"),
        ("a == b == c", "(a == b) == c"),
        ("a AND b OR c AND d", "(a AND b) OR (c AND d)"),
        ("a or b and c", "a OR (b AND c)"),
        ("a OR b OR c", "(a OR b) OR c"),
        ("a == b AND c != d", "(a == b) AND (c != d)"),
        ("NOT a == b", "NOT (a == b)"),
        ("!a == b", "(!a) == b"),
        ("NOT a AND b", "(NOT a) AND b"),
        ("a AND NOT b == c OR d", "(a AND (NOT (b == c))) OR d"),
        ("NOT NOT a", "NOT (NOT a)"),
        ("!-a", "!(-a)"),
        ("a ? b : c ? d : e", "a ? b : (c ? d : e)"),
        ("a ? b ? c : d : e", "a ? (b ? c : d) : e"),
        ("a OR b ? c + d : e", "(a OR b) ? (c + d) : e"),
        (
            "aggregation.watch_seconds+aggregation.test_seconds+aggregation.live_seconds/60",
            "(aggregation.watch_seconds + aggregation.test_seconds) + (aggregation.live_seconds / 60)",
        ),
    ],
)
def test_operators_bind_as_in_ordinary_arithmetic(source: str, grouped: str) -> None:
    assert parse(source) == parse(grouped)


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("((a+b))*c", "(a + b) * c"),
        ("a+(b*c)", "a + b * c"),
        ("a-(b-c)", "a - (b - c)"),
        ("(a-b)-c", "a - b - c"),
        ("(a^b)^c", "(a ^ b) ^ c"),
        ("(-a)^b", "(-a) ^ b"),
        ("-(a+b)", "-(a + b)"),
        ("!a", "NOT a"),
        ("!(a AND b)", "NOT (a AND b)"),
        ("!a == b", "(NOT a) == b"),
        ("(a ? b : c) ? d : e", "(a ? b : c) ? d : e"),
        ("a ? (b ? c : d) : e", "a ? b ? c : d : e"),
        ('"it\'s"', r"'it\'s'"),
        ("1e3", "1000"),
        ("Math.round( a,-2 )", "Math.round(a, -2)"),
        ("TRUE and NULL", "true AND null"),
    ],
)
def test_a_tree_is_written_with_no_more_parentheses_than_it_needs(source: str, rendered: str) -> None:
    assert render(parse(source)) == rendered
    assert parse(rendered) == parse(source)


@pytest.mark.parametrize(
    ("source", "position", "message"),
    [
        ("", 1, "expected a value, found the end"),
        ("   ", 4, "expected a value, found the end"),
        ("a +", 4, "expected a value, found the end"),
        ("* a", 1, "expected a value, found '*'"),
        ("a b", 3, "expected an operator or the end, found 'b'"),
        ("1.5.2", 4, "expected an operator or the end, found '.2'"),
        ("12abc", 3, "expected an operator or the end, found 'abc'"),
        ("(a + b", 7, "expected an operator or ), found the end"),
        ("a + b)", 6, "expected an operator or the end, found ')'"),
        ("()", 2, "expected a value, found ')'"),
        ("a ? b", 6, "expected an operator or : and the value when the condition is false, found the end"),
        ("a : b", 3, "expected an operator or the end, found ':'"),
        ("a = 1", 3, "compare with ==, found '='"),
        ("a && b", 3, "write AND, found '&'"),
        ("a || b", 3, "write OR, found '|'"),
        ("a <> b", 4, "expected a value, found '>'"),
        ("a == NOT b", 6, "expected a value (put NOT and its condition in parentheses), found 'NOT'"),
        ("'abc", 1, "the text that begins here is not closed"),
        ("a == “eu”", 6, "quote texts with ' or \""),
        (r"'a\qb'", 3, r"unknown escape \q"),
        (r"'\u12'", 2, r"unknown escape \u"),
        (r"'\ud800'", 1, "half of a surrogate pair"),
        ("a..b", 2, "expected a value or an operator, found '.'"),
        ("a.1", 2, "expected an operator or the end, found '.1'"),
        ("a; b", 2, "expected a value or an operator, found ';'"),
        ("fields[0]", 7, "expected a value or an operator, found '['"),
        ("__import__('os')", 1, "no function '__import__'"),
        ("math.max(1, 2)", 1, "no function 'math.max'; did you mean Math.max?"),
        ("ISNULL(a, 0)", 1, "did you mean isnull?"),
        ("Math.max", 9, "expected ( after the function Math.max, found the end"),
        ("1 + Math.max(a)", 5, "Math.max takes 2 or more arguments; 1 given"),
        ("Math.abs()", 1, "Math.abs takes 1 argument; 0 given"),
        ("Math.round(a, 1, 2)", 1, "Math.round takes 1 to 2 arguments; 3 given"),
        ("Math.max(a, )", 13, "expected a value, found ')'"),
        ("Math.max(a b)", 12, "expected an operator, a comma or ) in Math.max(…), found 'b'"),
        ("a + 100000000000000000000", 5, "a number must be below 10^20"),
        ("1e20", 1, "a number must be below 10^20"),
        ("1e999999999999", 1, "a number must be below 10^20"),
        ("1e-31", 1, "at most 30 decimals"),
        ("0e-999", 1, "at most 30 decimals"),
        ("a\n+ = b", 5, "compare with ==, found '='"),
        ("x" * 5001, 0, "5001 characters; an expression has at most 5000"),
        ("'" + "x" * 4097 + "'", 1, "the text has 4097 characters; at most 4096"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_expected(source: str, position: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(source)
    assert message in str(caught.value)
    assert caught.value.position == position
    if position:
        assert str(caught.value).startswith(f"character {position}: ")


@pytest.mark.parametrize(
    "nested",
    [
        "(" * 2000 + "a" + ")" * 2000,
        "-" * 4000 + "a",
        "NOT " * 1000 + "a",
        "a^" * 2000 + "a",
        "a?a:" * 1000 + "a",
        "a OR b AND c == d < e + f * (" * 100 + "a" + ")" * 100,
        "Math.abs(" * 400 + "a" + ")" * 400,
        "a+" * 64 + "a",
    ],
)
def test_deep_nesting_is_refused_and_never_exhausts_the_stack(nested: str) -> None:
    with pytest.raises(ExpressionError, match="nested deeper than 64 levels"):
        parse(nested)


def test_a_tree_of_full_depth_and_a_long_flat_list_are_taken() -> None:
    deepest = parse("a+" * (MAX_DEPTH - 1) + "a")
    assert max(depth for _, depth in nodes(deepest)) == MAX_DEPTH
    assert parse("-(" * (MAX_DEPTH - 1) + "a" + ")" * (MAX_DEPTH - 1))
    flat = parse("IN(a" + ",1" * 998 + ")")
    assert sum(1 for _ in nodes(flat)) == 1000
    with pytest.raises(ExpressionError, match="more than 1000 values and operators"):
        parse("IN(a" + ",1" * 999 + ")")


def test_positions_point_at_operators_and_do_not_count_when_trees_are_compared() -> None:
    tree = parse("a  +  b")
    assert isinstance(tree, Binary)
    assert (tree.position, tree.left.position, tree.right.position) == (4, 1, 7)
    by_hand = Binary(BinaryOperator.ADD, Reference("a"), Reference("b"))
    assert tree == by_hand
    assert hash(tree) == hash(by_hand)


def test_references_are_the_names_that_a_formula_reads() -> None:
    formula = "a + aggregation.b * Math.max(a, new.c) > 1 ? 'd' : IN(e, Math.PI) AND true"
    assert references(parse(formula)) == {"a", "aggregation.b", "new.c", "e"}
    assert references(parse("1 + 2")) == frozenset()


@pytest.mark.parametrize(
    ("source", "compilable"),
    [
        ("region == 'eu'", True),
        ("NOT (region == 'eu' OR region != null) AND tokens >= 10", True),
        ("IN(region, 'eu', 'us')", True),
        ("isnull(tokens, 0) * 2 + -fee - 0.5 <= +limit", True),
        ("true", True),
        ("tokens / 2 > 1", False),
        ("tokens % 2 == 0", False),
        ("tokens ^ 2 > 1", False),
        ("Math.round(tokens) > 1", False),
        ("Math.abs(tokens) > 1", False),
        ("tokens > Math.PI", False),
        ("tokens > 1 ? true : false", False),
        ("account.limit > 1", False),
        ("IN(region, 'e' + 'u')", False),
    ],
)
def test_what_a_usage_store_may_compute(source: str, compilable: bool) -> None:
    assert is_compilable(parse(source)) is compilable


def test_with_types_joined_text_fields_are_told_from_added_numbers() -> None:
    types = {"who": Type.TEXT, "what": Type.TEXT, "tokens": Type.NUMBER}
    assert is_compilable(parse("who + what == 'ab'"))
    assert not is_compilable(parse("who + what == 'ab'"), types)
    assert is_compilable(parse("tokens + 1 > 2"), types)


def test_further_functions_come_by_an_argument() -> None:
    length = Function(
        name="length",
        parameters=(Type.TEXT,),
        result=Type.NUMBER,
        implementation=lambda text: Decimal(len(text)),
        minimum=1,
        maximum=1,
    )
    wider = {**FUNCTIONS, **table(length)}
    assert parse("length(a)", wider) == Call("length", (Reference("a"),))
    with pytest.raises(ExpressionError, match="no function 'length'"):
        parse("length(a)")
