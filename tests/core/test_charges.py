"""Standing charges and minimums: prorating, intervals, arrears and advance. Amounts are reckoned by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from billing_world import World, always, amounts, at, bands, lines_of
from tallystick.core.catalog import PricingType
from tallystick.core.period import Frequency, local_day
from tallystick.core.quantity import total
from tallystick.core.rating import RatedLine


def fee(start: str = "2023-01-01", end: str | None = None, **template: Any) -> World:
    world = World()
    world.template(**({"standing_charge": Decimal(310)} | template))
    world.plan()
    world.account()
    world.account_plan(start=start, **({"end_date": end} if end else {}))
    return world


def served(lines: tuple[RatedLine, ...], zone: str = "UTC") -> list[tuple[str, str, str]]:
    """(type, first day served, amount) of each line."""
    return [
        (
            str(line.item.line_item_type),
            str(local_day(line.item.service_period_start_date, zone)) if line.item.service_period_start_date else "",
            str(line.item.converted_subtotal),
        )
        for line in lines
    ]


@pytest.mark.parametrize(
    ("start", "end", "day", "amount"),
    [
        ("2023-01-01", None, "2023-01-10", "310.00"),
        ("2023-01-31", None, "2023-01-31", "10.00"),  # 1 of 31 days
        ("2023-01-01", "2023-01-02", "2023-01-10", "10.00"),
        ("2023-01-11", "2023-01-21", "2023-01-10", "100.00"),
        ("2023-02-01", "2023-02-15", "2023-02-10", "155.00"),  # 14 of 28
        ("2024-02-15", None, "2024-02-20", "160.34"),  # 15 of 29
        ("2023-01-31T23:59:00Z", None, "2023-01-10", "10.00"),  # the day that it starts on counts
        ("2023-01-01", "2023-01-11T10:00:00Z", "2023-01-10", "100.00"),  # the day that it ends on does not
    ],
)
def test_standing_charge_is_prorated_by_days(start: str, end: str | None, day: str, amount: str) -> None:
    assert amounts(lines_of(fee(start, end).terms(day), always(None))) == [
        ("STANDING_CHARGE", "Standing Charge", amount)
    ]


def test_prorated_days_are_those_of_the_time_zone_over_the_clock_change() -> None:
    """March 2023 in Berlin has 31 days, although one has 23 hours."""
    world = fee("2023-03-25T23:00:00Z")  # 26 March, 00:00 in Berlin
    world.config(timezone="Europe/Berlin")
    lines = lines_of(world.terms("2023-03-26"), always(None))
    assert served(lines, "Europe/Berlin") == [("STANDING_CHARGE", "2023-03-26", "60.00")]


@pytest.mark.parametrize(
    ("interval", "offset", "charged"),
    [
        (1, 0, [1, 2, 3, 4, 5, 6]),
        (1, 2, [3, 4, 5, 6]),
        (2, 0, [1, 3, 5]),
        (2, 1, [2, 4, 6]),
        (3, 0, [1, 4]),
        (3, 5, [6]),
    ],
)
def test_interval_and_offset_count_bills_from_the_first_of_the_account_plan(
    interval: int, offset: int, charged: list[int]
) -> None:
    world = fee("2023-01-20", standing_charge_interval=interval, standing_charge_offset=offset)
    months = [month for month in range(1, 7) if lines_of(world.terms(f"2023-{month:02}-25"), always(None))]
    assert months == charged


def test_quarterly_bills_with_interval_2_and_offset_1_charge_first_at_month_six() -> None:
    world = fee(bill_frequency_interval=3, standing_charge_interval=2, standing_charge_offset=1)
    quarters = [bool(lines_of(world.terms(f"2023-{month:02}-01"), always(None))) for month in (1, 4, 7, 10)]
    assert quarters == [False, True, False, True]


@pytest.mark.parametrize(
    ("organization", "template", "plan", "advance"),
    [
        (True, None, None, True),
        (True, False, None, False),
        (False, True, None, True),
        (False, True, False, False),
        (True, False, True, True),
    ],
)
def test_plan_goes_before_template_and_template_before_organization(
    organization: bool, template: bool | None, plan: bool | None, advance: bool
) -> None:
    world = fee(standing_charge_bill_in_advance=template)
    world.config(standing_charge_bill_in_advance=organization)
    world.plan(standing_charge=Decimal(40), standing_charge_bill_in_advance=plan, standing_charge_description="Seat")
    lines = lines_of(world.terms("2023-03-05"), always(None))
    assert served(lines) == [("STANDING_CHARGE", "2023-04-01" if advance else "2023-03-01", "40.00")]
    assert lines[0].item.description == "Seat"


def test_in_advance_each_period_is_charged_exactly_once() -> None:
    """From 16 January to 10 April: January stands on its own bill, every other month on the bill before it."""
    world = fee("2023-01-16", "2023-04-11", standing_charge_bill_in_advance=True)
    bills = {month: served(lines_of(world.terms(f"2023-{month:02}-05"), always(None))) for month in range(1, 5)}
    assert bills == {
        1: [("STANDING_CHARGE", "2023-01-16", "160.00"), ("STANDING_CHARGE", "2023-02-01", "310.00")],
        2: [("STANDING_CHARGE", "2023-03-01", "310.00")],
        3: [("STANDING_CHARGE", "2023-04-01", "103.33")],  # 10 of 30 days
        4: [],
    }


@pytest.mark.parametrize("advance", [False, True])
@pytest.mark.parametrize("frequency", [Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY])
def test_in_advance_and_in_arrears_charge_the_same_over_the_life_of_a_plan(advance: bool, frequency: Frequency) -> None:
    world = fee(
        "2023-01-03",
        "2023-02-20",
        standing_charge_bill_in_advance=advance,
        bill_frequency=frequency,
        standing_charge=Decimal(28 * 31),
    )
    grid = world.terms("2023-01-03").account_plans[0].grid
    bills = [
        lines_of(world.terms(str(local_day(period.start, "UTC"))), always(None))
        for period in grid.between(at("2023-01-03"), at("2023-02-20"))
    ]
    charged = sorted(line.item.service_period_start_date for bill in bills for line in bill)  # type: ignore[type-var]  # every line has one
    assert len(charged) == len(set(charged)) == len(bills)
    assert charged[0] == at("2023-01-03")


def test_standing_charge_of_zero_gives_no_line() -> None:
    assert lines_of(fee(standing_charge=Decimal(0)).terms("2023-03-05"), always(None)) == ()


# ------------------------------------------------------------------------------------------------------ minimums


def minimum(start: str = "2023-01-01", end: str | None = None, price: Any = None, **template: Any) -> World:
    world = World()
    world.template(**template)
    world.plan()
    world.aggregation("calls")
    world.pricing("price", bands((0, "1.00")), **(price or {}))
    world.account()
    world.account_plan(start=start, **({"end_date": end} if end else {}))
    return world


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (7500, [("USAGE", "7500.00"), ("MINIMUM_SPEND", "2500.00")]),
        (10000, [("USAGE", "10000.00")]),
        (12000, [("USAGE", "12000.00")]),
        (None, [("MINIMUM_SPEND", "10000.00")]),
    ],
)
def test_minimum_tops_up_what_is_missing(used: int | None, expected: list[tuple[str, str]]) -> None:
    lines = lines_of(minimum(minimum_spend=Decimal(10000)).terms("2023-03-05"), always(used))
    assert [(kind, amount) for kind, _, amount in amounts(lines)] == expected
    assert all(line.item.description != "API Minimum Spend Adjustment" for line in lines[:-1])


def test_minimum_counts_the_standing_charge_and_is_prorated_like_it() -> None:
    """16 of 31 days: 500 × 16/31 = 258.06 of minimum; 31 × 16/31 = 16.00 of fee and 100 of usage count."""
    world = minimum("2023-01-16", minimum_spend=Decimal(500), standing_charge=Decimal(31))
    assert amounts(lines_of(world.terms("2023-01-20"), always(100))) == [
        ("STANDING_CHARGE", "Standing Charge", "16.00"),
        ("USAGE", "calls", "100.00"),
        ("MINIMUM_SPEND", "API Minimum Spend Adjustment", "142.06"),
    ]


def test_minimum_counts_the_standing_charge_of_its_own_period_also_when_that_was_paid_in_advance() -> None:
    world = minimum(minimum_spend=Decimal(500), standing_charge=Decimal(100), standing_charge_bill_in_advance=True)
    lines = lines_of(world.terms("2023-03-05"), always(50))
    assert served(lines) == [
        ("STANDING_CHARGE", "2023-04-01", "100.00"),
        ("USAGE", "2023-03-01", "50.00"),
        ("MINIMUM_SPEND", "2023-03-01", "350.00"),
    ]


@pytest.mark.parametrize(("used", "paid"), [(0, "1000.00"), (800, "1000.00"), (1000, "1000.00"), (1500, "1500.00")])
def test_minimum_in_advance_lets_the_customer_pay_the_larger_of_minimum_and_charges(used: int, paid: str) -> None:
    """Over the life of the plan, one month: what was paid for February is max(minimum, charges of February)."""
    world = minimum(
        "2023-02-01",
        "2023-03-01",
        minimum_spend=Decimal(1000),
        minimum_spend_bill_in_advance=True,
        minimum_spend_description="Commitment",
    )
    lines = lines_of(world.terms("2023-02-05"), always(used))
    assert f"{total(line.item.subtotal for line in lines):.2f}" == paid
    assert {line.item.description for line in lines[1:]} <= {"Commitment"}


def test_minimum_in_advance_stands_on_the_bill_before_its_period_and_is_refunded_on_its_own() -> None:
    world = minimum(minimum_spend=Decimal(1000), minimum_spend_bill_in_advance=True)
    first, second = (lines_of(world.terms(day), always(800)) for day in ("2023-01-05", "2023-02-05"))
    assert served(first) == [
        ("USAGE", "2023-01-01", "800.00"),
        ("MINIMUM_SPEND", "2023-01-01", "1000.00"),
        ("MINIMUM_SPEND", "2023-02-01", "1000.00"),
        ("MINIMUM_SPEND_REFUND", "2023-01-01", "-800.00"),
    ]
    assert served(second) == [
        ("USAGE", "2023-02-01", "800.00"),
        ("MINIMUM_SPEND", "2023-03-01", "1000.00"),
        ("MINIMUM_SPEND_REFUND", "2023-02-01", "-800.00"),
    ]


def test_minimum_of_a_pricing_tops_up_its_own_usage_and_counts_for_the_plan() -> None:
    world = minimum(price={"minimum_spend": Decimal(300)}, minimum_spend=Decimal(500))
    assert amounts(lines_of(world.terms("2023-03-05"), always(100))) == [
        ("USAGE", "calls", "100.00"),
        ("MINIMUM_SPEND", "calls Minimum Spend Adjustment", "200.00"),
        ("MINIMUM_SPEND", "API Minimum Spend Adjustment", "200.00"),
    ]


def test_minimum_of_a_pricing_is_prorated_by_the_days_that_it_holds() -> None:
    price = {"minimum_spend": Decimal(310), "start_date": at("2023-03-11"), "minimum_spend_description": "Base"}
    lines = lines_of(minimum(price=price).terms("2023-03-05"), always(None))
    assert amounts(lines) == [("MINIMUM_SPEND", "Base", "210.00")]  # 21 of 31 days


def test_minimum_of_a_pricing_in_advance() -> None:
    price = {"minimum_spend": Decimal(300), "minimum_spend_bill_in_advance": True}
    assert served(lines_of(minimum(price=price).terms("2023-03-05"), always(100))) == [
        ("USAGE", "2023-03-01", "100.00"),
        ("MINIMUM_SPEND", "2023-04-01", "300.00"),
        ("MINIMUM_SPEND_REFUND", "2023-03-01", "-100.00"),
    ]


def test_credit_does_not_count_against_a_minimum_but_may_give_it_back() -> None:
    world = minimum(price={"type": PricingType.PRODUCT_CREDIT}, minimum_spend=Decimal(500))
    assert amounts(lines_of(world.terms("2023-03-05"), always(600))) == [
        ("USAGE_CREDIT", "calls", "-500.00"),
        ("MINIMUM_SPEND", "API Minimum Spend Adjustment", "500.00"),
    ]


def test_plan_minimum_goes_before_that_of_the_template() -> None:
    world = minimum(minimum_spend=Decimal(500))
    world.plan(minimum_spend=Decimal(50))
    assert amounts(lines_of(world.terms("2023-03-05"), always(10)))[-1][2] == "40.00"


def test_lines_are_in_order_of_product_then_plan() -> None:
    world = World()
    for name in ("Zebra", "Apple"):
        plan = world.plan(name, world.template(name, world.product(name), standing_charge=Decimal(1)))
        world.account_plan(plan)
    world.account()
    assert [line.item.product_name for line in lines_of(world.terms("2023-03-05"), always(None))] == ["Apple", "Zebra"]


def test_service_period_follows_the_billing_epoch() -> None:
    world = fee("2023-01-01")
    world.account(bill_epoch=date(2022, 1, 15))
    (line,) = lines_of(world.terms("2023-02-01"), always(None))
    assert (line.item.service_period_start_date, line.item.service_period_end_date) == (
        at("2023-01-15"),
        at("2023-02-15"),
    )
