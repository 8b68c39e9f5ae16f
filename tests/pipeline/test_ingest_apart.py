"""Large requests are sorted out in a process of their own, and nobody can tell: not by the answer, not by what is kept,
not even while that process dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_members import KNOWN, members
from ingest_world import NORTH, NOW, SOUTH, World, body, measurement, post, start, verdicts, world

from effort import drawing
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.organization import UnknownAccounts
from tallystick.pipeline.ingest import Outcome, intake
from tallystick.pipeline.ingest.apart import SLOT_BYTES, SLOTS, Apart
from tallystick.pipeline.ingest.claim import MANY
from tallystick.pipeline.ingest.sheets import Head, lay_out, take_up
from tallystick.pipeline.ingest.sorting import Batch, Sorter
from tallystick.pipeline.ingest.splitting import split
from tallystick.pipeline.ingest.verdicts import reply_json, told_one_by_one
from tallystick.pipeline.mediate import project
from tallystick.ports.packed import Fixed, Packed, data_of
from tallystick.stores.memory import MemoryUsage

OUTCOMES = st.sampled_from([Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.CONFLICT])


class TestPacked:
    """Many byte strings in one buffer are a sequence of them."""

    @given(st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=40))
    @settings(**drawing(50))
    def test_of_any_length(self, drawn: list[tuple[bytes, bool]]) -> None:
        values, which = [each for each, _ in drawn], np.array([each for _, each in drawn], bool)
        taken = [each for each, wanted in drawn if wanted]
        packed = Packed.of(values)
        assert list(packed) == values
        assert packed[:] == values
        assert list(packed.taking(which)) == taken
        assert list(Packed.joined([packed, packed.taking(which)])) == [*values, *taken]
        assert msgspec.msgpack.decode(b"".join(packed.array())) == values
        assert msgspec.msgpack.decode(b"".join(packed.taking(which).array())) == taken

    @pytest.mark.parametrize("size", [255, 256, 65_535, 65_536])
    def test_where_the_head_of_a_string_grows(self, size: int) -> None:
        values = [b"x" * size, b"after"]
        assert list(Packed.of(values)) == values

    @given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.booleans()), max_size=20))
    @settings(**drawing(50))
    def test_of_one_width(self, drawn: list[tuple[bytes, bool]]) -> None:
        values, which = [each for each, _ in drawn], np.array([each for _, each in drawn], bool)
        fixed = Fixed(b"".join(values), 16)
        assert list(fixed) == values == fixed[:]
        assert list(fixed.taking(which)) == [each for each, wanted in drawn if wanted]
        assert data_of(values) == data_of(fixed)


class TestSheets:
    """What is laid out into memory is taken up as it was."""

    def laid_out(self, batch: Batch, size: int = SLOT_BYTES) -> tuple[Head | None, bytearray]:
        memory = bytearray(size)
        head = lay_out(batch, memoryview(memory))
        return (None if head is None else msgspec.msgpack.decode(msgspec.msgpack.encode(head), type=Head)), memory

    def sorted_out(self, sent: Sequence[bytes]) -> Batch:
        numbers = iter(range(1, 100))
        return Sorter(NORTH, KNOWN, NOW, lambda: f"new-{next(numbers)}").sort_out(split(body(*sent)))

    @given(sent=st.lists(members(), min_size=1, max_size=20), data=st.data())
    @settings(**drawing(150))
    def test_a_batch_and_the_reply_to_it(self, sent: list[bytes], data: st.DataObject) -> None:
        here = self.sorted_out(sent)
        head, memory = self.laid_out(here)
        assert head is not None
        there = take_up(head, memoryview(memory))
        memory[:] = bytes(len(memory))  # another request comes: nothing of the memory is in use
        assert there.strangers == here.strangers
        if here.strangers:
            return
        assert (there.bad, there.generated, there.size) == (here.bad, here.generated, len(sent))
        assert (list(there.places), list(there.uids)) == (list(here.places), list(here.uids))
        assert [list(each) for each in there.candidates[:3]] == [list(each) for each in here.candidates[:3]]
        assert list(map(table, there.candidates.readings)) == list(map(table, here.candidates.readings))
        outcomes = data.draw(st.lists(OUTCOMES, min_size=len(here.places), max_size=len(here.places)))
        assert reply_json(there, outcomes, {}) == reply_json(here, outcomes, {})

    @pytest.mark.parametrize("uid", ["plain", "a'b", 'a"b', "a\\b", "ümlaut", "\u2028", "~", " ", "\x7f"])
    def test_verdicts_of_uids_that_json_spells_otherwise(self, uid: str) -> None:
        sent = [msgspec.json.encode(measurement(f"{uid}{number}", cost={"usd": 1})) for number in range(12)]
        batch = self.sorted_out(sent)
        assert batch.size == 12
        head, memory = self.laid_out(batch)
        assert head is not None
        told = take_up(head, memoryview(memory)).told
        slow = told_one_by_one(batch)
        assert told is not None
        assert (bytes(told.data), told.ends.tolist()) == (bytes(slow.data), slow.ends.tolist())

    def test_what_does_not_fit_is_left_alone(self) -> None:
        batch = self.sorted_out([b"{}"])
        assert self.laid_out(batch, 4)[0] is None


def table(reading: Any) -> tuple[object, ...]:
    columns = reading.columns
    ranks = None if reading.ranks is None else reading.ranks.tolist()
    maps = [{code: column.to_pylist() for code, column in each.items()} for each in (columns.numbers, columns.texts)]
    kept = (reading.account_ids.to_pylist(), columns.uids.to_pylist(), columns.ts.to_pylist())
    return (reading.meter_id, *kept, *maps, ranks)


# ------------------------------------------------------------------------------------------------- a real process


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    made = Apart()
    start(made)
    yield made
    made.close()


@pytest.fixture
def north(apart: Apart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Every request is sorted out apart."""
    with all_apart(apart, tmp_path, monkeypatch) as opened:
        yield opened


