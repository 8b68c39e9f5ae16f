"""Tiered, volume and stairstep prices: the published examples, the edges of bands, and what holds for all lists."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.aggregation import UnitRounding
from tallystick.core.bands import BandShare, Priced, price_bands, price_span
from tallystick.core.catalog import PricingBand
from tallystick.core.quantity import to_units, total

D = Decimal
TIERED, VOLUME = True, False


def price_list(*bands: tuple[str, str, str]) -> tuple[PricingBand, ...]:
    """Bands of (lower limit, fixed price, unit price)."""
    return tuple(
        PricingBand(lower_limit=D(limit), fixed_price=D(fixed), unit_price=D(unit)) for limit, fixed, unit in bands
    )


CALLS = price_list(("0", "0", "0.02"), ("5000", "0", "0.015"), ("20000", "0", "0.01"))
UNITS = price_list(("0", "0", "1.00"), ("1000", "0", "0.50"), ("5000", "0", "0.25"))
STAIRS = price_list(("0", "50", "0"), ("1000", "100", "0"), ("5000", "200", "0"), ("10000", "300", "0"))
STORAGE = price_list(("0", "0", "0.15"), ("500", "0", "0.10"))
STEPS = price_list(("0", "12", "0"), ("4", "25", "0"), ("6", "50", "0"))
SEATS = price_list(("0", "0", "2"), ("20", "0", "3"))
CUSTOM = price_list(("0", "20", "0"), ("100", "130", "0"), ("1000", "0", "0.12"))
FROM_100 = price_list(("100", "5", "1"))


@pytest.mark.parametrize(
    ("bands", "cumulative", "quantity", "expected"),
    [
        (CALLS, TIERED, "15000", "250.00"),
        (CALLS, VOLUME, "15000", "225.00"),
        (CALLS, TIERED, "25000", "375"),  # 5,000 at 0.02, 15,000 at 0.015, 5,000 at 0.01
        (UNITS, TIERED, "10000", "4250.00"),
        (STAIRS, VOLUME, "7500", "200.00"),
        (STORAGE, TIERED, "800", "105"),
        (STORAGE, VOLUME, "800", "80"),
        (STEPS, VOLUME, "4", "12"),  # a quantity equal to a limit is in the lower band
        (STEPS, VOLUME, "5", "25"),
        (STEPS, VOLUME, "6", "25"),
        (STEPS, VOLUME, "6.000001", "50"),
        (STEPS, TIERED, "5", "37"),  # each band reached adds its fixed price
        (STEPS, TIERED, "4", "12"),
        (SEATS, VOLUME, "20", "40"),
        (SEATS, VOLUME, "21", "63"),
        (SEATS, TIERED, "21", "43"),
        (CUSTOM, TIERED, "1500", "210"),  # 150 + 0.12 for each above 1,000
        (CALLS, TIERED, "0.5", "0.01"),
        # A real zero is in the first band, where that starts at 0.
        (STEPS, VOLUME, "0", "12"),
        (STEPS, TIERED, "-0.0", "12"),
        (CALLS, TIERED, "0", "0"),
        (FROM_100, TIERED, "0", "0"),
        (FROM_100, VOLUME, "0", "0"),
        (FROM_100, TIERED, "100", "0"),
        (FROM_100, TIERED, "150", "55"),  # only what is inside the band
        (FROM_100, VOLUME, "150", "155"),  # all units
        # Credits: price(−q) = −price(q).
        (CALLS, TIERED, "-15000", "-250"),
        (CALLS, VOLUME, "-15000", "-225"),
        (STEPS, VOLUME, "-5", "-25"),
        (FROM_100, TIERED, "-100", "0"),
    ],
)
def test_prices(bands: Sequence[PricingBand], cumulative: bool, quantity: str, expected: str) -> None:
    priced = price_bands(D(quantity), bands, cumulative)
    assert priced.subtotal == D(expected)
    assert_adds_up(priced)


def test_usage_in_packages_of_500_rounded_up() -> None:
    units = to_units(D(48900), D(500), UnitRounding.UP)
    assert price_bands(units, price_list(("0", "0", "0.25")), VOLUME).subtotal == D("24.50")


def test_the_working_shows_each_band_that_was_reached() -> None:
    bands = price_list(("0", "10", "0.15"), ("500", "5", "0.10"), ("1000", "0", "0.05"))
    priced = price_bands(D(800), bands, TIERED)
    assert [working(share) for share in priced.bands] == [
        (0, "0", "500", "10", "75", "85"),
        (1, "500", "300", "5", "30", "35"),
    ]
    assert [working(share) for share in price_bands(D(800), bands, VOLUME).bands] == [
        (1, "500", "800", "5", "80", "85"),
    ]
    assert [working(share) for share in price_bands(D(-800), bands, TIERED).bands] == [
        (0, "0", "-500", "-10", "-75", "-85"),
        (1, "500", "-300", "-5", "-30", "-35"),
    ]
    assert priced.bands[1].unit_price == D("0.10")
    assert priced.bands[1].fixed_price == 5


def test_equal_numbers_give_equal_digits_whatever_their_scale() -> None:
    one = price_bands(D("15000"), CALLS, TIERED)
    other = price_bands(D("15000.000000000000000000"), CALLS, TIERED)
    assert repr(one) == repr(other)


def test_the_ambient_decimal_context_does_not_matter() -> None:
    quantity = D("99999999999999999999.999999999999999999")
    bands = price_list(("0", "0", "0.000000000000000000000000000007"), ("1E+19", "3", "12345678901234567890.123"))
    expected = price_bands(quantity, bands, TIERED)
    with localcontext(Context(prec=2, Emax=3, Emin=-3, traps=[Inexact, InvalidOperation])):
        assert price_bands(quantity, bands, TIERED) == expected
        assert price_span(D("-1.5"), quantity, bands, VOLUME).subtotal > 0


@pytest.mark.parametrize(
    ("before", "after", "bands", "cumulative", "expected"),
    [
        (None, "4000", CALLS, TIERED, "80"),
        ("4000", "7000", CALLS, TIERED, "50"),  # 1,000 at 0.02 and 2,000 at 0.015
        ("4000", "7000", CALLS, VOLUME, "25"),  # 105 − 80: all units at the new rate
        ("7000", "7000", CALLS, TIERED, "0"),
        (None, "0", STEPS, TIERED, "12"),  # the first price of nothing but a real zero
        ("0", "3", STEPS, TIERED, "0"),  # … which has paid the fixed price
        (None, "3", STEPS, TIERED, "12"),
        ("3", "5", STEPS, TIERED, "25"),
        ("3", "5", STEPS, VOLUME, "13"),
        ("5", "3", STEPS, VOLUME, "-13"),
        ("7000", "4000", CALLS, TIERED, "-50"),
    ],
)
def test_bands_that_span_bills(
    before: str | None, after: str, bands: Sequence[PricingBand], cumulative: bool, expected: str
) -> None:
    priced = price_span(None if before is None else D(before), D(after), bands, cumulative)
    assert priced.subtotal == D(expected)
    assert_adds_up(priced)


def test_leaving_a_volume_band_gives_back_what_it_charged() -> None:
    priced = price_span(D(4000), D(7000), CALLS, VOLUME)
    assert [working(share) for share in priced.bands] == [
        (0, "0", "-4000", "0", "-80", "-80"),
        (1, "5000", "7000", "0", "105", "105"),
    ]


# ------------------------------------------------------------------------------------------------ what always holds

PRICES = st.decimals(min_value=0, max_value=100, places=4)
SIGNED_PRICES = st.decimals(min_value=-100, max_value=100, places=4)
QUANTITIES = st.decimals(min_value=0, max_value=2000, places=3)


@st.composite
def any_bands(
    draw: st.DrawFn, prices: st.SearchStrategy[Decimal] = SIGNED_PRICES, whole: bool = False
) -> tuple[PricingBand, ...]:
    """A price list of 1 to 5 bands, the first from 0 or above."""
    limits = st.integers(0, 1000).map(Decimal) if whole else QUANTITIES
    chosen = sorted(draw(st.sets(limits, min_size=1, max_size=5)))
    if draw(st.booleans()):
        chosen[0] = D(0)
    return tuple(PricingBand(lower_limit=limit, fixed_price=draw(prices), unit_price=draw(prices)) for limit in chosen)


@given(bands=any_bands(whole=True), cumulative=st.booleans(), quantity=st.integers(1, 1200))
@settings(max_examples=60, deadline=None)
def test_whole_units_agree_with_counting_them_one_by_one(
    bands: tuple[PricingBand, ...], cumulative: bool, quantity: int
) -> None:
    assert price_bands(D(quantity), bands, cumulative).subtotal == counted_price(quantity, bands, cumulative)


@given(prices=st.lists(PRICES, min_size=1, max_size=5, unique=True), quantity=QUANTITIES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_tiered_is_never_below_volume_when_unit_prices_fall(
    prices: list[Decimal], quantity: Decimal, data: st.DataObject
) -> None:
    size = len(prices) - 1
    limits = [D(0), *sorted(data.draw(st.sets(st.integers(1, 1500), min_size=size, max_size=size)))]
    bands = tuple(
        PricingBand(lower_limit=D(limit), fixed_price=D(0), unit_price=price)
        for limit, price in zip(limits, sorted(prices, reverse=True), strict=True)
    )
    assert price_bands(quantity, bands, TIERED).subtotal >= price_bands(quantity, bands, VOLUME).subtotal


@given(bands=any_bands(prices=PRICES), quantities=st.tuples(QUANTITIES, QUANTITIES))
@settings(max_examples=60, deadline=None)
def test_tiered_never_falls_as_usage_grows(bands: tuple[PricingBand, ...], quantities: tuple[Decimal, Decimal]) -> None:
    less, more = sorted(quantities)
    assert price_bands(less, bands, TIERED).subtotal <= price_bands(more, bands, TIERED).subtotal


@given(
    bands=any_bands(), cumulative=st.booleans(), steps=st.lists(QUANTITIES | QUANTITIES.map(D.copy_negate), min_size=1)
)
@settings(max_examples=80, deadline=None)
def test_the_spans_of_any_split_add_up_to_the_price_of_the_whole(
    bands: tuple[PricingBand, ...], cumulative: bool, steps: list[Decimal]
) -> None:
    before, spans = None, []
    for after in steps:
        priced = price_span(before, after, bands, cumulative)
        assert_adds_up(priced)
        spans.append(priced.subtotal)
        before = after
    assert total(spans) == price_bands(steps[-1], bands, cumulative).subtotal


@given(bands=any_bands(), cumulative=st.booleans(), quantity=QUANTITIES)
@settings(max_examples=60, deadline=None)
def test_a_credit_is_the_price_mirrored(bands: tuple[PricingBand, ...], cumulative: bool, quantity: Decimal) -> None:
    if quantity:
        credit, charge = price_bands(-quantity, bands, cumulative), price_bands(quantity, bands, cumulative)
        assert credit.subtotal == -charge.subtotal
        assert_adds_up(credit)
        assert_adds_up(charge)
        if cumulative is VOLUME and charge.bands:
            assert charge.bands[0].quantity == quantity


def counted_price(quantity: int, bands: Sequence[PricingBand], cumulative: bool) -> Decimal:
    """The independent method: look at each unit and ask which band it is in (unit n is in the last band below n)."""
    homes = [[index for index, band in enumerate(bands) if band.lower_limit < unit] for unit in range(1, quantity + 1)]
    reached = {home[-1] for home in homes if home}
    if not reached:
        return D(0)
    if not cumulative:
        top = bands[max(reached)]
        return top.fixed_price + sum((top.unit_price for _ in homes), D(0))
    fixed = sum((bands[index].fixed_price for index in reached), D(0))
    return fixed + sum((bands[home[-1]].unit_price for home in homes if home), D(0))


def assert_adds_up(priced: Priced) -> None:
    assert total(share.subtotal for share in priced.bands) == priced.subtotal
    for share in priced.bands:
        assert share.fixed_subtotal + share.unit_subtotal == share.subtotal
        assert share.quantity * share.unit_price == share.unit_subtotal
    assert [share.band for share in priced.bands] == sorted({share.band for share in priced.bands})


def working(share: BandShare) -> tuple[object, ...]:
    """Band, lower limit, quantity, fixed, units' and whole subtotal of a share, readable."""
    names = ("lower_limit", "quantity", "fixed_subtotal", "unit_subtotal", "subtotal")
    return (share.band, *(str(getattr(share, name)) for name in names))
