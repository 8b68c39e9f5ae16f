"""Gauges and correlated events in real bill runs: they reach over the ends of months, and replay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from billing_desk import Desk

from billing_world import World, bands
from tallystick.core.aggregation import Method, TimeUnit
from tallystick.core.explain import explain_bill
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]
MONTHS = {"september": date(2023, 9, 30), "october": date(2023, 10, 31), "november": date(2023, 11, 30)}


def storage(pricing: dict[str, object] | None = None, **aggregation: object) -> World:
    world = World()
    meter = world.meter("storage", ("gigabytes",), ("bucket",))
    given = {"aggregation": Method.TIME_WEIGHTED_SUM, "time_unit": TimeUnit.DAY, "gauge_field": "bucket"}
    world.aggregation("stored", meter, target_field="gigabytes", **given | aggregation)
    world.plan()
    world.pricing("price", bands((0, "0.01")), **(pricing or {}))
    world.account()
    world.account_plan(start="2023-09-01")
    return world


def store(desk: Desk, when: str, gigabytes: int, bucket: str = "photos", account: str = "acme") -> None:
    desk.use(account, when, meter="storage", texts={"bucket": bucket}, gigabytes=gigabytes)


def billed(desk: Desk) -> list[str]:
    """The totals of three months, whose bills explain themselves and stand up to a replay."""
    for month in MONTHS.values():
        desk.run(last_date_in_billing_period=month)
    found = desk.bill_records()
    for record in found:
        assert len(explain_bill(record)) == len(record.bill.line_items)
        result = verify_bill(desk.records, desk.usage, record)
        assert result.verified, result.difference
    return [str(record.bill.bill_total) for record in found]


def test_what_is_stored_is_billed_until_it_is_deleted(open_desk: Opener) -> None:
    desk = open_desk(storage())
    store(desk, "2023-09-11", 100)  # 20 of 30 days, then all of October without a word, then 14 days
    store(desk, "2023-11-15", 0)
    assert billed(desk) == ["20.00", "31.00", "14.00"]


def test_what_ended_before_is_not_on_the_bill(open_desk: Opener) -> None:
    desk = open_desk(storage())
    store(desk, "2023-09-11", 100)
    store(desk, "2023-09-21", 0)
    for month in MONTHS.values():
        desk.run(last_date_in_billing_period=month)
    assert [len(bill.line_items) for bill in desk.bills()] == [1, 0, 0]


@pytest.mark.parametrize(
    ("aggregation", "totals"),
    [
        ({"aggregation": Method.TIME_WEIGHTED_MEAN, "time_unit": None}, ["2.00", "3.10", "4.00"]),
        ({"time_unit": TimeUnit.PERIOD}, ["2.00", "3.10", "4.00"]),
        ({"time_unit": TimeUnit.HOUR}, ["1440.00", "2306.40", "2880.00"]),
        ({"aggregation": Method.LATEST, "carry_forward": True, "time_unit": None}, ["3.00", "4.00", "4.00"]),
    ],
)
def test_each_method(open_desk: Opener, aggregation: dict[str, object], totals: list[str]) -> None:
    """300 GB for 20 of September's 30 days, then for 27.9 of October's 31, when they become 400: 310 on average."""
    desk = open_desk(storage(**aggregation))
    store(desk, "2023-09-11", 300)
    store(desk, "2023-10-28T21:36:00Z", 400)  # 3.1 days before November
    assert billed(desk) == totals


def test_tiers_that_span_the_plan_count_on(open_desk: Opener) -> None:
    spanning = {"cumulative": True, "tiers_span_plan": True, "pricing_bands": bands((0, "0.01"), (4000, "0.001"))}
    desk = open_desk(storage(spanning))
    store(desk, "2023-09-01", 100)  # 3,000 GB-days, then 3,100 of which 1,000 are in the first band, then 3,000
    assert billed(desk) == ["30.00", "12.10", "3.00"]


def test_a_gauge_told_of_late_does_not_change_a_replay(open_desk: Opener) -> None:
    desk = open_desk(storage())
    store(desk, "2023-09-11", 100)
    assert billed(desk) == ["20.00", "31.00", "30.00"]
    store(desk, "2023-08-01", 7, bucket="backups")
    for record in desk.bill_records():
        assert verify_bill(desk.records, desk.usage, record).verified
    desk.recalculate([bill.id for bill in desk.bills()])
    totals = [bill.bill_total for bill in desk.bills()]
    assert totals == [Decimal("22.10"), Decimal("33.17"), Decimal("32.10")]


def test_a_plan_that_starts_later_takes_over_what_is_held(open_desk: Opener) -> None:
    world = storage()
    world.account("globex")
    world.account_plan(account="globex", start="2023-11-21")
    desk = open_desk(world)
    store(desk, "2023-08-01", 50, account="globex")
    desk.run(last_date_in_billing_period=MONTHS["november"])
    assert [str(bill.bill_total) for bill in desk.bills() if bill.account_code == "globex"] == ["5.00"]


def test_attempts_across_the_end_of_a_month_are_billed_once(open_desk: Opener) -> None:
    world = World()
    meter = world.meter("payments", ("amount",), ("payment",))
    world.aggregation(
        "transactions",
        meter,
        target_field="amount",
        aggregation=Method.CORRELATED_COUNT,
        correlation_field="payment",
        success_filter="amount > 0",
        window_seconds=3600,
    )
    world.plan()
    world.pricing("price", bands((0, 1), (2, "0.5")), cumulative=True, tiers_span_plan=True)
    world.account()
    world.account_plan(start="2023-09-01")
    desk = open_desk(world)
    for when, amount, payment in (
        ("2023-09-30T23:50:00Z", 5, "a"),  # paid in September, reported again in October
        ("2023-10-01T00:10:00Z", 5, "a"),
        ("2023-10-31T23:50:00Z", 0, "b"),  # failed in October, paid in November
        ("2023-11-01T00:10:00Z", 5, "b"),
        ("2023-11-02T00:10:00Z", 5, "c"),
    ):
        desk.use("acme", when, meter="payments", texts={"payment": payment}, amount=amount)
    assert billed(desk) == ["1.00", "0.00", "1.50"]
