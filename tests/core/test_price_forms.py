"""Allowances, maximums, percentages, packages and rates by dimensions on a bill. Amounts are reckoned by hand."""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import Event, World, always, amounts, at, bands, lines_of, summing
from tallystick.core.aggregation import UnitRounding
from tallystick.core.catalog import Pricing, PricingType
from tallystick.core.explain import explain_line
from tallystick.core.organization import CurrencyConversion
from tallystick.core.price_forms import Package, Rate
from tallystick.core.quantity import total
from tallystick.errors import Refusal

moderate = settings(max_examples=60, deadline=None)
TIERS = bands((0, "1.00"), (100, "0.50"))
EU, US = {"region": "EU"}, {"region": "US"}


def priced(
    price_bands: Any = (), *, aggregation: dict[str, Any] | None = None, start: str = "2023-01-01", **pricing: Any
) -> World:
    """One aggregation, one price, one customer, since a day."""
    world = World()
    world.aggregation("calls", **(aggregation or {}))
    world.plan()
    world.pricing("price", price_bands, **pricing)
    world.account()
    world.account_plan(start=start)
    return world


def march(world: World, used: object) -> list[str]:
    return [str(line.item.subtotal) for line in lines_of(world.terms("2023-03-05"), always(used))]


# ------------------------------------------------------------------------------------------------------ allowance


@pytest.mark.parametrize(
    ("used", "free", "amount"),
    [
        (1000, 100, "500.00"),  # 900 are left: 100 at 1.00, 800 at 0.50
        (150, 100, "50.00"),
        (100, 100, "0.00"),
        (40, 100, "0.00"),
        (0, 100, "0.00"),
        (-150, 100, "-50.00"),  # a credit is the mirror of its charge
        (150, 0, "125.00"),
    ],
)
def test_free_units_are_taken_off_before_the_bands(used: int, free: int, amount: str) -> None:
    assert march(priced(TIERS, cumulative=True, free_units=Decimal(free)), used) == [amount]


def test_allowance_that_covers_everything_spares_the_fixed_price_too() -> None:
    assert march(priced(bands((0, 1, 12)), free_units=Decimal(10)), 10) == ["0.00"]
    assert march(priced(bands((0, 1, 12)), free_units=Decimal(10)), 11) == ["13.00"]


def test_free_units_are_units_after_division() -> None:
    world = priced(
        bands((0, 2)),
        free_units=Decimal(3),
        aggregation={"quantity_per_unit": Decimal(1000), "rounding": UnitRounding.UP},
    )
    assert march(world, 4001) == ["4.00"]  # 5 units, 3 of them free


def test_free_units_of_bands_that_span_the_plan_are_free_once() -> None:
    world = priced(bands((0, 1)), free_units=Decimal(150), tiers_span_plan=True)
    used = summing([Event(at(f"2023-0{month}-10"), Decimal(100)) for month in (1, 2, 3)])
    paid = [amounts(lines_of(world.terms(f"2023-0{month}-05"), used))[0][2] for month in (1, 2, 3)]
    assert paid == ["0.00", "50.00", "100.00"]


@moderate
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.booleans())
def test_allowance_never_makes_a_line_negative_nor_dearer(used: int, free: int, cumulative: bool) -> None:
    (with_it,) = march(priced(TIERS, cumulative=cumulative, free_units=Decimal(free)), used)
    (left,) = march(priced(TIERS, cumulative=cumulative), max(used - free, 0))
    assert Decimal(with_it) == Decimal(left) >= 0


@moderate
@given(st.integers(-5_000, 5_000), st.integers(0, 3_000))
def test_bands_on_the_wire_add_up_to_the_line_with_the_free_ones_among_them(used: int, free: int) -> None:
    world = priced(TIERS, cumulative=True, free_units=Decimal(free), aggregation={"quantity_per_unit": Decimal(3)})
    (line,) = lines_of(world.terms("2023-03-05"), always(used))
    of = line.item.usage_per_pricing_band or ()
    assert total(band.band_units for band in of) == line.item.units
    assert total(band.band_quantity for band in of) == line.item.quantity


# ------------------------------------------------------------------------------------------------------ maximum


@pytest.mark.parametrize(("used", "amount"), [(49, "49.00"), (50, "50.00"), (51, "50.00"), (-70, "-70.00")])
def test_maximum_spend(used: int, amount: str) -> None:
    assert march(priced(bands((0, 1)), maximum_spend=Decimal(50)), used) == [amount]


def test_maximum_spend_is_prorated_by_days_like_a_minimum() -> None:
    world = priced(bands((0, 1)), start="2023-04-16", maximum_spend=Decimal(300))
    (line,) = lines_of(world.terms("2023-04-20"), always(1000))
    assert str(line.item.subtotal) == "150.00"  # 15 of 30 days


