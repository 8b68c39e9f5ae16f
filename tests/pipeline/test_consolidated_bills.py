"""One bill for all of an account's billing periods that end together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from billing_desk import NOVEMBER, Desk

from billing_world import World, at, bands
from tallystick.core.bill import Bill, BillRecord, approve, lock
from tallystick.core.catalog import Plan
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]
YEAR_END = {"last_date_in_billing_period": date(2023, 12, 31)}


def world_of(*, consolidate: bool, in_advance: bool = False) -> World:
    """A plan by the week (on Mondays), one by the month with usage, one by the year."""
    world = World()
    world.config(consolidate_bills=consolidate)
    world.aggregation("calls")
    world.account()
    frequencies = (("Week", Frequency.WEEKLY, 7), ("Month", Frequency.MONTHLY, 30), ("Year", Frequency.ANNUALLY, 365))
    for name, frequency, fee in frequencies:
        template = world.template(
            name,
            world.product(name),
            bill_frequency=frequency,
            standing_charge=Decimal(fee),
            standing_charge_bill_in_advance=in_advance,
        )
        plan = world.plan(name, template)
        world.account_plan(plan)
        if name == "Month":
            world.pricing("price", bands((0, 1)), plan_id=plan.id)
    return world


def shown(bill: Bill) -> list[tuple[str | None, str]]:
    return [(line.product_name, str(line.subtotal)) for line in bill.line_items]


def verified(desk: Desk) -> bool:
    return all(verify_bill(desk.records, desk.usage, each).verified for each in desk.bill_records())


def test_periods_that_end_together_are_one_bill_as_long_as_the_longest(open_desk: Opener) -> None:
    desk = open_desk(world_of(consolidate=True))
    desk.use("acme", "2023-12-05", calls=5)
    assert desk.run(**YEAR_END).failures == ()
    (bill,) = desk.bills()
    assert (bill.billing_frequency, bill.bill_frequency_interval) == (Frequency.MIXED, 1)
    assert (bill.start_date, bill.end_date) == (date(2023, 1, 1), date(2024, 1, 1))
    assert shown(bill) == [("Month", "30.00"), ("Month", "5.00"), ("Year", "365.00")]  # the week ends on a Monday
    services = {line.product_name: str(line.service_period_start_date)[:10] for line in bill.line_items}
    assert services == {"Month": "2023-12-01", "Year": "2023-01-01"}
    assert verified(desk)


def test_a_frequency_of_the_job_chooses_bills_and_not_lines(open_desk: Opener) -> None:
    desk = open_desk(world_of(consolidate=True))
    desk.run(**YEAR_END, billing_frequency=Frequency.MONTHLY)
    assert [shown(bill) for bill in desk.bills()] == [[("Month", "30.00"), ("Year", "365.00")]]
    before = desk.bodies()
    desk.run(**YEAR_END, billing_frequency=Frequency.ANNUALLY)
    desk.run(**YEAR_END)
    assert desk.bodies() == before
    assert desk.run(**YEAR_END, billing_frequency=Frequency.WEEKLY).total == 0


def test_a_longer_plan_that_comes_later_joins_the_same_bill(open_desk: Opener) -> None:
    world = world_of(consolidate=True)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    (before,) = desk.bills()
    quarter = world.template(
        "Quarter",
        world.product("Quarter"),
        bill_frequency=Frequency.MONTHLY,
        bill_frequency_interval=11,
        standing_charge=Decimal(90),
    )
    world.account_plan(world.plan("Quarter", quarter), bill_epoch=date(2023, 1, 1))
    desk.save()
    desk.run(**NOVEMBER)
    (after,) = desk.bills()
    assert (after.id, after.version) == (before.id, before.version + 1)
    assert shown(after) == [("Month", "30.00"), ("Quarter", "90.00")]
    desk.recalculate([after.id])
    assert shown(desk.bills()[0]) == shown(after)
    assert verified(desk)


@pytest.mark.parametrize("in_advance", [True, False])
def test_consolidated_bills_come_to_what_single_ones_do(open_desk: Opener, *, in_advance: bool) -> None:
    totals = []
    for consolidate in (True, False):
        desk = open_desk(world_of(consolidate=consolidate, in_advance=in_advance))
        desk.use("acme", "2023-12-05", calls=5)
        day = date(2023, 11, 25)
        while day <= date(2024, 1, 5):
            desk.run(last_date_in_billing_period=day)
            day += timedelta(days=1)
        bills = desk.bills()
        totals.append(sum(bill.bill_total for bill in bills))
        lines = [
            (line.product_name, line.service_period_start_date)
            for bill in bills
            for line in bill.line_items
            if line.line_item_type == "STANDING_CHARGE"
        ]
        assert len(lines) == len(set(lines))
        if consolidate:
            assert {bill.billing_frequency for bill in bills} == {Frequency.MIXED}
            assert all(one != other for one, other in pairwise(sorted(bill.end_date for bill in bills)))
        assert verified(desk)
    assert totals[0] == totals[1]


def test_a_charge_stands_on_the_bill_that_ends_first_after_its_day(open_desk: Opener) -> None:
    world = world_of(consolidate=True)
    world.charge("Set-up", 99, day="2023-12-27")
    desk = open_desk(world)
    desk.run(**YEAR_END)
    desk.run(last_date_in_billing_period=date(2024, 1, 1))  # a Monday
    assert [any(line.charge_id for line in bill.line_items) for bill in desk.bills()] == [False, True]
    assert verified(desk)


def test_bills_of_before_the_switch_stay_as_they_are(open_desk: Opener) -> None:
    world = world_of(consolidate=False)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    before = desk.bodies()
    world.add(OrganizationConfig(consolidate_bills=True), "config")
    desk.save()
    desk.recalculate(before)
    assert [bill.billing_frequency for bill in desk.bills()] == [Frequency.MONTHLY]
    assert verified(desk)


# ------------------------------------------------------------------------------------------------ paid in advance


def close(desk: Desk, end: str) -> None:
    """Lock the bill that ends on a day."""
    record = next(each for each in desk.bill_records() if str(each.bill.end_date) == end)
    bill = lock(approve(record.bill, by="ada", at=at("2024-03-01")), by="ada", at=at("2024-03-01"))
    desk.put(BillRecord(bill=bill, workings=record.workings, evidence=record.evidence))


def charged(desk: Desk, end: str) -> list[tuple[str | None, str, str]]:
    """(product, service, amount) of the lines of the bill that ends on a day, usage left out."""
    (bill,) = [each for each in desk.bills() if str(each.end_date) == end]
    return [
        (line.product_name, f"{str(line.service_period_start_date)[:10]}", str(line.subtotal))
        for line in bill.line_items
        if line.line_item_type == "STANDING_CHARGE"
    ]


def ended(world: World, product: str, day: str) -> None:
    """The account plan of a product ends on a day."""
    (plan,) = [each for each in world.of(Plan).values() if each.value.name == product]
    world.account_plan(plan, end_date=day)


def test_a_closed_consolidated_bill_that_charged_in_advance_is_put_right(open_desk: Opener) -> None:
    """The bill that ended with November charged December in advance, 30 for the month; the plan ends on the 11th."""
    world = world_of(consolidate=True, in_advance=True)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    assert charged(desk, "2023-12-01") == [("Month", "2023-12-01", "30.00")]
    close(desk, "2023-12-01")
    ended(world, "Month", "2023-12-11")
    desk.save()
    desk.run(**YEAR_END)
    # 10 of 31 days of 30.00 are 9.68, of which 30.00 were paid. The first year had no bill before it.
    years = [("Year", "2023-01-01", "365.00"), ("Year", "2024-01-01", "365.00")]
    assert charged(desk, "2024-01-01") == [*years, ("Month", "2023-12-11", "-20.32")]
    assert verified(desk)
    before = desk.bodies()
    desk.run(**YEAR_END)
    assert desk.bodies() == before


def test_each_plan_is_put_right_on_the_bill_of_its_own_period(open_desk: Opener) -> None:
    """The bill that ended with 2023 charged January and the year 2024 in advance; both plans end early in 2024."""
    world = world_of(consolidate=True, in_advance=True)
    desk = open_desk(world)
    desk.run(**YEAR_END)
    assert charged(desk, "2024-01-01") == [
        ("Month", "2024-01-01", "30.00"),
        ("Year", "2023-01-01", "365.00"),
        ("Year", "2024-01-01", "365.00"),
    ]
    close(desk, "2024-01-01")
    ended(world, "Month", "2024-01-11")
    ended(world, "Year", "2024-01-01")
    desk.save()
    desk.run("2024-02-01T06:00:00Z", last_date_in_billing_period=date(2024, 1, 31))
    assert charged(desk, "2024-02-01") == [("Month", "2024-01-11", "-20.32")]
    desk.run("2025-01-01T06:00:00Z", last_date_in_billing_period=date(2024, 12, 31))
    assert ("Year", "2024-01-01", "-365.00") in charged(desk, "2025-01-01")
    assert verified(desk)


def test_the_bill_is_made_though_no_plan_is_in_force_any_more(open_desk: Opener) -> None:
    world = world_of(consolidate=True, in_advance=True)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    close(desk, "2023-12-01")
    for product in ("Week", "Month", "Year"):
        ended(world, product, "2023-12-01")
    desk.save()
    desk.run(**YEAR_END)
    assert ("Month", "2023-12-01", "-30.00") in charged(desk, "2024-01-01")
    assert verified(desk)


@pytest.mark.parametrize("consolidate_then", [True, False])
def test_the_switch_loses_nothing_that_was_paid_in_advance(open_desk: Opener, *, consolidate_then: bool) -> None:
    world = world_of(consolidate=not consolidate_then, in_advance=True)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    close(desk, "2023-12-01")
    ended(world, "Month", "2023-12-11")
    world.config(consolidate_bills=consolidate_then)
    desk.save()
    desk.run(**YEAR_END)
    refunds = [line for bill in desk.bills() for line in bill.line_items if line.subtotal < 0]
    assert [(line.product_name, str(line.subtotal)) for line in refunds] == [("Month", "-20.32")]
    assert verified(desk)


def test_an_open_consolidated_bill_is_made_again(open_desk: Opener) -> None:
    world = world_of(consolidate=True, in_advance=True)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    ended(world, "Month", "2023-12-11")
    desk.save()
    desk.run(**YEAR_END)
    assert charged(desk, "2023-12-01") == [("Month", "2023-12-01", "9.68")]
    assert all(line[2] != "-20.32" for line in charged(desk, "2024-01-01"))


@pytest.mark.parametrize("consolidate_then", [True, False])
def test_what_is_prolonged_is_charged_on_an_open_bill_of_before_the_switch(
    open_desk: Opener, *, consolidate_then: bool
) -> None:
    world = world_of(consolidate=not consolidate_then, in_advance=True)
    ended(world, "Month", "2023-12-01")
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    ended(world, "Month", "2024-01-01")
    world.config(consolidate_bills=consolidate_then)
    desk.save()
    desk.run(**YEAR_END)
    months = [line for bill in desk.bills() for line in bill.line_items if line.product_name == "Month"]
    assert [str(line.service_period_start_date)[:10] for line in months if line.subtotal] == ["2023-12-01"]
    assert verified(desk)
