"""What comes after its bill: on the next one or only reported, by the policy of its meter; and where it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from billing_desk import Desk, calls_world

from billing_world import World, at, bands, id_of
from tallystick.core.bill import approve, lock
from tallystick.core.late_policy import LatePolicy, OnClosedBill, policies_of
from tallystick.core.organization import LateUsage
from tallystick.pipeline.late_report import late_usage_of
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import UsageRow
from tallystick.ports.usage import ArrivalQuery

Opener = Callable[[World], Desk]
LAST_DAYS = {month: date(2023, month + 1, 1) - timedelta(days=1) for month in range(1, 12)}


def two_meters(**policies: Any) -> World:
    """Calls at 0.10 and pages at 0.01; a policy by the name of its meter, or of the `organisation`."""
    world = calls_world()
    pages = world.meter("pages", fields=("pages",))
    world.aggregation("pages", pages, target_field="pages")
    world.pricing("price of pages", bands((0, "0.01")), aggregation_id=id_of("aggregation", "pages"))
    for name, given in policies.items():
        meter_id = None if name == "organisation" else id_of("meter", name)
        world.add(LatePolicy(meter_id=meter_id, **given), f"policy of {name}")
    return world


def used(desk: Desk, meter: str, day: str, number: int, received: str | None = None) -> None:
    position = desk.usage_store.mark + 1
    row = UsageRow(
        position=position,
        organization_id=desk.world.organization_id,
        meter_id=id_of("meter", meter),
        account_id=id_of("account", "acme"),
        uid=str(position),
        ts=at(day),
        ets=None,
        received=at(received or day),
        numbers={"calls" if meter == "requests" else "pages": Decimal(number)},
        texts={},
    )
    desk.usage_store.add([row], position)


def run(desk: Desk, month: int) -> dict[str, str]:
    """Bill a month of 2023; the adjustments on acme's bill by what they are for."""
    desk.run(f"2023-{month + 1:02}-01T06:00:00Z", last_date_in_billing_period=LAST_DAYS[month])
    (record,) = [each for each in desk.bill_records() if each.bill.start_date.month == month]
    lines = [line for line in record.bill.line_items if line.line_item_type == "MANUAL_ADJUSTMENT"]
    return {line.description.partition(",")[0]: str(line.converted_subtotal) for line in lines}


def finish(desk: Desk, month: int, *, locked: bool = True) -> None:
    (record,) = [each for each in desk.bill_records() if each.bill.start_date.month == month]
    bill = approve(record.bill, by="ada", at=at("2023-12-24"))
    desk.put(msgspec.structs.replace(record, bill=lock(bill, by="ada", at=at("2023-12-24")) if locked else bill))


def report(desk: Desk) -> list[tuple[int, str, int, int, str]]:
    """(month, meter, late, after the bill, outcome) of acme's bills."""
    names = {id_of("meter", name): name for name in ("requests", "pages")}
    return [
        (each.start_date.month, names[each.meter_id], each.late, each.after_bill, each.outcome.value)
        for each in late_usage_of(desk.records, desk.usage, desk.bill_records())
    ]


REPORT = {"on_closed_bill": OnClosedBill.REPORT}
ADJUST = {"on_closed_bill": OnClosedBill.ADJUST_NEXT_BILL}
CASES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {"calls": "5.00", "pages": "2.00"}),
    ({"organisation": REPORT}, {}),
    ({"pages": REPORT}, {"calls": "5.00"}),
    ({"organisation": REPORT, "pages": ADJUST}, {"pages": "2.00"}),
]


