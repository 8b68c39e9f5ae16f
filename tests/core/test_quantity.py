"""Exact decimals: nothing is rounded but where it says so, and the ambient decimal context never matters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import (
    ROUND_UP,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Rounded,
    Subnormal,
    localcontext,
)
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.aggregation import UnitRounding
from tallystick.core.entity import require_number
from tallystick.core.quantity import (
    add,
    divide,
    multiply,
    negate,
    parse_quantity,
    plain,
    subtract,
    tidy,
    to_units,
    total,
)

D = Decimal
HOSTILE = Context(
    prec=1,
    rounding=ROUND_UP,
    Emin=-1,
    Emax=1,
    traps=[Inexact, InvalidOperation, Rounded, Subnormal, Clamped, FloatOperation],
)
NUMBERS = st.integers(-(10**28), 10**28).map(lambda digits: D(f"{digits}E-9"))
SIZES = st.integers(1, 10**15).map(lambda digits: D(f"{digits}E-6"))


@pytest.fixture(autouse=True)
def _hostile_context() -> Iterator[None]:
    """Every test here runs where a careless calculation would round to one digit, or raise."""
    with localcontext(HOSTILE):
        yield


def test_sums_products_and_differences_keep_every_digit() -> None:
    large, small = D("99999999999999999999.999999999999999999"), D("0.000000000000000001")
    assert add(large, small) == D("100000000000000000000")
    assert subtract(small, large) == D("-99999999999999999999.999999999999999998")
    assert (
        str(multiply(large, large)) == "9999999999999999999999999999999999999800.000000000000000000000000000000000001"
    )
    assert total([large, small, negate(large)]) == small
    assert total([]) == 0
    assert str(negate(D("-0.0"))) == "0"


def test_what_cannot_be_exact_raises_rather_than_rounds() -> None:
    with pytest.raises(Inexact):
        add(D("1E+300"), D("1E-300"))
    with pytest.raises(DivisionByZero):
        divide(D(1), D(0))


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient"),
    [
        ("48900", "500", "97.8"),
        ("250.000", "10.0", "25"),
        ("1E+6", "4", "250000"),
        ("1", "3", "0." + "3" * 50),
        ("-2", "3", "-0." + "6" * 49 + "7"),
        ("0", "7", "0"),
        ("1", "1073741824", "0.000000000931322574615478515625"),
        # 1 + 10^-49 and half a unit more: the half goes to the even digit.
        ("2." + "0" * 48 + "1", "2", "1"),
        ("2." + "0" * 48 + "3", "2", "1." + "0" * 48 + "2"),
    ],
)
def test_division_has_fifty_digits(dividend: str, divisor: str, quotient: str) -> None:
    assert plain(divide(D(dividend), D(divisor))) == quotient


UP, DOWN, NEAREST, NONE = UnitRounding.UP, UnitRounding.DOWN, UnitRounding.NEAREST, UnitRounding.NONE


@pytest.mark.parametrize(
    ("value", "quantity_per_unit", "up", "down", "nearest", "none"),
    [
        ("48900", "500", "98", "97", "98", "97.8"),  # the published example
        ("49000", "500", "98", "98", "98", "98"),
        ("48750", "500", "98", "97", "98", "97.5"),  # a half goes up
        ("48749", "500", "98", "97", "97", "97.498"),
        ("0", "500", "0", "0", "0", "0"),
        ("0.000001", "1000000", "1", "0", "0", "0.000000000001"),
        ("1", "0.3", "4", "3", "3", "3." + "3" * 49),
        # The remainder decides, not the quotient rounded to 50 digits.
        ("3." + "0" * 60 + "1", "1", "4", "3", "3", "3"),
        ("1.4" + "9" * 60, "1", "2", "1", "1", "1.5"),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_values_become_units(
    value: str, quantity_per_unit: str, up: str, down: str, nearest: str, none: str, sign: str
) -> None:
    units = [plain(to_units(D(sign + value), D(quantity_per_unit), rounding)) for rounding in (UP, DOWN, NEAREST, NONE)]
    assert units == [text if text == "0" else sign + text for text in (up, down, nearest, none)]


@given(value=NUMBERS, size=SIZES)
@settings(max_examples=100, deadline=None)
def test_units_agree_with_fractions(value: Decimal, size: Decimal) -> None:
    ratio = abs(Fraction(value) / Fraction(size))
    sign = -1 if value < 0 else 1
    assert to_units(value, size, DOWN) == sign * int(ratio)
    assert to_units(value, size, UP) == sign * -(-ratio.numerator // ratio.denominator)
    assert to_units(value, size, NEAREST) == sign * int(ratio + Fraction(1, 2))
    error = abs(Fraction(to_units(value, size, NONE)) - sign * ratio)
    assert error <= ratio / 10**49


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("12.50", "12.5"),
        ("012", "12"),
        ("1e-05", "0.00001"),
        ("1E+3", "1000"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+7", "7"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("0E+99", "0"),
        (0, "0"),
        (-3, "-3"),
        (10**20 - 1, "99999999999999999999"),
        (D("1.10"), "1.1"),
        (D("0E-5000"), "0"),
        ("3.3333333333333335e-07", "0.000000333333333333"),  # what a client's float says
        ("5e-324", "0"),
        ("-5e-324", "0"),
        ("0.0000000000000000005", "0"),  # half of the last decimal goes to the even digit …
        ("0.0000000000000000015", "0.000000000000000002"),
        ("0.00000000000000000050001", "0.000000000000000001"),  # … and more than half goes up
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
        ("0." + "1" * 900, "0." + "1" * 18),
        (D("0." + "1" * 5000), "0." + "1" * 18),
    ],
)
def test_measured_quantities_are_read_exactly_and_once_rounded_to_18_decimals(
    value: str | int | Decimal, kept: str
) -> None:
    quantity = parse_quantity(value)
    assert str(quantity) == str(D(kept))
    assert plain(quantity) == kept


@pytest.mark.parametrize(
    "value",
    [
        "NaN", "sNaN", "Infinity", "-inf", D("NaN"), D("sNaN"), D("-Infinity"),
        "1E+20", "-1E+20", 10**20, -(10**20), D("1E+20"),
        "99999999999999999999.9999999999999999999",
        "1E+999999", "1E-999999", "1e-9999999", "9.9e-9999999", "1E+99999999999999999999",
        D("1E+999999"), D("1E-999999"),
        "9" * 5000, "0." + "1" * 5000, int("9" * 4000), D("9" * 5000),
        "", " ", ".", "e5", "1,5", "1_000", " 1", "1 ", "1\n", "0x10", "٣", "３", "--1", "1e", "abc", True, False,
    ],
)  # fmt: skip
def test_what_is_no_usable_number_is_refused_with_the_rule(value: str | int | Decimal) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=r"^must be ") as refusal:
        parse_quantity(value)
    assert len(str(refusal.value)) < 200
    assert time.process_time() - started < 0.5


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20) + 1, max_value=10**20 - 1))
@settings(max_examples=100, deadline=None)
def test_reading_is_idempotent_and_off_by_at_most_half_of_the_last_decimal(value: Decimal) -> None:
    try:
        quantity = parse_quantity(value)
    except ValueError:
        assert value.adjusted() < -400
        return
    assert parse_quantity(plain(quantity)) == quantity == parse_quantity(quantity)
    assert abs(Fraction(quantity) - Fraction(value)) <= Fraction(1, 2 * 10**18)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("250", "250"), ("2.50E+2", "250"), ("250.00", "250"), ("1E-5", "0.00001"), ("1E-12", "0.000000000001"),
        ("-1.50", "-1.5"), ("-0.0", "0"), ("0E+5", "0"), ("100", "100"), ("1E+20", "1" + "0" * 20),
    ],
)  # fmt: skip
def test_numbers_are_written_plainly(value: str, text: str) -> None:
    assert plain(D(value)) == text
    assert plain(tidy(D(value))) == text
    assert tidy(D(value)).as_tuple() == D(text).as_tuple()


@pytest.mark.parametrize(
    "text", ["0", "-5", "99999999999999999999.999999999999999999999999999999", "1E-30", "1.00" + "0" * 60, "0E+99"]
)
def test_configured_numbers_within_bounds_pass_in_any_context(text: str) -> None:
    require_number(D(text), "unitPrice")


@pytest.mark.parametrize("text", ["1E+20", "-1E+20", "1E-31", "1." + "0" * 60 + "1", "1E+999999", "1E-999999", "NaN"])
def test_configured_numbers_out_of_bounds_are_refused_in_any_context(text: str) -> None:
    with pytest.raises(ValueError, match=r"^unitPrice: "):
        require_number(D(text), "unitPrice")
