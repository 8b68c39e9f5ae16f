"""Looking for measurements: conditions on fields, places in the journal, page after page; the same on every store."""

from __future__ import annotations

import pytest
from usage_examples import ACCOUNT, D, Tenant, ask, at, column, dimension, usage

from tallystick.core.field_condition import Comparator
from tallystick.ports import UsageCondition, UsagePlace, UsageRow

NAMES = {1: "low", 2: "middle", 4: "high", 8: "none", 16: "other meter"}
HOSTILE = "'; DROP TABLE x --\\ %_ \N{SNOWMAN}"


@pytest.fixture
def shelf(tenant: Tenant) -> Tenant:
    """Bytes are powers of two, so that a sum says which ones were found."""
    tenant.add(
        usage({"bytes": 1, "region": "eu-west"}, ts="2025-06-01T00:00:00Z", uid="a"),
        usage({"bytes": 2, "region": "eu-north"}, ts="2025-06-02T00:00:00Z", uid="b"),
        usage({"bytes": 4, "region": HOSTILE}, ts="2025-06-02T00:00:00Z", uid="c"),
        usage({"bytes": 8}, ts="2025-06-03T00:00:00Z", uid="d"),
        usage({"bytes": 16, "region": "eu-west"}, ts="2025-06-04T00:00:00Z", uid="e", meter="api"),
    )
    return tenant


@pytest.mark.parametrize(
    ("field", "comparator", "value", "found"),
    [
        ("bytes", "EQUAL", D(2), 2),
        ("bytes", "NOT_EQUAL", D(2), 1 + 4 + 8),
        ("bytes", "LESS", D(4), 1 + 2),
        ("bytes", "LESS_OR_EQUAL", D("4.000000000000000001"), 1 + 2 + 4),
        ("bytes", "GREATER", D("3.9"), 4 + 8),
        ("bytes", "GREATER_OR_EQUAL", D(4), 4 + 8),
        ("bytes", "PRESENT", D(0), 15),
        ("bytes", "ABSENT", D(0), 0),
        ("region", "EQUAL", "eu-west", 1),
        ("region", "EQUAL", HOSTILE, 4),
        ("region", "NOT_EQUAL", "eu-west", 2 + 4 + 8),
        ("region", "CONTAINS", "north", 2),
        ("region", "CONTAINS", "%", 4),
        ("region", "STARTS_WITH", "eu-", 1 + 2),
        ("region", "STARTS_WITH", "", 1 + 2 + 4),
        ("region", "PRESENT", "", 1 + 2 + 4),
        ("region", "ABSENT", "", 8),
        ("colour", "EQUAL", "red", 0),
        ("colour", "NOT_EQUAL", "red", 15),
        ("colour", "ABSENT", "", 15),
        ("weight", "GREATER", D(0), 0),
    ],
)
def test_conditions_keep_what_compares_so(
    shelf: Tenant, field: str, comparator: str, value: D | str, found: int
) -> None:
    condition = UsageCondition(meter_id="storage", field=field, comparator=Comparator(comparator), value=value)
    asked = ask(meters=("storage",), conditions=(condition,))
    rows = shelf.raw(asked)
    assert sum(row.numbers["bytes"] for row in rows) == found
    assert shelf.count(asked) == len(rows)
    answers = shelf.query(ask(column("SUM"), conditions=(condition,)))
    assert [each.values[0] for each in answers] == ([(D(found), len(rows))] if rows else [])


def test_a_condition_says_nothing_of_other_meters(shelf: Tenant) -> None:
    small = UsageCondition(meter_id="storage", field="bytes", comparator=Comparator.LESS, value=D(2))
    assert [row.uid for row in shelf.raw(ask(conditions=(small,)))] == ["e", "a"]


def test_conditions_must_all_hold(shelf: Tenant) -> None:
    both = (
        UsageCondition(meter_id="storage", field="bytes", comparator=Comparator.GREATER, value=D(1)),
        UsageCondition(meter_id="storage", field="region", comparator=Comparator.STARTS_WITH, value="eu"),
    )
    assert [row.uid for row in shelf.raw(ask(meters=("storage",), conditions=both))] == ["b"]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_pages_of_any_size_show_each_measurement_once(shelf: Tenant, size: int) -> None:
    seen: list[UsageRow] = []
    before = None
    while True:
        found = shelf.raw(ask(limit=size, before=before))
        seen += found[:size]
        if len(found) <= size:
            break
        before = UsagePlace(ts=seen[-1].ts, position=seen[-1].position)
    assert [row.uid for row in seen] == ["e", "d", "c", "b", "a"]


def test_measurements_are_found_at_their_places_in_the_journal(shelf: Tenant) -> None:
    rows = {row.uid: row.position for row in shelf.raw(ask())}
    assert [row.uid for row in shelf.raw(ask(positions=(rows["d"], rows["a"])))] == ["d", "a"]
    assert shelf.raw(ask(positions=())) == []
    assert shelf.count(ask(start="2025-06-02T00:00:00Z", end="2025-06-03T00:00:00Z")) == 2
    assert at("2025-06-02") == shelf.raw(ask(positions=(rows["b"],)))[0].ts


def test_the_greatest_groups_come_first(shelf: Tenant) -> None:
    shelf.add(usage({"bytes": 3}, account="grace"), usage({"bytes": 3, "region": "eu-west"}, account="alan"))
    asked = ask(column("SUM"), by=(ACCOUNT,), greatest_first=True, limit=1)
    assert [(each.groups, each.values[0]) for each in shelf.query(asked)] == [
        (("ada",), (D(15), 4)),
        (("alan",), (D(3), 1)),
    ]
    asked = ask(column("SUM"), column("COUNT", "region"), by=(dimension("region"),), greatest_first=True)
    assert [each.groups[0] for each in shelf.query(asked)] == [None, HOSTILE, "eu-west", "eu-north"]
