"""Each form of price in a real bill run: on real records, explained, and replayed after everything has changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from billing_desk import NOVEMBER, Desk

from billing_world import World, at, bands, id_of
from tallystick.core.account import ChildBillingMode
from tallystick.core.aggregation import Method
from tallystick.core.bill import Bill
from tallystick.core.contract import PriceProtection
from tallystick.core.explain import explain_bill
from tallystick.core.price_forms import Package, Rate
from tallystick.pipeline.verify import verify_bill

Opener = Callable[[World], Desk]


def billed(desk: Desk) -> Bill:
    """The one bill of November, which must explain itself and stand up to a replay."""
    desk.run(**NOVEMBER)
    (record,) = desk.bill_records()
    assert len(explain_bill(record)) == len(record.bill.line_items)
    result = verify_bill(desk.records, desk.usage, record)
    assert result.verified, result.difference
    return record.bill


def still_verified(desk: Desk) -> None:
    """The stored bill replays although the world was edited since."""
    desk.save()
    (record,) = desk.bill_records()
    result = verify_bill(desk.records, desk.usage, record)
    assert result.verified, result.difference


def used_kinds(desk: Desk) -> set[str]:
    (record,) = desk.bill_records()
    return {used.kind for used in record.evidence.uses}


# ------------------------------------------------------------------------------------------------------ compounds


def hosting() -> World:
    world = World()
    meter = world.meter("hosting", ("requests", "apps"))
    world.aggregation("requests", meter, target_field="requests")
    world.aggregation("apps", meter, target_field="apps", aggregation=Method.MAX)
    billable = world.compound("billable", "aggregation.requests - 100 * aggregation.apps")
    world.plan()
    world.pricing("price", bands((0, "0.01")), compound_aggregation_id=billable.id)
    world.account()
    world.account_plan()
    return world


def test_compound_aggregation_is_billed_and_replayed(open_desk: Opener) -> None:
    world = hosting()
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", meter="hosting", requests=900, apps=5)
    desk.use("acme", "2023-11-06", meter="hosting", requests=600, apps=3)
    (line,) = billed(desk).line_items
    assert (str(line.subtotal), line.quantity) == ("10.00", Decimal(1000))
    assert "compoundaggregation" in used_kinds(desk)
    world.compound("billable", "aggregation.requests * 7")
    world.aggregation("apps", target_field="requests", code="renamed")
    still_verified(desk)


def test_compound_aggregation_without_a_result_fails_that_account_only(open_desk: Opener) -> None:
    world = hosting()
    world.compound("billable", "aggregation.requests / aggregation.apps")
    world.account("globex")
    world.account_plan(account="globex")
    desk = open_desk(world)
    for account, apps in (("acme", 0), ("globex", 2)):
        desk.use(account, "2023-11-05", meter="hosting", requests=900, apps=apps)
    desk.run(**NOVEMBER)
    assert [bill.account_code for bill in desk.bills()] == ["globex"]


def test_compound_aggregation_is_priced_by_segment_and_broken_down(open_desk: Opener) -> None:
    """EU: 900 - 200 of the parent's and 100 of the child's, as one 1,000 - 200; US: 300 of the child's."""
    world = World()
    meter = world.meter("hosting", ("requests", "apps"), ("region",))
    split = {"segmented_fields": ("region",), "default_value": Decimal(0)}
    world.aggregation("requests", meter, target_field="requests", **split)
    world.aggregation("apps", meter, target_field="apps", aggregation=Method.MAX, **split)
    billable = world.compound("billable", "aggregation.requests - 100 * aggregation.apps")
    world.plan()
    of = {"compound_aggregation_id": billable.id}
    world.pricing("eu", bands((0, "0.10")), segment={"region": "EU"}, **of)
    world.pricing("rest", bands((0, "0.01")), **of)
    world.account()
    world.account("east", parent_account_id=id_of("account", "acme"))
    world.account_plan(child_billing_mode=ChildBillingMode.PARENT_BREAKDOWN)
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", meter="hosting", texts={"region": "EU"}, requests=900, apps=2)
    desk.use("east", "2023-11-06", meter="hosting", texts={"region": "EU"}, requests=100)
    desk.use("east", "2023-11-06", meter="hosting", texts={"region": "US"}, requests=300)
    assert [
        (line.description, line.segment, line.child_account_code, str(line.subtotal))
        for line in billed(desk).line_items
    ] == [
        ("billable (EU)", {"region": "EU"}, None, "70.00"),
        ("billable (EU)", {"region": "EU"}, "east", "10.00"),
        ("billable (US)", {"region": "US"}, "east", "3.00"),
    ]


