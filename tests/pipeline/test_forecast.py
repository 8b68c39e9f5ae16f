"""Forecasts: the bill of the open period, had it gone on at the same pace."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from billing_desk import ADA, Desk, calls_world

from billing_world import World, at, id_of
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillJobRequest
from tallystick.pipeline.forecast import forecast_bills
from tallystick.pipeline.preview import preview_bill

Opener = Callable[[World], Desk]
ACME = id_of("account", "acme")


def forecast(desk: Desk, now: str) -> list[str]:
    mark = desk.usage_store.mark
    made = forecast_bills(desk.records, desk.usage, ACME, now=at(now), up_to=mark)
    bills = [each.bill for each in made if isinstance(each, BillRecord)]
    assert len(bills) == len(made)
    return [str(bill.bill_total) for bill in bills]


@pytest.mark.parametrize(
    ("now", "total"),
    [
        ("2023-11-11T00:00:00Z", "35.00"),  # 10 of 30 days: 100 calls become 300 at 0.10, and 5.00
        ("2023-11-16T00:00:00Z", "25.00"),  # half of the month: 200
        ("2023-11-21T00:00:00Z", "20.00"),  # two thirds: 150
        ("2023-11-02T00:00:00Z", "305.00"),  # a day: 3,000
    ],
)
def test_what_adds_up_goes_on_as_before(open_desk: Opener, now: str, total: str) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-01", calls=100)
    assert forecast(desk, now) == [total]


def test_of_a_period_that_has_only_begun_nothing_is_said(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-01", calls=100)
    assert forecast(desk, "2023-11-01T05:59:59Z") == []
    assert forecast(desk, "2023-11-01T06:00:00Z") == ["1205.00"]  # a quarter of a day: 100 × 120


def test_without_usage_it_is_what_is_charged_anyway(open_desk: Opener) -> None:
    assert forecast(open_desk(calls_world()), "2023-11-11T00:00:00Z") == ["5.00"]


def test_nothing_is_kept_and_what_is_asked_next_is_not_grown(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-01", calls=100)

    def seen() -> Decimal:
        request = BillJobRequest(account_ids=(ACME,))
        found = preview_bill(
            desk.records,
            desk.usage,
            request,
            actor=ADA,
            now=at("2023-11-11T00:00:00Z"),
            up_to=desk.usage_store.mark,
        )
        return found.bill.bill_total

    assert seen() == Decimal("15.00")
    assert forecast(desk, "2023-11-11T00:00:00Z") == ["35.00"]
    assert seen() == Decimal("15.00")
    assert desk.bodies() == {}
