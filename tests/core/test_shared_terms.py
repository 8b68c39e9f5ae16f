"""What follows from a plan is worked out once for all accounts that have it: each is billed as if it were alone."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest

from billing_world import Event, World, at, bands, id_of, lines_of, number, summing
from tallystick.core.aggregation import Method
from tallystick.core.ids import named_id
from tallystick.core.plan_terms import catalogue_of, plan_terms
from tallystick.core.uses import uses_of

# Accounts by when their plan starts and ends: before the month, within it, later, and for a part of it.
LIVES = {
    "early": ("2023-01-01", None),
    "twin": ("2023-01-01", None),
    "within": ("2023-11-10", None),
    "half a day later": ("2023-11-10T12:00:00Z", None),
    "ends": ("2023-03-15", "2023-11-20"),
    "ends later": ("2023-03-15", "2023-12-20"),
    "short": ("2023-11-05", "2023-11-07"),
}
USED = [Event(at(f"2023-{month:02}-06T00:00:00Z"), Decimal(month * 100)) for month in range(1, 13)]


def world_of(template: dict[str, Any], pricing: dict[str, Any]) -> World:
    world = World()
    world.config(standing_charge_bill_in_advance=False)
    world.aggregation("calls")
    world.aggregation("peak", aggregation=Method.MAX, default_value=Decimal(3))
    world.plan(template=world.template(standing_charge=Decimal(31), **template))
    world.pricing("tiers", bands((0, "0.5"), (1000, "0.25", 7)), cumulative=True, **pricing)
    world.pricing("new price", bands((0, "0.4")), start_date=at("2023-11-15"), **pricing)
    of_peak = id_of("aggregation", "peak")
    world.pricing("old peak", bands((0, 1)), aggregation_id=of_peak, end_date=at("2023-02-01"))
    world.pricing("peak", bands((0, 2)), aggregation_id=of_peak, start_date=at("2023-02-01"))
    for code, (start, end) in LIVES.items():
        world.account(code)
        world.account_plan(account=code, start=start, **({"end_date": end} if end else {}))
    world.discount("half", "twin", percent=Decimal(50), start_date=at("2023-11-12"))
    return world


@pytest.mark.parametrize(
    ("template", "pricing"),
    [
        ({}, {}),
        ({"standing_charge_bill_in_advance": True}, {"tiers_span_plan": True}),
        ({"standing_charge_interval": 3, "standing_charge_offset": 1}, {"minimum_spend": number(400)}),
        ({"minimum_spend": number(900)}, {"maximum_spend": number(100)}),
    ],
    ids=["plain", "in advance, spanning", "every third month", "limits"],
)
def test_each_account_is_billed_as_if_it_were_alone(template: dict[str, Any], pricing: dict[str, Any]) -> None:
    world = world_of(template, pricing)
    catalogue = catalogue_of(world.entities.values())
    plan = cache(lambda id_: plan_terms(catalogue, id_))
    kept = []
    for up_to in (7, 9):
        for code in [*LIVES, *reversed(LIVES)]:
            alone = world.terms("2023-11-06", code)
            own = [msgspec.structs.replace(each, plan=plan(each.plan.plan.id)) for each in alone.account_plans]
            shared = msgspec.structs.replace(alone, account_plans=tuple(own))
            assert lines_of(shared, summing(USED), up_to) == lines_of(alone, summing(USED), up_to)
            assert uses_of(shared) == uses_of(alone)
        kept.append(sum(len(each.plan.worked_out) for each in shared.account_plans))
    assert kept[0] == kept[1] > 0, "another journal position leaves nothing behind"


@pytest.mark.parametrize("name", ["", "bill", "äöü \U0001f9fe", "x" * 1000])
def test_ids_are_uuids_of_version_5(name: str) -> None:
    for namespace in ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"):
        assert named_id(namespace, name) == str(uuid5(UUID(namespace), name))
