"""Usage that comes after its bill: joined while that is open, adjusted on the next one where it stays, never lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from billing_desk import Desk, calls_world
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_desk import top_up

from billing_world import World, at, bands, id_of
from credit_world import balance
from effort import drawing
from tallystick.core.bill import Bill, BillRecord, LineItem, LineItemType, approve, lock
from tallystick.core.credit_types import CreditLine
from tallystick.core.explain import explain_line
from tallystick.core.organization import LateUsage
from tallystick.core.period import Instant
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import DocumentWhere, Page

Opener = Callable[[World], Desk]
LAST_DAYS = {month: date(2023, month + 1, 1) - timedelta(days=1) for month in range(1, 12)}


def run(desk: Desk, month: int) -> Bill:
    """Bill a month of 2023 on the first of the next; returns acme's bill."""
    desk.run(f"2023-{month + 1:02}-01T06:00:00Z", last_date_in_billing_period=LAST_DAYS[month])
    return of_month(desk, month).bill


def of_month(desk: Desk, month: int) -> BillRecord:
    (found,) = [each for each in desk.bill_records() if each.bill.start_date.month == month]
    return found


def finish(desk: Desk, month: int, *, locked: bool) -> None:
    record = of_month(desk, month)
    bill = approve(record.bill, by="ada", at=at("2023-12-24"))
    desk.put(msgspec.structs.replace(record, bill=lock(bill, by="ada", at=at("2023-12-24")) if locked else bill))


def adjustments(bill: Bill) -> list[LineItem]:
    return [line for line in bill.line_items if line.line_item_type is LineItemType.MANUAL_ADJUSTMENT]


def told(bill: Bill) -> list[tuple[str, str]]:
    return [(line.description, str(line.converted_subtotal)) for line in adjustments(bill)]


def verified(desk: Desk) -> list[str | None]:
    """What does not stand up of any bill."""
    found = [verify_bill(desk.records, desk.usage, record).difference for record in desk.bill_records()]
    return [each for each in found if each]


def started(open_desk: Opener, *, locked: bool = True, **config: Any) -> Desk:
    """January with 100 calls (15.00), final, and 50 more calls that came late."""
    world = calls_world()
    world.config(**config)
    desk = open_desk(world)
    desk.use("acme", "2023-01-10", calls=100)
    assert str(run(desk, 1).bill_total) == "15.00"
    finish(desk, 1, locked=locked)
    desk.use("acme", "2023-01-20", calls=50)
    return desk


def test_a_locked_bill_is_adjusted_on_the_next_one_which_names_the_period(open_desk: Opener) -> None:
    desk = started(open_desk)
    desk.use("acme", "2023-02-10", calls=10)
    bill = run(desk, 2)
    assert told(bill) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]
    assert str(bill.bill_total) == "11.00"  # 5.00 and 10 calls, and 50 calls of January
    (line,) = adjustments(bill)
    january = of_month(desk, 1).bill
    assert (line.referenced_bill_id, line.referenced_line_item_id) == (january.id, january.line_items[1].id)
    assert (line.service_period_start_date, line.service_period_end_date) == (at("2023-01-01"), at("2023-02-01"))
    assert (line.product_name, line.aggregation_id) == ("API", id_of("aggregation", "calls"))
    assert str(january.bill_total) == "15.00"
    explained = explain_line(line, of_month(desk, 2).working(line.id))
    assert explained.sentence == (
        "calls, adjustment for 2023-01-01 to 2023-01-31: 2023-01-01 to 2023-02-01 comes to 15.00 now, less 10.00 "
        "billed, which is 5.00 USD"
    )
    assert f"10.00 was billed on the bill {january.id}; the difference is 5.00." in explained.steps[0]
    assert verified(desk) == []


def test_it_counts_once_and_the_next_one_counts_from_there(open_desk: Opener) -> None:
    desk = started(open_desk)
    run(desk, 2)
    finish(desk, 2, locked=True)
    desk.use("acme", "2023-01-21", calls=1)
    desk.use("acme", "2023-02-21", calls=7)
    assert told(run(desk, 3)) == [
        ("calls, adjustment for 2023-01-01 to 2023-01-31", "0.10"),
        ("calls, adjustment for 2023-02-01 to 2023-02-28", "0.70"),
    ]
    finish(desk, 3, locked=True)
    assert told(run(desk, 4)) == []
    assert verified(desk) == []