def segmented(**pricing: Any) -> World:
    world = World()
    meter = world.meter("requests", ("calls",), ("region", "model"))
    fields = pricing.pop("fields", ("region",))
    world.aggregation("calls", meter, segmented_fields=fields, segments=())
    world.plan()
    world.pricing("price", (), **pricing)
    world.account()
    world.account_plan()
    return world


def by_segment(*found: tuple[int, tuple[str, ...]]) -> Any:
    return summing([Event(at("2023-03-05"), Decimal(value), segment) for value, segment in found])


def test_maximum_spend_holds_for_all_lines_of_the_pricing_together() -> None:
    rates = (Rate(dimensions=EU, unit_price=Decimal(1)), Rate(dimensions=US, unit_price=Decimal(2)))
    world = segmented(rates=rates, maximum_spend=Decimal(90))
    lines = lines_of(world.terms("2023-03-05"), by_segment((70, ("EU",)), (30, ("US",))))
    assert [str(line.item.subtotal) for line in lines] == ["70.00", "20.00"]
    assert explain_line(lines[1].item, lines[1].working).steps[-2] == (
        "At most 90.00 is charged for the billing period; 70.00 is charged on other lines: of 60.00, 20.00 is."
    )


def test_what_a_line_gives_back_makes_room_for_the_others() -> None:
    rates = (Rate(dimensions=EU, unit_price=Decimal(1)), Rate(dimensions=US, unit_price=Decimal(1)))
    world = segmented(rates=rates, maximum_spend=Decimal(90))
    lines = lines_of(world.terms("2023-03-05"), by_segment((100, ("EU",)), (-20, ("US",))))
    assert [str(line.item.subtotal) for line in lines] == ["100.00", "-20.00"]


@moderate
@given(st.lists(st.integers(-500, 5_000), min_size=1, max_size=6), st.integers(0, 3_000), st.integers(1, 999))
def test_maximum_is_never_exceeded_and_only_what_exceeds_it_is_taken_off(
    used: list[int], maximum: int, price: int
) -> None:
    unit = Decimal(price) / 1000
    world = segmented(rates=(Rate(dimensions=EU, unit_price=unit),), default_unit_price=unit)
    found = by_segment(*((value, (f"r{index}",)) for index, value in enumerate(used)))
    free = total(line.item.subtotal for line in lines_of(world.terms("2023-03-05"), found))
    world.pricing(
        "price",
        (),
        rates=(Rate(dimensions=EU, unit_price=unit),),
        default_unit_price=unit,
        maximum_spend=Decimal(maximum),
    )
    capped = total(line.item.subtotal for line in lines_of(world.terms("2023-03-05"), found))
    assert capped == min(free, Decimal(maximum))


def test_minimum_counts_what_the_maximum_left() -> None:
    world = priced(bands((0, 1)), maximum_spend=Decimal(50))
    world.template(minimum_spend=Decimal(80))
    assert [each[2] for each in amounts(lines_of(world.terms("2023-03-05"), always(500)))] == ["50.00", "30.00"]


@pytest.mark.parametrize(
    ("used", "expected"),
    [(300, ["100.00", "300.00"]), (400, ["100.00", "400.00"]), (401, ["100.00", "401.00", "-1.00"])],
)
def test_maximum_spend_of_a_plan_is_for_all_that_it_charges(used: int, expected: list[str]) -> None:
    world = priced(bands((0, 1)))
    world.template(standing_charge=Decimal(100), maximum_spend=Decimal(500))
    assert [each[2] for each in amounts(lines_of(world.terms("2023-03-05"), always(used)))] == expected


def test_maximum_of_a_plan_overrides_its_template_and_the_minimum_of_that() -> None:
    world = priced(bands((0, 1)))
    world.template(minimum_spend=Decimal(300), maximum_spend=Decimal(900))
    world.plan(maximum_spend=Decimal(200), maximum_spend_description="Never more")
    *_, line = lines_of(world.terms("2023-03-05"), always(50))
    assert (line.item.line_item_type, line.item.description, str(line.item.subtotal)) == (
        "CREDIT_DEDUCTION",
        "Never more",
        "-100.00",
    )
    assert explain_line(line.item, line.working).steps[0] == "Maximum 200.00, charges 300.00: 100.00 is taken off."


def test_maximum_of_a_plan_counts_what_was_paid_in_advance_and_is_prorated() -> None:
    world = priced(bands((0, 1)), start="2023-04-16")
    advance = {"standing_charge": Decimal(100), "standing_charge_bill_in_advance": True}
    world.template(**advance, maximum_spend=Decimal(400))
    found = amounts(lines_of(world.terms("2023-04-20"), always(180)))
    # April: half of the fee and the calls come to 230 of at most 200; the fee for May is May's.
    assert [each[2] for each in found] == ["50.00", "100.00", "180.00", "-30.00"]