# ------------------------------------------------------------------------------------------------------ forms


def selling(**pricing: object) -> World:
    world = World()
    meter = world.meter("sales", ("amount",), ("region",))
    world.aggregation("sales", meter, target_field="amount", segmented_fields=("region",))
    world.plan()
    world.pricing("price", (), **pricing)
    world.account()
    world.account_plan()
    return world


RATES = tuple(
    Rate(dimensions={"region": region}, unit_price=Decimal(price)) for region, price in (("EU", "0.5"), ("US", "0.25"))
)


@pytest.mark.parametrize(
    ("pricing", "total"),
    [
        ({"percent": Decimal("2.5"), "free_units": Decimal(100)}, "5.00"),  # 2.5% of 200
        ({"percent": Decimal("2.5"), "maximum_spend": Decimal(6)}, "6.00"),
        # 1.00 for 100, 2.00 for 200: each at least 1.50.
        ({"percent": Decimal(1), "minimum_per_event": Decimal("1.5")}, "3.50"),
        ({"package": Package(size=Decimal(70), price=Decimal(3))}, "15.00"),  # 300 in 5 packages of 70
        ({"rates": RATES}, "100.00"),  # 100 at 0.50 and 200 at 0.25
        ({"rates": RATES, "maximum_spend": Decimal(60)}, "60.00"),
    ],
)
def test_form_is_billed_and_replayed(open_desk: Opener, pricing: dict[str, object], total: str) -> None:
    world = selling(**pricing)
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", meter="sales", texts={"region": "EU"}, amount=100)
    desk.use("acme", "2023-11-06", meter="sales", texts={"region": "US"}, amount=200)
    assert str(billed(desk).bill_total) == total
    world.pricing("price", bands((0, 99)), end_date=at("2023-11-02"))
    still_verified(desk)


def test_missing_rate_fails_that_account_only(open_desk: Opener) -> None:
    world = selling(rates=RATES)
    world.account("globex")
    world.account_plan(account="globex")
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", meter="sales", texts={"region": "BR"}, amount=100)
    desk.use("globex", "2023-11-05", meter="sales", texts={"region": "EU"}, amount=100)
    desk.run(**NOVEMBER)
    assert [(bill.account_code, str(bill.bill_total)) for bill in desk.bills()] == [("globex", "50.00")]


# ------------------------------------------------------------------------------------------------------ agreements


def calling() -> World:
    world = World()
    world.aggregation("calls")
    world.plan()
    world.pricing("price", bands((0, "0.05")))
    world.account()
    return world


def test_price_protection_is_billed_and_replayed(open_desk: Opener) -> None:
    world = calling()
    year = {"start_date": date(2023, 1, 1), "end_date": date(2024, 1, 1)}
    promise = PriceProtection(baseline=Decimal(500), maximum_increase_percent=Decimal(20), **year)
    contract = world.contract(price_protection=promise)
    world.account_plan(contract_id=contract.id)
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=14_628)
    bill = billed(desk)
    assert [str(line.subtotal) for line in bill.line_items] == ["731.40", "-131.40"]
    assert str(bill.bill_total) == "600.00"
    world.contract(price_protection=None)
    still_verified(desk)


def test_discounts_are_billed_and_replayed(open_desk: Opener) -> None:
    world = calling()
    world.account_plan()
    own = world.product("Marketing")
    world.discount("Tenth", percent=Decimal(10), accounting_product_id=own.id)
    world.discount("Long ago", percent=Decimal(10), end_date=at("2023-02-01"))
    world.discount("Voucher", amount=Decimal(100))
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=2_000)
    bill = billed(desk)
    assert [(line.description, str(line.subtotal)) for line in bill.line_items] == [
        ("calls", "100.00"),
        ("Tenth", "-10.00"),
        ("Voucher", "-90.00"),
    ]
    assert bill.line_items[1].accounting_product_code == "marketing"
    (record,) = desk.bill_records()
    assert [used.kind for used in record.evidence.uses].count("discount") == 2
    world.discount("Tenth", percent=Decimal(50))
    world.discount("Another", percent=Decimal(50))
    world.product("Marketing")
    still_verified(desk)


