"""A percentage of each event by itself. Amounts are reckoned by hand, or event by event in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import Answerer, World, amounts, at, id_of, lines_of
from tallystick.core.aggregation import Measured, Question
from tallystick.core.catalog import Pricing, PricingType
from tallystick.core.explain import explain_line
from tallystick.core.quantity import total
from tallystick.core.rating import RatedLine
from tallystick.ports import UsageRow
from tallystick.stores.plain_aggregation import measure

D = Decimal
CARD = {"percent": D("2.9"), "minimum_per_event": D("0.30"), "maximum_per_event": D(5)}


def payments(values: Sequence[object], texts: Sequence[str] = ()) -> Answerer:
    """Measurements of these values, a minute apart from 5 March on."""
    rows = [
        UsageRow(
            position=place + 1,
            organization_id="",
            meter_id=id_of("meter", "requests"),
            account_id=id_of("account", "acme"),
            uid=str(place),
            ts=at(f"2023-03-05T{place // 60:02}:{place % 60:02}:00Z"),
            ets=None,
            received=at("2023-04-01"),
            numbers={"calls": D(str(value))},
            texts={"region": texts[place]} if texts else {},
        )
        for place, value in enumerate(values)
    ]

    def answer(question: Question) -> list[Measured]:
        whose = {id_of("account", "acme")}
        return [each for each in measure(rows, question) if each.account_id in whose]

    return answer


def charged(values: Sequence[object], per_unit: object = 1, **pricing: Any) -> tuple[RatedLine, ...]:
    world = World()
    world.aggregation("payments", quantity_per_unit=D(str(per_unit)))
    world.plan()
    world.pricing("price", (), **pricing)
    world.account()
    world.account_plan()
    return lines_of(world.terms("2023-03-05"), payments(values), up_to=1000)


@pytest.mark.parametrize(
    ("values", "pricing", "amount"),
    [
        # 0.029, 2.9 and 29 by share: 0.30 at least and 5.00 at most.
        ((1, 100, 1000), CARD, "8.20"),
        ((1, 100, 1000), {"percent": D("2.9"), "minimum_per_event": D("0.30")}, "32.20"),
        ((1, 100, 1000), {"percent": D("2.9"), "maximum_per_event": D(5)}, "7.93"),  # 7.929
        ((1, 100, 1000), {"percent": D("2.9"), "fixed_per_event": D("0.30")}, "32.83"),  # 32.829
        # What is fixed is part of what the least and the most hold for: 1.029 → 2.00, 3.90, 30.00 → 5.00.
        ((1, 100, 1000), {**CARD, "fixed_per_event": D(1), "minimum_per_event": D(2)}, "10.90"),
        ((1, 100), {**CARD, "fixed_per_event": D(1), "minimum_per_event": D(1)}, "4.93"),  # 1.029 and 3.90
        ((100, -100), CARD, "0.00"),  # a payment and what takes it back
        ((1, 1, -1), CARD, "0.30"),
        ((-1000,), CARD, "-5.00"),
        ((0,), CARD, "0.30"),  # an event is charged the least, whatever its value
        ((50,), {"percent": D("0.6"), "minimum_per_event": D("0.30"), "maximum_per_event": D("0.30")}, "0.30"),
        ((1000,) * 30, {**CARD, "maximum_spend": D(100)}, "100.00"),
        ((1000,), {**CARD, "minimum_spend": D(8)}, "8.00"),
    ],
)
def test_each_event_has_its_own_least_and_most(values: Sequence[int], pricing: dict[str, Any], amount: str) -> None:
    assert str(total(line.item.subtotal for line in charged(values, **pricing))) == amount


def test_cents_are_turned_into_units_event_by_event() -> None:
    (line,) = charged((100, 10_000, 100_000), per_unit=100, **CARD)
    assert (str(line.item.subtotal), line.item.units, line.item.quantity) == ("8.20", 1101, 110_100)


def test_it_explains_itself() -> None:
    (line,) = charged((1, 2, 100, 1000), **CARD, fixed_per_event=D("0.10"))
    explained = explain_line(line.item, line.working)
    assert explained.sentence == (
        "1,103 units of payments: 2 events at the minimum of 0.30 = 0.60, "
        "1 event at 100 × 0.029 + 1 × 0.10 = 3.00, 1 event at the maximum of 5.00 = 5.00, together 8.60, "
        "which is 8.60 USD"
    )
    assert explained.steps[2] == (
        "Each event is charged 2.9% + 0.10, at least 0.30, at most 5.00: 2 events at the minimum of 0.30 = 0.60; "
        "1 event at 100 × 0.029 + 1 × 0.10 = 3.00; 1 event at the maximum of 5.00 = 5.00; together 8.60."
    )


def test_the_bands_of_the_line_are_the_least_the_share_and_the_most() -> None:
    (line,) = charged((1, 2, 100, 1000), per_unit=2, **CARD)
    shown = [
        (band.lower_limit, band.fixed_price, band.unit_price, band.band_quantity, band.band_units, band.band_subtotal)
        for band in line.item.usage_per_pricing_band or ()
    ]
    least = D("10.344827586206896552")  # the first size of 18 decimals whose 2.9% reach 0.30
    most = D("172.413793103448275862")
    assert shown == [
        (0, D("0.3"), 0, 3, D("1.5"), D("0.6")),
        (least, 0, D("0.029"), 100, 50, D("1.45")),
        (most, 5, 0, 1000, 500, 5),
    ]


def test_segments_and_credits_are_priced_by_events_too() -> None:
    world = World()
    meter = world.meter("requests", ("calls",), ("region",))
    world.aggregation("payments", meter, segmented_fields=("region",), segments=({"region": "EU"},))
    world.plan()
    world.pricing("eu", (), segment={"region": "EU"}, **CARD)
    world.pricing("rest", (), percent=D(1), fixed_per_event=D(1))
    world.pricing("back", (), percent=D(50), maximum_per_event=D(1), type=PricingType.GLOBAL_CREDIT)
    world.account()
    world.account_plan()
    used = payments((1, 100, 100, 300), ("EU", "EU", "US", "US"))
    assert amounts(lines_of(world.terms("2023-03-05"), used, up_to=1000)) == [
        ("USAGE_CREDIT", "payments", "-3.50"),
        ("USAGE", "payments (EU)", "3.20"),
        ("USAGE", "payments (US)", "6.00"),
    ]


money = st.decimals(0, 50, places=3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.decimals(-2000, 2000, places=18), max_size=8),
    st.decimals("0.001", 60, places=3),
    st.sampled_from([1, 3, 100, "0.07"]),
    st.none() | money,
    st.none() | money,
    money,
)
def test_it_is_what_each_event_comes_to_by_itself(
    values: list[Decimal],
    percent: Decimal,
    per_unit: object,
    least: Decimal | None,
    fixed: Decimal | None,
    most: Decimal,
) -> None:
    most = max(most, least or 0, fixed or 0)
    pricing = {"percent": percent, "minimum_per_event": least, "fixed_per_event": fixed, "maximum_per_event": most}
    lines = charged(values, per_unit, **pricing)

    def fee(value: Decimal) -> Fraction:
        share = Fraction(abs(value)) / Fraction(str(per_unit)) * Fraction(percent) / 100 + Fraction(fixed or 0)
        size = min(max(share, Fraction(least or 0)), Fraction(most))
        return -size if value < 0 else size

    expected = sum(map(fee, values))
    found = sum((Fraction(line.exact or 0) for line in lines), Fraction(0))
    assert abs(found - expected) < Fraction(1, 10**40)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"minimum_per_event": D(1)}, "pricingBands: at least one band"),
        ({"percent": D(0), "minimum_per_event": D(1)}, "minimumPerEvent: only with a percent above 0"),
        ({"percent": D(1), "minimum_per_event": D(-1)}, "minimumPerEvent: must be 0 or more"),
        ({**CARD, "minimum_per_event": D(6)}, "maximumPerEvent: must not be below minimumPerEvent, 6"),
        ({**CARD, "fixed_per_event": D(6)}, "maximumPerEvent: must not be below fixedPerEvent, 6"),
        ({**CARD, "free_units": D(6)}, "freeUnits: not with minimumPerEvent"),
    ],
)
def test_what_cannot_hold_is_refused(given: dict[str, Any], rule: str) -> None:
    body = {"plan_id": "p" * 36, "aggregation_id": "a" * 36, "pricing_bands": (), "start_date": at("2023-01-01")}
    with pytest.raises(ValueError, match=rule):
        Pricing(**(body | given))
