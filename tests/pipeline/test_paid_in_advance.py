"""Plans replaced in the middle of a period, and what was paid in advance for a time that the plan did not last."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from billing_desk import Desk
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing_world import World, at, bands, id_of
from effort import drawing
from tallystick.core.bill import BillRecord, LineItemType, approve, lock
from tallystick.core.catalog import Plan
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity
from tallystick.core.explain import explain_bill
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]
OCTOBER, NOVEMBER, DECEMBER, JANUARY = (
    {"last_date_in_billing_period": day}
    for day in (date(2023, 10, 31), date(2023, 11, 30), date(2023, 12, 31), date(2024, 1, 31))
)


def tariffs(*, advance: bool, **template: Any) -> tuple[World, Entity[Plan], Entity[Plan]]:
    """Two plans of one product at 300 and 600 a month; the account has the first from October on."""
    world = World()
    world.template(standing_charge=Decimal(300), standing_charge_bill_in_advance=advance, **template)
    basic, pro = world.plan("Basic"), world.plan("Pro", standing_charge=Decimal(600))
    world.account()
    world.account_plan(basic, start="2023-10-01")
    return world, basic, pro


def replace(world: World, before: Entity[Plan], after: Entity[Plan] | None, day: str) -> None:
    """What replacing an account plan does: the old one ends when the new one starts."""
    world.account_plan(before, start="2023-10-01", end_date=day)
    if after is not None:
        world.account_plan(after, start=day)


def lines(desk: Desk) -> dict[str, list[tuple[str, str, str]]]:
    """(plan, service, amount) of each bill's lines, by the first day of its period."""
    names = {each.id: each.value.name for each in desk.world.of(Plan).values()}
    return {
        str(bill.start_date): [
            (
                names[line.plan_id or ""],
                f"{str(line.service_period_start_date)[5:10]} {str(line.service_period_end_date)[5:10]}",
                str(line.subtotal),
            )
            for line in bill.line_items
        ]
        for bill in desk.bills()
    }


def close(desk: Desk, first_day: str) -> None:
    """Approve and lock the bill that starts on a day."""
    record = next(each for each in desk.bill_records() if str(each.bill.start_date) == first_day)
    bill = lock(approve(record.bill, by="ada", at=at("2024-01-01")), by="ada", at=at("2024-01-01"))
    desk.put(BillRecord(bill=bill, workings=record.workings, evidence=record.evidence))


def verified(desk: Desk) -> list[str | None]:
    return [verify_bill(desk.records, desk.usage, each).difference for each in desk.bill_records()]


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        (True, [("Basic", "11-01 11-16", "150.00"), ("Pro", "11-16 12-01", "300.00")]),
        (False, [("Basic", "11-16 12-01", "150.00"), ("Pro", "11-01 11-16", "300.00")]),
    ],
)
def test_in_arrears_each_plan_is_charged_for_its_days(
    open_desk: Opener, *, upgrade: bool, expected: list[tuple[str, str, str]]
) -> None:
    world, basic, pro = tariffs(advance=False)
    before, after = (basic, pro) if upgrade else (pro, basic)
    world.account_plan(basic, start="2023-10-01", end_date="2023-10-02")
    world.account_plan(before, start="2023-11-01", end_date="2023-11-16")
    world.account_plan(after, start="2023-11-16")
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    assert lines(desk)["2023-11-01"] == expected
    assert verified(desk) == [None]


def test_an_upgrade_after_the_bill_in_advance_was_locked_gives_back_the_rest(open_desk: Opener) -> None:
    world, basic, pro = tariffs(advance=True)
    desk = open_desk(world)
    desk.run(**OCTOBER)
    assert lines(desk)["2023-10-01"] == [("Basic", "10-01 11-01", "300.00"), ("Basic", "11-01 12-01", "300.00")]
    close(desk, "2023-10-01")
    replace(world, basic, pro, "2023-11-16")
    desk.save()
    desk.run(**NOVEMBER)
    assert lines(desk)["2023-11-01"] == [
        ("Pro", "11-16 12-01", "300.00"),
        ("Pro", "12-01 01-01", "600.00"),
        ("Basic", "11-16 12-01", "-150.00"),
    ]
    record = desk.bill_records()[1]
    assert record.bill.bill_total == 750
    told = explain_bill(record)[2].sentence
    assert told == "Standing Charge: 150.00 due by now, less 300.00 paid in advance = -150.00, which is -150.00 USD"
    assert verified(desk) == [None, None]
    close(desk, "2023-11-01")
    desk.run(**DECEMBER)
    assert lines(desk)["2023-12-01"] == [("Pro", "01-01 02-01", "600.00")]  # once is enough


