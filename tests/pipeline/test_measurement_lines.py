"""From a measurement to its lines, and the reason where it is on none; the way back from a line agrees."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk, calls_world
from test_lineage import usage_store  # noqa: F401  # the fixture: both stores

from billing_world import World, at, bands, id_of
from tallystick.core.account import ChildBillingMode
from tallystick.core.aggregation import Method, TimeUnit
from tallystick.core.bill import approve, lock
from tallystick.pipeline.lineage import Which, line_measurements
from tallystick.pipeline.measurement_lines import MeasurementLines, lines_of
from tallystick.ports import Page, UsageQuery, UsageRow, UsageStore, Withdrawn

Opener = Callable[[World], Desk]


@pytest.fixture
def open_desk(tmp_path: Path, usage_store: UsageStore) -> Opener:  # noqa: F811  # the imported fixture by its name
    return lambda world: Desk(tmp_path, world, usage_store=usage_store)


def row_of(desk: Desk, position: int) -> UsageRow:
    everything = UsageQuery(
        start=None,
        end=None,
        meter_ids=None,
        account_ids=None,
        filters=(),
        columns=(),
        groups=(),
        limit=1,
        zone="UTC",
        positions=(position,),
        withdrawn=None,
    )
    (row,) = desk.usage.raw(everything)
    return row


def asked(desk: Desk) -> MeasurementLines:
    """Of the measurement that came last."""
    return lines_of(desk.records, desk.usage, row_of(desk, desk.usage_store.mark))


def on(desk: Desk, position: int) -> list[str]:
    return [each.description for each in lines_of(desk.records, desk.usage, row_of(desk, position)).lines]


def reasons(desk: Desk) -> list[str]:
    found = asked(desk)
    assert not found.lines
    return [each.reason.value for each in found.others]


def test_every_measurement_of_every_line_leads_back_to_it(open_desk: Opener) -> None:
    """Segments, a calculation, a gauge and a count of units together: what a line names, names the line."""
    world = World()
    meter = world.meter("requests", ("calls", "errors", "held"), ("model", "id"))
    world.aggregation("calls", meter, segmented_fields=("model",), segments=({"model": "large"}, {"model": "*"}))
    world.aggregation("errors", meter, target_field="errors")
    world.aggregation("held", meter, target_field="held", aggregation=Method.TIME_WEIGHTED_SUM, time_unit=TimeUnit.DAY)
    world.compound("both", "aggregation.errors + aggregation.errors")
    world.plan()
    world.pricing("large", bands((0, "0.10")), segment={"model": "large"}, description="Large")
    world.pricing("other", bands((0, "0.01")), segment={"model": "*"}, description="Other")
    world.pricing("errors", bands((0, "1")), aggregation_id=id_of("aggregation", "errors"), description="Errors")
    world.pricing("held", bands((0, "1")), aggregation_id=id_of("aggregation", "held"), description="Held")
    world.account()
    world.account_plan()
    desk = open_desk(world)
    for day, model in enumerate(("large", "small", "large", "tiny"), start=5):
        desk.use("acme", f"2023-11-{day:02}", texts={"model": model}, calls=10, errors=day)
    desk.use("acme", "2023-11-20", held=3)
    desk.run(**NOVEMBER)
    (record,) = desk.bill_records()
    seen = 0
    for line in record.bill.line_items:
        if line.pricing_id is None:
            continue
        rows = line_measurements(desk.records, desk.usage, record, line, Which(), Page()).rows
        for each in rows:
            found = lines_of(desk.records, desk.usage, row_of(desk, each.position)).lines
            assert line.id in {one.line_item_id for one in found}
            seen += 1
    assert seen == 4 + 4 + 1


def test_what_is_not_on_a_line_says_why(open_desk: Opener) -> None:
    world = World()
    meter = world.meter("requests", ("calls", "other"), ("model",))
    world.aggregation("calls", meter, filter="calls < 30")
    world.meter("idle", ("calls",))
    world.plan()
    world.pricing("price", bands((0, "0.10")))
    world.account()
    world.account_plan(start="2023-10-01")
    world.account("loose")
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=10)
    desk.run(**NOVEMBER)
    assert on(desk, desk.usage_store.mark) == ["calls"]
    for account, when, numbers, reason in (
        ("acme", "2023-11-05", {"other": 1}, "NO_FIELD"),
        ("acme", "2023-11-05", {"calls": 30}, "FILTERED"),
        ("loose", "2023-11-05", {"calls": 1}, "NO_PLAN"),
        ("acme", "2023-09-30", {"calls": 1}, "NO_PLAN"),
        ("acme", "2023-11-05", {"calls": 1}, "TOO_LATE"),
        ("acme", "2023-12-05", {"calls": 1}, "NOT_YET_BILLED"),
    ):
        desk.use(account, when, **numbers)
        assert reasons(desk) == [reason], (account, when, numbers)
    desk.use("acme", "2023-11-05", meter="idle", calls=1)
    assert reasons(desk) == ["NO_AGGREGATION"]
    (told,) = asked(desk).others
    assert told.sentence == "No aggregation counts anything of its meter."


def test_a_segment_or_a_price_that_is_not_there(open_desk: Opener) -> None:
    world = World()
    meter = world.meter("requests", ("calls",), ("model",))
    world.aggregation("calls", meter, segmented_fields=("model",), segments=({"model": "large"},))
    world.aggregation("free", meter)
    world.plan()
    world.pricing("large", bands((0, "0.10")), segment={"model": "large"}, description="Large")
    world.account()
    world.account_plan()
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", texts={"model": "small"}, calls=10)
    desk.run(**NOVEMBER)
    assert {(each.aggregation_name, each.reason.value) for each in asked(desk).others} == {
        ("calls", "NO_SEGMENT"),
        ("free", "NOT_PRICED"),
    }


def test_what_came_late_is_on_the_line_that_adjusts(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-10-05", calls=10)
    desk.run(now="2023-11-01T06:00:00Z", last_date_in_billing_period=date(2023, 10, 31))
    (record,) = desk.bill_records()
    closed = lock(approve(record.bill, by="a", at=at("2023-11-02")), by="a", at=at("2023-11-02"))
    desk.put(msgspec.structs.replace(record, bill=closed))
    desk.use("acme", "2023-10-06", calls=4)
    late = desk.usage_store.mark
    assert reasons(desk) == ["TOO_LATE"]
    desk.run(**NOVEMBER)
    (line,) = lines_of(desk.records, desk.usage, row_of(desk, late)).lines
    assert line.adjusts
    assert line.bill_id != record.bill.id


def test_what_was_withdrawn_stays_on_the_bill_made_before_and_is_on_no_other(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=10)
    kept = desk.usage_store.mark
    desk.run(**NOVEMBER)
    desk.use("acme", "2023-12-05", calls=4)
    (row,) = (row_of(desk, desk.usage_store.mark),)
    out = [
        Withdrawn(
            position=desk.usage_store.mark + 1 + number,
            of=each.position,
            organization_id=each.organization_id,
            meter_id=each.meter_id,
            account_id=each.account_id,
            ts=each.ts,
        )
        for number, each in enumerate((row_of(desk, kept), row))
    ]
    desk.usage_store.add([], desk.usage_store.mark + 2, withdrawn=out)
    assert on(desk, kept) == ["calls"], "the bill stays as it was made"
    (other,) = lines_of(desk.records, desk.usage, row_of(desk, row.position)).others
    assert (other.reason, other.sentence) == ("WITHDRAWN", "It was withdrawn, so that no bill made since counts it.")


def test_a_child_is_on_the_bill_of_its_parent(open_desk: Opener) -> None:
    world = calls_world("group")
    world.account("east", parent_account_id=id_of("account", "group"))
    world.account_plan(account="group", child_billing_mode=ChildBillingMode.PARENT_SUMMARY)
    desk = open_desk(world)
    desk.use("east", "2023-11-05", calls=20)
    desk.run(**NOVEMBER)
    (line,) = asked(desk).lines
    assert [each.bill.account_code for each in desk.bill_records() if each.bill.id == line.bill_id] == ["group"]
