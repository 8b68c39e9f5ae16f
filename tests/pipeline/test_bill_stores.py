"""The same measurements give the same bills, byte for byte, whichever store keeps them and in whatever batches."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from billing_desk import NOVEMBER, Desk

from billing_world import World, at, bands, id_of
from tallystick.core.aggregation import Method, UnitRounding
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import UsageRow
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.usage_clickhouse import ClickHouseUsage

Opener = Callable[[World], Desk]
ACCOUNTS = ("acme", "beta", "gamma")


def every_kind_of_pricing() -> World:
    """One product that is counted in every way there is."""
    world = World()
    meter = world.meter("requests", ("calls", "size"), ("region", "user"))
    world.template(standing_charge=Decimal("9.99"), minimum_spend=Decimal(40))
    world.plan()
    for method in (Method.SUM, Method.MIN, Method.MAX, Method.COUNT, Method.LATEST, Method.MEAN):
        aggregation = world.aggregation(method, meter, target_field="size", aggregation=method)
        world.pricing(method, bands((0, "0.0123"), (50, "0.0079")), aggregation_id=aggregation.id, cumulative=True)
    users = world.aggregation("users", meter, target_field="user", aggregation=Method.UNIQUE)
    world.pricing("users", bands((0, "1.5")), aggregation_id=users.id)
    peak = world.aggregation(
        "p95",
        meter,
        target_field="size",
        aggregation=Method.PERCENTILE,
        percentile=Decimal(95),
        quantity_per_unit=Decimal(7),
        rounding=UnitRounding.UP,
    )
    world.pricing("p95", bands((0, "0.3")), aggregation_id=peak.id)
    split = world.aggregation(
        "calls",
        meter,
        segmented_fields=("region",),
        segments=({"region": "EU"}, {"region": "*"}),
        filter="calls > 0",
    )
    for segment in ({"region": "EU"}, {"region": "*"}):
        world.pricing(
            segment["region"],
            bands((0, "0.2"), (30, "0.1")),
            aggregation_id=split.id,
            segment=segment,
            cumulative=True,
            tiers_span_plan=True,
        )
    for account in ACCOUNTS:
        world.account(account)
        world.account_plan(account=account, start="2023-09-10")
    return world


def measurements(world: World) -> list[UsageRow]:
    """300 of them from September to November, always the same."""
    chance = random.Random(7)
    return [
        UsageRow(
            position=position,
            organization_id=world.organization_id,
            meter_id=id_of("meter", "requests"),
            account_id=id_of("account", chance.choice(ACCOUNTS)),
            uid=str(position),
            ts=at(
                f"2023-{chance.randint(9, 11):02}-{chance.randint(1, 28):02}T{position % 24:02}:00:{position % 60:02}Z"
            ),
            ets=None,
            received=at("2023-12-01"),
            numbers={"calls": Decimal(chance.randint(-1, 9)), "size": Decimal(chance.randint(1, 10**9)) / 10**6},
            texts={"region": chance.choice(["EU", "US", "BR"]), "user": f"u{chance.randint(1, 20)}"},
        )
        for position in range(1, 301)
    ]


def test_bills_are_the_same_bytes_from_every_store(open_desk: Opener, tmp_path: Path) -> None:
    first, second = open_desk(every_kind_of_pricing()), open_desk(every_kind_of_pricing())
    rows = measurements(first.world)
    first.usage_store = MemoryUsage()
    first.usage_store.add(rows, 300)
    columns = ClickHouseUsage(tmp_path / "usage")
    try:
        second.usage_store = columns
        for start in range(0, 300, 77):
            batch = rows[start : start + 77]
            columns.add(batch[::-1], batch[-1].position)
        first.run(**NOVEMBER, chunk_size=2)
        second.run(**NOVEMBER)
        assert first.bodies() == second.bodies()
        assert len(first.bills()) == len(ACCOUNTS)
        assert all(len(bill.line_items) >= 10 for bill in first.bills())
        for record in first.bill_records():
            assert verify_bill(second.records, second.usage, record).verified
    finally:
        columns.close()
