"""Previews of what is configured: the same numbers that a bill of the same period then counts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk

from billing_world import World, at, bands, id_of
from tallystick.core.aggregation import Aggregation, Method, TimeUnit, UnitRounding
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.core.meter import Category, DataField, DerivedField, Meter
from tallystick.core.period import Period
from tallystick.errors import Refusal
from tallystick.pipeline import sample
from tallystick.pipeline.sample import preview_aggregation, preview_compound, preview_meter, recent_period
from tallystick.ports import UsageRow

Opener = Callable[[World], Desk]
MONTH = Period(at("2023-11-01"), at("2023-12-01"))
HOSTILE = "<b>'\"\\ =1+1 \N{SNOWMAN}"


def world_of(**given: Any) -> World:
    """One aggregation over calls, priced at 1 a unit, for two accounts."""
    world = World()
    world.meter("requests", ("calls",), ("region", "key"))
    world.aggregation("calls", **given)
    world.plan()
    for segment in given.get("segments") or (None,):
        world.pricing(f"price {segment}", bands((0, 1)), segment=segment)
    for account in ("acme", "beta"):
        world.account(account)
        world.account_plan(account=account, start="2023-01-01")
    return world


def use(desk: Desk) -> None:
    for account, when, calls, region, key in (
        ("acme", "2023-10-20", 3, "eu", "a"),
        ("acme", "2023-11-02", 10, "eu", "a"),
        ("acme", "2023-11-03", 7, "us", "b"),
        ("acme", "2023-11-30T23:59:59Z", 4, "ap", "a"),
        ("beta", "2023-11-10", "2.5", "eu", "c"),
        ("beta", "2023-12-01", 1000, "eu", "c"),
    ):
        desk.use(account, when, calls=calls, texts={"region": region, "key": key})


EACH = [
    {"aggregation": Method.SUM},
    {"aggregation": Method.SUM, "filter": "region == 'eu'"},
    {"aggregation": Method.SUM, "quantity_per_unit": Decimal(4), "rounding": UnitRounding.UP},
    {"aggregation": Method.COUNT},
    {"aggregation": Method.MEAN},
    {"aggregation": Method.MIN},
    {"aggregation": Method.MAX, "rounding": UnitRounding.DOWN},
    {"aggregation": Method.LATEST, "carry_forward": True, "gauge_field": "key"},
    {"aggregation": Method.PERCENTILE, "percentile": Decimal(50)},
    {"aggregation": Method.UNIQUE, "target_field": "region"},
    {"aggregation": Method.TIME_WEIGHTED_SUM, "time_unit": TimeUnit.PERIOD, "gauge_field": "key"},
    {"aggregation": Method.TIME_WEIGHTED_MEAN},
    {"aggregation": Method.CORRELATED_COUNT, "correlation_field": "key", "success_filter": "calls > 3"},
    {
        "aggregation": Method.SUM,
        "segmented_fields": ("region",),
        "segments": ({"region": "eu"}, {"region": "us"}, {"region": "*"}),
    },
]


@pytest.mark.parametrize("given", EACH, ids=lambda given: "-".join(map(str, given.values()))[:60])
def test_a_preview_is_what_a_bill_counts(open_desk: Opener, given: dict[str, Any]) -> None:
    desk = open_desk(world_of(**given))
    use(desk)
    desk.run(**NOVEMBER)
    billed = {
        (bill.account_id, tuple((line.segment or {}).values()), line.units)
        for bill in desk.bills()
        for line in bill.line_items
        if line.aggregation_id is not None and line.units is not None
    }
    assert billed
    (aggregation,) = desk.world.of(Aggregation).values()
    found = preview_aggregation(desk.records, desk.usage, aggregation.value, MONTH, desk.usage_store.mark)
    assert {(row.account_id, row.segment, row.units) for row in found.rows} == billed
    assert (found.measurements, found.accounts, found.found) == (4, 2, len(billed))


def test_the_greatest_come_first_and_the_rest_is_counted(open_desk: Opener) -> None:
    desk = open_desk(world_of())
    use(desk)
    (aggregation,) = desk.world.of(Aggregation).values()
    found = preview_aggregation(desk.records, desk.usage, aggregation.value, MONTH, desk.usage_store.mark, most=1)
    assert [(row.account_id, str(row.value), row.count) for row in found.rows] == [(id_of("account", "acme"), "21", 3)]
    assert (found.found, found.accounts) == (2, 2)


def test_a_formula_is_previewed_for_the_accounts_with_most_usage(open_desk: Opener) -> None:
    world = world_of()
    world.aggregation("events", aggregation=Method.COUNT)
    made = world.compound("ratio", "aggregation.calls / aggregation.events", rounding=UnitRounding.NEAREST)
    desk = open_desk(world)
    use(desk)
    found = preview_compound(desk.records, desk.usage, made.value, MONTH, desk.usage_store.mark)
    assert [(row.account_id, str(row.value), str(row.units), row.count) for row in found.rows] == [
        (id_of("account", "acme"), "7", "7", 6),
        (id_of("account", "beta"), "2.5", "3", 2),
    ]
    none: CompoundAggregation = msgspec.structs.replace(
        made.value, calculation="aggregation.calls / (aggregation.events - 1)"
    )
    failed = preview_compound(desk.records, desk.usage, none, MONTH, desk.usage_store.mark)
    assert [str(row.value) for row in failed.rows] == ["10.5"]
    assert failed.problem is not None
    assert "division by zero" in failed.problem


def test_too_much_is_not_looked_at(open_desk: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_desk(world_of())
    use(desk)
    (aggregation,) = desk.world.of(Aggregation).values()
    monkeypatch.setattr(sample, "MOST", 3)
    with pytest.raises(Refusal, match="the period has 4 measurements, a preview looks at 3 at most"):
        preview_aggregation(desk.records, desk.usage, aggregation.value, MONTH, desk.usage_store.mark)
    meter = [aggregation.value.meter_id]
    week = Period(at("2023-11-24"), at("2023-12-01"))
    assert recent_period(desk.usage, meter, at("2023-12-15T12:00:00Z"), "UTC") == week


@pytest.mark.parametrize(
    ("now", "zone", "start", "end"),
    [
        ("2023-12-15T12:00:00Z", "UTC", "2023-11-01", "2023-12-01"),
        ("2023-12-15T12:00:00Z", "Europe/Berlin", "2023-10-31T23:00:00Z", "2023-11-30T23:00:00Z"),
        (
            "2023-12-31T23:30:00Z",
            "Europe/Berlin",
            "2023-11-30T23:00:00Z",
            "2023-12-31T23:00:00Z",
        ),  # it is January there
        ("2023-10-22T12:00:00Z", "UTC", "2023-10-01", "2023-10-23"),  # nothing in September
    ],
)
def test_a_recent_period_is_a_month_of_the_zone(open_desk: Opener, now: str, zone: str, start: str, end: str) -> None:
    desk = open_desk(world_of())
    use(desk)
    found = recent_period(desk.usage, [id_of("meter", "requests")], at(now), zone)
    assert found == Period(at(start), at(end))


class TestMeters:
    def changed(self, desk: Desk, *derived: tuple[str, str], **given: Any) -> tuple[Meter, Entity[Meter]]:
        (before,) = desk.world.of(Meter).values()
        fields = tuple(
            DerivedField(code=code, name=code, category=Category.MEASURE, unit="1", calculation=calculation)
            for code, calculation in derived
        )
        meter: Meter = msgspec.structs.replace(before.value, derived_fields=fields, **given)
        return meter, before

    def test_derived_fields_are_computed_from_what_was_measured(self, open_desk: Opener) -> None:
        desk = open_desk(world_of())
        use(desk)
        meter, before = self.changed(desk, ("double", "calls * 2"), ("odd", "1 / (calls - 10)"))
        found = preview_meter(desk.records, desk.usage, meter, before, at("2023-12-02"), most=5)
        assert [row.values.get("double") for row in found.rows] == [2000, 8, 5, 14, 20]
        assert [bool(row.failures) for row in found.rows] == [False, False, False, False, True]
        assert "division by zero" in found.rows[-1].failures["odd"]
        assert found.rows[0].account == "beta"
        assert found.failed == ()

    def test_a_field_that_was_not_declared_is_found_where_it_was_sent(self, open_desk: Opener) -> None:
        desk = open_desk(world_of())
        row = UsageRow(
            position=1,
            organization_id=desk.world.organization_id,
            meter_id=id_of("meter", "requests"),
            account_id=id_of("account", "acme"),
            uid=HOSTILE,
            ts=at("2023-11-05"),
            ets=at("2023-11-06"),
            received=at("2023-11-07"),
            numbers={"calls": Decimal("0.000000000000000001")},
            texts={"region": HOSTILE, "key": ""},
            extra='{"measure":{"weight":12345678901234567890.5}}',
        )
        desk.usage_store.add([row], 1)
        weight = DataField(code="weight", name="Weight", category=Category.MEASURE, unit="kg")
        meter, before = self.changed(desk, ("sum", "weight + calls"))
        meter = msgspec.structs.replace(meter, data_fields=(*meter.data_fields, weight))
        (shown,) = preview_meter(desk.records, desk.usage, meter, before, at("2023-12-02")).rows
        assert (shown.uid, shown.values["region"]) == (HOSTILE, HOSTILE)
        assert shown.values["sum"] == Decimal("12345678901234567890.500000000000000001")
        absent = msgspec.structs.replace(weight, code="height")
        meter = msgspec.structs.replace(meter, data_fields=(absent,), derived_fields=())
        (rejected,) = preview_meter(desk.records, desk.usage, meter, before, at("2023-12-02")).rows
        assert rejected.rejection == "measure.height: is missing; the meter 'requests' declares it"
