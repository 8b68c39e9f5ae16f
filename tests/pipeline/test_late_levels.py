"""Counter adjustments that come to light after their period was locked: charged, or given back, on the next bill."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from billing_desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import World, at, bands, id_of
from effort import drawing
from tallystick.core.bill import Bill, LineItemType, approve, lock
from tallystick.core.counter_types import CounterAdjustment
from tallystick.core.explain import explain_line
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]
PRICE = 31  # a seat a month


def seats(*, advance: bool = False, **config: Any) -> World:
    """10 seats since 2022, billed from 2023 on; all is prorated."""
    world = World()
    world.config(**config)
    world.plan()
    world.counter("seats")
    world.counter_pricing("seats", bands((0, PRICE)), running_total_bill_in_advance=advance)
    world.account()
    world.account_plan(start="2023-01-01")
    world.level("2022-12-01", 10)
    return world


def run(desk: Desk, month: int) -> Bill:
    """Bill a month of 2023 on the first of the next; returns its bill."""
    last = date(2023, month, monthrange(2023, month)[1])
    desk.run(f"{last + timedelta(days=1)}T06:00:00Z", last_date_in_billing_period=last)
    return next(each for each in desk.bills() if each.end_date == last + timedelta(days=1))


def finish(desk: Desk, *months: int) -> None:
    for record in desk.bill_records():
        if (record.bill.end_date - timedelta(days=1)).month in months and not record.bill.locked:
            done = lock(approve(record.bill, by="ada", at=at("2024-01-01")), by="ada", at=at("2024-01-01"))
            desk.put(msgspec.structs.replace(record, bill=done))


def told(bill: Bill) -> list[tuple[str, str]]:
    late = LineItemType.MANUAL_ADJUSTMENT
    return [(line.description, str(line.subtotal)) for line in bill.line_items if line.line_item_type is late]


def remove(desk: Desk, day: str) -> None:
    with desk.records.transaction() as write:
        stored = write.get(CounterAdjustment, id_of("counteradjustment", f"acme/seats/{day}"))
        assert stored is not None
        write.remove(stored, at=at("2024-01-01"), by="ada")


def verified(desk: Desk) -> list[str | None]:
    return [verify_bill(desk.records, desk.usage, each).difference for each in desk.bill_records()]


JANUARY = "seats, adjustment for 2023-01-01 to 2023-01-31"


@pytest.mark.parametrize("advance", [True, False])
def test_a_locked_period_is_adjusted_on_the_next_bill(open_desk: Opener, *, advance: bool) -> None:
    """5 more seats from 11 January on: 21 of 31 days of 155 are 105.00. February itself has 15 seats, 465.00; of these
    310.00 were paid in advance where that is agreed, and March is then charged too."""
    world = seats(advance=advance)
    desk = open_desk(world)
    run(desk, 1)
    finish(desk, 1)
    world.level("2023-01-11", 15)
    desk.save()
    bill = run(desk, 2)
    assert told(bill) == [(JANUARY, "105.00")]
    assert bill.bill_total == (465 + 155 + 105 if advance else 465 + 105)
    (line,) = [each for each in bill.line_items if each.line_item_type is LineItemType.MANUAL_ADJUSTMENT]
    assert (line.service_period_start_date, line.service_period_end_date) == (at("2023-01-01"), at("2023-02-01"))
    assert line.counter_id == id_of("counter", "seats")
    assert "comes to 105.00 now" in explain_line(line, desk.bill_records()[1].working(line.id)).sentence
    before = desk.bodies()
    run(desk, 2)
    assert desk.bodies() == before
    finish(desk, 2)
    assert told(run(desk, 3)) == []
    assert verified(desk) == [None, None, None]


def test_what_was_changed_or_deleted_late_counts_as_well(open_desk: Opener) -> None:
    world = seats()
    world.level("2023-01-11", 15)
    desk = open_desk(world)
    run(desk, 1)
    finish(desk, 1)
    world.level("2023-01-11", 12)
    desk.save()
    assert told(run(desk, 2)) == [(JANUARY, "-63.00")]  # 3 seats fewer, 21 days
    finish(desk, 2)
    remove(desk, "2023-01-11")
    assert told(run(desk, 3)) == [
        (JANUARY, "-42.00"),
        (JANUARY.replace("01-31", "02-28").replace("01-01", "02-01"), "-62.00"),
    ]
    assert verified(desk) == [None, None, None]


def test_a_bill_that_is_still_open_takes_it_itself(open_desk: Opener) -> None:
    world = seats()
    desk = open_desk(world)
    run(desk, 1)
    run(desk, 2)
    world.level("2023-01-11", 15)
    desk.save()
    assert told(run(desk, 2)) == []
    finish(desk, 1, 2)
    assert told(run(desk, 3)) == [(JANUARY, "105.00")], "not lost by the lock; February was made anew meanwhile"


def test_an_approved_bill_stays_where_the_next_one_is_adjusted(open_desk: Opener) -> None:
    world = seats(late_usage="ADJUST_NEXT_BILL")
    desk = open_desk(world)
    run(desk, 1)
    record = desk.bill_records()[0]
    desk.put(msgspec.structs.replace(record, bill=approve(record.bill, by="ada", at=at("2023-02-02"))))
    world.level("2023-01-11", 15)
    desk.save()
    assert told(run(desk, 2)) == [(JANUARY, "105.00")]


# ------------------------------------------------------------------------------------------------ against a plain model

LAST = 3  # months that are billed
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["level", "level", "remove", "run", "run", "lock", "delete"]),
        st.integers(1, LAST),
        st.integers(1, 28),
        st.integers(0, 30),
    ),
    min_size=4,
    max_size=12,
)


def served(levels: dict[date, int], until: int) -> Fraction:
    """What seats cost from January up to the end of a month, day by day."""
    owed = Fraction(0)
    for month in range(1, until + 1):
        days = monthrange(2023, month)[1]
        for day in range(1, days + 1):
            known = [each for each in levels if each <= date(2023, month, day)]
            owed += Fraction(levels[max(known)] * PRICE, days) if known else 0
    return owed


@given(acts=ACTS, advance=st.booleans(), consolidated=st.booleans())
@settings(**drawing(5))
def test_all_bills_together_come_to_the_seats_of_each_day(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, int, int]], advance: bool, consolidated: bool
) -> None:
    """Whatever is entered, changed, deleted, billed or locked in whatever order, once every month is billed the bills
    come to what each day's seats cost (and with charges in advance to the month after as well), but for the rounding
    of lines."""
    world = seats(advance=advance, consolidate_bills=consolidated)
    desk = Desk(Path(tmp_path_factory.mktemp("seats")), world)
    levels = {date(2022, 12, 1): 10}
    for act, month, day, number in acts:
        when = date(2023, month, day)
        bills = [each.bill for each in desk.bill_records() if (each.bill.end_date - timedelta(days=1)).month == month]
        match act:
            case "level" if when in levels or id_of("counteradjustment", f"acme/seats/{when}") not in known_ids(world):
                world.level(str(when), number)
                desk.save()
                levels[when] = number
            case "remove" if when in levels:
                remove(desk, str(when))
                del levels[when]
            case "run":
                run(desk, month)
            case "lock":
                finish(desk, month)
            case "delete" if bills and not bills[0].locked:
                remove_bill(desk.records, bills[0].id, actor_id="ada", at=at("2023-12-01"))
    for month in range(1, LAST + 2):
        run(desk, month)
    for month in range(1, LAST + 2):  # in order, so that what is open takes everything itself
        run(desk, month)
    assert [each for each in verified(desk) if each] == []
    found = sum((each.bill_total for each in desk.bills()), Decimal(0))
    owed = served(levels, LAST + 2 if advance else LAST + 1)
    lines = sum(len(each.line_items) for each in desk.bills())
    desk.close()
    assert abs(Fraction(found) - owed) <= Fraction(lines + 20, 100)


def known_ids(world: World) -> set[str]:
    return {id_ for kind, id_ in world.entities if kind == CounterAdjustment.kind}
