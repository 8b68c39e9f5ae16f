"""How meters are: days that are missing, drift, fields that come and go, what is excluded and what is on no bill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import msgspec
import pytest
from billing_desk import Desk, calls_world

from billing_world import World, at, id_of
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.intake_tally import IntakeTally
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Instant
from tallystick.pipeline.measurement_lines import lines_of
from tallystick.pipeline.meter_health import MeterHealth, health_of, whole_health_of, window_of
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import Document, UsageQuery, UsageRow

Opener = Callable[[World], Desk]
TODAY = date(2023, 11, 30)
NOW = at(f"{TODAY}T12:00:00Z")
BACK = {back: TODAY - timedelta(days=back) for back in range(61)}
FIELDS = (
    DataField(code="calls", name="Calls", category=Category.MEASURE, unit="1"),
    DataField(code="region", name="Region", category=Category.WHERE),
    DataField(code="env", name="Environment", category=Category.WHAT),
)


def world(exclude: str | None = None) -> World:
    made = calls_world("acme", "child", "lonely")
    made.add(
        Meter(name="requests", code="requests", data_fields=FIELDS, derived_fields=(), exclude_filter=exclude),
        "requests",
    )
    made.account("lonely")
    return made


def sent(
    desk: Desk,
    day: date,
    account: str = "acme",
    seconds: int = 2,
    extra: str | None = None,
    texts: dict[str, str] | None = None,
) -> None:
    """A measurement at noon, received so many seconds later."""
    position = desk.usage_store.mark + 1
    ts = at(f"{day}T11:00:00Z")
    row = UsageRow(
        position=position,
        organization_id=desk.world.organization_id,
        meter_id=id_of("meter", "requests"),
        account_id=id_of("account", account),
        uid=str(position),
        ts=ts,
        ets=None,
        received=Instant.of(ts + timedelta(seconds=seconds)),
        numbers={"calls": Decimal(1)},
        texts=texts if texts is not None else {"region": "eu", "env": "live"},
        extra=extra,
    )
    desk.usage_store.add([row], position)


def meter_of(desk: Desk) -> Entity[Meter]:
    found = desk.records.get(Meter, id_of("meter", "requests"))
    assert found is not None
    return found


def health(desk: Desk, source: str | None = None) -> MeterHealth:
    window = window_of(NOW, "UTC", desk.usage_store.mark)
    found = whole_health_of(desk.records, desk.usage, meter_of(desk), window, source)
    (listed,) = health_of(desk.records, desk.usage, [meter_of(desk)], window)
    assert (listed.measurements, listed.missing_days, listed.fields) == (
        found.measurements,
        found.missing_days,
        found.fields,
    )
    return found


def test_a_meter_without_measurements(open_desk: Opener) -> None:
    found = health(open_desk(world()))
    assert (found.measurements, found.completeness, found.last_received, found.drift) == (0, None, None, None)
    assert found.definition.startswith("Takes measurements with the number Calls (1)")


def test_days_on_which_nothing_came_are_missing(open_desk: Opener) -> None:
    """Forty days, without the sixth and the third before today: 28 of the thirty days that are over."""
    desk = open_desk(world())
    for back in range(40, -1, -1):
        if back not in {6, 3}:
            sent(desk, BACK[back])
    found = health(desk)
    assert found.missing_days == (BACK[6], BACK[3])
    assert found.completeness == Decimal("93.33")
    assert found.measurements == 29
    assert found.last_timestamp == at(f"{TODAY}T11:00:00Z")
    assert found.last_received == at(f"{TODAY}T11:00:02Z")


def test_how_far_arrival_is_behind(open_desk: Opener) -> None:
    desk = open_desk(world())
    for seconds in (-1, 1, 2, 3, 60):
        sent(desk, BACK[1], seconds=seconds)
    drift = health(desk).drift
    assert drift is not None
    assert (drift.least, drift.median, drift.p95, drift.greatest) == (-1000, 2000, 60_000, 60_000)


def test_fields_that_come_and_go(open_desk: Opener) -> None:
    """The region is no longer sent since ten days, the environment only since then; a colour is sent all the time, and
    a shape was until a week ago."""
    desk = open_desk(world())
    for back in range(30, -1, -1):
        texts = {"region": "eu"} if back > 10 else {"env": "live"}
        shape = ', "shape": "o"' if back > 7 else ""
        sent(desk, BACK[back], texts=texts, extra=f'{{"what": {{"colour": "red"{shape}}}}}')
    fields = {each.code: (each.declared, each.first_day, each.last_day, each.change) for each in health(desk).fields}
    assert fields == {
        "region": (True, BACK[30], BACK[11], "DISAPPEARED"),
        "env": (True, BACK[10], BACK[0], "APPEARED"),
        "colour": (False, BACK[30], BACK[0], None),
        "shape": (False, BACK[30], BACK[8], "DISAPPEARED"),
    }


def test_what_did_not_count_is_told_by_reason(open_desk: Opener) -> None:
    desk = open_desk(world())
    counts = {"duplicate": 5, "conflict": 2, "missing_field": 3, "unknown_account": 4}
    rows = [
        IntakeTally(day=day, meter="requests", counts=counts) for day in (BACK[0], BACK[30], BACK[31])
    ]  # the last is before the window
    with desk.records.transaction() as write:
        documents = [Document(id=each.id, sort="", keys=each.keys, body=wire.encode(each)) for each in rows]
        write.put_documents("intaketally", documents)
    found = health(desk)
    assert (found.duplicates, found.conflicts, found.failures, found.unattributed) == (10, 4, 14, 8)


def test_usage_of_accounts_without_a_plan_is_on_no_bill(open_desk: Opener) -> None:
    desk = open_desk(world())
    sent(desk, BACK[1])
    sent(desk, BACK[1], account="nobody")
    sent(desk, BACK[1], account="nobody")
    assert health(desk).unbilled == 2


def test_each_source_by_itself(open_desk: Opener) -> None:
    desk = open_desk(world())
    for back in range(40, -1, -1):
        sent(desk, BACK[back])
        if back > 5:
            sent(desk, BACK[back], texts={"region": "us", "env": "live"})
    sources = health(desk, "region").sources
    assert sources is not None
    assert [(each.source, each.measurements, each.last_day) for each in sources] == [
        ("eu", 31, BACK[0]),
        ("us", 25, BACK[6]),
    ]
    assert [each.missing_days for each in sources] == [(), tuple(BACK[back] for back in (5, 4, 3, 2, 1))]


EXCLUDED = [
    ("env == 'test'", 1, 2),
    ("env == 'test' OR region == 'us'", 2, 1),
    ("isnull(env, '') == ''", 1, 2),
    ("calls > 5", 0, 3),
]


@pytest.mark.parametrize(("rule", "excluded", "billed"), EXCLUDED)
def test_what_is_excluded_is_kept_counted_and_on_no_bill(
    open_desk: Opener, rule: str, excluded: int, billed: int
) -> None:
    """A live call in eu, a test in eu, and a call in us of which nobody knows the environment: it is not test."""
    desk = open_desk(world(rule))
    sent(desk, BACK[1], texts={"region": "eu", "env": "live"})
    sent(desk, BACK[1], texts={"region": "eu", "env": "test"})
    sent(desk, BACK[1], texts={"region": "us"})
    found = health(desk)
    assert (found.measurements, found.excluded) == (3, excluded)
    assert f"without those where {rule}" in found.definition
    desk.run("2023-12-01T06:00:00Z", last_date_in_billing_period=date(2023, 11, 30))
    (bill,) = [each for each in desk.bills() if each.account_code == "acme"]
    assert [line.quantity for line in bill.line_items if line.line_item_type == "USAGE"] == [billed]


def test_a_rule_that_is_made_later_holds_for_what_is_calculated_from_then_on(open_desk: Opener) -> None:
    """The bill stands up by the meter as it was; made again, it leaves the test out."""
    desk = open_desk(world())
    sent(desk, BACK[1], texts={"region": "eu", "env": "live"})
    sent(desk, BACK[1], texts={"region": "eu", "env": "test"})
    desk.run("2023-12-01T06:00:00Z", last_date_in_billing_period=TODAY)
    (record,) = [each for each in desk.bill_records() if each.bill.account_code == "acme"]
    before = meter_of(desk).value
    desk.world.add(msgspec.structs.replace(before, exclude_filter="env == 'test'"), "requests")
    desk.save()
    assert verify_bill(desk.records, desk.usage, record).verified
    told = lines_of(desk.records, desk.usage, desk_row(desk, desk.usage_store.mark))
    assert [each.description for each in told.lines] == ["calls"], "the bill as it stands has it"
    desk.recalculate([record.bill.id])
    (again,) = [each for each in desk.bill_records() if each.bill.account_code == "acme"]
    assert [line.quantity for line in again.bill.line_items if line.line_item_type == "USAGE"] == [1]
    assert verify_bill(desk.records, desk.usage, again).verified
    told = lines_of(desk.records, desk.usage, desk_row(desk, desk.usage_store.mark))
    assert (told.lines, [each.reason for each in told.others]) == ((), ["EXCLUDED"])


def desk_row(desk: Desk, position: int) -> UsageRow:
    query = UsageQuery(
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
    )
    (row,) = desk.usage.raw(query)
    return row
