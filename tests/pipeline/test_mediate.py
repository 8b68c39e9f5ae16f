"""Mediation: what the journal holds becomes rows, exactly, as often as it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ingest_world import FIELDS, NORTH, NOW, SOUTH, World, measurement, world

from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.meter import Category, DataField, DerivedField, Meter
from tallystick.core.period import Instant
from tallystick.pipeline.mediate import project
from tallystick.ports import OrganizationUsage, UsageBlock, UsageRow, Withdrawn


class Rows:
    """A usage store that keeps what it is given; `crash` makes the next `add` fail before it keeps anything."""

    def __init__(self) -> None:
        self.rows: list[UsageRow] = []
        self.mark = 0
        self.crash = False

    def add(
        self,
        rows: Sequence[UsageRow],
        mark: int,
        blocks: Sequence[UsageBlock] = (),
        withdrawn: Sequence[Withdrawn] = (),
    ) -> None:
        if self.crash:
            self.crash = False
            raise OSError("no space left")
        self.rows += sorted([*rows, *(row for block in blocks for row in block.rows())], key=lambda row: row.position)
        self.mark = mark

    def organization(self, id: str) -> OrganizationUsage:
        raise AssertionError("projection only writes")

    def close(self) -> None: ...


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as opened:
        yield opened


def post(north: World, *members: Any, organization: str = NORTH) -> None:
    verdicts = asyncio.run(north.post(*members, organization=organization))
    assert [each["verdict"] for each in verdicts] == ["accepted"] * len(members), verdicts


def projected(north: World) -> list[UsageRow]:
    usage = Rows()
    assert project(north.journal, usage, north.records) == north.journal.last
    return usage.rows


def test_a_row_says_who_what_when_and_where_it_stands(north: World) -> None:
    post(north, measurement("a", ts="2025-06-01T12:00:00+02:00", ets="2025-06-01T10:30:00"))
    (row,) = projected(north)
    account = north.organization().by_code(Account, "acme")
    assert row.position == 1
    assert (row.organization_id, row.uid, row.received) == (NORTH, "a", NOW)
    assert row.ts == Instant.parse("2025-06-01T10:00:00Z")
    assert row.ets == Instant.parse("2025-06-01T10:30:00Z")
    assert type(row.ts) is Instant
    assert (row.numbers, row.texts, row.extra) == ({"tokens": Decimal(10)}, {"model": "small"}, None)
    assert account is not None
    assert row.account_id == account.id


@pytest.mark.parametrize(
    ("sent", "counted"),
    [
        ("1e-05", "0.00001"),
        ("0.1", "0.1"),
        ("1234567890123456789", "1234567890123456789"),
        ("99999999999999999999", "99999999999999999999"),
        ("-0", "0"),
        ("-12.50", "-12.5"),
        ("3.3333333333333335e-07", "0.000000333333333333"),  # 22 decimals, rounded half to even to 18
        ("0.0000000000000000005", "0"),  # half of the last place goes to the even one
        ("0.0000000000000000015", "0.000000000000000002"),
    ],
)
def test_numbers_arrive_exactly(north: World, sent: str, counted: str) -> None:
    post(
        north,
        b'{"meter":"llm","account":"a","ts":"2025-06-01","what":{"model":""},"measure":{"tokens":%s}}' % sent.encode(),
    )
    (row,) = projected(north)
    assert row.numbers["tokens"] == Decimal(counted)
    assert row.ts == Instant.parse("2025-06-01T00:00:00Z")


def test_undeclared_fields_are_kept_beside(north: World) -> None:
    post(
        north,
        measurement("a", what={"model": "small", "tier": "gold"}, cost={"usd": 1, "eur": 2}, where={"zone": "é"}),
    )
    (row,) = projected(north)
    assert row.extra == '{"what":{"tier":"gold"},"where":{"zone":"é"},"cost":{"usd":1,"eur":2}}'


def test_organizations_and_order_are_kept(north: World) -> None:
    post(north, measurement("a"), measurement("b"))
    post(north, measurement("a"), organization=SOUTH)
    post(north, measurement("c"))
    rows = projected(north)
    assert [(row.position, row.organization_id, row.uid) for row in rows] == [
        (1, NORTH, "a"),
        (2, NORTH, "b"),
        (3, SOUTH, "a"),
        (4, NORTH, "c"),
    ]
    assert rows[0].account_id != rows[2].account_id
    assert rows[0].account_id == rows[3].account_id


def test_projection_goes_on_where_it_stopped(north: World) -> None:
    for number in range(6):
        post(north, measurement(f"u{number}"), measurement(f"v{number}"))
    usage = Rows()
    marks = [project(north.journal, usage, north.records, limit=3) for _ in range(4)]
    assert marks == [4, 8, 12, 12]
    assert [row.position for row in usage.rows] == list(range(1, 13))


class TestMetersThatChange:
    def meter(self, north: World) -> Entity[Meter]:
        found = north.organization().by_code(Meter, "llm")
        assert found is not None
        return found

    def test_a_deleted_meter_still_projects(self, north: World) -> None:
        post(north, measurement("a"))
        with north.organization().transaction() as write:
            write.remove(self.meter(north), at=NOW, by="test")
        assert [row.texts for row in projected(north)] == [{"model": "small"}]

    def test_an_entry_is_read_by_the_version_it_was_accepted_against(self, north: World) -> None:
        post(north, measurement("a", what={"model": "small", "tier": "gold"}))
        before = self.meter(north)
        tier = DataField(code="tier", name="Tier", category=Category.WHAT)
        value = Meter(name="LLM", code="llm", data_fields=(*FIELDS, tier), derived_fields=())
        with north.organization().transaction() as write:
            write.replace(
                Entity(
                    id=before.id,
                    version=2,
                    value=value,
                    created=NOW,
                    created_by="test",
                    modified=NOW,
                    modified_by="test",
                )
            )
        post(north, measurement("b", what={"model": "small", "tier": "gold"}))
        first, second = projected(north)
        assert (first.texts, first.extra) == ({"model": "small"}, '{"what":{"tier":"gold"}}')
        assert (second.texts, second.extra) == ({"model": "small", "tier": "gold"}, None)


class TestDerivedFields:
    @pytest.fixture(autouse=True)
    def derived_meter(self, north: World) -> None:
        derived = (
            DerivedField(
                code="seconds_each", name="Seconds", category=Category.MEASURE, unit="s", calculation="seconds / tokens"
            ),
            DerivedField(code="label", name="Label", category=Category.OTHER, calculation="model + '/' + tokens"),
        )
        seconds = DataField(code="seconds", name="Seconds", category=Category.MEASURE, unit="s")
        north.add(Meter(name="Timed", code="timed", data_fields=(*FIELDS, seconds), derived_fields=derived))

    def test_they_are_computed_and_stored(self, north: World) -> None:
        post(north, measurement("a", meter="timed", measure={"tokens": 3, "seconds": 1}))
        (row,) = projected(north)
        assert row.numbers["seconds_each"] == Decimal("0.333333333333333333")
        assert row.texts["label"] == "small/3"
        assert row.extra is None

    def test_a_failed_calculation_leaves_a_gap_and_an_event_and_counts_the_rest(self, north: World) -> None:
        zero = {"tokens": 0, "seconds": 1}
        post(
            north,
            measurement("a", meter="timed", measure=zero),
            measurement("b", meter="timed", measure={"tokens": 1, "seconds": 1}),
            measurement("c", meter="timed", measure=zero),
        )
        first, second, _third = projected(north)
        assert "seconds_each" not in first.numbers
        assert first.numbers["seconds"] == 1
        assert first.texts["label"] == "small/0"
        assert second.numbers["seconds_each"] == 1
        (event,) = north.documents("event")
        told = event["m3terEvent"]
        assert (told["failureType"], told["field"], told["count"], told["uid"]) == (
            "CalculationError",
            "seconds_each",
            2,
            "a",
        )
        assert "division by zero" in told["reason"]

    def test_projecting_again_tells_nothing_twice(self, north: World) -> None:
        post(north, measurement("a", meter="timed", measure={"tokens": 0, "seconds": 1}))
        usage = Rows()
        usage.crash = True
        with pytest.raises(OSError, match="no space"):
            project(north.journal, usage, north.records)
        project(north.journal, usage, north.records)
        projected(north)
        assert len(usage.rows) == 1
        assert len(north.documents("event")) == 1