def test_running_again_changes_nothing(open_desk: Opener) -> None:
    desk = started(open_desk)
    run(desk, 2)
    before = desk.bodies()
    for _ in range(2):
        run(desk, 2)
        assert desk.bodies() == before


def test_an_adjustment_that_was_deleted_with_its_bill_is_made_again(open_desk: Opener) -> None:
    desk = started(open_desk)
    bill = run(desk, 2)
    remove_bill(desk.records, bill.id, actor_id="ada", at=at("2023-03-02"))
    assert desk.records.documents("billadjustment", DocumentWhere(), Page()).rows == ()
    assert told(run(desk, 3)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]


@pytest.mark.parametrize("late_usage", [None, LateUsage.RECALCULATE])
def test_an_approved_bill_is_calculated_again(open_desk: Opener, late_usage: LateUsage | None) -> None:
    desk = started(open_desk, locked=False, late_usage=late_usage)
    assert told(run(desk, 2)) == [], "the late usage is January's, whose bill can take it"
    bill = run(desk, 1)
    assert (str(bill.bill_total), bill.status) == ("20.00", "PENDING")


def test_an_approved_bill_stays_where_the_next_one_is_adjusted(open_desk: Opener) -> None:
    desk = started(open_desk, locked=False, late_usage=LateUsage.ADJUST_NEXT_BILL)
    assert told(run(desk, 2)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]
    bill = run(desk, 1)
    assert (str(bill.bill_total), bill.status) == ("15.00", "APPROVED")


def test_a_bill_that_is_calculated_again_after_all_takes_its_adjustment_back(open_desk: Opener) -> None:
    """February (locked) charged 5.00 for January; then January itself is made again with the 50 calls."""
    desk = started(open_desk, locked=False, late_usage=LateUsage.ADJUST_NEXT_BILL)
    run(desk, 2)
    finish(desk, 2, locked=True)
    desk.recalculate([of_month(desk, 1).bill.id])
    assert str(of_month(desk, 1).bill.bill_total) == "20.00"
    assert told(run(desk, 3)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "-5.00")]
    assert verified(desk) == []


def test_a_pending_bill_is_not_adjusted(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    run(desk, 1)
    desk.use("acme", "2023-01-20", calls=50)
    assert told(run(desk, 2)) == []
    finish(desk, 1, locked=True)
    assert told(run(desk, 3)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")], "not lost by the lock"


def test_a_minimum_that_is_reached_late_is_given_back(open_desk: Opener) -> None:
    """January was billed 10.00 of calls and 20.00 of minimum; with 300 more calls it is 40.00 and no minimum."""
    world = calls_world(fee="0")
    world.template(minimum_spend=Decimal(30))
    desk = open_desk(world)
    desk.use("acme", "2023-01-10", calls=100)
    assert str(run(desk, 1).bill_total) == "30.00"
    finish(desk, 1, locked=True)
    desk.use("acme", "2023-01-20", calls=300)
    assert told(run(desk, 2)) == [
        ("calls, adjustment for 2023-01-01 to 2023-01-31", "30.00"),
        ("API Minimum Spend Adjustment, adjustment for 2023-01-01 to 2023-01-31", "-20.00"),
    ]
    assert verified(desk) == []


def test_prices_that_changed_since_do_not_change_what_was_billed(open_desk: Opener) -> None:
    desk = started(open_desk)
    desk.world.template(standing_charge=Decimal(50))
    desk.world.pricing("price", bands((0, "9.99")))
    desk.save()
    assert told(run(desk, 2)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]
    assert verified(desk) == []


def test_months_made_in_one_run_adjust_once(open_desk: Opener) -> None:
    """The clock makes February and March in one run: the earlier takes the adjustment, the later nothing."""
    desk = started(open_desk, scheduled_bill_interval=Decimal(1))
    from tallystick.pipeline.bill_clock import start_due_job

    start_due_job(desk.records, now=at("2023-02-01T00:30:00Z"), up_to=0)
    job = start_due_job(desk.records, now=at("2023-04-01T00:30:00Z"), up_to=desk.usage_store.mark)
    assert job is not None
    desk.go_on(job)
    assert told(of_month(desk, 2).bill) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]
    assert told(of_month(desk, 3).bill) == []


def test_a_run_that_was_overtaken_reckons_anew(open_desk: Opener) -> None:
    """While March is rated, another run bills February with the adjustment: March must not have it too."""
    desk = started(open_desk)
    asked = desk.ask("2023-04-01T06:00:00Z", last_date_in_billing_period=LAST_DAYS[3])
    done: list[Bill] = []

    def meanwhile(step: str) -> None:
        if step == "rated" and not done:
            done.append(run(desk, 2))

    desk.go_on(asked.id, failpoint=meanwhile)
    assert told(of_month(desk, 2).bill) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]
    assert told(of_month(desk, 3).bill) == []


