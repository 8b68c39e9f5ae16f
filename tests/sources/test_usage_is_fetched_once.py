"""Whatever is delivered twice or in any order, and wherever it is interrupted: counted once, failures written once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_world import NORTH, NOW, World

from tallystick import failpoints
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.measurement_file import FileStatus, FileType, MeasurementFile, MeasurementFileRequest
from tallystick.core.measurement_reading import read_measurement, unpack
from tallystick.core.usage_source import FileProgress, KafkaFrom, SourceFile, UsageSource
from tallystick.pipeline import measurement_files, usage_sources
from tallystick.pipeline.usage_events import EventIntake
from tallystick.pipeline.usage_sources import Reach
from tallystick.ports import Actor, DocumentWhere, Page
from tallystick.ports.feeds import Batch, Message
from tallystick.stores.sources import LocalSources

NUMBERS = count(1)
SOURCE = UsageSource(name="K", code="k", configuration=KafkaFrom(brokers=("b",), topics=("t",)))
POINTS = ("feed.taken", "feed.kept")


class Killed(BaseException):
    """The end of the process, as far as a test in one process can have it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def reach_of(world: World) -> Reach:
    id_ = f"20000000-0000-4000-8000-{next(NUMBERS):012d}"
    source = Entity(id=id_, version=1, value=SOURCE, created=NOW, created_by="t", modified=NOW, modified_by="t")
    return Reach(world.organization(), world.intake, EventIntake(world.records, world.intake), source, world.clock.now)


def text(kind: str, uid: str) -> bytes:
    """A message: one that counts, one without a uid, one that fails, one that is nothing."""
    made: dict[str, Any] = {"uid": uid, "meter": "llm", "account": "acorn", "ts": "2025-05-01T00:00:00Z"}
    made |= {"what": {"model": "m"}, "measure": {"tokens": 1}}
    match kind:
        case "good":
            return json.dumps(made).encode()
        case "unnamed":
            return json.dumps({**made, "uid": None}).encode()
        case "bad":
            return json.dumps({**made, "meter": "no-meter"}).encode()
        case _:
            return f"no json {uid}".encode()


def counted(world: World, after: int) -> Counter[str]:
    """How often each uid is in the journal behind a position."""
    found = Counter[str]()
    for block in world.journal.read(after):
        for entry in block.entries:
            journalled = unpack(entry)
            measurement: Any = read_measurement(journalled.original)
            found[journalled.uid or measurement.uid] += 1
    return found


def failures(world: World) -> Counter[str]:
    """How often each original waits with the failed measurements."""
    rows = world.organization().documents("failedmeasurement", DocumentWhere(), Page(size=5_000)).rows
    return Counter(wire.decode(dict[str, Any], each.body)["original"] for each in rows)


def killing(patch: pytest.MonkeyPatch, at: list[tuple[str, int]]) -> None:
    """End what runs at these places, each when it is reached for so many times."""
    left = list(at)

    def reached(name: str) -> None:
        if left and left[0][0] == name:
            if left[0][1] > 0:
                left[0] = (name, left[0][1] - 1)
            else:
                left.pop(0)
                raise Killed

    patch.setattr(failpoints, "reached", reached)