def test_a_downgrade_is_the_same_the_other_way_round(open_desk: Opener) -> None:
    world, basic, pro = tariffs(advance=True)
    world.account_plan(basic, start="2023-10-01", end_date="2023-10-02")
    world.account_plan(pro, start="2023-10-02")
    desk = open_desk(world)
    desk.run(**OCTOBER)
    close(desk, "2023-10-01")
    world.account_plan(pro, start="2023-10-02", end_date="2023-11-21")
    world.account_plan(basic, start="2023-11-21")
    desk.save()
    desk.run(**NOVEMBER)
    assert lines(desk)["2023-11-01"] == [
        ("Basic", "11-21 12-01", "100.00"),
        ("Basic", "12-01 01-01", "300.00"),
        ("Pro", "11-21 12-01", "-200.00"),
    ]
    assert verified(desk) == [None, None]


@pytest.mark.parametrize("end", ["2023-10-21", "2023-11-01"])
def test_a_plan_that_did_not_reach_the_period_gets_all_of_it_back(open_desk: Opener, end: str) -> None:
    world, basic, _ = tariffs(advance=True)
    desk = open_desk(world)
    desk.run(**OCTOBER)
    close(desk, "2023-10-01")
    replace(world, basic, None, end)
    desk.save()
    desk.run(**NOVEMBER)
    desk.run(**DECEMBER)
    assert lines(desk) == {
        "2023-10-01": [("Basic", "10-01 11-01", "300.00"), ("Basic", "11-01 12-01", "300.00")],
        "2023-11-01": [("Basic", "11-01 12-01", "-300.00")],
    }
    assert verified(desk) == [None, None]


def test_while_the_bill_in_advance_is_open_it_is_made_again(open_desk: Opener) -> None:
    world, basic, pro = tariffs(advance=True)
    desk = open_desk(world)
    desk.run(**OCTOBER)
    replace(world, basic, pro, "2023-11-16")
    desk.save()
    desk.run(**NOVEMBER)
    assert lines(desk) == {
        "2023-10-01": [("Basic", "10-01 11-01", "300.00"), ("Basic", "11-01 11-16", "150.00")],
        "2023-11-01": [("Pro", "11-16 12-01", "300.00"), ("Pro", "12-01 01-01", "600.00")],
    }
    assert verified(desk) == [None, None]
    before = desk.bodies()
    desk.run(**NOVEMBER)
    assert desk.bodies() == before


def test_a_plan_that_lasts_longer_than_was_known_pays_the_rest(open_desk: Opener) -> None:
    world, basic, _ = tariffs(advance=True)
    replace(world, basic, None, "2023-11-11")
    desk = open_desk(world)
    desk.run(**OCTOBER)
    assert lines(desk)["2023-10-01"][1] == ("Basic", "11-01 11-11", "100.00")
    close(desk, "2023-10-01")
    replace(world, basic, None, "2023-11-21")
    desk.save()
    desk.run(**NOVEMBER)
    assert lines(desk)["2023-11-01"] == [("Basic", "11-11 11-21", "100.00")]
    assert verified(desk) == [None, None]


def test_minimums_paid_in_advance_are_put_right_too(open_desk: Opener) -> None:
    world, basic, _ = tariffs(advance=True, minimum_spend=Decimal(900), minimum_spend_bill_in_advance=True)
    desk = open_desk(world)
    desk.run(**OCTOBER)
    close(desk, "2023-10-01")
    replace(world, basic, None, "2023-11-11")
    desk.save()
    desk.run(**NOVEMBER)
    # Of the 900 for November 300 are due, and of those the standing charge of 100 is given back.
    found = [(str(line.line_item_type), str(line.subtotal)) for line in desk.bills()[1].line_items]
    assert sorted(found) == [
        ("MINIMUM_SPEND", "-600.00"),
        ("MINIMUM_SPEND_REFUND", "-100.00"),
        ("STANDING_CHARGE", "-200.00"),
    ]
    # All in all November costs its minimum: 300 + 900 in advance, less 900.
    assert verified(desk) == [None, None]


def ten_seats(open_desk: Opener) -> tuple[World, str, Desk]:
    """Ten seats at 30 a month in advance since October, whose bill is closed; and the plan they are on."""
    world = World()
    world.template()
    plan = world.plan("Basic")
    world.counter("seats")
    world.counter_pricing("seats", bands((0, 30)))
    world.account()
    world.account_plan(plan, start="2023-10-01")
    world.level("2023-10-01", 10)
    desk = open_desk(world)
    desk.run(**OCTOBER)
    close(desk, "2023-10-01")
    return world, plan, desk


