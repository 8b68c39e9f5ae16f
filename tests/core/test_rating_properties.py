"""What holds for every bill, whatever is sold and used."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import Event, World, at, bands, lines_of, summing
from tallystick.core import wire
from tallystick.core.aggregation import Method, UnitRounding
from tallystick.core.bill import BandUsage
from tallystick.core.organization import CurrencyConversion
from tallystick.core.period import Frequency, local_day
from tallystick.core.quantity import divide, total
from tallystick.core.rating import RatedLine

REGIONS = ("EU", "US", "BR")
HOURS = 24 * 28

events = st.lists(
    st.builds(
        lambda hour, cents, region: Event(
            at(f"2023-02-{1 + hour // 24:02}T{hour % 24:02}:00:00Z"), Decimal(cents) / 100, (region,)
        ),
        st.integers(0, HOURS - 1),
        st.integers(0, 100_000),
        st.sampled_from(REGIONS),
    ),
    max_size=30,
)
prices = st.lists(st.integers(0, 10_000), min_size=3, max_size=3).map(
    lambda cents: [Decimal(each) / 1000 for each in cents]
)
moderate = settings(max_examples=60, deadline=None)


def price_list(unit_prices: Sequence[Decimal]) -> list[tuple[object, object]]:
    return list(zip((0, 50, 400), unit_prices, strict=True))


def world_of(
    unit_prices: Sequence[Decimal], *, cumulative: bool = True, rounding: UnitRounding = UnitRounding.NONE
) -> World:
    """Everything that a bill can have: a fee, usage in another currency than the bill's, a minimum."""
    world = World()
    world.currency("EUR", 2)
    world.config(currency_conversions=(CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal("0.913")),))
    world.template(standing_charge=Decimal("19.99"), minimum_spend=Decimal(100))
    world.aggregation("calls", quantity_per_unit=Decimal(3), rounding=rounding)
    world.plan()
    world.pricing("price", bands(*price_list(unit_prices)), cumulative=cumulative)
    world.account(currency="EUR")
    world.account_plan(start="2023-02-11")
    return world


def bill_of(world: World, used: Sequence[Event]) -> tuple[RatedLine, ...]:
    return lines_of(world.terms("2023-02-05"), summing(used))


@moderate
@given(events, prices, st.booleans(), st.sampled_from(UnitRounding))
def test_line_is_its_bands_rounded_once(
    used: list[Event], unit_prices: list[Decimal], cumulative: bool, rounding: UnitRounding
) -> None:
    terms = world_of(unit_prices, cumulative=cumulative, rounding=rounding).terms("2023-02-05")
    for line in lines_of(terms, summing(used)):
        of: tuple[BandUsage, ...] | None = line.item.usage_per_pricing_band
        if of is None:
            continue
        conversion = terms.conversion("USD")
        assert conversion.money(total(band.band_subtotal for band in of)) == line.item.subtotal
        assert conversion.converted(total(band.band_subtotal for band in of)) == line.item.converted_subtotal
        assert not of or total(band.band_quantity for band in of) == line.item.quantity
        if line.item.units:
            assert line.item.average_unit_price == divide(line.item.subtotal, line.item.units)


@moderate
@given(events, prices, st.randoms(use_true_random=False))
def test_order_of_events_does_not_change_a_bill(used: list[Event], unit_prices: list[Decimal], chance: object) -> None:
    world = world_of(unit_prices)
    shuffled = list(used)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert wire.encode(bill_of(world, used)) == wire.encode(bill_of(world, shuffled))


@cache
def segmented_world(method: Method, *, split: bool) -> World:
    world = World()
    meter = world.meter("requests", ("calls",), ("region",))
    segments = ({"region": "EU"}, {"region": "*"}) if split else ()
    world.aggregation("calls", meter, aggregation=method, segmented_fields=("region",), segments=segments)
    world.plan()
    for segment in segments or (None,):
        world.pricing(f"{segment}", bands((0, "0.5")), segment=segment)
    world.account()
    world.account_plan()
    return world


@moderate
@given(events, st.sampled_from([Method.SUM, Method.COUNT]))
def test_segments_of_sums_and_counts_add_up_to_the_total(used: list[Event], method: Method) -> None:
    parts = bill_of(segmented_world(method, split=True), used)
    whole = bill_of(segmented_world(method, split=False), used)
    assert total(line.item.quantity for line in parts) == total(line.item.quantity for line in whole)
    assert {line.item.segment["region"] for line in parts if line.item.segment} == {event.segment[0] for event in used}


@moderate
@given(events, prices)
def test_tiered_costs_at_least_volume_when_prices_fall(used: list[Event], unit_prices: list[Decimal]) -> None:
    falling = sorted(unit_prices, reverse=True)
    tiered, volume = (bill_of(world_of(falling, cumulative=each), used) for each in (True, False))
    for one, other in zip(tiered, volume, strict=False):
        if one.item.line_item_type == "USAGE" == other.item.line_item_type:
            assert one.item.subtotal >= other.item.subtotal


@moderate
@given(
    st.lists(st.tuples(st.integers(0, 364), st.integers(1, 50)), max_size=12),
    st.sampled_from([Frequency.WEEKLY, Frequency.MONTHLY]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]),
)
def test_bills_with_bands_that_span_the_plan_add_up_to_the_price_of_it_all(
    used: list[tuple[int, int]], frequency: Frequency, zone: str
) -> None:
    """However the life of the plan is cut into bills, the customer pays the price of all units together."""
    world = World()
    world.config(timezone=zone)
    world.template(bill_frequency=frequency)
    world.aggregation("calls")
    world.plan()
    world.pricing("price", bands((0, "1.00"), (60, "0.50"), (90, "0.25")), cumulative=True, tiers_span_plan=True)
    world.account()
    world.account_plan(start="2023-01-01", end_date="2024-01-01")
    found = [Event(at("2023-01-01") + day * (at("2023-01-02") - at("2023-01-01")), Decimal(n)) for day, n in used]  # type: ignore[arg-type]  # an Instant plus days
    grid = world.terms("2023-01-02").account_plans[0].grid
    paid = total(
        line.item.subtotal
        for period in grid.between(at("2023-01-01"), at("2024-01-01"))
        for line in lines_of(world.terms(str(local_day(period.start, zone))), summing(found))
    )
    units = sum(n for _, n in used)
    owed = min(units, 60) * 100 + max(min(units, 90) - 60, 0) * 50 + max(units - 90, 0) * 25
    assert paid * 100 == owed
