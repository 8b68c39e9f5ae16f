"""Withdrawals in the journal: what they take out, that nothing counts twice, and that all of it can be made again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_world import NORTH, SOUTH, World, measurement, world

from effort import drawing
from tallystick.core import wire
from tallystick.core.aggregation import Method, Question
from tallystick.core.measurement_reading import WithdrawalEntry, pack_withdrawal
from tallystick.core.meter import Meter
from tallystick.core.period import stretch
from tallystick.errors import Refusal
from tallystick.pipeline.mediate import project
from tallystick.ports import UsageQuery, UsageRow, UsageStore
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.usage_clickhouse import ClickHouseUsage

WHOLE = UsageQuery(
    start=None,
    end=None,
    meter_ids=None,
    account_ids=None,
    filters=(),
    columns=(),
    groups=(),
    limit=1_000,
    zone="UTC",
)


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def tokens(uid: str, count: int) -> dict[str, object]:
    return measurement(uid, measure={"tokens": count})


def rows(usage: UsageStore) -> dict[str, UsageRow]:
    return {row.uid: row for row in usage.organization(NORTH).raw(WHOLE)}


def entry_of(row: UsageRow) -> bytes:
    entry = WithdrawalEntry(
        uid=row.uid,
        of=row.position,
        meter_id=row.meter_id,
        account_id=row.account_id,
        ts=row.ts.stamp(),
        correction_id="c-1",
    )
    return pack_withdrawal(entry)


def correct(north: World, withdrawn: list[UsageRow], *added: dict[str, object]) -> None:
    north.intake.correct(NORTH, [wire.encode(each) for each in added], [entry_of(row) for row in withdrawn])


def projected(north: World, usage: UsageStore) -> UsageStore:
    while usage.mark < north.journal.last:
        project(north.journal, usage, north.records, tail=north.tail)
    return usage


def total(north: World, usage: UsageStore, method: Method, up_to: int | None = None) -> Decimal | None:
    meter = north.organization().by_code(Meter, "llm")
    assert meter is not None
    question = Question(
        meter_id=meter.id,
        method=method,
        field="tokens",
        period=stretch(None, None),
        up_to=north.journal.last if up_to is None else up_to,
    )
    found = list(usage.organization(NORTH).measure(question))
    return sum((each.total for each in found), Decimal(0)) if found else None


def test_a_measurement_is_amended_at_one_position_of_the_journal(north: World) -> None:
    asyncio.run(north.post(tokens("a", 5), tokens("b", 700), tokens("c", 9)))
    usage = projected(north, MemoryUsage())
    correct(north, [rows(usage)["b"]], tokens("b/2", 7))
    projected(north, usage)
    assert north.journal.last == 5
    assert total(north, usage, Method.SUM) == 21
    assert total(north, usage, Method.MAX) == 9
    assert total(north, usage, Method.SUM, up_to=3) == 714
    verdicts = asyncio.run(north.post(tokens("b", 700), tokens("b", 7), tokens("b/2", 7)))
    assert [each["verdict"] for each in verdicts] == ["duplicate", "conflict", "duplicate"]
    assert total(north, projected(north, usage), Method.SUM) == 21, "a uid that was withdrawn stays used"


def test_a_correction_done_twice_counts_once(north: World) -> None:
    """After a crash nobody knows whether the journal has it, so that it is done again."""
    asyncio.run(north.post(tokens("a", 5), tokens("b", 7)))
    usage = projected(north, MemoryUsage())
    a = rows(usage)["a"]
    for _ in range(2):
        correct(north, [a], tokens("a/2", 6))
    north.reopen()
    assert total(north, projected(north, usage), Method.SUM) == 13
    assert total(north, projected(north, MemoryUsage()), Method.COUNT) == 2


@pytest.mark.parametrize(
    "added",
    [
        {"uid": "b", "meter": "llm", "account": "acme", "ts": "2025-05-31T12:00:00Z", "measure": {"tokens": 8}},
        {"uid": "d", "meter": "none", "account": "acme", "ts": "2025-05-31T12:00:00Z", "measure": {"tokens": 8}},
        {"uid": "d", "meter": "llm", "account": "nobody", "ts": "2025-05-31T12:00:00Z", "measure": {"tokens": 8}},
    ],
)
def test_where_one_cannot_be_added_nothing_is_withdrawn(north: World, added: dict[str, object]) -> None:
    asyncio.run(north.post(tokens("a", 5), tokens("b", 7)))
    usage = projected(north, MemoryUsage())
    last = north.journal.last
    with pytest.raises(Refusal):
        correct(north, [rows(usage)["a"]], tokens("a/2", 1), added)
    assert north.journal.last == last
    (verdict,) = asyncio.run(north.post(tokens("a/2", 1)))
    assert verdict["verdict"] == "accepted", "what was refused has claimed no uid"


def test_another_organization_is_left_alone(north: World) -> None:
    asyncio.run(north.post(tokens("a", 5)))
    asyncio.run(north.post(tokens("a", 5), organization=SOUTH))
    usage = projected(north, MemoryUsage())
    correct(north, [rows(usage)["a"]])
    projected(north, usage)
    assert usage.organization(SOUTH).count(WHOLE) == 1
    assert usage.organization(NORTH).count(WHOLE) == 0


@settings(**drawing(3))
@given(
    steps=st.lists(
        st.tuples(st.lists(st.integers(-3, 9), max_size=4), st.sets(st.integers(0, 12), max_size=3), st.booleans()),
        max_size=5,
    )
)
def test_both_stores_agree_with_a_journal_that_never_had_it_also_when_they_are_made_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[list[int], set[int], bool]]
) -> None:
    """Measurements come, some are withdrawn, some of those replaced; the server starts anew in between."""
    directory = tmp_path_factory.mktemp("world")
    with world(directory) as north:
        memory, left, sent = MemoryUsage(), dict[str, int](), 0
        for values, places, again in steps:
            if values:
                named = {f"m{sent + place}": value for place, value in enumerate(values)}
                asyncio.run(north.post(*(tokens(uid, value) for uid, value in named.items())))
                sent += len(values)
                left |= named
            projected(north, memory)
            there = sorted(left)
            gone = [there[place] for place in sorted(places) if place < len(there)]
            if gone:
                known = rows(memory)
                new = {f"{uid}/{place}": left[uid] + 1 for place, uid in enumerate(gone) if place % 2}
                correct(north, [known[uid] for uid in gone], *(tokens(uid, value) for uid, value in new.items()))
                left = {uid: value for uid, value in left.items() if uid not in gone} | new
            if again:
                north.reopen()
        agrees(north, projected(north, memory), left)
        agrees(north, projected(north, MemoryUsage()), left)
        digests = set()
        for name in ("usage", "made-again"):  # a process can have one such store open
            usage = ClickHouseUsage(directory / name)
            try:
                agrees(north, projected(north, usage), left)
                digests.add(usage.digest())
            finally:
                usage.close()
        assert len(digests) == 1


def agrees(north: World, usage: UsageStore, left: dict[str, int]) -> None:
    assert sorted(rows(usage)) == sorted(left)
    values = list(left.values())
    for method, expected in ((Method.SUM, sum), (Method.MAX, max), (Method.MIN, min), (Method.COUNT, len)):
        assert total(north, usage, method) == (expected(values) if values else None)
    assert total(north, usage, Method.UNIQUE) == (len(set(values)) if values else None)
