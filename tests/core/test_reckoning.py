"""What a line of usage comes to, told in texts, is what rating says of it."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tallystick.core.aggregation import Aggregation, Measured, Method, Question, UnitRounding
from tallystick.core.bands import price_bands
from tallystick.core.catalog import Pricing, PricingBand
from tallystick.core.conversion import Conversion
from tallystick.core.money import Rounding, RoundingMode
from tallystick.core.period import Instant, Period
from tallystick.core.pricing import quantities_of
from tallystick.core.quantity import ZERO, divide, multiply, tidy, tidy_text, to_units
from tallystick.core.reckoning import Reckoned, Reckoning

START = Instant.parse("2023-11-01T00:00:00Z")
ASKED = Question(
    meter_id="m", method=Method.SUM, field="f", period=Period(START, Instant.parse("2023-12-01T00:00:00Z")), up_to=9
)
prices = st.sampled_from([Decimal(each) for each in ("0", "0.1", "0.333333333", "1E-7", "12", "-0.5", "1.50")])
limits = st.sets(st.sampled_from([Decimal(each) for each in ("0", "0.5", "1", "40", "100.00", "250")]), min_size=1)
amounts = (
    st.decimals(-(10**19), 10**19, places=18) | st.decimals(-300, 300, places=2) | st.integers(0, 300).map(Decimal)
)


def aggregation(per_unit: Decimal, rounding: UnitRounding, default: Decimal | None) -> Aggregation:
    return Aggregation(
        meter_id="m",
        name="a",
        code="a",
        target_field="f",
        aggregation=Method.SUM,
        quantity_per_unit=per_unit,
        rounding=rounding,
        unit="u",
        default_value=default,
    )


def told(number: Decimal) -> str:
    return str(tidy(number))


def one_by_one(own: Aggregation, pricing: Pricing, conversion: Conversion, row: Measured | None) -> Reckoned | None:
    """Every step by the functions that rating uses, none left out."""
    value = own.default_value if row is None else row.total
    if value is None:
        return None
    value = tidy(value)
    units = to_units(value, own.quantity_per_unit, own.rounding)
    priced = price_bands(units, pricing.pricing_bands, pricing.cumulative)
    shown, steps = [], []
    quantities = quantities_of(priced.bands, value, own.quantity_per_unit)
    for share, quantity in zip(priced.bands, quantities, strict=True):
        billed = multiply(share.subtotal, conversion.rate)
        shown += map(told, (quantity, share.quantity, share.unit_subtotal, share.subtotal, billed))
        steps += map(told, (share.quantity, share.fixed_subtotal, share.subtotal))
    subtotal, converted = conversion.money(priced.subtotal), conversion.converted(priced.subtotal)
    exact = told(priced.subtotal)
    average = told(divide(subtotal, units)) if units else "0"
    numbers = told(value), told(units), str(subtotal), average, str(converted)
    counted = (told(row.total), str(row.count)) if row else ("0", "0")
    working = (*counted, told(value), told(value), told(units), told(units), *steps, exact, exact, str(subtotal))
    if not conversion.is_none:
        payable = told(multiply(priced.subtotal, conversion.rate))
        working = (*working, exact, payable, payable, str(converted))
    return Reckoned(
        tuple(share.band for share in priced.bands), numbers, tuple(shown), working, converted, priced.subtotal
    )


@settings(max_examples=300)
@given(
    found=st.lists(amounts, min_size=1, max_size=6),
    below=limits,
    costs=st.lists(st.tuples(prices, prices), min_size=6, max_size=6),
    cumulative=st.booleans(),
    per_unit=st.sampled_from([Decimal(1), Decimal("1.0"), Decimal(7), Decimal("0.001")]),
    rounding=st.sampled_from([UnitRounding.NONE, UnitRounding.UP]),
    rate=st.sampled_from([Decimal(1), Decimal("0.912345")]),
    default=st.none() | st.just(Decimal("3.0")),
)
@example([Decimal(40), Decimal(41), Decimal("40.5")], {ZERO, Decimal(40)}, [(ZERO, ZERO)] * 6, True, Decimal(1),
         UnitRounding.NONE, Decimal(1), None)  # fmt: skip
def test_numbers_are_those_of_rating(
    found: list[Decimal],
    below: set[Decimal],
    costs: list[tuple[Decimal, Decimal]],
    cumulative: bool,
    per_unit: Decimal,
    rounding: UnitRounding,
    rate: Decimal,
    default: Decimal | None,
) -> None:
    bands = tuple(
        PricingBand(lower_limit=lower, fixed_price=fixed, unit_price=unit)
        for lower, (fixed, unit) in zip(sorted(below), costs, strict=False)
    )
    own = aggregation(per_unit, rounding, default)
    pricing = Pricing(plan_id="p", aggregation_id="a", start_date=START, cumulative=cumulative, pricing_bands=bands)
    own_rounding = Rounding(decimals=3, mode=RoundingMode.HALF_UP)
    conversion = Conversion(
        from_currency="USD",
        to_currency="USD" if rate == 1 else "EUR",
        rate=rate,
        from_rounding=own_rounding,
        to_rounding=Rounding() if rate != 1 else own_rounding,
    )
    reckoning = Reckoning(ASKED, own, pricing, conversion)
    rows = [None, *(Measured(account_id="x", total=each, count=3) for each in found)]
    for row in rows:
        of_rating = one_by_one(own, pricing, conversion, row)
        assert reckoning.of([row] if row else []) == of_rating


def test_a_line_by_hand() -> None:
    """Tiered: 5 for being there, then 0.10 for each unit up to 100, then 0.05."""
    bands = (
        PricingBand(lower_limit=ZERO, fixed_price=Decimal(5), unit_price=Decimal("0.10")),
        PricingBand(lower_limit=Decimal(100), fixed_price=ZERO, unit_price=Decimal("0.05")),
    )
    pricing = Pricing(plan_id="p", aggregation_id="a", start_date=START, cumulative=True, pricing_bands=bands)
    dollars = Conversion(
        from_currency="USD", to_currency="USD", rate=Decimal(1), from_rounding=Rounding(), to_rounding=Rounding()
    )
    reckoning = Reckoning(ASKED, aggregation(Decimal(1), UnitRounding.NONE, None), pricing, dollars)
    for total, reached, numbers in (
        ("100", (0,), ("100", "100", "15.00", "0.15", "15.00")),
        ("250.0", (0, 1), ("250", "250", "22.50", "0.09", "22.50")),
        ("0", (0,), ("0", "0", "5.00", "0", "5.00")),
    ):
        line = reckoning.of([Measured(account_id="x", total=Decimal(total), count=2)])
        assert line is not None
        assert (line.bands, line.numbers) == (reached, numbers)
    assert reckoning.of([]) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_the_text_of_a_number_is_that_of_its_canonical_form(number: Decimal) -> None:
    assert tidy_text(number) == str(tidy(number))
