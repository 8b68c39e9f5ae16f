"""From a line of a bill down to its measurements: exactly those, day by day, whatever arrived since."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk, calls_world

from billing_world import World, at, bands, id_of
from tallystick.core.account import ChildBillingMode
from tallystick.core.aggregation import Method, TimeUnit
from tallystick.core.bill import BillRecord, LineItem, LineItemType, approve, lock
from tallystick.errors import Refusal
from tallystick.pipeline.lineage import LineUsage, UsageInput, Which, line_measurements, line_usage
from tallystick.ports import Page, UsageStore
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.usage_clickhouse import ClickHouseUsage

Opener = Callable[[World], Desk]
BERLIN = ZoneInfo("Europe/Berlin")
OCTOBER = {"last_date_in_billing_period": date(2023, 10, 31)}
SINCE, UNTIL = at("2023-10-31T23:00:00Z"), at("2023-11-30T23:00:00Z")  # November in Berlin


@pytest.fixture(scope="module", params=["memory", "clickhouse"])
def usage_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsageStore]:
    opened: UsageStore
    opened = MemoryUsage() if request.param == "memory" else ClickHouseUsage(tmp_path_factory.mktemp("usage"))
    yield opened
    opened.close()


def line_of(record: BillRecord, description: str = "calls") -> LineItem:
    (found,) = [each for each in record.bill.line_items if each.description == description]
    return found


def only_record(desk: Desk, account: str = "acme", start: str | None = None) -> BillRecord:
    found = [each for each in desk.bill_records() if each.bill.account_code == account]
    (record,) = [each for each in found if start in {None, each.bill.start_date.isoformat()}]
    return record


def used(desk: Desk, record: BillRecord, description: str = "calls") -> LineUsage:
    return line_usage(desk.records, desk.usage, record, line_of(record, description))


def only_input(found: LineUsage) -> UsageInput:
    (one,) = found.inputs
    return one


def walked(desk: Desk, record: BillRecord, line: LineItem, size: int = 7, **which: Any) -> list[str]:
    """The uids behind a line, read page by page."""
    uids: list[str] = []
    token: str | None = None
    while True:
        wanted = Which(**which)
        page = line_measurements(desk.records, desk.usage, record, line, wanted, Page(size=size, token=token))
        uids += [row.uid for row in page.rows]
        if page.next_token is None:
            return uids
        token = page.next_token


def by_day(found: UsageInput) -> dict[str, tuple[str, int, int]]:
    """Per day with measurements: value, how many, how many of them decide."""
    shown = [each for each in found.days if each.measurements]
    return {each.day.isoformat(): (f"{each.value:f}", each.measurements, each.deciding) for each in shown}


# ------------------------------------------------------------------------------------------------------ sums


def test_the_days_of_a_generated_month_add_up_and_name_every_measurement(
    tmp_path: Path, usage_store: UsageStore
) -> None:
    """Berlin's November, with clocks one hour ahead of UTC: what is expected is added up here, in Berlin's days."""
    desk = Desk(tmp_path, berlin(), usage_store=usage_store)
    chance, expected, inside = random.Random(7), defaultdict(list[Decimal]), list[str]()
    for _ in range(200):
        moment = at("2023-10-30") + timedelta(seconds=chance.randrange(33 * 86_400))
        calls = Decimal(chance.randrange(1, 10**6)).scaleb(-chance.randrange(0, 7))
        desk.use("acme", moment.isoformat(), calls=calls)
        if SINCE <= moment < UNTIL:
            expected[moment.astimezone(BERLIN).date()].append(calls)
            inside.append(str(desk.usage_store.mark))
    desk.run(**NOVEMBER)
    record = only_record(desk)
    desk.use("acme", "2023-11-15", calls=1)  # came after the bill, and is none of its business
    line, found = line_of(record), only_input(used(desk, record))
    assert {each.day: each.total for each in found.days if each.measurements} == {
        day: sum(values) for day, values in expected.items()
    }
    assert len(found.days) == 30
    assert found.adds_up
    assert sum(each.total or 0 for each in found.days) == found.total == line.quantity
    assert sum(each.measurements for each in found.days) == found.measurements == len(inside)
    assert sorted(walked(desk, record, line)) == sorted(inside)
    busiest = max(expected, key=lambda day: len(expected[day]))
    assert len(walked(desk, record, line, day=busiest)) == len(expected[busiest])
    assert walked(desk, record, line, day=date(2023, 12, 1)) == []
    desk.close()


def berlin() -> World:
    world = World()
    world.config(timezone="Europe/Berlin")
    world.template(standing_charge=Decimal(5))
    world.aggregation("calls")
    world.plan()
    world.pricing("price", bands((0, "0.10")))
    world.account()
    world.account_plan()
    return world


CALLS = [("2023-11-02T10:00:00Z", 5), ("2023-11-02T11:00:00Z", 30), ("2023-11-09T10:00:00Z", 30), ("2023-11-20", 10)]


@pytest.mark.parametrize(
    ("aggregation", "days", "total", "deciding"),
    [
        ({"aggregation": Method.COUNT}, {2: ("2", 2, 0), 9: ("1", 1, 0), 20: ("1", 1, 0)}, "4", "4321"),
        ({"aggregation": Method.MAX}, {2: ("30", 2, 1), 9: ("30", 1, 1), 20: ("10", 1, 0)}, "30", "32"),
        ({"aggregation": Method.MIN}, {2: ("5", 2, 1), 9: ("30", 1, 0), 20: ("10", 1, 0)}, "5", "1"),
        ({"aggregation": Method.LATEST}, {2: ("30", 2, 0), 9: ("30", 1, 0), 20: ("10", 1, 1)}, "10", "4321"),
        ({"aggregation": Method.UNIQUE}, {2: ("2", 2, 0), 9: ("0", 1, 0), 20: ("1", 1, 0)}, "3", "4321"),
        ({"aggregation": Method.MEAN}, {2: ("17.5", 2, 0), 9: ("30", 1, 0), 20: ("10", 1, 0)}, "75", "4321"),
        (
            {"aggregation": Method.PERCENTILE, "percentile": Decimal(50)},  # the second of 5, 10, 30, 30
            {2: ("5", 2, 0), 9: ("30", 1, 0), 20: ("10", 1, 1)},
            "10",
            "4",
        ),
        ({"filter": "calls < 30"}, {2: ("5", 1, 0), 20: ("10", 1, 0)}, "15", "41"),
        (
            {"aggregation": Method.MAX, "filter": "calls < 30"},
            {2: ("5", 1, 0), 20: ("10", 1, 1)},
            "10",
            "4",
        ),
    ],
)
def test_every_method_says_which_days_decide(
    open_desk: Opener, aggregation: dict[str, Any], days: dict[int, tuple[str, int, int]], total: str, deciding: str
) -> None:
    world = World()
    world.aggregation("calls", **aggregation)
    world.plan()
    world.pricing("price", bands((0, "0.10")))
    world.account()
    world.account_plan()
    desk = open_desk(world)
    for when, calls in CALLS:
        desk.use("acme", when, calls=calls)
    desk.run(**NOVEMBER)
    record = only_record(desk)
    found = only_input(used(desk, record))
    assert by_day(found) == {f"2023-11-{day:02}": shown for day, shown in days.items()}
    assert f"{found.total:f}" == total
    assert walked(desk, record, line_of(record), deciding=True) == list(deciding)
    if found.adds_up and found.method is not Method.MEAN:
        assert sum(each.value or 0 for each in found.days) == found.value


def test_a_gauge_adds_up_what_held_on_each_day(open_desk: Opener) -> None:
    world = World()
    world.aggregation("calls", aggregation=Method.TIME_WEIGHTED_SUM, time_unit=TimeUnit.DAY)
    world.plan()
    world.pricing("price", bands((0, "0.10")))
    world.account()
    world.account_plan()
    desk = open_desk(world)
    desk.use("acme", "2023-09-01", calls=100)
    desk.use("acme", "2023-10-15", calls=3)  # holds when November begins
    desk.use("acme", "2023-11-11T12:00:00Z", calls=5)
    desk.run(**NOVEMBER)
    record = only_record(desk)
    found = only_input(used(desk, record))
    values = [f"{each.value:f}" for each in found.days]
    assert values == ["3"] * 10 + ["4"] + ["5"] * 19
    assert line_of(record).quantity == 10 * 3 + 4 + 19 * 5
    assert walked(desk, record, line_of(record)) == ["3", "2"]


# ------------------------------------------------------------------------------------------------------ what is whose


def test_a_line_of_a_segment_has_the_measurements_of_its_segment(open_desk: Opener) -> None:
    world = World()
    meter = world.meter("requests", ("calls",), ("model",))
    segments = ({"model": "large"}, {"model": "*"})
    world.aggregation("calls", meter, segmented_fields=("model",), segments=segments)
    world.plan()
    world.pricing("large", bands((0, "0.10")), segment={"model": "large"}, description="Large")
    world.pricing("other", bands((0, "0.01")), segment={"model": "*"}, description="Other")
    world.account()
    world.account_plan()
    desk = open_desk(world)
    for model in ("large", "small", "large", "tiny"):
        desk.use("acme", "2023-11-05", texts={"model": model}, calls=10)
    desk.use("acme", "2023-11-05", calls=7)  # of no model
    desk.run(**NOVEMBER)
    record = only_record(desk)
    walks = {each.description: walked(desk, record, each) for each in record.bill.line_items}
    assert walks == {"Large": ["3", "1"], "Other (small)": ["2"], "Other (tiny)": ["4"], "Other ()": ["5"]}
    assert only_input(used(desk, record, "Other (tiny)")).segment == {"model": "tiny"}


def test_a_calculation_leads_to_each_of_its_aggregations(open_desk: Opener) -> None:
    world = World()
    meter = world.meter("requests", ("calls", "errors"))
    world.aggregation("calls", meter)
    world.aggregation("errors", meter, target_field="errors")
    good = world.compound("good", "aggregation.calls - aggregation.errors")
    world.plan()
    world.pricing("price", bands((0, "0.10")), compound_aggregation_id=good.id)
    world.account()
    world.account_plan()
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=100, errors=3)
    desk.use("acme", "2023-11-06", calls=50)
    desk.run(**NOVEMBER)
    record = only_record(desk)
    line = line_of(record, "good")
    calls, errors = line_usage(desk.records, desk.usage, record, line).inputs
    assert (calls.name, calls.total, errors.name, errors.total) == ("calls", 150, "errors", 3)
    assert calls.total - errors.total == line.quantity
    assert walked(desk, record, line, input=1) == ["2", "1"]
    assert walked(desk, record, line, input=2) == ["1"]
    with pytest.raises(Refusal, match="there is no number 3: the line has 2"):
        walked(desk, record, line, input=3)


@pytest.mark.parametrize("mode", [ChildBillingMode.PARENT_SUMMARY, ChildBillingMode.PARENT_BREAKDOWN])
def test_a_family_is_told_apart_by_account(open_desk: Opener, mode: ChildBillingMode) -> None:
    world = calls_world("group")
    world.account("east", parent_account_id=id_of("account", "group"))
    world.account_plan(account="group", child_billing_mode=mode)
    desk = open_desk(world)
    for account, calls in (("group", 10), ("east", 20), ("east", 5), ("stranger", 1000)):
        desk.use(account, "2023-11-05", calls=calls)
    desk.run(**NOVEMBER)
    record = only_record(desk, "group")
    lines = [each for each in record.bill.line_items if each.line_item_type is LineItemType.USAGE]
    walks = [(each.child_account_code, f"{each.quantity:f}", walked(desk, record, each)) for each in lines]
    if mode is ChildBillingMode.PARENT_BREAKDOWN:
        assert walks == [(None, "10", ["1"]), ("east", "25", ["3", "2"])]
        return
    assert walks == [(None, "35", ["3", "2", "1"])]
    found = only_input(line_usage(desk.records, desk.usage, record, lines[0]))
    shown = [(each.account_code, f"{each.value:f}", each.measurements) for each in found.accounts]
    assert shown == [("east", "25", 2), ("group", "10", 1)]
    assert walked(desk, record, lines[0], account_id=id_of("account", "east")) == ["3", "2"]
    assert walked(desk, record, lines[0], account_id=id_of("account", "stranger")) == []


# ------------------------------------------------------------------------------------------------------ over time


def test_a_bill_made_again_leads_to_what_it_reads_now(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=10)
    desk.run(**NOVEMBER)
    before = only_record(desk)
    desk.use("acme", "2023-11-06", calls=5)
    assert walked(desk, before, line_of(before)) == ["1"]
    desk.recalculate([before.bill.id])
    after = only_record(desk)
    assert walked(desk, after, line_of(after)) == ["2", "1"]
    assert walked(desk, before, line_of(before)) == ["1"]  # the version that was withdrawn still stands for itself


def test_an_adjustment_leads_to_what_came_late(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-10-05", calls=10)
    desk.run(now="2023-11-01T06:00:00Z", **OCTOBER)
    record = only_record(desk)
    desk.put(
        msgspec.structs.replace(
            record, bill=lock(approve(record.bill, by="a", at=at("2023-11-02")), by="a", at=at("2023-11-02"))
        )
    )
    desk.use("acme", "2023-10-06", calls=4)
    desk.use("acme", "2023-11-06", calls=5)
    desk.run(**NOVEMBER)
    record = only_record(desk, start="2023-11-01")
    (late,) = [each for each in record.bill.line_items if each.line_item_type is LineItemType.MANUAL_ADJUSTMENT]
    assert f"{late.subtotal:f}" == "0.40"
    assert walked(desk, record, late) == ["2"]
    assert walked(desk, record, line_of(record)) == ["3"]
    found = only_input(line_usage(desk.records, desk.usage, record, late))
    assert by_day(found) == {"2023-10-06": ("4", 1, 0)}
    assert (found.above, found.up_to) == (1, 3)


def test_what_charges_no_usage_says_where_it_comes_from(open_desk: Opener) -> None:
    world = calls_world()
    world.counter("seats")
    world.counter_pricing("seat price", bands((0, "3")), description="Seats")
    world.level("2023-10-10", 4)
    desk = open_desk(world)
    desk.run(**NOVEMBER)
    record = only_record(desk)
    told = {}
    for line in record.bill.line_items:
        found = line_usage(desk.records, desk.usage, record, line)
        assert found.inputs == ()
        told[str(line.line_item_type)] = {(each.kind, each.name) for each in found.origins}
        with pytest.raises(Refusal, match="charges no usage"):
            walked(desk, record, line)
    assert ("plan", "plan") in told["STANDING_CHARGE"]
    assert {("counter", "seats"), ("counteradjustment", "4 from 2023-10-10")} <= told["COUNTER_RUNNING_TOTAL_CHARGE"]
