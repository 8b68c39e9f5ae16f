"""Counters on bills: running totals and adjustments, against an independent count of every day's price."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import World, always, amounts, at, bands, lines_of
from tallystick.core.explain import explain_line
from tallystick.core.uses import uses_of

SEATS = bands((0, 2), (20, 3))  # tiered: 2.00 up to 20 seats, 3.00 from 21
RUNNING, DEBIT, CREDIT = "COUNTER_RUNNING_TOTAL_CHARGE", "COUNTER_ADJUSTMENT_DEBIT", "COUNTER_ADJUSTMENT_CREDIT"
UNPRORATED = {
    "pro_rate_running_total": False,
    "pro_rate_adjustment_debit": False,
    "pro_rate_adjustment_credit": False,
}


def seats(*levels: tuple[str, int], start: str = "2024-06-01", end: str | None = None, **pricing: Any) -> World:
    world = World()
    world.template()
    world.plan()
    world.counter("seats")
    world.counter_pricing("price", SEATS, **({"cumulative": True} | pricing))
    world.account()
    world.account_plan(start=start, **({"end_date": end} if end else {}))
    for day, level in levels:
        world.level(day, level)
    return world


def bill(world: World, day: str) -> list[tuple[str, str, str]]:
    lines = lines_of(world.terms(day), always(None))
    starts = [str(each.item.service_period_start_date)[:10] for each in lines]
    return [
        (str(each.item.line_item_type), start, str(each.item.subtotal))
        for each, start in zip(lines, starts, strict=True)
    ]


JUNE = (("2024-06-01", 15), ("2024-06-15", 18))


@pytest.mark.parametrize(
    ("pricing", "june", "july"),
    [
        (  # the example of m3ter's pages, nothing prorated: 15 × 2 = 30 and 3 × 2 = 6
            UNPRORATED | {"running_total_bill_in_advance": False},
            [(DEBIT, "2024-06-01", "30.00"), (DEBIT, "2024-06-15", "6.00")],
            [(RUNNING, "2024-07-01", "36.00")],
        ),
        (  # paid in advance, July's 18 seats are on June's bill and August's on July's
            UNPRORATED,
            [(RUNNING, "2024-07-01", "36.00"), (DEBIT, "2024-06-01", "30.00"), (DEBIT, "2024-06-15", "6.00")],
            [(RUNNING, "2024-08-01", "36.00")],
        ),
        (  # prorated: 3 seats for 16 of 30 days
            {"running_total_bill_in_advance": False},
            [(DEBIT, "2024-06-01", "30.00"), (DEBIT, "2024-06-15", "3.20")],
            [(RUNNING, "2024-07-01", "36.00")],
        ),
    ],
)
def test_example_of_fifteen_and_eighteen_seats(
    pricing: dict[str, Any], june: list[tuple[str, str, str]], july: list[tuple[str, str, str]]
) -> None:
    world = seats(*JUNE, **pricing)
    assert bill(world, "2024-06-10") == june
    assert bill(world, "2024-07-10") == july


def test_a_level_from_before_the_plan_is_carried_into_its_first_bill() -> None:
    world = seats(("2024-05-02", 25), start="2024-06-16")
    # 20 × 2 + 5 × 3 = 55.00, half of it for the first half month; July's is paid in advance.
    assert bill(world, "2024-06-20") == [(RUNNING, "2024-06-16", "27.50"), (RUNNING, "2024-07-01", "55.00")]
    assert bill(world, "2024-07-20") == [(RUNNING, "2024-08-01", "55.00")]


def test_fewer_seats_give_back_what_the_bands_charged_for_them() -> None:
    world = seats(("2024-05-02", 25), ("2024-06-16", 19), running_total_bill_in_advance=False, start="2024-01-01")
    # From 55.00 to 38.00 is 17.00 a month, for 15 of 30 days.
    assert bill(world, "2024-06-10") == [(RUNNING, "2024-06-01", "55.00"), (CREDIT, "2024-06-16", "-8.50")]


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ("pro_rate_running_total", [(RUNNING, "20.00"), (DEBIT, "6.67"), (CREDIT, "-1.67")]),
        ("pro_rate_adjustment_debit", [(RUNNING, "13.33"), (DEBIT, "20.00"), (CREDIT, "-1.67")]),
        ("pro_rate_adjustment_credit", [(RUNNING, "13.33"), (DEBIT, "6.67"), (CREDIT, "-10.00")]),
    ],
)
def test_each_prorating_can_be_switched_off(switch: str, expected: list[tuple[str, str]]) -> None:
    levels = (("2024-06-01", 10), ("2024-06-21", 20), ("2024-06-26", 15))
    options = {"running_total_bill_in_advance": False, switch: False}
    world = seats(*levels, start="2024-06-11", end="2024-07-01", **options)
    assert [(kind, amount) for kind, _, amount in bill(world, "2024-06-20")] == expected


def test_several_changes_are_lines_of_their_own_and_no_change_is_none() -> None:
    world = seats(("2024-06-02", 3), ("2024-06-03", 3), ("2024-06-05", 0), ("2024-06-07", 4), **UNPRORATED)
    assert bill(world, "2024-06-20") == [
        (RUNNING, "2024-07-01", "8.00"),
        (DEBIT, "2024-06-02", "6.00"),
        (CREDIT, "2024-06-05", "-6.00"),
        (DEBIT, "2024-06-07", "8.00"),
    ]


def test_no_seats_cost_nothing_whatever_the_first_band_fixes() -> None:
    world = seats()
    world.counter_pricing("price", bands((0, 1, 29)), running_total_bill_in_advance=False)
    assert bill(world, "2024-06-10") == []
    world.level("2024-06-11", 1)
    world.level("2024-06-21", 0)
    assert bill(world, "2024-06-10") == [(DEBIT, "2024-06-11", "20.00"), (CREDIT, "2024-06-21", "-10.00")]


def test_the_plans_price_goes_before_the_templates_and_a_later_one_before_the_earlier() -> None:
    world = seats(("2024-05-01", 10), start="2024-01-01", running_total_bill_in_advance=False)
    template = next(each for each in world.order if each.value.kind == "plantemplate")
    world.counter_pricing("of the template", bands((0, 100)), plan_template_id=template.id)
    world.counter_pricing("later", bands((0, 4)), start_date=at("2024-06-16"), running_total_bill_in_advance=False)
    # 10 × 2 for 15 days and 10 × 4 for 15 days of 30.
    assert bill(world, "2024-06-20") == [(RUNNING, "2024-06-01", "10.00"), (RUNNING, "2024-06-16", "20.00")]


def test_a_total_that_is_not_prorated_is_charged_once_by_the_price_that_came_first() -> None:
    world = seats(("2024-05-01", 10), start="2024-01-01", running_total_bill_in_advance=False, **UNPRORATED)
    later = UNPRORATED | {"running_total_bill_in_advance": False, "start_date": at("2024-06-16")}
    world.counter_pricing("later", bands((0, 4)), **later)
    assert bill(world, "2024-06-20") == [(RUNNING, "2024-06-01", "20.00")]
    assert bill(world, "2024-07-20") == [(RUNNING, "2024-07-01", "40.00")]


def test_counters_count_towards_the_minimum_of_the_plan() -> None:
    world = seats(*JUNE)
    world.template(minimum_spend=Decimal(50))
    lines = amounts(lines_of(world.terms("2024-06-10"), always(None)))
    # 30.00 and 3.20 of June; July's running total counts for July.
    assert lines[-1] == ("MINIMUM_SPEND", "API Minimum Spend Adjustment", "16.80")
    july = amounts(lines_of(world.terms("2024-07-10"), always(None)))
    assert july[-1] == ("MINIMUM_SPEND", "API Minimum Spend Adjustment", "14.00")


def test_a_line_names_its_counter_and_tells_how_it_came_about() -> None:
    world = seats(*JUNE)
    running, _, debit = lines_of(world.terms("2024-06-10"), always(None))
    assert (debit.item.counter_id, debit.item.unit, debit.item.units) == (world.counter("seats").id, "seats", 3)
    assert debit.item.product_code == "api"
    assert explain_line(running.item, running.working).sentence == (
        "seats: 18 seats at the start, 18 × 2.00 = 36.00, 36.00 for 2024-07-01 to 2024-08-01, which is 36.00 USD"
    )
    told = explain_line(debit.item, debit.working)
    assert told.sentence == (
        "seats: from 15 to 18 seats on 2024-06-15: 36.00 − 30.00 = 6.00, 6.00 × 16/30 days = 3.20, which is 3.20 USD"
    )
    assert told.steps[0] == "On 2024-06-15 the level of seats goes from 15 seats (30.00) to 18 seats (36.00): 6.00."


def test_uses_name_the_levels_that_matter() -> None:
    world = seats(("2024-04-01", 1), ("2024-05-01", 2), *JUNE, ("2024-07-01", 3), start="2024-01-01")
    used = [each for each in uses_of(world.terms("2024-06-10")) if each.kind == "counteradjustment"]
    assert len(used) == 3  # the last one before June, and those in June
    assert {"counter", "counterpricing"} <= {each.kind for each in uses_of(world.terms("2024-06-10"))}


def test_levels_of_others_do_not_count() -> None:
    world = seats(*JUNE)
    world.counter("desks")
    world.level("2024-06-01", 99, counter="desks")
    assert bill(world, "2024-06-10") == bill(seats(*JUNE), "2024-06-10")


DAYS = st.dates(date(2024, 1, 1), date(2024, 4, 30))


def month_of(day: date) -> tuple[date, date]:
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


@settings(max_examples=60, deadline=None)
@given(
    levels=st.dictionaries(DAYS, st.integers(0, 60), max_size=6),
    start=st.dates(date(2024, 1, 1), date(2024, 2, 20)),
    length=st.integers(1, 90),
    change=st.none() | DAYS,
    advance=st.booleans(),
    cumulative=st.booleans(),
    zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]),
)
def test_bills_add_up_to_the_price_of_each_days_level(
    levels: dict[date, int],
    start: date,
    length: int,
    change: date | None,
    *,
    advance: bool,
    cumulative: bool,
    zone: str,
) -> None:
    """Independent count: every day of the plan costs the price of that day's level, over the days of its month."""
    end = start + timedelta(days=length)
    options = {"cumulative": cumulative, "running_total_bill_in_advance": advance}
    world = World()
    world.config(timezone=zone)
    world.template()
    world.plan()
    world.counter("seats")
    world.counter_pricing("price", SEATS, **options)
    other = bands((0, 5))
    offset = {"UTC": "Z", "America/New_York": "-05:00", "Asia/Kolkata": "+05:30"}[zone]
    midnight = "T00:00:00"
    if change:
        day = change if zone != "America/New_York" or change < date(2024, 3, 10) else date(2024, 3, 1)
        change = day
        world.counter_pricing("later", other, **options, start_date=at(f"{day}{midnight}{offset}"))
    world.account()
    summer = "-04:00" if zone == "America/New_York" and end > date(2024, 3, 10) else offset
    first = f"{start}{midnight}{offset}"
    world.account_plan(start=first, end_date=f"{end}{midnight}{summer}")
    for when, level in levels.items():
        world.level(str(when), level)
    billed = Fraction(0)
    for month in ("2024-01-05", "2024-02-05", "2024-03-05", "2024-04-05", "2024-05-05"):
        lines = lines_of(world.terms(month), always(None))
        for line in lines:
            (rounded,) = (step for step in line.working if type(step).__name__ == "Rounded")
            billed += Fraction(rounded.exact)
    expected = Fraction(0)
    day = start
    while day < end:
        level = max(((when, value) for when, value in levels.items() if when <= day), default=(day, 0))[1]
        opening, closing = month_of(day)
        price = price_by_hand(level, cumulative) if change is None or day < change else Fraction(5 * level)
        expected += price / (closing - opening).days
        day += timedelta(days=1)
    assert abs(billed - expected) < Fraction(1, 10**12)


def price_by_hand(level: int, cumulative: bool) -> Fraction:
    if not cumulative:
        return Fraction(level * (3 if level > 20 else 2))
    return Fraction(min(level, 20) * 2 + max(level - 20, 0) * 3)
