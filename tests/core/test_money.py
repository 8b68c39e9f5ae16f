"""Money is rounded in one place, by the rules of Java's RoundingMode."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.money import DEFAULT_ROUNDING, Rounding, RoundingMode, round_money, rounding_for
from tallystick.core.quantity import divide, multiply

D = Decimal
M = RoundingMode

# The table of the Java documentation, to 0 decimals; None: UNNECESSARY refuses.
COLUMNS = [M.UP, M.DOWN, M.CEILING, M.FLOOR, M.HALF_UP, M.HALF_DOWN, M.HALF_EVEN, M.UNNECESSARY]
JAVA: dict[str, list[int | None]] = {
    "5.5": [6, 5, 6, 5, 6, 5, 6, None],
    "2.5": [3, 2, 3, 2, 3, 2, 2, None],
    "1.6": [2, 1, 2, 1, 2, 2, 2, None],
    "1.1": [2, 1, 2, 1, 1, 1, 1, None],
    "1.0": [1, 1, 1, 1, 1, 1, 1, 1],
    "-1.0": [-1, -1, -1, -1, -1, -1, -1, -1],
    "-1.1": [-2, -1, -1, -2, -1, -1, -1, None],
    "-1.6": [-2, -1, -1, -2, -2, -2, -2, None],
    "-2.5": [-3, -2, -2, -3, -3, -2, -2, None],
    "-5.5": [-6, -5, -5, -6, -6, -5, -6, None],
}
CASES = [
    (amount, mode, expected)
    for amount, row in JAVA.items()
    for mode, expected in zip(COLUMNS, row, strict=True)
    if expected is not None
]


@pytest.mark.parametrize("decimals", [0, 2, 5])
@pytest.mark.parametrize(("amount", "mode", "expected"), CASES)
def test_every_mode_rounds_as_java_does(amount: str, mode: RoundingMode, expected: int, decimals: int) -> None:
    rounded = round_money(D(amount).scaleb(-decimals), Rounding(decimals=decimals, mode=mode))
    assert rounded == D(expected).scaleb(-decimals)
    assert rounded.as_tuple().exponent == -decimals


@pytest.mark.parametrize("amount", [amount for amount, row in JAVA.items() if row[-1] is None])
def test_unnecessary_refuses_what_would_be_rounded(amount: str) -> None:
    with pytest.raises(ValueError, match="UNNECESSARY") as refusal:
        round_money(D(amount), Rounding(decimals=0, mode=M.UNNECESSARY))
    assert amount in str(refusal.value)


def test_every_mode_is_in_the_table() -> None:
    assert set(COLUMNS) == set(RoundingMode)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("24.5", "24.50"), ("2.345", "2.35"), ("-2.345", "-2.35"), ("-0.001", "0.00"), ("0", "0.00"), ("1E+3", "1000.00")],
)
def test_the_default_is_two_decimals_half_up_and_zero_has_no_sign(amount: str, text: str) -> None:
    assert str(round_money(D(amount))) == text


def test_a_currency_without_settings_has_the_default_each_for_itself() -> None:
    assert rounding_for(None, None) == DEFAULT_ROUNDING == Rounding(decimals=2, mode=M.HALF_UP)
    assert rounding_for(0, None) == Rounding(decimals=0, mode=M.HALF_UP)
    assert rounding_for(None, M.DOWN) == Rounding(decimals=2, mode=M.DOWN)
    assert rounding_for(5, M.HALF_EVEN) == Rounding(decimals=5, mode=M.HALF_EVEN)


def test_amounts_beyond_the_ambient_precision_are_rounded_once() -> None:
    with localcontext(Context(prec=3)):
        assert str(round_money(D("99999999999999999999999999999999.994999999999999999999999"))) == "9" * 32 + ".99"


# value, divided by, times a price, and the exact product: what a division leaves in the fiftieth digit moves no cent.
DIVIDED = [
    ("1", "3", "0.03", "0.01"),
    ("2", "3", "3.33", "2.22"),
    ("1", "3", "3", "1"),
    ("-2", "7", "3.5", "-1"),
    ("1", "3", "0.015", "0.005"),  # on the very half of a cent
    ("20000000", "7", "0.035", "100000"),
]


@pytest.mark.parametrize("mode", sorted(set(RoundingMode)))
@pytest.mark.parametrize(("value", "divisor", "price", "exact"), DIVIDED)
def test_a_quotient_that_does_not_end_is_no_reason_to_round(
    value: str, divisor: str, price: str, exact: str, mode: RoundingMode
) -> None:
    rounding = Rounding(decimals=3 if mode is M.UNNECESSARY else 2, mode=mode)
    amount = multiply(divide(D(value), D(divisor)), D(price))
    assert amount != D(exact)
    assert round_money(amount, rounding) == round_money(D(exact), rounding)


@pytest.mark.parametrize(("mode", "expected"), [(M.UP, "0.01"), (M.HALF_UP, "0.00"), (M.FLOOR, "0.00")])
def test_the_smallest_price_of_the_smallest_quantity_is_no_trace(mode: RoundingMode, expected: str) -> None:
    assert str(round_money(D("1E-35"), Rounding(mode=mode))) == expected


@given(
    amount=st.decimals(min_value=-(10**15), max_value=10**15, places=8),
    decimals=st.integers(0, 5),
    mode=st.sampled_from(sorted(set(RoundingMode) - {M.UNNECESSARY})),
)
@settings(max_examples=100, deadline=None)
def test_rounding_moves_an_amount_by_less_than_one_step_and_only_once(
    amount: Decimal, decimals: int, mode: RoundingMode
) -> None:
    rounding = Rounding(decimals=decimals, mode=mode)
    rounded = round_money(amount, rounding)
    step = D(1).scaleb(-decimals)
    assert abs(rounded - amount) < step
    if mode in {M.HALF_UP, M.HALF_DOWN, M.HALF_EVEN}:
        assert abs(rounded - amount) <= step / 2
    assert round_money(rounded, rounding) == rounded
    assert round_money(rounded, Rounding(decimals=decimals, mode=M.UNNECESSARY)) == rounded
