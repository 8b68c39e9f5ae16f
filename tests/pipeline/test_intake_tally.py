"""What did not count is counted by day and meter: exactly, whatever comes together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ingest_world import World, measurement, world

from tallystick.core import wire
from tallystick.core.intake_tally import IntakeTally
from tallystick.ports import DocumentWhere, Page


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as opened:
        yield opened


def tallies(world: World) -> dict[str, Any]:
    rows = world.organization().documents("intaketally", DocumentWhere(), Page(size=100)).rows
    found = [wire.decode(IntakeTally, each.body) for each in rows]
    assert {each.id for each in found} == {each.id for each in rows}
    return {each.meter: dict(each.counts) for each in found}


def test_what_did_not_count_is_counted_by_meter_and_reason(north: World) -> None:
    asyncio.run(north.post(measurement("a"), measurement("b")))
    assert tallies(north) == {}
    asyncio.run(
        north.post(
            measurement("a"),  # again
            measurement("b", measure={"tokens": 99}),  # with other content
            measurement("c", measure={}),
            measurement("d", meter="nobody's"),
            b"[]",
            measurement("e"),
        )
    )
    expected = {"llm": {"duplicate": 1, "conflict": 1, "missing_field": 1}}
    found = tallies(north)
    assert found["llm"] == expected["llm"]
    assert found[""] == {"undefined_meter": 1, "invalid_measurement": 1}
    asyncio.run(north.post(measurement("a"), measurement("a"), measurement("c", measure={})))
    assert tallies(north)["llm"] == {"duplicate": 3, "conflict": 1, "missing_field": 2}


def test_requests_at_the_same_time_are_all_counted(north: World) -> None:
    async def together() -> None:
        await asyncio.gather(*(north.post(*(measurement("a") for _ in range(20))) for _ in range(10)))

    asyncio.run(together())
    assert tallies(north)["llm"] == {"duplicate": 199}


def test_a_day_has_its_properties() -> None:
    day = wire.decode(
        IntakeTally, b'{"day":"2025-06-01","meter":"m","counts":{"duplicate":2,"conflict":3,"missing_field":4,"x":5}}'
    )
    assert (day.duplicates, day.conflicts, day.failures) == (2, 3, 9)