def test_price_on_a_condition_is_billed_and_replayed(open_desk: Opener) -> None:
    world = World()
    meter = world.meter("cloud", ("compute", "storage"))
    compute = world.aggregation("compute", meter, target_field="compute")
    world.aggregation("storage", meter, target_field="storage", aggregation=Method.MAX)
    world.plan()
    world.pricing("list", bands((0, 2)), aggregation_id=compute.id)
    world.pricing("large", bands((0, 1)), aggregation_id=compute.id, condition="aggregation.storage > 100")
    world.account()
    world.account_plan()
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", meter="cloud", compute=10, storage=101)
    assert str(billed(desk).bill_total) == "10.00"
    world.aggregation("storage", target_field="storage", code="renamed")
    world.pricing("large", bands((0, 1)), aggregation_id=compute.id, condition="aggregation.compute > 100")
    still_verified(desk)


def family(mode: ChildBillingMode) -> World:
    """A parent with a plan, and a child without one of its own."""
    world = calling()
    world.account("east", parent_account_id=id_of("account", "acme"))
    world.account_plan(child_billing_mode=mode)
    return world


def totals(desk: Desk) -> dict[str, str]:
    """The bills of November by account, each of which stands up to a replay."""
    desk.run(**NOVEMBER)
    for record in desk.bill_records():
        result = verify_bill(desk.records, desk.usage, record)
        assert result.verified, result.difference
    return {bill.account_code: str(bill.bill_total) for bill in desk.bills()}


def test_discount_of_a_child_is_off_its_own_bill(open_desk: Opener) -> None:
    world = family(ChildBillingMode.CHILD)
    world.discount("Half", "east", percent=Decimal(50))
    desk = open_desk(world)
    for account in ("acme", "east"):
        desk.use(account, "2023-11-05", calls=2_000)
    assert totals(desk) == {"acme": "100.00", "east": "50.00"}


def test_allowance_cap_and_condition_are_for_a_pool_together(open_desk: Opener) -> None:
    """4,000 calls of both, 1,000 free, at 0.04 as there are more than 3,000: 120.00, of which 110.00 at most."""
    world = family(ChildBillingMode.PARENT_BREAKDOWN)
    large = {"condition": "aggregation.calls > 3000", "free_units": Decimal(1000), "maximum_spend": Decimal(110)}
    world.pricing("large", bands((0, "0.04")), **large)
    desk = open_desk(world)
    for account in ("acme", "east"):
        desk.use(account, "2023-11-05", calls=2_000)
    assert totals(desk) == {"acme": "110.00"}
    assert [str(line.converted_subtotal) for line in desk.bills()[0].line_items] == ["55.00", "55.00"]


def test_percentage_of_each_event_is_broken_down_by_what_each_account_is_charged(open_desk: Opener) -> None:
    """1% of each, at least 1.00: the parent's 10 and 20 come to 2.00, the child's 900 to 9.00; 5.50 of it at most."""
    world = family(ChildBillingMode.PARENT_BREAKDOWN)
    world.pricing("price", (), percent=Decimal(1), minimum_per_event=Decimal(1), maximum_spend=Decimal("5.50"))
    desk = open_desk(world)
    for account, calls in (("acme", 10), ("acme", 20), ("east", 900)):
        desk.use(account, "2023-11-05", calls=calls)
    bill = billed(desk)
    assert [(str(line.subtotal), line.quantity) for line in bill.line_items] == [("1.00", 30), ("4.50", 900)]
    (record,) = desk.bill_records()
    assert explain_bill(record)[0].steps[-1] == (
        "The accounts are charged as one; the events of acme come to 2.00 of 11.00: 1.00 of 5.50."
    )