@moderate
@given(st.integers(0, 3_000), st.integers(0, 500), st.integers(0, 2_000), st.integers(0, 2_000))
def test_plan_is_charged_no_more_than_its_maximum(used: int, fee: int, minimum: int, more: int) -> None:
    world = priced(bands((0, 1)))
    limits = {"minimum_spend": Decimal(minimum), "maximum_spend": Decimal(minimum + more)}
    world.template(standing_charge=Decimal(fee), **limits)
    charged = total(line.item.subtotal for line in lines_of(world.terms("2023-03-05"), always(used)))
    assert charged == min(max(used + fee, minimum), minimum + more)


# ------------------------------------------------------------------------------------------------------ percentage


@pytest.mark.parametrize(
    ("sales", "amount"),
    [
        ("10000", "290.00"),  # 2.9%
        ("1234.56", "35.80"),  # 35.80224
        ("100", "25.00"),  # 2.90, at least 25
        ("50000", "1000.00"),  # 1,450, at most 1,000
    ],
)
def test_percentage_with_minimum_and_maximum_of_the_period(sales: str, amount: str) -> None:
    world = priced(percent=Decimal("2.9"), minimum_spend=Decimal(25), maximum_spend=Decimal(1000))
    lines = lines_of(world.terms("2023-03-05"), always(sales))
    assert str(total(line.item.subtotal for line in lines)) == amount


def test_percentage_explains_itself() -> None:
    (line,) = lines_of(priced(percent=Decimal("2.9")).terms("2023-03-05"), always(10_000))
    explained = explain_line(line.item, line.working)
    assert explained.sentence == "10,000 units of calls: 2.9% of it, 10,000 × 0.029 = 290.00, which is 290.00 USD"
    assert explained.steps[2] == "2.9% is 0.029 for each unit."


# ------------------------------------------------------------------------------------------------------ packages


@pytest.mark.parametrize(
    ("used", "free", "packages", "amount"),
    [
        (48_900, 0, 98, "24.50"),
        (48_900, 900, 96, "24.00"),
        (500, 0, 1, "0.25"),
        (501, 0, 2, "0.50"),
        (1, 0, 1, "0.25"),
        (0, 0, 0, "0.00"),
        (900, 900, 0, "0.00"),
        ("900.5", 900, 1, "0.25"),
        (-501, 0, -2, "-0.50"),
    ],
)
def test_every_started_package_beyond_the_free_units_is_charged(
    used: object, free: int, packages: int, amount: str
) -> None:
    world = priced(package=Package(size=Decimal(500), price=Decimal("0.25")), free_units=Decimal(free))
    (line,) = lines_of(world.terms("2023-03-05"), always(used))
    assert str(line.item.subtotal) == amount
    assert total(band.band_units for band in line.item.usage_per_pricing_band or ()) == packages


@moderate
@given(st.integers(0, 100_000), st.integers(1, 700), st.integers(0, 2_000))
def test_packages_are_the_ceiling(used: int, size: int, free: int) -> None:
    world = priced(package=Package(size=Decimal(size), price=Decimal(3)), free_units=Decimal(free))
    assert march(world, used) == [f"{3 * ceil(max(used - free, 0) / size)}.00"]


# ------------------------------------------------------------------------------------------------------ matrix


def model(name: str, region: str, price: str) -> Rate:
    return Rate(dimensions={"model": name, "region": region}, unit_price=Decimal(price))


MATRIX = (model("large", "EU", "0.03"), model("large", "US", "0.02"), model("small", "EU", "0.002"))


def test_rate_is_looked_up_by_dimensions() -> None:
    world = segmented(rates=MATRIX, fields=("model", "region"))
    used = by_segment((1000, ("large", "EU")), (500, ("large", "US")), (10_000, ("small", "EU")))
    assert amounts(lines_of(world.terms("2023-03-05"), used)) == [
        ("USAGE", "calls (large, EU)", "30.00"),
        ("USAGE", "calls (large, US)", "10.00"),
        ("USAGE", "calls (small, EU)", "20.00"),
    ]


def test_combination_without_a_rate_fails_the_bill_and_names_it() -> None:
    world = segmented(rates=MATRIX, fields=("model", "region"), code="tokens")
    with pytest.raises(Refusal, match="'tokens' has no rate for model = small, region = US") as caught:
        lines_of(world.terms("2023-03-05"), by_segment((5, ("small", "US"))))
    assert caught.value.code.name == "missing_rate"


def test_default_rate_takes_what_no_rate_names() -> None:
    world = segmented(rates=MATRIX, fields=("model", "region"), default_unit_price=Decimal(1))
    (line,) = lines_of(world.terms("2023-03-05"), by_segment((5, ("small", "US"))))
    assert str(line.item.subtotal) == "5.00"
    assert "at the default rate, as there is none for model = small, region = US" in (
        explain_line(line.item, line.working).sentence
    )


