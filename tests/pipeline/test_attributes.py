"""Formulas that refer to custom fields, to the times of a measurement and to its account; bills of such formulas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk
from ingest_world import FIELDS, NORTH, NOW, World, measurement, world

from billing_world import World as BillingWorld
from billing_world import bands
from tallystick.core.account import Account
from tallystick.core.catalog import Product
from tallystick.core.entity import Entity
from tallystick.core.explain import explain_bill
from tallystick.core.lookup_types import (
    FieldType,
    LookupData,
    LookupField,
    LookupTable,
    LookupTableRevision,
    RevisionStatus,
)
from tallystick.core.meter import Category, DerivedField, Meter
from tallystick.core.organization import OrganizationCustomFields
from tallystick.pipeline.mediate import project
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import DocumentWhere, Page
from tallystick.stores.memory import MemoryUsage

START = {"organization": {"region": "eu"}, "account": {"rate": Decimal(2), "tier": "basic"}}


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as opened:
        defaults(opened, **START)
        yield opened


def change(north: World, before: Entity[Any], at: Any, **changes: Any) -> None:
    value = msgspec.structs.replace(before.value, **changes)
    after = replace(before, version=before.version + 1, value=value, modified=at)
    with north.organization().transaction() as write:
        write.replace(after)


def defaults(north: World, at: Any = NOW, **fields: Any) -> None:
    before = north.organization().get(OrganizationCustomFields, NORTH)
    assert before is not None
    change(north, before, at, **fields)


def account(north: World) -> Entity[Account]:
    found = north.organization().by_code(Account, "acme")
    if found is None:
        made = north.add(Account(name="Acme", code="acme", email_address="a@b.example"))
        found = north.organization().get(Account, made)
    assert found is not None
    return found


def derive(north: World, calculation: str, category: Category = Category.MEASURE, **meter: Any) -> None:
    field = DerivedField(code="derived", name="Derived", category=category, unit="x", calculation=calculation)
    north.add(Meter(**{"name": "D", "code": "d", "data_fields": FIELDS, "derived_fields": (field,), **meter}))


def send(north: World, uid: str, **given: Any) -> None:
    account(north)
    (verdict,) = asyncio.run(north.post(measurement(uid, meter="d", **given)))
    assert verdict["verdict"] == "accepted", verdict


def derived(north: World) -> dict[str, Decimal | str | None]:
    """What each measurement has for the derived field in a usage store that is made anew."""
    usage = MemoryUsage()
    project(north.journal, usage, north.records)
    return {row.uid: row.numbers.get("derived", row.texts.get("derived")) for row in usage.rows(NORTH)}


@pytest.mark.parametrize(
    ("calculation", "value"),
    [
        ("timestamp.ts", Decimal(1748772000000)),  # 2025-06-01T10:00:00Z
        ("(timestamp.ets - timestamp.ts) / 3600000", Decimal("1.5")),
        ("timestamp.received - timestamp.ts", Decimal(7200000)),  # received at noon
        ("DateTime.hour(timestamp.ts, 'America/New_York')", Decimal(6)),
        ("account.rate * tokens", Decimal(20)),
        ("organization.region + '/' + account.tier + '/' + account", "eu/basic/acme"),
        ("isnull(account.unheard, 3)", Decimal(3)),
        ("isnull(meter.weight, 1) * tokens", Decimal(70)),
        ("product.factor * tokens", Decimal(50)),
    ],
)
def test_a_formula_refers_to_more_than_fields(north: World, calculation: str, value: Decimal | str) -> None:
    defaults(north, product={"factor": Decimal(4)}, meter={"weight": Decimal(2)})
    product = north.add(Product(name="P", code="p", custom_fields={"factor": 5}))
    category = Category.MEASURE if isinstance(value, Decimal) else Category.WHAT
    derive(north, calculation, category, product_id=product, custom_fields={"weight": 7})
    send(north, "a", ets="2025-06-01T11:30:00Z")
    assert derived(north) == {"a": value}


def test_a_measurement_without_an_end_has_none(north: World) -> None:
    derive(north, "isnull(timestamp.ets, timestamp.ts) - timestamp.ts")
    send(north, "a")
    assert derived(north) == {"a": 0}


def test_each_measurement_keeps_the_custom_fields_of_its_time(north: World) -> None:
    derive(north, "account.rate * tokens")
    send(north, "default")
    north.clock.turn(timedelta(hours=1))
    change(north, account(north), north.clock.now(), custom_fields={"rate": Decimal(3)})
    send(north, "own")
    north.clock.turn(timedelta(hours=1))
    change(north, account(north), north.clock.now(), custom_fields=None)
    defaults(north, north.clock.now(), account={"rate": Decimal(5)})
    send(north, "new default")
    # Read again long after, each has what held when it was received, whatever its timestamp says.
    assert derived(north) == {"default": 20, "own": 30, "new default": 50}


def test_a_value_of_another_type_leaves_the_field_out_and_says_so(north: World) -> None:
    derive(north, "account.rate * tokens")
    change(north, account(north), NOW, custom_fields={"rate": "cheap"})
    send(north, "a")
    assert derived(north) == {"a": None}
    (event,) = north.organization().documents("event", DocumentWhere(), Page()).rows
    assert b"* at character 14: needs two numbers, got a text and a number" in event.body


def test_the_account_is_a_key_of_lookup_tables(north: World) -> None:
    table = north.add(LookupTable(name="Rates", code="rates"))
    fields = (LookupField(type=FieldType.STRING, name="who"), LookupField(type=FieldType.NUMBER, name="rate"))
    revision = north.add(
        LookupTableRevision(
            name="First", lookup_table_id=table, fields=fields, keys=("who",),
            status=RevisionStatus.PUBLISHED, published_at=NOW,
        )
    )  # fmt: skip
    north.add(LookupData(lookup_table_revision_id=revision, rows=({"who": "acme", "rate": Decimal("0.5")},)))
    derive(north, 'tokens * Lookup.findNumber("rates", "rate", 1, "account")')
    send(north, "a")
    assert derived(north) == {"a": 5}


# ------------------------------------------------------------------------------------------------------ bills


def test_a_bill_of_custom_fields_can_be_explained_and_replayed(open_desk: Callable[[BillingWorld], Desk]) -> None:
    billing = BillingWorld()
    billing.aggregation("calls")
    formula = "aggregation.calls * account.rate * plan.weight * (account.tier == 'gold' ? 0.5 : 1)"
    billable = billing.compound("weighted calls", formula)
    billing.add(OrganizationCustomFields(account={"rate": 1, "tier": "basic"}, plan={"weight": 3}), "")
    billing.plan(custom_fields={"weight": Decimal("1.5")})
    billing.pricing("price", bands((0, 1)), compound_aggregation_id=billable.id)
    for code, fields in (("acme", {"rate": 2, "tier": "gold"}), ("globex", None)):
        billing.account(code, custom_fields=fields)
        billing.account_plan(account=code)
    desk = open_desk(billing)
    desk.use("acme", "2023-11-05", calls=90)
    desk.use("globex", "2023-11-05", calls=10)
    desk.run(**NOVEMBER)
    records = {record.bill.account_code: record for record in desk.bill_records()}
    # 90 × 2 × 1.5 × 0.5 = 135; 10 × 1 × 1.5 × 1 = 15
    assert {code: str(each.bill.bill_total) for code, each in records.items()} == {"acme": "135.00", "globex": "15.00"}
    said = explain_bill(records["acme"])[0].steps[0]
    assert "aggregation.calls = 90, account.rate = 2, account.tier = 'gold', plan.weight = 1.5: 135." in said
    assert ("customfields", billing.organization_id) in {(use.kind, use.id) for use in records["globex"].evidence.uses}
    billing.add(OrganizationCustomFields(account={"rate": 4, "tier": "basic"}, plan={"weight": 3}), "")
    billing.account("acme", custom_fields={"rate": 10})
    desk.save()
    for record in records.values():
        result = verify_bill(desk.records, desk.usage, record)
        assert result.verified, result.difference
    desk.recalculate([record.bill.id for record in records.values()])
    # 90 × 10 × 1.5 × 1 = 1350; 10 × 4 × 1.5 × 1 = 60
    assert {bill.account_code: str(bill.bill_total) for bill in desk.bills()} == {"acme": "1350.00", "globex": "60.00"}


def test_a_bill_of_no_custom_fields_does_not_depend_on_them(open_desk: Callable[[BillingWorld], Desk]) -> None:
    billing = BillingWorld()
    billing.aggregation("calls")
    twice = billing.compound("twice", "aggregation.calls * 2")
    billing.add(OrganizationCustomFields(account={"rate": 1}), "")
    billing.plan()
    billing.pricing("price", bands((0, 1)), compound_aggregation_id=twice.id)
    billing.account()
    billing.account_plan()
    desk = open_desk(billing)
    desk.use("acme", "2023-11-05", calls=90)
    desk.run(**NOVEMBER)
    (record,) = desk.bill_records()
    assert "customfields" not in {use.kind for use in record.evidence.uses}
