"""Formulas that read lookup tables: in measurements as they arrive, and in bills, both of which can be made again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from billing_desk import NOVEMBER, Desk
from ingest_world import FIELDS, NORTH, NOW, measurement, world
from ingest_world import World as Intake

from billing_world import World, at, bands, id_of
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
from tallystick.pipeline.mediate import project
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import DocumentWhere, Page
from tallystick.stores.memory import MemoryUsage

Add = Callable[[Any, str], str]  # keeps a value under a name and gives its id
Opener = Callable[[World], Desk]


def revision(add: Add, table_id: str, name: str, rates: dict[str, str], **given: Any) -> None:
    """A published revision with a rate by model."""
    fields = (
        LookupField(type=FieldType.STRING, name="model"),
        LookupField(type=FieldType.NUMBER, name="rate"),
    )
    values = {"lookup_table_id": table_id, "fields": fields, "keys": ("model",), "status": RevisionStatus.PUBLISHED}
    made = add(LookupTableRevision(**{"name": name, "published_at": NOW, **values, **given}), name)
    rows = tuple({"model": model, "rate": Decimal(rate)} for model, rate in rates.items())
    add(LookupData(lookup_table_revision_id=made, rows=rows), f"rows of {name}")


# ------------------------------------------------------------------------------------------------------ measurements


@pytest.fixture
def north(tmp_path: Path) -> Iterator[Intake]:
    with world(tmp_path) as opened:
        yield opened


def derive(north: Intake, calculation: str) -> None:
    """A meter whose derived field is this calculation."""
    field = DerivedField(
        code="credits", name="Credits", category=Category.MEASURE, unit="credits", calculation=calculation
    )
    north.add(Meter(name="Priced", code="priced", data_fields=FIELDS, derived_fields=(field,)))


def credits_of(north: Intake) -> dict[str, Decimal | None]:
    """What each measurement has for the derived field in a usage store that is made anew."""
    usage = MemoryUsage()
    project(north.journal, usage, north.records)
    return {row.uid: row.numbers.get("credits") for row in usage.rows(NORTH)}


def send(north: Intake, uid: str, **given: Any) -> None:
    (verdict,) = asyncio.run(north.post(measurement(uid, meter="priced", **given)))
    assert verdict["verdict"] == "accepted", verdict


def rates(north: Intake, name: str, rates_: dict[str, str], **given: Any) -> None:
    table = north.organization().by_code(LookupTable, "rates")
    table_id = table.id if table else north.add(LookupTable(name="Rates", code="rates"))
    revision(lambda value, _: north.add(value), table_id, name, rates_, **given)


def test_a_derived_field_reads_the_row_of_its_key(north: Intake) -> None:
    rates(north, "first", {"small": "0.25", "large": "3"})
    derive(north, "tokens * lookup('rates', 'rate', model)")
    send(north, "a")
    assert credits_of(north) == {"a": Decimal("2.5")}


@pytest.mark.parametrize(
    ("calculation", "value"),
    [
        ("tokens * lookup('rates', 'rate', model)", None),
        ("tokens * isnull(lookupOrNull('rates', 'rate', model), 2)", Decimal(20)),
        ("isnull(lookup('rates', 'rate', null), 7)", Decimal(7)),  # null in, null out, as for every function
        ("lookup('rates', 'price', 'large')", None),
        ("lookup('rates', 'rate', 'large', 'extra')", None),
        ("lookup('nothing', 'rate', 'large')", None),
    ],
)
def test_what_the_table_does_not_say(north: Intake, calculation: str, value: Decimal | None) -> None:
    rates(north, "first", {"large": "3"})
    derive(north, calculation)
    send(north, "a")
    assert credits_of(north) == {"a": value}
    events = north.organization().documents("event", DocumentWhere(), Page()).rows
    assert len(events) == (1 if value is None else 0), "a calculation that fails is told of"


def test_each_measurement_sees_what_held_for_it(north: Intake) -> None:
    rates(north, "first", {"small": "1"}, published_at=at("2025-01-01"))
    rates(north, "from June", {"small": "2"}, published_at=at("2025-02-01"), start_date=at("2025-06-01"))
    derive(north, "tokens * lookup('rates', 'rate', model)")
    send(north, "may", ts="2025-05-31T23:59:59Z")
    send(north, "june", ts="2025-06-01T00:00:00Z")
    assert credits_of(north) == {"may": Decimal(10), "june": Decimal(20)}
    # What is published later says nothing about what was received before it, whenever that is read again.
    rates(north, "later", {"small": "7"}, published_at=at("2025-06-01T12:00:01Z"))
    assert credits_of(north) == {"may": Decimal(10), "june": Decimal(20)}


def test_a_revision_that_was_withdrawn_leaves_the_one_before(north: Intake) -> None:
    rates(north, "first", {"small": "1"}, published_at=at("2025-01-01"))
    rates(north, "wrong", {"small": "9"}, published_at=at("2025-02-01"), withdrawn_at=at("2025-03-01"))
    rates(north, "too late", {"small": "8"}, published_at=at("2025-07-01"))
    derive(north, "tokens * lookup('rates', 'rate', model)")
    send(north, "a")
    assert credits_of(north) == {"a": Decimal(10)}


# ------------------------------------------------------------------------------------------------------ bills


def test_a_compound_aggregation_reads_a_table_and_is_replayed(open_desk: Opener) -> None:
    world = World()
    world.aggregation("calls")
    table = world.add(LookupTable(name="Rates", code="rates"), "rates")
    revision(lambda value, name: world.add(value, name).id, table.id, "first", {"large": "0.5"})
    billable = world.compound("credits used", "aggregation.calls * lookup('rates', 'rate', 'large')")
    world.plan()
    world.pricing("price", bands((0, 1)), compound_aggregation_id=billable.id)
    world.account()
    world.account_plan()
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=90)
    desk.run(**NOVEMBER)
    (record,) = desk.bill_records()
    assert str(record.bill.bill_total) == "45.00"
    used = {(each.kind, each.id) for each in record.evidence.uses}
    assert ("lookuptablerevision", id_of("lookuptablerevision", "first")) in used
    said = explain_bill(record)[0].steps[0]
    assert said.startswith("aggregation.calls * lookup('rates', 'rate', 'large') from 2023-11-01")
    assert said.endswith("with aggregation.calls = 90, the lookup table rates as in 'first': 45.")
    revision(
        lambda value, name: world.add(value, name).id, table.id, "second", {"large": "2"}, published_at=at("2025-07-01")
    )
    desk.save()
    result = verify_bill(desk.records, desk.usage, record)
    assert result.verified, result.difference
    desk.recalculate([record.bill.id])
    assert [str(bill.bill_total) for bill in desk.bills()] == ["180.00"]


def test_a_bill_whose_formula_finds_no_row_fails_alone(open_desk: Opener) -> None:
    world = World()
    world.aggregation("calls")
    table = world.add(LookupTable(name="Rates", code="rates"), "rates")
    revision(lambda value, name: world.add(value, name).id, table.id, "first", {"large": "0.5"})
    billable = world.compound(
        "credits used", "aggregation.calls * lookup('rates', 'rate', aggregation.calls > 50 ? 'huge' : 'large')"
    )
    world.plan()
    world.pricing("price", bands((0, 1)), compound_aggregation_id=billable.id)
    for account in ("acme", "globex"):
        world.account(account)
        world.account_plan(account=account)
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=90)
    desk.use("globex", "2023-11-05", calls=10)
    desk.run(**NOVEMBER)
    assert [(bill.account_code, str(bill.bill_total)) for bill in desk.bills()] == [("globex", "5.00")]