def test_dimensions_may_be_fewer_than_the_segmented_fields() -> None:
    rates = (Rate(dimensions=EU, unit_price=Decimal(2)),)
    world = segmented(rates=rates, fields=("model", "region"))
    used = by_segment((3, ("large", "EU")), (4, ("small", "EU")))
    assert [each[2] for each in amounts(lines_of(world.terms("2023-03-05"), used))] == ["6.00", "8.00"]


def test_pricing_of_a_named_segment_wins_over_rates() -> None:
    world = segmented(rates=(Rate(dimensions=EU, unit_price=Decimal(2)),), default_unit_price=Decimal(3))
    world.pricing("special", bands((0, 10)), segment=US)
    used = by_segment((1, ("EU",)), (1, ("US",)), (1, ("BR",)))
    assert sorted(each[2] for each in amounts(lines_of(world.terms("2023-03-05"), used))) == ["10.00", "2.00", "3.00"]


def test_forms_are_converted_and_credited_like_bands() -> None:
    world = priced(percent=Decimal(10), type=PricingType.GLOBAL_CREDIT)
    world.currency("EUR", 2)
    world.config(currency_conversions=(CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal("0.5")),))
    world.account(currency="EUR")
    charge = world.aggregation("charge", target_field="calls")
    world.pricing("charge", (), aggregation_id=charge.id, package=Package(size=Decimal(1), price=Decimal(1)))
    assert [each[2] for each in amounts(lines_of(world.terms("2023-03-05"), always(100)))] == ["-5.00", "50.00"]


# ------------------------------------------------------------------------------------------------------ rules


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"pricing_bands": ()}, "pricingBands: at least one band, or one of percent, package, rates"),
        ({"percent": Decimal(1)}, "pricingBands: must be empty beside percent"),
        (
            {"pricing_bands": (), "percent": Decimal(1), "package": Package(size=Decimal(1), price=Decimal(1))},
            "package: give only one of percent, package, rates; this has percent too",
        ),
        ({"pricing_bands": (), "percent": Decimal(-1)}, "percent: must be 0 or more"),
        ({"pricing_bands": (), "percent": Decimal(1), "cumulative": True}, "cumulative: only with pricingBands"),
        ({"pricing_bands": (), "percent": Decimal(1), "tiers_span_plan": True}, "tiersSpanPlan: only with"),
        ({"free_units": Decimal(-1)}, "freeUnits: must be 0 or more"),
        ({"maximum_spend": Decimal(-1)}, "maximumSpend: must be 0 or more"),
        ({"maximum_spend": Decimal(5), "minimum_spend": Decimal(6)}, "maximumSpend: must not be below minimumSpend, 6"),
        ({"maximum_spend": Decimal(5), "type": PricingType.GLOBAL_CREDIT}, "maximumSpend: only with type DEBIT"),
        (
            {"free_units": Decimal(5), "overage_pricing_bands": TIERS, "cumulative": True},
            "freeUnits: not with overagePricingBands",
        ),
        (
            {"maximum_spend": Decimal(5), "overage_pricing_bands": TIERS, "cumulative": True},
            "maximumSpend: not with overagePricingBands",
        ),
        ({"default_unit_price": Decimal(5)}, "defaultUnitPrice: only with rates"),
        ({"pricing_bands": (), "rates": ()}, "rates: at least one rate"),
        (
            {"pricing_bands": (), "rates": (MATRIX[0], MATRIX[0])},
            r"rates\[1\].dimensions: there is a rate for large, EU",
        ),
        (
            {"pricing_bands": (), "rates": (MATRIX[0], Rate(dimensions=EU, unit_price=Decimal(1)))},
            r"rates\[1\].dimensions: must be the same in every rate \(model, region\)",
        ),
        ({"pricing_bands": (), "rates": MATRIX, "segment": EU}, "segment: leave it out beside rates"),
    ],
)
def test_rules_of_one_pricing(given: dict[str, Any], rule: str) -> None:
    body = {"plan_id": "p" * 36, "aggregation_id": "a" * 36, "pricing_bands": TIERS, "start_date": at("2023-01-01")}
    with pytest.raises(ValueError, match=rule):
        Pricing(**(body | given))


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (lambda: Package(size=Decimal(0), price=Decimal(1)), "size: must be above 0"),
        (lambda: Package(size=Decimal(1), price=Decimal(-1)), "price: must be 0 or more"),
        (lambda: Rate(dimensions={}, unit_price=Decimal(1)), "dimensions: 1 to 3 of them, got 0"),
        (lambda: Rate(dimensions=dict.fromkeys("abcd", "x"), unit_price=Decimal(1)), "1 to 3 of them, got 4"),
    ],
)
def test_rules_of_packages_and_rates(build: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        build()
