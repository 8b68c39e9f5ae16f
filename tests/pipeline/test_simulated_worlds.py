"""Simulations of an unchanged catalogue, over customers with some of everything, are the very bills of a run; and what
a simulation says besides: caps, segments of customers, margins."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from billing_desk import Desk, calls_world
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_world import filled_up, mixed_world, used

from billing_world import World, at, bands, id_of
from credit_world import balance
from effort import drawing
from tallystick.core.catalog import Pricing
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.money import Rounding
from tallystick.core.organization import CurrencyConversion
from tallystick.core.simulated_bill import Besides, Cap, Outcome, SimulatedBill
from tallystick.core.simulation import ChangedPricing, Changes, SimulationRequest
from tallystick.core.simulation_effect import MOST_SEGMENTS, OTHERS, with_bills, with_segments
from tallystick.pipeline.simulate import periods_of, simulate
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.running_usage import RunningUsage

Opener = Callable[[World], Desk]
NOW = at("2023-12-04T06:00:00Z")
NOTHING = Changes()


def simulated(
    desk: Desk, changes: Changes = NOTHING, day: date = date(2023, 11, 30), **besides: Any
) -> list[SimulatedBill]:
    request = msgspec.convert({"candidate": {}, "lastDateInBillingPeriod": day}, SimulationRequest)
    periods = periods_of(desk.records, request)
    asked = Besides(**besides)
    return simulate(desk.records, desk.usage, periods, changes, as_of=NOW, up_to=desk.usage_store.mark, besides=asked)


# ------------------------------------------------------------------------------------------------------ as a run


@settings(**drawing(6, shrink=False))
@given(seed=st.integers(0, 2**48))
def test_an_unchanged_catalogue_gives_the_very_bills_of_mixed_customers(seed: int) -> None:
    """Credit, commitments, minimums, counters, hierarchies, other currencies, discounts, late usage: whatever the mixed
    world draws, each simulated bill is the bill of the run, line by line."""
    world, chance = mixed_world(Random(seed)), Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), world, usage_store=RunningUsage(MemoryUsage()))
        try:
            filled_up(desk, Random(seed))
            for month, day in ((10, date(2023, 10, 31)), (11, date(2023, 11, 30))):
                for account, when, amount, region in used(chance, month):
                    desk.use(account, when, texts={"region": region}, calls=amount, hours=Decimal(2))
                before = simulated(desk, day=day)
                desk.run(last_date_in_billing_period=day)
                assert_as_run(desk, before, day)
                assert_as_run(desk, simulated(desk, day=day), day)
        finally:
            desk.close()


def assert_as_run(desk: Desk, found: list[SimulatedBill], day: date) -> None:
    made: dict[tuple[object, ...], list[Any]] = {}
    for each in desk.bills():
        made.setdefault((each.account_id, each.billing_frequency, each.start_date_time_utc), []).append(each)
    compared = 0
    for one in found:
        if one.outcome is Outcome.FAILS:
            assert one.failure
            continue
        bills = made.get((one.account_id, one.billing_frequency, one.start_date_time_utc), [])
        assert one.outcome is Outcome.SAME
        lines = sorted(str(each.new_amount) for each in one.lines or ())
        ours = [
            each
            for each in bills
            if each.bill_total == one.new_total
            and sorted(str(line.converted_subtotal) for line in each.line_items) == lines
        ]
        assert ours or (not bills and not lines), (one.account_code, one.new_total, bills)
        compared += 1
    assert compared or not found


# ------------------------------------------------------------------------------------------------------ caps


@pytest.mark.parametrize(
    ("percent", "old", "new", "capped"),
    [
        ("20", "100.00", "150.00", "120.00"),
        ("20", "100.00", "120.00", "120.00"),  # by just as much as it may
        ("20", "100.00", "119.99", "119.99"),
        ("20", "100.00", "80.00", "80.00"),  # it falls
        ("12.5", "0.99", "5.00", "1.11"),  # 1.11375: never more than the percentage
        ("20", "0.00", "50.00", "50.00"),  # of nothing there is no percentage
        ("20", "-10.00", "5.00", "-8.00"),  # a credit of 10.00 shrinks by a fifth
        ("0", "33.33", "33.34", "33.33"),
    ],
)
def test_a_cap_holds_a_bill_down(percent: str, old: str, new: str, capped: str) -> None:
    assert str(Cap(percent=Decimal(percent)).on(Decimal(old), Decimal(new), Rounding())) == capped


def dearer(world: World, price: str) -> Changes:
    entity = world.of(Pricing)[id_of("pricing", "price")]
    value = msgspec.structs.replace(entity.value, pricing_bands=bands((0, price)))
    return Changes(pricings=(ChangedPricing(id=entity.id, value=value),))


def test_what_a_cap_costs_by_account_and_together(open_desk: Opener) -> None:
    """5.00 and 0.10 a call, 0.15 then: 100 calls 15.00 to 20.00, capped at 18.00; 10 calls 6.00 to 6.50, left alone."""
    world = calls_world("acme", "zeta")
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=100)
    desk.use("zeta", "2023-11-05", calls=10)
    bills = simulated(desk, dearer(world, "0.15"), cap=Cap(percent=Decimal(20)))
    assert [(each.account_code, str(each.capped_total), str(each.cap_cost)) for each in bills] == [
        ("acme", "18.00", "2.00"),
        ("zeta", "None", "None"),
    ]
    (effect,) = with_bills((), bills)
    assert (effect.cap_bills, str(effect.cap_cost), str(effect.new_total)) == (1, "2.00", "26.50")


# ------------------------------------------------------------------------------------------------------ segments


def test_the_effect_by_segments_of_customers(open_desk: Opener) -> None:
    world = calls_world("a", "b", "c", "d")
    for code, field in (("a", {"tier": "gold"}), ("b", {"tier": "gold"}), ("c", {"tier": 2})):
        world.account(code, custom_fields=field)
    desk = open_desk(world)
    for number, code in enumerate("abcd", 1):
        desk.use(code, "2023-11-05", calls=10 * number)  # 0.50 dearer for each ten
    bills = simulated(desk, dearer(world, "0.15"), segment_by=("customFields.tier", "plan"))
    found = with_segments(with_segments((), bills[:2]), bills[2:])
    assert [(each.by, each.value, each.effect.bills, str(each.effect.difference)) for each in found] == [
        ("customFields.tier", "(none)", 1, "2.00"),
        ("customFields.tier", "2", 1, "1.50"),
        ("customFields.tier", "gold", 2, "1.50"),
        ("plan", "plan", 4, "5.00"),
    ]
    (whole,) = with_bills((), bills)
    assert sum(each.effect.new_total for each in found[:3]) == whole.new_total


def test_more_segments_than_can_be_told_apart_count_as_one(open_desk: Opener) -> None:
    (one,) = simulated(open_desk(calls_world()))
    bills = [msgspec.structs.replace(one, segments={"customFields.name": str(n)}) for n in range(MOST_SEGMENTS + 5)]
    found = with_segments((), bills)
    assert len(found) == MOST_SEGMENTS + 1
    assert [each.effect.bills for each in found if each.value == OTHERS] == [5]


# ------------------------------------------------------------------------------------------------------ margins


def test_margins_are_charges_less_what_measurements_cost(open_desk: Opener) -> None:
    """100 calls: 15.00 charged, 4.125 of cost, EUR 2 of income at 1.10. Credit that pays for them changes no margin."""
    world = calls_world("acme", "zeta")
    fields = (
        DataField(code="calls", name="calls", category=Category.MEASURE, unit="1"),
        DataField(code="spent", name="Spent", category=Category.COST, unit="USD"),
        DataField(code="ads", name="Ads", category=Category.INCOME, unit="EUR"),
    )
    meter = world.of(Meter)[id_of("meter", "requests")].value
    world.add(msgspec.structs.replace(meter, data_fields=fields), "requests")
    rate = CurrencyConversion(from_="EUR", to="USD", multiplier=Decimal("1.10"))
    world.config(currency_conversions=(rate,))
    balance(world)
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=60, spent="4.1", ads="2")
    desk.use("acme", "2023-11-06", calls=40, spent="0.025")
    desk.use("acme", "2023-10-31", calls=40, spent="99")  # of another month
    acme, zeta = simulated(desk, dearer(world, "0.20"))
    assert (str(acme.cost), str(acme.income)) == ("4.125", "2.2")
    assert (zeta.cost, zeta.income) == (0, 0)
    (effect,) = with_bills((), [acme, zeta])
    # 15.00 and 5.00 less 4.125; 25.00 and 5.00 less 4.125
    assert effect.margins == (Decimal("15.875"), Decimal("25.875"))


def test_without_such_fields_there_is_no_margin(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    bills = simulated(desk)
    assert [(each.cost, each.income) for each in bills] == [(None, None)]
    assert with_bills((), bills)[0].margins is None


def test_a_margin_without_a_rate_is_not_guessed(open_desk: Opener) -> None:
    world = calls_world()
    meter = world.of(Meter)[id_of("meter", "requests")].value
    spent = DataField(code="spent", name="Spent", category=Category.COST, unit="CHF")
    world.add(msgspec.structs.replace(meter, data_fields=(*meter.data_fields, spent)), "requests")
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=10, spent=1)
    (bill,) = simulated(desk)
    assert (bill.outcome, bill.cost) == (Outcome.SAME, None)
