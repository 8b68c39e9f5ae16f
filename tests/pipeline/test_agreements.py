"""Contracts and groups of plans on bills that are run, kept and replayed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from billing_desk import NOVEMBER, Desk

from billing_world import World, bands
from tallystick.core.catalog import Plan
from tallystick.core.contract import UsageFilter, UsageFilterMode
from tallystick.core.entity import Entity
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]


def priced(world: World, product: str, fee: str) -> Entity[Plan]:
    """A plan of a product of its own: a fee, and 1.00 for each call of the one meter."""
    made = world.plan(product, world.template(product, world.product(product), standing_charge=Decimal(fee)))
    aggregation = world.aggregation(product)
    world.pricing(product, bands((0, 1)), plan_id=made.id, aggregation_id=aggregation.id)
    return made


def contracts_world() -> World:
    """An account with a plan of its own, one of a contract with an exclusive key, two of contracts that share one."""
    world = World()
    world.meter("requests", ("calls",), ("region",))
    world.account(purchase_order_number="PO-0")
    world.account_plan(priced(world, "Base", "1.00"))
    own, shared = world.grouping_key("own", exclusive=True), world.grouping_key("shared", exclusive=False)
    for name, key, region in (("One", own, "eu"), ("Two", shared, "us"), ("Three", shared, "br")):
        contract = world.contract(
            name,
            bill_grouping_key_id=key.id,
            purchase_order_number=f"PO-{name}",
            usage_filters=(UsageFilter(dimension_code="region", mode=UsageFilterMode.INCLUDE, value=region),),
        )
        world.account_plan(priced(world, name, "2.00"), contract_id=contract.id)
    return world


def verified(desk: Desk) -> list[str | None]:
    """The difference of each stored bill from its replay: None where there is none."""
    return [verify_bill(desk.records, desk.usage, each).difference for each in desk.bill_records()]


def test_contracts_get_bills_of_their_own_and_shared_ones(open_desk: Opener) -> None:
    desk = open_desk(contracts_world())
    for region, calls in (("eu", 10), ("us", 20), ("br", 40), ("in", 80)):
        desk.use("acme", "2023-11-05", calls=calls, texts={"region": region})
    job = desk.run(**NOVEMBER)
    assert job.failures == ()
    found = {
        (
            bill.purchase_order_number,
            str(bill.bill_total),
            tuple(sorted({line.product_name for line in bill.line_items})),
        )
        for bill in desk.bills()
    }
    assert found == {
        ("PO-0", "151.00", ("Base",)),  # all 150 calls: it has no filter
        ("PO-One", "12.00", ("One",)),
        ("PO-0", "64.00", ("Three", "Two")),  # two contracts, no number that is true of both
    }
    assert verified(desk) == [None, None, None]
    before = desk.bodies()
    desk.run(**NOVEMBER)
    desk.recalculate(before)
    assert desk.bodies() == before


def test_bill_replays_as_contracted_then(open_desk: Opener) -> None:
    desk = open_desk(contracts_world())
    desk.use("acme", "2023-11-05", calls=10, texts={"region": "eu"})
    desk.run(**NOVEMBER)
    world = desk.world
    world.grouping_key("own", exclusive=False)
    world.contract("One", end="2023-11-10", apply_contract_period_limits=True)
    desk.save()
    assert verified(desk) == [None, None, None]


def test_account_ends_with_its_limited_contract(open_desk: Opener) -> None:
    world = World()
    world.account()
    contract = world.contract(end="2023-11-16", apply_contract_period_limits=True)
    world.account_plan(priced(world, "Base", "30.00"), contract_id=contract.id)
    desk = open_desk(world)
    assert [str(each.bill_total) for each in desk.run(**NOVEMBER) and desk.bills()] == ["15.00"]
    job = desk.run(now="2024-01-02T00:00:00Z")
    assert (job.total, len(desk.bills())) == (0, 1)


def test_a_group_of_plans_is_billed_and_replayed(open_desk: Opener) -> None:
    world = World()
    world.meter("requests", ("calls",))
    group = world.plan_group(
        priced(world, "One", "1.00"), priced(world, "Two", "2.00"), name="Bundle", minimum_spend=Decimal(50)
    )
    world.account()
    world.account_plan(group)
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=10)
    assert desk.run(**NOVEMBER).failures == ()
    (bill,) = desk.bills()
    assert [str(line.subtotal) for line in bill.line_items] == ["1.00", "10.00", "2.00", "10.00", "27.00"]
    assert bill.bill_total == 50
    world.plan_group(name="Bundle", minimum_spend=Decimal(999))
    world.plan("One", standing_charge=Decimal(5))
    desk.save()
    assert verified(desk) == [None]


def test_counters_are_billed_and_replayed(open_desk: Opener) -> None:
    world = World()
    world.account()
    world.account_plan(priced(world, "Base", "0"), start="2023-10-01")
    accounting = world.product("Licences")
    world.counter("seats")
    world.counter_pricing("seats", bands((0, 30)), accounting_product_id=accounting.id)
    for day, level in (("2023-10-20", 10), ("2023-11-16", 14), ("2023-12-05", 3)):
        world.level(day, level)
    desk = open_desk(world)
    assert desk.run(**NOVEMBER).failures == ()
    (bill,) = desk.bills()
    assert [(line.line_item_type, str(line.subtotal)) for line in bill.line_items] == [
        ("COUNTER_RUNNING_TOTAL_CHARGE", "420.00"),  # December's 14 seats
        ("COUNTER_ADJUSTMENT_DEBIT", "60.00"),  # 4 more for half of November; its 10 are on October's bill
    ]
    assert {line.accounting_product_code for line in bill.line_items} == {"licences"}
    assert verified(desk) == [None]
    world.level("2023-11-16", 99)
    world.level("2023-11-20", 98)
    world.counter_pricing("seats", bands((0, 1)))
    desk.save()
    assert verified(desk) == [None]
    desk.run(**NOVEMBER)
    assert desk.bills()[0].bill_total != bill.bill_total
    assert verified(desk) == [None]