WEEKS = st.lists(
    st.tuples(
        st.sampled_from(["use", "run", "run", "lock", "recalculate", "delete"]),
        st.integers(1, 5),  # the month that the act is about
        st.integers(1, 400),
    ),
    min_size=4,
    max_size=25,
)


@given(acts=WEEKS, adjusting=st.booleans(), cumulative=st.booleans())
@settings(**drawing(10))
def test_adjustments_and_bills_are_together_what_would_be_billed_today(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, int]], adjusting: bool, cumulative: bool
) -> None:
    """Whatever is used, billed, locked, made again or deleted in whatever order: once the months that follow are
    billed, all bills together come to what bills of all the usage, made today, would come to."""
    world = calls_world()
    world.config(late_usage=LateUsage.ADJUST_NEXT_BILL if adjusting else None)
    world.pricing("price", bands((0, "0.10"), (150, "0.07"), (400, "0.03")), cumulative=cumulative)
    desk = Desk(Path(tmp_path_factory.mktemp("late")), world)
    for act, month, amount in acts:
        stored = [each for each in desk.bill_records() if each.bill.start_date.month == month]
        match act:
            case "use":
                desk.use("acme", f"2023-{month:02}-{amount % 27 + 1:02}", calls=amount)
            case "run":
                run(desk, month)
            case "lock" if stored and not stored[0].bill.locked:
                finish(desk, month, locked=amount % 3 > 0)
            case "recalculate" if stored and not stored[0].bill.locked:
                desk.recalculate([stored[0].bill.id])
            case "delete" if stored and not stored[0].bill.locked:
                remove_bill(desk.records, stored[0].bill.id, actor_id="ada", at=Instant.of(at("2023-07-01")))
    for month in range(1, 7):
        run(desk, month)
    unlocked = [each.bill.id for each in desk.bill_records() if not each.bill.locked]
    for id_ in unlocked:  # in the order of their periods
        desk.recalculate([id_])
    together = sum(each.bill.bill_total for each in desk.bill_records())
    assert verified(desk) == []
    fresh = Desk(Path(tmp_path_factory.mktemp("fresh")), world, usage_store=desk.usage_store)
    today = sum(run(fresh, month).bill_total for month in range(1, 7))
    assert together == today
    fresh.close()
    desk.close()


def test_consolidated_bills_are_adjusted_as_well(open_desk: Opener) -> None:
    desk = started(open_desk, consolidate_bills=True)
    assert told(run(desk, 2)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]
    finish(desk, 2, locked=True)
    desk.use("acme", "2023-02-20", calls=10)
    assert told(run(desk, 3)) == [("calls, adjustment for 2023-02-01 to 2023-02-28", "1.00")]
    assert {bill.billing_frequency for bill in desk.bills()} == {"MIXED"}
    assert verified(desk) == []