def test_seats_paid_in_advance_are_given_back(open_desk: Opener) -> None:
    world, plan, desk = ten_seats(open_desk)
    replace(world, plan, None, "2023-11-16")
    desk.save()
    desk.run(**NOVEMBER)
    assert lines(desk) == {
        "2023-10-01": [("Basic", "11-01 12-01", "300.00"), ("Basic", "10-01 11-01", "300.00")],
        "2023-11-01": [("Basic", "11-16 12-01", "-150.00")],
    }
    assert verified(desk) == [None, None]


def test_a_level_that_came_to_light_after_locking_changes_what_was_paid(open_desk: Opener) -> None:
    world, _, desk = ten_seats(open_desk)
    world.level("2023-10-31", 12)
    desk.save()
    desk.run(**NOVEMBER)
    assert lines(desk)["2023-11-01"] == [
        ("Basic", "12-01 01-01", "360.00"),
        ("Basic", "11-01 12-01", "60.00"),
        ("Basic", "10-01 11-01", "1.94"),  # 2 seats on the last of 31 days of October: 60 / 31
    ]


@pytest.mark.parametrize(
    ("ends", "locked", "november", "december"),
    [
        # An end after November is known from the start and put off: before November is billed, or after.
        (("12-01", "01-01", "01-01"), False, [("12-01 01-01", "300.00")], []),
        (("12-01", "12-01", "01-01"), False, [("12-01 01-01", "300.00")], []),
        (("12-01", "12-01", "01-01"), True, [], [("12-01 01-01", "300.00")]),
        (("12-01", "12-01", "06-01"), False, [("12-01 01-01", "300.00")], [("01-01 02-01", "300.00")]),
        # 300 for 10 of 31 days are 96.77, for 20 of them 193.55.
        (("12-11", "12-11", "12-21"), False, [("12-01 12-21", "193.55")], []),
        (("12-11", "12-11", "12-21"), True, [("12-01 12-11", "96.77")], [("12-11 12-21", "96.78")]),
        (("12-01", "12-11", "12-21"), False, [("12-01 12-21", "193.55")], []),
        (("12-01", "12-01", "01-01", "12-11"), False, [("12-01 12-11", "96.77")], []),
        (("12-01", "12-01", "01-01", "12-11"), True, [], [("12-01 12-11", "96.77")]),
        # An end before November becomes known after it: what was paid for December is given back all the same.
        (("01-01", "01-01", "10-21"), False, [], []),
        (("01-01", "01-01", "10-21"), True, [("12-01 01-01", "300.00")], [("12-01 01-01", "-300.00")]),
    ],
)
def test_an_end_is_put_off_or_brought_forward(
    open_desk: Opener,
    *,
    ends: tuple[str, ...],
    locked: bool,
    november: list[tuple[str, str]],
    december: list[tuple[str, str]],
) -> None:
    """`ends` are those known at the runs for October, November, December and December again."""
    world, basic, _ = tariffs(advance=True)
    desk = open_desk(world)
    for end, month in zip(ends, (OCTOBER, NOVEMBER, DECEMBER, DECEMBER), strict=False):
        replace(world, basic, None, f"{2023 if end > '10' else 2024}-{end}")
        desk.save()
        desk.run(**month)
        if locked and month is NOVEMBER:
            close(desk, "2023-10-01")
            close(desk, "2023-11-01")
    found = {day: [line[1:] for line in of_bill] for day, of_bill in lines(desk).items()}
    assert (found["2023-11-01"], found.get("2023-12-01", [])) == (november, december)
    assert set(verified(desk)) == {None}


@pytest.mark.parametrize("locked", [False, True])
def test_minimums_seats_and_contracts_are_put_off_too(open_desk: Opener, *, locked: bool) -> None:
    """900 a month at least, of which 300 are the standing charge and 200 are seats: 900 for each of three months."""
    world, basic, _ = tariffs(advance=True, minimum_spend=Decimal(900), minimum_spend_bill_in_advance=True)
    world.counter("seats")
    world.counter_pricing("seats", bands((0, 20)))
    world.level("2023-10-01", 10)
    contract = world.contract(start="2023-10-01", end="2023-12-01", apply_contract_period_limits=True)
    world.account_plan(basic, start="2023-10-01", contract_id=contract.id)
    desk = open_desk(world)
    desk.run(**OCTOBER)
    desk.run(**NOVEMBER)
    if locked:
        close(desk, "2023-11-01")
    world.contract(start="2023-10-01", end="2024-01-01", apply_contract_period_limits=True)
    desk.save()
    desk.run(**DECEMBER)
    # 900 + 300 + 200 in advance, less 500 in the month itself, whichever of the two bills they stand on.
    ahead = sum(line.subtotal for line in desk.bills()[1 + locked].line_items if line.subtotal > 0)
    assert (ahead, sum(bill.bill_total for bill in desk.bills())) == (1400, 2700)
    assert set(verified(desk)) == {None}