@contextmanager
def all_apart(apart: Apart, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(intake, "LARGE", 1)
    with world(directory, apart=[apart]) as opened:
        yield opened


def process_of(apart: Apart) -> int:
    assert apart._process is not None
    return apart._process.pid


def here(monkeypatch: pytest.MonkeyPatch, name: str = "_sort_out") -> list[object]:
    """The requests that are sorted out in this process from here on."""
    found: list[object] = []
    original = getattr(intake.Intake, name)

    def noted(*given: Any) -> Any:
        found.append(given)
        return original(*given)

    monkeypatch.setattr(intake.Intake, name, noted)
    return found


def many(number: int, start: int = 0, **changes: Any) -> list[dict[str, Any]]:
    return [measurement(f"u{start + each}", **changes) for each in range(number)]


class TestAProcessOfItsOwn:
    def test_it_does_the_work(self, north: World, monkeypatch: pytest.MonkeyPatch) -> None:
        worked = here(monkeypatch)
        assert verdicts(north, *many(MANY)) == ["accepted"] * MANY
        assert verdicts(north, *many(MANY + 2, start=1)) == [*["duplicate"] * (MANY - 1), *["accepted"] * 3]
        assert north.journaled() == [(NORTH, f"u{number}") for number in range(MANY + 3)]
        assert worked == []
        kept, read = MemoryUsage(), MemoryUsage()
        while kept.mark < north.journal.last:
            project(north.journal, kept, north.records, tail=north.tail)
        project(north.journal, read, north.records)
        rows, others = (sorted(each.rows(NORTH), key=lambda row: row.position) for each in (kept, read))
        assert len(rows) == MANY + 3
        assert rows == others

    def test_each_kind_of_member_has_its_verdict(self, north: World) -> None:
        sent = [
            *many(20),
            measurement("u3"),  # the same again
            measurement("u4", measure={"tokens": 11}),
            measurement(None),
            measurement("bad", measure={"tokens": "1"}),
            b'{"meter": ["llm"]}',
            measurement("none", meter="none"),
        ]
        found = post(north, *sent)
        assert [each["verdict"] for each in found] == [
            *["accepted"] * 20,
            "duplicate",
            "conflict",
            "accepted",
            *["rejected"] * 3,
        ]
        assert found[21]["reason"].startswith("uid: counted before with other content")
        assert found[22]["uidGenerated"] is True
        assert [each.get("code") for each in found[23:]] == ["invalid_number", "invalid_measurement", "undefined_meter"]
        queue = north.documents("failedmeasurement")
        assert {each["failedMeasurementId"] for each in found[23:]} == {each["id"] for each in queue}
        assert len(north.journaled()) == 21

    def test_accounts_come_to_be_known(self, north: World, monkeypatch: pytest.MonkeyPatch) -> None:
        worked = here(monkeypatch)
        sent = [measurement(f"{code}-{number}", account=code) for number in range(3) for code in ("acme", "beta", "Ü")]
        assert verdicts(north, *sent) == ["accepted"] * 9
        assert verdicts(north, measurement("x", account="ACME")) == ["invalid_account"]
        assert verdicts(north, measurement("y", account=" acme")) == ["invalid_account"]
        assert verdicts(north, measurement("z", account="gamma"), organization=SOUTH) == ["accepted"]
        assert worked == []

    def test_an_account_that_nobody_has_may_have_to_wait(self, north: World) -> None:
        north.set(unknown_accounts=UnknownAccounts.QUEUE)
        assert verdicts(north, *many(10), *many(2, start=10, account="nobody")) == ["unknown_account"] * 12

    def test_identities_are_looked_up_here(self, north: World, monkeypatch: pytest.MonkeyPatch) -> None:
        worked = here(monkeypatch, "take")
        identity = {"type": "key", "value": "of nobody"}
        assert verdicts(north, *many(10), measurement("x", identity=identity, account=None)) == [
            *["accepted"] * 10,
            "waiting",
        ]
        assert len(worked) == 1

    def test_a_change_of_the_organization_counts_from_then_on(self, north: World) -> None:
        assert verdicts(north, measurement("a"), measurement(None)) == ["accepted", "accepted"]
        north.set(require_measurement_uid=True)
        assert verdicts(north, measurement("b"), measurement(None)) == ["accepted", "uid_required"]
        assert verdicts(north, measurement("c", meter="api", what=None)) == ["undefined_meter"]
        tokens = DataField(code="tokens", name="Tokens", category=Category.MEASURE, unit="1")
        north.add(Meter(name="API", code="api", data_fields=(tokens,), derived_fields=()))
        assert verdicts(north, measurement("c", meter="api", what=None)) == ["accepted"]

    def test_a_body_that_is_refused_as_a_whole_is_refused_here(self, north: World) -> None:
        with pytest.raises(intake.Refusal, match="measurements"):
            asyncio.run(north.intake.answer(NORTH, b'{"measurements":7}'))

    def test_more_requests_than_it_has_room_for_are_all_answered(self, north: World) -> None:
        async def senders() -> list[list[dict[str, Any]]]:
            requests = (north.post(*many(12, start=100 * number)) for number in range(3 * SLOTS))
            return await asyncio.gather(*requests)

        found = asyncio.run(senders())
        assert [each["verdict"] for reply in found for each in reply] == ["accepted"] * (36 * SLOTS)
        assert len(set(north.journaled())) == 36 * SLOTS


class TestWithoutIt:
    """Whatever becomes of the process, requests are answered."""

    def test_small_requests_and_the_first_do_without(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fresh = Apart()
        worked = here(monkeypatch)
        try:
            with world(tmp_path, apart=[fresh]) as opened:
                assert verdicts(opened, measurement("a")) == ["accepted"]
                assert fresh._thread is None
                assert verdicts(opened, *many(500)) == ["accepted"] * 500
                assert fresh._thread is not None
        finally:
            fresh.close()
        assert len(worked) == 3  # the first once more, for its account was new

    def test_it_dies_and_comes_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fresh = Apart()
        start(fresh)
        with all_apart(fresh, tmp_path, monkeypatch) as opened:
            assert verdicts(opened, *many(5)) == ["accepted"] * 5
            before = process_of(fresh)

            async def while_it_dies() -> list[list[dict[str, Any]]]:
                requests = [asyncio.create_task(opened.post(*many(9, start=10 * number))) for number in range(1, 20)]
                await asyncio.sleep(0)
                os.kill(before, signal.SIGKILL)
                return await asyncio.gather(*requests)

            found = asyncio.run(while_it_dies())
            assert [each["verdict"] for reply in found for each in reply] == ["accepted"] * 171
            start(fresh)
            assert process_of(fresh) != before
            assert verdicts(opened, *many(5)) == ["duplicate"] * 5
        fresh.close()

    def test_it_hangs_and_is_not_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fresh = Apart(answer_seconds=0.5)
        start(fresh)
        with all_apart(fresh, tmp_path, monkeypatch) as opened:
            hanging = process_of(fresh)
            os.kill(hanging, signal.SIGSTOP)
            assert verdicts(opened, *many(5)) == ["accepted"] * 5
            start(fresh)
            assert process_of(fresh) != hanging
        fresh.close()

    def test_it_says_what_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        fresh = Apart()
        start(fresh)
        with all_apart(fresh, tmp_path, monkeypatch) as opened:
            with monkeypatch.context() as patch:
                patch.setattr("tallystick.pipeline.ingest.apart.take_up", lambda *_: 1 / 0)
                assert verdicts(opened, *many(5)) == ["accepted"] * 5
            assert "said what cannot be read" in caplog.text
            start(fresh)
            assert verdicts(opened, *many(5)) == ["duplicate"] * 5
        fresh.close()

    def test_it_cannot_start_and_is_left_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("tallystick.pipeline.ingest.apart.MODULE", "tallystick.no_such_module")
        fresh = Apart()
        with all_apart(fresh, tmp_path, monkeypatch) as opened:
            for number in range(5):
                assert verdicts(opened, measurement(str(number))) == ["accepted"]
                if fresh._thread is not None:
                    fresh._thread.join()
        fresh.close()
        assert caplog.text.count("ended 3 times without an answer") == 1

    def test_it_ends_with_who_started_it(self) -> None:
        fresh = Apart()
        start(fresh)
        process = process_of(fresh)
        fresh.close()
        assert not Path(f"/proc/{process}").exists()
        assert asyncio.run(fresh.sort_out(NORTH, body(b"{}"), replace(KNOWN), NOW)) is None
