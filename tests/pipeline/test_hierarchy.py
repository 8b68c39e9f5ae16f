"""Parents and children: pooled, broken down, summed up, or each billed by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import World, at, bands, id_of
from effort import drawing
from tallystick.core.account import ChildBillingMode
from tallystick.core.aggregation import Method
from tallystick.core.bill import Bill, BillRecord, approve, lock
from tallystick.core.explain import explain_line
from tallystick.core.organization import CurrencyConversion
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]
TIERS = bands((0, "0.10"), (1000, "0.05"))
Line = tuple[str, str | None, str]


def group_world(*children: str, mode: ChildBillingMode | None = None, fee: str = "20", **aggregation: Any) -> World:
    """A parent `group` with a plan: a fee of 20 and calls at 0.10, above 1,000 at 0.05; children without plans."""
    world = World()
    world.template(standing_charge=Decimal(fee))
    world.aggregation("calls", **aggregation)
    world.plan()
    world.pricing("price", TIERS, cumulative=True)
    world.account("group")
    world.account_plan(account="group", child_billing_mode=mode)
    for child in children:
        world.account(child, parent_account_id=id_of("account", "group"))
    return world


def bill_of(desk: Desk, account: str = "group") -> Bill:
    (found,) = [each for each in desk.bills() if each.account_code == account]
    return found


def told(bill: Bill) -> list[Line]:
    return [(line.description, line.child_account_code, str(line.converted_subtotal)) for line in bill.line_items]


def require_verified(desk: Desk) -> None:
    found = [verify_bill(desk.records, desk.usage, each).difference for each in desk.bill_records()]
    assert [each for each in found if each] == []


def used(desk: Desk) -> None:
    """1,500 calls in all: 250 of the parent, 1,000 of east, 250 of west, in the order of time."""
    desk.use("group", "2023-11-05", calls=250)
    desk.use("east", "2023-11-06", calls=1000)
    desk.use("west", "2023-11-07", calls=250)


def test_children_reach_the_cheaper_tier_together_and_have_a_line_each(open_desk: Opener) -> None:
    """1,000 × 0.10 + 500 × 0.05 = 125.00, of which the parent has 250/1,500, east 1,000/1,500, west 250/1,500."""
    desk = open_desk(group_world("east", "west"))
    used(desk)
    desk.run(**NOVEMBER)
    bill = bill_of(desk)
    assert told(bill) == [
        ("Standing Charge", None, "20.00"),
        ("calls", None, "20.83"),
        ("calls", "east", "83.34"),
        ("calls", "west", "20.83"),
    ]
    assert str(bill.bill_total) == "145.00"
    east = bill.line_items[2]
    assert (str(east.quantity), str(east.units), east.child_account_id) == ("1000", "1000", id_of("account", "east"))
    assert len({line.id for line in bill.line_items}) == 4
    assert [line.sequence_number for line in bill.line_items] == [1, 2, 3, 4]
    explained = explain_line(east, desk.bill_records()[0].working(east.id))
    assert explained.sentence.endswith("of which east has 1,000 of 1,500 units: 83.34")
    assert explained.steps[-1] == ("The accounts are charged as one; east used 1,000 of 1,500 units: 83.34 of 125.00.")
    assert len(desk.bills()) == 1, "children have no bills of their own"
    require_verified(desk)


def test_a_summary_is_one_line_for_all(open_desk: Opener) -> None:
    desk = open_desk(group_world("east", "west", mode=ChildBillingMode.PARENT_SUMMARY))
    used(desk)
    desk.run(**NOVEMBER)
    assert told(bill_of(desk)) == [("Standing Charge", None, "20.00"), ("calls", None, "125.00")]
    assert bill_of(desk).line_items[1].usage_per_pricing_band is not None
    require_verified(desk)


def test_each_child_is_billed_by_itself_with_the_parents_plan(open_desk: Opener) -> None:
    desk = open_desk(group_world("east", "west", mode=ChildBillingMode.CHILD))
    used(desk)
    desk.run(**NOVEMBER)
    assert {each.account_code: str(each.bill_total) for each in desk.bills()} == {
        "group": "45.00",
        "east": "120.00",
        "west": "45.00",
    }
    assert told(bill_of(desk, "east")) == [("Standing Charge", None, "20.00"), ("calls", None, "100.00")]
    require_verified(desk)
    before = desk.bodies()
    desk.run(account_ids=(id_of("account", "west"),), **NOVEMBER)
    assert desk.bodies() == before


def test_a_child_with_a_plan_of_its_own_is_rated_alone(open_desk: Opener) -> None:
    world = group_world("east", "west")
    world.account_plan(account="east")
    desk = open_desk(world)
    used(desk)
    desk.run(**NOVEMBER)
    assert told(bill_of(desk)) == [
        ("Standing Charge", None, "20.00"),
        ("calls", None, "25.00"),
        ("calls", "west", "25.00"),
    ]
    assert str(bill_of(desk, "east").bill_total) == "120.00"
    require_verified(desk)


@pytest.mark.parametrize("mode", [ChildBillingMode.PARENT_BREAKDOWN, ChildBillingMode.CHILD])
def test_a_child_whose_contract_has_ended_has_no_plan_of_its_own_any_more(
    open_desk: Opener, mode: ChildBillingMode
) -> None:
    """East's own plan is limited to its contract, which ended on 1 November: its 1,000 calls cost 100 all the same."""
    world = group_world("east", mode=mode, fee="0")
    contract = world.contract(account="east", end="2023-11-01", apply_contract_period_limits=True)
    world.account_plan(account="east", contract_id=contract.id)
    desk = open_desk(world)
    desk.use("east", "2023-11-06", calls=1000)
    desk.run(**NOVEMBER)
    assert [str(each.bill_total) for each in desk.bills() if each.bill_total] == ["100.00"]
    require_verified(desk)


