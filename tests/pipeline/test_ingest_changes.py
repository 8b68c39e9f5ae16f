"""What an organisation is changed to between two requests that are written alike: each is held against what is then.

Two organisations on one door, once with the process that large requests are sorted out in, and once without: every
verdict, every entry of the journal and every row of the usage store is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from ingest_world import NORTH, NOW, SOUTH, World, measurement, start, world

from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.measurement_reading import unpack
from tallystick.core.meter import Category, DataField, DerivedField, Meter
from tallystick.core.organization import UnknownAccounts
from tallystick.core.period import Instant
from tallystick.pipeline.ingest import intake
from tallystick.pipeline.ingest.apart import Apart
from tallystick.pipeline.mediate import project
from tallystick.ports.usage import at_positions
from tallystick.stores.memory import MemoryUsage

STEPS = 20
NAMES = ("ada", "bob", "cy", "dee")
EXTRA = (
    DataField(code="cached", name="Cached", category=Category.MEASURE, unit="1"),
    DataField(code="region", name="Region", category=Category.WHERE),
)
DOUBLE = DerivedField(code="double", name="Double", category=Category.MEASURE, unit="1", calculation="tokens * 2")


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    process = Apart()
    start(process)
    yield process
    process.close()


def changed(north: World, entity: Entity[Any] | None, organization: str, **values: Any) -> None:
    """The next version of an entity; without values it is deleted."""
    if entity is None:
        return
    with north.organization(organization).transaction() as write:
        if values:
            value = msgspec.structs.replace(entity.value, **values)
            write.replace(replace(entity, version=entity.version + 1, value=value))
        else:
            write.remove(entity, at=NOW, by="test")


def some(random: Random, meter: Meter, fresh: Iterator[int], *, alone: bool) -> list[dict[str, Any]]:
    """Members that are written alike, mostly. What comes at once has no say in what becomes of the others."""
    fields = {each.code for each in meter.data_fields} if random.random() < 0.9 else {"model", "tokens"}
    made: dict[str, Any] = {"meter": meter.code}
    if "region" in fields:
        made["where"] = {"region": "eu"}
    again = alone and random.random() < 0.5
    members = []
    for _ in range(random.choice([1, 9, 30])):
        tokens = random.choice([1, 2, 2.5])
        made["measure"] = {"tokens": tokens} | ({"cached": 7} if "cached" in fields else {})
        uid = f"u{random.randint(0, 40)}" if again else f"f{next(fresh)}"
        members.append(measurement(uid, account=random.choice(NAMES), **made))
    if alone and random.random() < 0.4:
        members[-1]["account"] = random.choice(["", "", "new", "ADA"])
    return members


def change_meter(north: World, organization: str, random: Random) -> None:
    """Give the meter fields or take them, another code, a derived field or none."""
    meter = next(iter(north.organization(organization).every(Meter)))
    extra = [each for each in EXTRA if random.random() < 0.5]
    values = random.choice(
        [
            {"data_fields": (*(each for each in meter.value.data_fields if each not in EXTRA), *extra)},
            {"code": random.choice(["llm", "calls"])},
            {"derived_fields": random.choice([(), (DOUBLE,)])},
        ]
    )
    changed(north, meter, organization, **values)


def change_account(north: World, organization: str, random: Random) -> None:
    """Make an account, rename it or delete it."""
    accounts = {each.value.code: each for each in north.organization(organization).every(Account)}
    named, code = accounts.get(random.choice(NAMES)), random.choice([*NAMES, "renamed"])
    if code not in accounts and named is not None:
        changed(north, named, organization, code=code)
    elif code not in accounts:
        north.add(Account(name="New", code=code, email_address=""), organization=organization)
    else:
        changed(north, named, organization)


def change_settings(north: World, organization: str, random: Random) -> None:
    """Change what becomes of unknown accounts, how far ahead a measurement may lie, or turn the clock."""
    north.set(organization, unknown_accounts=random.choice(list(UnknownAccounts)))
    north.set(organization, future_tolerance_seconds=random.choice([0, 300]))
    north.clock.time = Instant.parse(random.choice(["2025-06-01T09:58:00Z", "2025-06-01T12:00:00Z"]))


def lives(north: World, seed: int) -> list[object]:
    """All that is said and kept while an organisation is used and changed."""
    random, fresh, said = Random(seed), iter(range(1_000_000)), list[object]()
    usage = MemoryUsage()
    for _ in range(STEPS):
        organization = random.choice([NORTH, NORTH, SOUTH])
        change = random.choice([None, None, None, change_meter, change_account, change_settings])
        if change is not None:
            change(north, organization, random)
        elif random.random() < 0.1:
            project(north.journal, usage, north.records, tail=north.tail)
        meter = next(iter(north.organization(organization).every(Meter))).value
        number = random.choice([1, 1, 2, 5])
        sent = [some(random, meter, fresh, alone=number == 1) for _ in range(number)]
        said.append(answered(north, organization, sent))
    while project(north.journal, usage, north.records, tail=north.tail) < north.journal.last:
        pass
    return [*said, entries(north), rows(north, usage)]


def answered(north: World, organization: str, requests: Sequence[list[dict[str, Any]]]) -> list[object]:
    """The verdicts on requests that come at once."""

    async def all_of_them() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(north.post(*each, organization=organization) for each in requests))

    return [
        [(each["uid"], each["verdict"], each.get("code"), each.get("reason")) for each in told]
        for told in asyncio.run(all_of_them())
    ]


def codes(north: World) -> dict[str, str]:
    """The codes that accounts ever had first, by their ids: those that were made on the way have ids of their own."""
    found = {}
    for organization in (NORTH, SOUTH):
        records = north.organization(organization)
        for each in records.every(Account):
            found[each.id] = records.versions(Account, each.id)[-1].value.code
    return found


def entries(north: World) -> list[object]:
    known, found = codes(north), list[Any]()
    for block in north.journal.read(0):
        for each in map(unpack, block.entries):
            whose = known.get(each.account_id, "")
            found.append((block.organization_id, each.original, whose, each.meter_id, each.meter_version, each.uid))
    return sorted(found)


def rows(north: World, usage: MemoryUsage) -> list[object]:
    known, found = codes(north), list[object]()
    for organization in (NORTH, SOUTH):
        every = usage.organization(organization).raw(at_positions(tuple(range(1, north.journal.last + 1))))
        for row in sorted(every, key=lambda row: row.uid):
            account = known.get(row.account_id, "")
            found.append((account, row.uid, row.meter_id, row.ts, row.numbers, row.texts, row.extra))
    assert len(found) == north.journal.last
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_same_is_said_and_kept(seed: int, apart: Apart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "LARGE", 0)
    (tmp_path / "here").mkdir()
    with world(tmp_path, apart=[apart]) as north:
        found = lives(north, seed)
    with world(tmp_path / "here") as north:
        assert found == lives(north, seed)