KINDS = st.lists(st.sampled_from(["good", "unnamed", "bad", "nothing"]), min_size=1, max_size=12)
KILLS = st.lists(st.tuples(st.sampled_from(POINTS), st.integers(0, 2)), max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(KINDS, KILLS, st.lists(st.integers(0, 11), max_size=6), st.integers(1, 5))
def test_messages_of_a_stream(
    world: World, kinds: list[str], kills: list[tuple[str, int]], resets: list[int], size: int
) -> None:
    """A stream that goes on behind what was committed, is set back by somebody, and breaks off at any place."""
    reach, turn, after = reach_of(world), next(NUMBERS), world.journal.last
    stream = [text(kind, f"u{turn}-{at}") for at, kind in enumerate(kinds)]
    committed = 0
    with pytest.MonkeyPatch.context() as patch:
        killing(patch, kills)
        while committed < len(stream) or resets:
            if committed >= len(stream):
                committed = min(committed, resets.pop())
            taken = int(usage_sources.state_of(reach.records, reach.source.id).places.get("t/0", "-1"))
            part = range(committed, min(committed + size, len(stream)))
            messages = [Message(f"t{turn}/{at}", stream[at], again=at <= taken) for at in part]
            try:
                usage_sources.take_batch(reach, Batch(messages, {"t/0": str(max(taken, part[-1]))} if part else {}))
            except Killed:
                continue  # nothing is told to the stream: it comes again
            committed = part[-1] + 1 if part else len(stream)
    found = counted(world, after)
    assert sorted(found.values()) == [1] * sum(kind in {"good", "unnamed"} for kind in kinds)
    waiting = failures(world)
    assert all(waiting[each.decode()] == 1 for each in stream if b'"llm"' not in each)
    state = usage_sources.state_of(reach.records, reach.source.id)
    assert (state.received, state.failed) == (len(stream), sum(kind in {"bad", "nothing"} for kind in kinds))
    assert state.accepted + state.duplicates == len(found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(KINDS, KILLS, st.integers(1, 5))
def test_rows_of_a_watched_file(world: World, kinds: list[str], kills: list[tuple[str, int]], size: int) -> None:
    reach, turn, after = reach_of(world), next(NUMBERS), world.journal.last
    rows = [text(kind, f"f{turn}-{at}") for at, kind in enumerate(kinds) if kind != "unnamed"]
    id_ = f"30000000-0000-4000-8000-{turn:012d}"
    new = SourceFile(
        id=id_, source_id=reach.source.id, name="a", size=1, stamp="s", status=FileProgress.TAKING, found=NOW
    )
    with pytest.MonkeyPatch.context() as patch:
        killing(patch, kills)
        file = new
        while file.status is FileProgress.TAKING:
            part = rows[file.rows : file.rows + size]
            with suppress(Killed):
                usage_sources.take_file(reach, file, part, ended=file.rows + len(part) == len(rows))
            file = usage_sources.known_files(reach.records, [id_]).get(id_, new)
    good = sum(kind == "good" for kind in kinds)
    assert sorted(counted(world, after).values()) == [1] * good
    assert (file.rows, file.accepted + file.duplicates, file.failed) == (len(rows), good, len(rows) - good)
    waiting = failures(world)
    assert all(waiting[each.decode()] == 1 for each in rows if b'"llm"' not in each)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(kinds=KINDS, kills=KILLS, size=st.integers(600, 2_000))
def test_members_of_a_file_that_was_sent(
    world: World, tmp_path_factory: pytest.TempPathFactory, kinds: list[str], kills: list[tuple[str, int]], size: int
) -> None:
    turn, after, records = next(NUMBERS), world.journal.last, world.organization()
    sources = LocalSources(tmp_path_factory.getbasetemp() / "uploads", None, None)
    members = [text(kind, f"s{turn}-{at}").decode() for at, kind in enumerate(kinds) if kind != "nothing"]
    body = f"[{','.join(members)}]".encode()
    asked = MeasurementFileRequest(file_name="a.json", content_type=FileType.TEXT, content_length=len(body))
    job: MeasurementFile = measurement_files.order(
        records, asked, id=f"40000000-0000-4000-8000-{turn:012d}", actor=Actor("ada", "USER"), now=NOW
    )
    job, stored = measurement_files.begin(records, job.id)
    sources.append(NORTH, stored, body, 0)
    job = measurement_files.complete(records, job.id, stored, "digest", len(body), NOW)
    with pytest.MonkeyPatch.context() as patch:
        killing(patch, kills)
        patch.setattr("tallystick.pipeline.ingest.members.MAX_BYTES", 500)
        patch.setattr(measurement_files, "COUNT_BYTES", size)
        patch.setattr(measurement_files, "TAKE_BYTES", size)
        while job.status is FileStatus.RUNNING:
            with suppress(Killed):
                measurement_files.take_chunk(records, world.intake, sources, job, NOW)
            job = measurement_files.read_file(records, job.id)
    good = sum(kind in {"good", "unnamed"} for kind in kinds)
    assert sorted(counted(world, after).values()) == [1] * good
    assert job.status is FileStatus.SUCCEEDED
    assert (job.total_rows, job.processed_rows, job.failed_rows) == (len(members), len(members), len(members) - good)
    waiting = failures(world)
    assert all(waiting[each] == 1 for each in members if '"no-meter"' in each)