def test_a_plan_for_another_product_leaves_a_child_in_the_pool(open_desk: Opener) -> None:
    world = group_world("east")
    other = world.template("support", product=world.product("Support"), standing_charge=Decimal(7))
    world.account_plan(world.plan("support", other), account="east")
    desk = open_desk(world)
    used(desk)
    desk.run(**NOVEMBER)
    assert told(bill_of(desk))[1:] == [("calls", None, "22.50"), ("calls", "east", "90.00")]
    assert told(bill_of(desk, "east")) == [("Standing Charge", None, "7.00")]
    require_verified(desk)


@pytest.mark.parametrize("mode", [ChildBillingMode.PARENT_BREAKDOWN, ChildBillingMode.CHILD])
def test_usage_before_a_child_has_its_plan_is_billed_too(open_desk: Opener, mode: ChildBillingMode) -> None:
    """East has its own plan from 16 November: what it used before stands with the parent's plan, once."""
    world = group_world("east", mode=mode, fee="0")
    world.account_plan(account="east", start="2023-11-16")
    desk = open_desk(world)
    for day, account in ((5, "group"), (6, "east"), (20, "east"), (21, "group")):
        desk.use(account, f"2023-11-{day:02}", calls=100)
    desk.run(**NOVEMBER)
    total = sum(each.bill_total for each in desk.bills())
    assert total == 40
    if mode is ChildBillingMode.CHILD:
        assert told(bill_of(desk, "east")) == [("calls", None, "10.00")] * 2
    else:
        lines = bill_of(desk).line_items
        assert [(line.child_account_code, str(line.subtotal)) for line in lines] == [
            (None, "10.00"),
            ("east", "10.00"),
            (None, "10.00"),
        ]
        assert lines[0].service_period_end_date == at("2023-11-16")
        assert lines[2].service_period_start_date == at("2023-11-16")
    require_verified(desk)


@pytest.mark.parametrize(
    ("method", "quantity", "shares"),
    [
        (Method.SUM, "15", {"": "5", "east": "10"}),
        (Method.COUNT, "3", {"": "1", "east": "2"}),
        (Method.MAX, "7", {"": "5", "east": "7"}),
        (Method.MIN, "3", {"": "5", "east": "3"}),
        (Method.UNIQUE, "3", {"": "1", "east": "2"}),
        (Method.LATEST, "3", {"": "5", "east": "3"}),
    ],
)
def test_a_pool_is_one_account_to_every_method(
    open_desk: Opener, method: Method, quantity: str, shares: dict[str, str]
) -> None:
    desk = open_desk(group_world("east", aggregation=method))
    desk.use("group", "2023-11-05", calls=5)
    desk.use("east", "2023-11-06", calls=7)
    desk.use("east", "2023-11-07", calls=3)
    desk.run(**NOVEMBER)
    (record,) = desk.bill_records()
    lines = record.bill.line_items[1:]
    assert {line.child_account_code or "": str(line.quantity) for line in lines} == shares
    assert explain_line(lines[0], record.working(lines[0].id)).steps[0].split(": ")[1].startswith(quantity)
    require_verified(desk)