@pytest.mark.parametrize(("policies", "adjusted"), CASES)
def test_late_usage_of_a_final_bill_is_billed_or_only_reported_by_meter(
    open_desk: Opener, policies: dict[str, Any], adjusted: dict[str, str]
) -> None:
    """After January is locked come 50 calls at 0.10 and 200 pages at 0.01."""
    desk = open_desk(two_meters(**policies))
    used(desk, "requests", "2023-01-10", 100)
    used(desk, "pages", "2023-01-10", 100)
    run(desk, 1)
    finish(desk, 1)
    used(desk, "requests", "2023-01-20", 50, "2023-02-03")
    used(desk, "pages", "2023-01-20", 200, "2023-02-03")
    assert run(desk, 2) == adjusted
    outcomes = {meter: outcome for month, meter, *_, outcome in report(desk) if month == 1}
    names = {"requests": "calls", "pages": "pages"}
    assert outcomes == {meter: "ADJUSTED" if name in adjusted else "REPORTED" for meter, name in names.items()}
    assert all(verify_bill(desk.records, desk.usage, each).verified for each in desk.bill_records())


def test_an_approved_bill_is_as_final_as_the_organisation_has_it(open_desk: Opener) -> None:
    world = two_meters(requests=REPORT)
    world.config(late_usage=LateUsage.ADJUST_NEXT_BILL)
    desk = open_desk(world)
    used(desk, "requests", "2023-01-10", 100)
    run(desk, 1)
    finish(desk, 1, locked=False)
    used(desk, "requests", "2023-01-20", 50, "2023-02-03")
    assert run(desk, 2) == {}
    assert report(desk) == [(1, "requests", 1, 1, "REPORTED")]


def test_the_report_says_where_what_came_late_was_billed(open_desk: Opener) -> None:
    desk = open_desk(two_meters(organisation={"allowance_minutes": 60}))
    used(desk, "requests", "2023-01-10", 100)
    used(desk, "requests", "2023-01-31T23:59:00Z", 1, "2023-02-01T00:59:59.999999Z")  # within the allowance
    used(desk, "requests", "2023-01-31T23:59:00Z", 1, "2023-02-01T01:00:00Z")
    run(desk, 1)
    assert report(desk) == [(1, "requests", 1, 0, "ON_THE_BILL")]
    used(desk, "requests", "2023-01-20", 50, "2023-02-03")
    assert report(desk) == [(1, "requests", 2, 1, "NEXT_CALCULATION")]
    finish(desk, 1)
    assert report(desk) == [(1, "requests", 2, 1, "NEXT_BILL")]
    run(desk, 2)
    assert report(desk) == [(1, "requests", 2, 1, "ADJUSTED")]
    (line,) = late_usage_of(desk.records, desk.usage, desk.bill_records())
    february = next(each.bill.id for each in desk.bill_records() if each.bill.start_date.month == 2)
    assert [(each.bill_id, each.amount) for each in line.adjusted_on] == [(february, Decimal(5))]
    assert line.last_received == at("2023-02-03")


def test_bills_of_a_period_are_asked_about_together(open_desk: Opener) -> None:
    names = [f"a{number}" for number in range(12)]
    desk = open_desk(calls_world(*names))
    for name in names:
        desk.use(name, "2023-01-10", calls=1)
    desk.run("2023-02-01T06:00:00Z", last_date_in_billing_period=LAST_DAYS[1])
    asked: list[ArrivalQuery] = []

    class Counted:
        def arrivals(self, query: ArrivalQuery) -> Any:
            asked.append(query)
            return desk.usage.arrivals(query)

    assert late_usage_of(desk.records, Counted(), desk.bill_records()) == []  # type: ignore[arg-type]  # all it is asked for
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("policies", "moment"),
    [
        ({}, "2023-02-01"),
        ({"organisation": 24}, "2023-02-02"),
        ({"organisation": 24, "requests": 48}, "2023-02-03"),
        ({"organisation": 72, "requests": 48}, "2023-02-03"),
        ({"pages": 48}, "2023-02-01"),  # the bill has no line of it
    ],
)
def test_a_bill_waits_for_the_slowest_of_what_it_charges_for(
    open_desk: Opener, policies: dict[str, int], moment: str
) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-01-10", calls=100)
    run(desk, 1)
    every = [
        LatePolicy(meter_id=None if name == "organisation" else id_of("meter", name), grace_hours=hours)
        for name, hours in policies.items()
    ]
    assert policies_of(every).approvable_from(desk.bill_records()[0].bill) == at(moment)