@pytest.mark.parametrize(
    ("given_", "total"),
    [
        ({}, "0.00"),  # it pays the fee of 5.00 and the adjustment
        ({"line_item_types": (CreditLine.USAGE,)}, "5.00"),  # what is adjusted is usage
        ({"line_item_types": (CreditLine.STANDING_CHARGE,)}, "5.00"),  # and no fee
        ({"start_date": at("2023-02-01")}, "5.00"),  # what was used in January is not its business
        ({"end_date": at("2023-02-01")}, "10.00"),  # it has ended by then
        ({"product_ids": (id_of("product", "Other"),)}, "10.00"),
    ],
)
def test_credit_pays_for_an_adjustment_as_for_the_line_that_it_adjusts(
    open_desk: Opener, given_: dict[str, Any], total: str
) -> None:
    """February: the fee of 5.00, and 50 calls of January that came late for 5.00."""
    world = calls_world()
    balance(world, **given_)
    desk = open_desk(world)
    top_up(desk, 100)
    desk.use("acme", "2023-01-10", calls=100)
    run(desk, 1)
    finish(desk, 1, locked=True)
    desk.use("acme", "2023-01-20", calls=50)
    assert f"{run(desk, 2).bill_total:.2f}" == total
    assert told(of_month(desk, 2).bill) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]
    assert verified(desk) == []
    before = desk.bodies()
    run(desk, 2)
    assert desk.bodies() == before


# ------------------------------------------------------------------------------------------------ suppressed bills


def suppressed(open_desk: Opener, **config: Any) -> Desk:
    """January was empty, and its bill suppressed; then 50 calls of January come late."""
    world = calls_world(fee="0")
    world.config(suppressed_empty_bills=True, **config)
    desk = open_desk(world)
    desk.run("2023-02-01T06:00:00Z", last_date_in_billing_period=LAST_DAYS[1])
    assert desk.bills() == []
    desk.use("acme", "2023-01-20", calls=50)
    return desk


def test_late_usage_of_a_suppressed_bill_is_on_the_next_one(open_desk: Opener) -> None:
    desk = suppressed(open_desk)
    assert told(run(desk, 2)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]
    before = desk.bodies()
    run(desk, 2)
    assert desk.bodies() == before
    finish(desk, 2, locked=True)
    desk.use("acme", "2023-01-21", calls=1)
    desk.use("acme", "2023-03-21", calls=7)
    bill = run(desk, 3)
    assert (told(bill), str(bill.bill_total)) == ([("calls, adjustment for 2023-01-01 to 2023-01-31", "0.10")], "0.80")
    assert verified(desk) == []


def test_late_usage_of_a_suppressed_consolidated_bill_is_on_the_next_one(open_desk: Opener) -> None:
    desk = suppressed(open_desk, consolidate_bills=True)
    assert told(run(desk, 2)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]


def test_the_clock_needs_nobody_for_it(open_desk: Opener) -> None:
    from tallystick.pipeline.bill_clock import start_due_job

    desk = suppressed(open_desk, scheduled_bill_interval=Decimal(24))
    for now in ("2023-02-27T00:30:00Z", "2023-03-01T00:30:00Z"):
        job = start_due_job(desk.records, now=at(now), up_to=desk.usage_store.mark)
        assert job is not None
        desk.go_on(job)
    (bill,) = desk.bills()
    assert told(bill) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "5.00")]


def test_a_suppressed_bill_that_is_made_after_all_is_not_adjusted_too(open_desk: Opener) -> None:
    """January and February in one run: January has its usage itself. Then January is made when February, locked, has
    adjusted it: March takes that back."""
    desk = suppressed(open_desk, scheduled_bill_interval=Decimal(1))
    from tallystick.pipeline.bill_clock import start_due_job

    start_due_job(desk.records, now=at("2023-02-01T00:30:00Z"), up_to=0)
    desk.go_on(start_due_job(desk.records, now=at("2023-03-01T00:30:00Z"), up_to=desk.usage_store.mark) or "")
    assert [(bill.start_date.month, str(bill.bill_total)) for bill in desk.bills()] == [(1, "5.00")]
    other = suppressed(open_desk)
    run(other, 2)
    finish(other, 2, locked=True)
    assert str(run(other, 1).bill_total) == "5.00"
    assert told(run(other, 3)) == [("calls, adjustment for 2023-01-01 to 2023-01-31", "-5.00")]
    assert sum(bill.bill_total for bill in other.bills()) == 5


def test_time_without_any_run_is_not_billed_by_itself(open_desk: Opener) -> None:
    """History that was imported before billing began is nobody's late usage."""
    world = calls_world(fee="0")
    world.config(suppressed_empty_bills=True)
    desk = open_desk(world)
    desk.use("acme", "2023-01-20", calls=50)
    desk.use("acme", "2023-02-20", calls=10)
    assert str(run(desk, 2).bill_total) == "1.00"