def test_a_commitment_that_is_entered_late_is_paid_in_advance(open_desk: Opener) -> None:
    world, basic, _ = tariffs(advance=False)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    world.add(
        Commitment(
            account_id=id_of("account", "acme"),
            currency="USD",
            amount=Decimal(900),
            start_date=date(2023, 11, 1),
            end_date=date(2024, 2, 1),
            billing_plan_id=basic.id,
            commitment_fee_bill_in_advance=True,
        ),
        "commitment",
    )
    desk.save()
    desk.run(**DECEMBER)
    fees = [
        (str(bill.start_date)[5:], str(line.service_period_start_date)[5:10], line.subtotal)
        for bill in desk.bills()
        for line in bill.line_items
        if line.line_item_type is LineItemType.COMMITMENT_FEE
    ]
    assert fees == [("11-01", "11-01", 300), ("11-01", "12-01", 300), ("12-01", "01-01", 300)]
    assert verified(desk) == [None, None]


def test_in_arrears_an_open_bill_before_is_left_as_it_is(open_desk: Opener) -> None:
    world, basic, _ = tariffs(advance=False)
    replace(world, basic, None, "2023-12-01")
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    (before,) = desk.bodies().items()
    replace(world, basic, None, "2024-01-01")
    desk.save()
    desk.run(**DECEMBER)
    assert before in desk.bodies().items()
    assert lines(desk)["2023-12-01"] == [("Basic", "12-01 01-01", "300.00")]


OPEN = [False] * 4
LATER = {0: date(2023, 12, 1), 2: date(2024, 1, 1)}  # an end known from the start, put off when December is billed


@settings(**drawing(10))
@given(
    known=st.dictionaries(st.integers(0, 3), st.dates(date(2023, 10, 2), date(2024, 2, 29)), max_size=3),
    locked=st.lists(st.booleans(), min_size=4, max_size=4),
    suppressed=st.booleans(),
    consolidated=st.booleans(),
)
@example(known=LATER, locked=OPEN, suppressed=False, consolidated=False)
@example(known=LATER, locked=OPEN, suppressed=True, consolidated=False)
@example(known=LATER, locked=OPEN, suppressed=False, consolidated=True)
@example(known=LATER, locked=[False, True, False, False], suppressed=False, consolidated=False)
@example(known=LATER | {3: date(2024, 2, 21)}, locked=OPEN, suppressed=False, consolidated=False)
@example(known=LATER | {3: date(2024, 1, 1)}, locked=OPEN, suppressed=True, consolidated=True)
def test_the_bills_of_a_plan_come_to_its_days(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    known: dict[int, date],
    locked: list[bool],
    suppressed: bool,
    consolidated: bool,
) -> None:
    """The end becomes known (before a month's run), and changes, at any time, bills are locked or not: what is billed
    is what was served."""
    world, basic, _ = tariffs(advance=True)
    world.config(suppressed_empty_bills=suppressed, consolidate_bills=consolidated)
    months = (OCTOBER, NOVEMBER, DECEMBER, JANUARY)
    firsts = ("2023-10-01", "2023-11-01", "2023-12-01", "2024-01-01")
    desk = Desk(tmp_path_factory.mktemp("desk"), world)
    end = date(2024, 4, 1)  # of the time that is paid for by February's bill, as long as there is no end
    try:
        for number, month in enumerate(months):
            first = date.fromisoformat(firsts[number])
            if number in known and min(end, known[number]) >= first:  # what a past bill charged for itself stands
                end = known[number]
                replace(world, basic, None, str(end))
                desk.save()
            desk.run(**month)
            if locked[number] and any(str(each.start_date) == firsts[number] for each in desk.bills()):
                close(desk, firsts[number])
        desk.run(last_date_in_billing_period=date(2024, 2, 29))
        served = Decimal(0)
        for first, days in zip((*firsts, "2024-02-01", "2024-03-01"), (31, 30, 31, 31, 29, 31), strict=True):
            lasted = min(max((end - date.fromisoformat(first)).days, 0), days)
            served += (Decimal(300) * lasted / days).quantize(Decimal("0.01"))
        assert sum(bill.bill_total for bill in desk.bills()) == served
        assert set(verified(desk)) == {None}
    finally:
        desk.close()