def test_prices_by_segment_are_pooled_segment_by_segment(open_desk: Opener) -> None:
    world = World()
    meter = world.meter("requests", ("calls",), texts=("region",))
    world.template()
    world.aggregation("calls", meter, segmented_fields=("region",), segments=({"region": "*"},))
    world.plan()
    world.pricing("price", TIERS, cumulative=True, segment={"region": "*"})
    world.account("group")
    world.account_plan(account="group")
    world.account("east", parent_account_id=id_of("account", "group"))
    desk = open_desk(world)
    for account, region, calls in (("group", "eu", 900), ("east", "eu", 300), ("east", "us", 10)):
        desk.use(account, "2023-11-05", texts={"region": region}, calls=calls)
    desk.run(**NOVEMBER)
    assert told(bill_of(desk)) == [  # 1,200 in eu: 100.00 + 10.00 = 110.00
        ("calls (eu)", None, "82.50"),
        ("calls (eu)", "east", "27.50"),
        ("calls (us)", "east", "1.00"),
    ]
    require_verified(desk)


def test_bands_that_span_the_plan_count_the_pool_on(open_desk: Opener) -> None:
    world = group_world("east", fee="0")
    world.pricing("price", TIERS, cumulative=True, tiers_span_plan=True)
    desk = open_desk(world)
    desk.use("group", "2023-10-05", calls=600)
    desk.use("east", "2023-10-06", calls=300)
    desk.use("east", "2023-11-06", calls=200)
    desk.run(**NOVEMBER)
    assert told(bill_of(desk)) == [("calls", "east", "15.00")]  # 100 × 0.10 and 100 × 0.05
    require_verified(desk)


def test_late_usage_of_a_child_is_adjusted_on_the_parents_next_bill(open_desk: Opener) -> None:
    desk = open_desk(group_world("east", fee="0"))
    used(desk)
    desk.run(last_date_in_billing_period=date(2023, 11, 30))
    (record,) = desk.bill_records()
    desk.put(_locked(record))
    desk.use("east", "2023-11-10", calls=1000)
    desk.run("2024-01-01T06:00:00Z", last_date_in_billing_period=date(2023, 12, 31))
    december = next(each for each in desk.bills() if each.start_date.month == 12)
    # 1,250 calls were 112.50 (22.50 and 90.00); 2,250 are 162.50 (18.06 and 144.44)
    assert told(december) == [
        ("calls, adjustment for 2023-11-01 to 2023-11-30", None, "-4.44"),
        ("calls, adjustment for 2023-11-01 to 2023-11-30", "east", "54.44"),
    ]
    require_verified(desk)


def _locked(record: BillRecord) -> BillRecord:
    moment = at("2023-12-02")
    return msgspec.structs.replace(record, bill=lock(approve(record.bill, by="x", at=moment), by="x", at=moment))


def test_what_changed_in_the_family_since_changes_no_replay(open_desk: Opener) -> None:
    desk = open_desk(group_world("east", "west"))
    used(desk)
    desk.run(**NOVEMBER)
    desk.world.account("west")  # leaves the family
    desk.world.account("south", parent_account_id=id_of("account", "group"))
    desk.world.account_plan(account="east", start="2023-06-01")
    desk.save()
    desk.use("south", "2023-11-09", calls=999)
    require_verified(desk)


@given(
    usage=st.lists(st.tuples(st.sampled_from(["group", "a", "b", "c", "d"]), st.integers(0, 5000)), max_size=12),
    decimals=st.integers(0, 3),
    rate=st.sampled_from(["1.37", "0.0071", "153.2"]),
    cumulative=st.booleans(),
)
@settings(**drawing(10))
def test_a_breakdown_adds_up_to_the_summary_to_the_last_decimal(
    tmp_path_factory: pytest.TempPathFactory,
    usage: list[tuple[str, int]],
    decimals: int,
    rate: str,
    cumulative: bool,
) -> None:
    """In the currency of the plan and in that of the bill, whatever the accounts used."""
    totals = []
    for mode in (ChildBillingMode.PARENT_SUMMARY, ChildBillingMode.PARENT_BREAKDOWN):
        world = group_world("a", "b", "c", "d", mode=mode)
        world.currency("EUR", decimals)
        world.config(currency_conversions=(CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal(rate)),))
        world.account("group", currency="EUR")
        world.pricing("price", bands((0, "0.0137"), (1000, "0.0071", "3.333")), cumulative=cumulative)
        desk = Desk(Path(tmp_path_factory.mktemp("family")), world)
        for account, calls in usage:
            desk.use(account, "2023-11-05", calls=calls)
        desk.run(**NOVEMBER)
        lines = [line for line in bill_of(desk).line_items if line.aggregation_id]
        totals.append((sum(line.subtotal for line in lines), sum(line.converted_subtotal for line in lines)))
        totals.append((bill_of(desk).bill_total, sum(line.quantity for line in lines)))
        require_verified(desk)
        desk.close()
    assert totals[:2] == totals[2:]
