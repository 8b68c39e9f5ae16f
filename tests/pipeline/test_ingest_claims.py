"""Claims: whatever happens at once, and wherever the process dies, each uid counts once and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_world import NORTH, NOW, SOUTH, World, measurement, world

from effort import drawing
from tallystick.core.measurement import uid_key
from tallystick.core.measurement_reading import JournalEntry, pack
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import Claimer, JournalCutShort, Outcome, claim, recover
from tallystick.pipeline.ingest.tail import Candidates
from tallystick.ports import Block
from tallystick.ports.packed import Fixed, Packed
from tallystick.stores.journal_file import FileJournal
from tallystick.stores.uid_index import SortedUidIndex


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as opened:
        yield opened


def candidate(uid: str, content: int = 0, organization: str = NORTH) -> Candidates:
    original = b'{"account":"a","meter":"m","ts":"2025-06-01","measure":{"x":%d}}' % content
    entry = JournalEntry(account_id="a", meter_id="m", meter_version=1, uid=uid, original=original)
    return Candidates([uid_key(organization, uid)], [content.to_bytes(16, "big")], [pack(entry)])


def together(*candidates: Candidates) -> Candidates:
    """Candidates of one submission."""
    keys, contents, entries = (
        [each[part][0] for each in candidates]
        for part in range(3)  # type: ignore[misc]  # readings are the fourth
    )
    return Candidates(keys, contents, entries)


@given(st.data())
@settings(**drawing(200))
def test_a_group_decided_at_once_is_as_one_decided_in_turn(data: st.DataObject) -> None:
    """Keys of few kinds, some of which share the half that they are sorted by."""
    keys = st.builds(lambda rest, half: bytes([rest] * 8 + [half] * 8), st.integers(0, 2), st.integers(0, 3))
    contents = st.sampled_from([bytes([each] * 16) for each in range(2)])
    known = data.draw(st.dictionaries(keys, contents, max_size=3))
    group = []
    for number in range(data.draw(st.integers(1, 4))):
        drawn = data.draw(st.lists(st.tuples(keys, contents), max_size=8))
        parts = [[each[part] for each in drawn] for part in range(2)]
        side_by_side = data.draw(st.booleans())
        laid = [Fixed(b"".join(each), 16) for each in parts] if side_by_side else parts
        candidates = Candidates(laid[0], laid[1], [b"entry"] * len(drawn))
        group.append(claim._Submission(f"{number}", NOW, candidates, Future()))
    together = claim._laid([each.candidates.keys for each in group])
    at_once, in_turn = claim._decided(group, together, known), claim._in_turn(group, known)
    assert [each.outcomes for each in at_once] == [each.outcomes for each in in_turn]
    assert [each.accepted.tolist() for each in at_once] == [each.accepted.tolist() for each in in_turn]


def test_entries_are_appended_alike_however_they_come(tmp_path: Path) -> None:
    """Large requests, whose candidates lie side by side, in one group with small ones."""
    alone, packed = (
        together(*(candidate(f"{kind}{number}", number) for number in range(claim.MANY))) for kind in ("a", "p")
    )
    laid = Candidates(Fixed(b"".join(packed.keys), 16), Fixed(b"".join(packed.contents), 16), Packed.of(packed.entries))
    journal, index = Held(tmp_path / "journal"), SortedUidIndex(tmp_path / "uids")
    claimer = Claimer(journal, index)
    claimer.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(claimer.claim_in_thread, NORTH, NOW, candidate("p1", 1))  # known to one of the others
            assert journal.began.wait(60)
            rest = [pool.submit(claimer.claim_in_thread, NORTH, NOW, laid)]
            while claimer._waiting < claim.MANY:
                pass
            rest += [pool.submit(claimer.claim_in_thread, NORTH, NOW, each) for each in (alone, laid)]
            while claimer._waiting < 3 * claim.MANY:
                pass
            journal.go.set()
            outcomes = [each.result(60) for each in [first, *rest]]
        assert [each.count(Outcome.ACCEPTED) for each in outcomes] == [1, claim.MANY - 1, claim.MANY, 0]
        entries = [entry for block in journal.read(0) for entry in block.entries]
        assert sorted(entries) == sorted([*packed.entries, *alone.entries])
        claimer.close()  # who waits is told before the claims are put
        found = index.look_up([*packed.keys, *alone.keys])
        assert [entries[found[key].position - 1] for key in packed.keys] == list(packed.entries)
    finally:
        journal.go.set()
        claimer.close()
        index.close()
        journal.close()


class Held(FileJournal):
    """A journal whose appends wait until they are let go, so that a test decides who shares a commit group."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.go = threading.Event()
        self.began = threading.Event()
        self.groups: list[int] = []

    def append(self, blocks: Sequence[Block]) -> list[Block]:
        self.began.set()
        assert self.go.wait(60)
        self.groups.append(sum(len(block.entries) for block in blocks))
        return super().append(blocks)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Held, Claimer]]:
    journal, index = Held(tmp_path / "journal"), SortedUidIndex(tmp_path / "uids")
    claimer = Claimer(journal, index, max_waiting=100)
    claimer.start()
    yield journal, claimer
    journal.go.set()
    claimer.close()
    index.close()
    journal.close()


class TestGroups:
    def test_all_that_waits_shares_one_append(self, held: tuple[Held, Claimer]) -> None:
        journal, claimer = held
        with ThreadPoolExecutor(21) as pool:
            first = pool.submit(claimer.claim_in_thread, NORTH, NOW, candidate("first"))
            assert journal.began.wait(60)
            rest = [pool.submit(claimer.claim_in_thread, NORTH, NOW, candidate(f"u{n}")) for n in range(20)]
            while claimer._waiting < 20:
                pass
            assert not first.done()
            journal.go.set()
            assert [each.result(60) for each in [first, *rest]] == [["accepted"]] * 21
        assert journal.groups == [1, 20]

    def test_within_a_group_the_first_to_come_has_the_uid(self, held: tuple[Held, Claimer]) -> None:
        journal, claimer = held

        async def senders() -> list[list[str]]:
            blocker = asyncio.create_task(claimer.claim(SOUTH, NOW, candidate("x", organization=SOUTH)))
            await asyncio.to_thread(journal.began.wait, 10)
            tasks = [
                asyncio.create_task(claimer.claim(NORTH, NOW, together(candidate("a", 1), candidate("a", 2)))),
                asyncio.create_task(claimer.claim(NORTH, NOW, together(candidate("a", 2), candidate("a", 1)))),
                asyncio.create_task(
                    claimer.claim(SOUTH, NOW, candidate("a", 2, SOUTH)),
                ),
            ]
            await asyncio.sleep(0.05)
            journal.go.set()
            await blocker
            return [list(await each) for each in tasks]

        assert asyncio.run(senders()) == [["accepted", "conflict"], ["conflict", "duplicate"], ["accepted"]]
        assert [list(block.entries) for block in journal.read(1)] == [
            candidate("a", 1).entries,
            candidate("a", 2, SOUTH).entries,
        ]

    def test_too_much_waiting_is_refused_and_the_rest_goes_on(self, held: tuple[Held, Claimer]) -> None:
        journal, claimer = held
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(claimer.claim_in_thread, NORTH, NOW, candidate("first"))
            assert journal.began.wait(60)
            second = pool.submit(
                claimer.claim_in_thread, NORTH, NOW, together(*(candidate(f"u{n}") for n in range(60)))
            )
            while claimer._waiting < 60:
                pass
            with pytest.raises(Refusal, match="waiting for the disk") as refused:
                claimer.claim_in_thread(NORTH, NOW, together(*(candidate(f"v{n}") for n in range(41))))
            assert refused.value.code.name == "busy"
            journal.go.set()
            assert first.result(60) == ["accepted"]
            assert second.result(60) == ["accepted"] * 60
        assert journal.last == 61

    def test_a_client_that_went_away_is_not_missed(self, held: tuple[Held, Claimer]) -> None:
        journal, claimer = held

        async def leave() -> None:
            task = asyncio.create_task(claimer.claim(NORTH, NOW, candidate("a")))
            await asyncio.to_thread(journal.began.wait, 10)
            task.cancel()
            journal.go.set()
            assert await claimer.claim(NORTH, NOW, together(candidate("a"), candidate("b"))) == [
                "duplicate",
                "accepted",
            ]

        asyncio.run(leave())

    def test_closing_commits_what_waits_and_refuses_what_comes(self, held: tuple[Held, Claimer]) -> None:
        journal, claimer = held
        outcomes: dict[str, list[Outcome]] = {}

        def claim(uid: str) -> None:
            outcomes[uid] = claimer.claim_in_thread(NORTH, NOW, candidate(uid))

        begun, waiting = (threading.Thread(target=claim, args=(uid,), daemon=True) for uid in ("a", "b"))
        begun.start()
        assert journal.began.wait(60)
        waiting.start()
        while not claimer._waiting:
            pass
        closing = threading.Thread(target=claimer.close, daemon=True)
        closing.start()
        while not claimer._closing:
            pass
        with pytest.raises(Refusal, match="stopping"):
            claimer.claim_in_thread(NORTH, NOW, candidate("late"))
        journal.go.set()
        for each in (closing, begun, waiting):
            each.join(60)
        assert outcomes == {"a": ["accepted"], "b": ["accepted"]}
        assert journal.last == journal.groups[0] + journal.groups[1] == 2

    def test_whoever_projects_is_woken_by_a_commit(self, held: tuple[Held, Claimer]) -> None:
        journal, claimer = held
        assert claimer.wait_for_more(0, 0.01) is False
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(claimer.wait_for_more, 0, 10)
            pool.submit(claimer.claim_in_thread, NORTH, NOW, candidate("a"))
            journal.go.set()
            assert waiting.result(60) is True
        assert claimer.wait_for_more(0, 0) is True
        assert claimer.wait_for_more(1, 0) is False


def test_many_threads_send_the_same_uids_and_each_counts_once(north: World) -> None:
    uids = [f"u{number}" for number in range(200)]

    def send(seed: int) -> list[str]:
        own = uids[seed * 7 % 200 :] + uids[: seed * 7 % 200]
        found = asyncio.run(north.post(*(measurement(uid, measure={"tokens": 1}) for uid in own)))
        return [each["verdict"] for each in found]

    with ThreadPoolExecutor(8) as pool:
        found = [verdict for verdicts in pool.map(send, range(8)) for verdict in verdicts]
    assert sorted(found) == ["accepted"] * 200 + ["duplicate"] * 1400
    assert sorted(uid for _, uid in north.journaled()) == sorted(uids)


class TestCrashes:
    def test_entries_without_claims_are_claimed_on_opening(self, tmp_path: Path) -> None:
        with world(tmp_path) as north:
            asyncio.run(north.post(measurement("a"), measurement(), measurement("b", ts="2025-06-01 12:00+02:00")))
            asyncio.run(north.post(measurement("c"), organization=SOUTH))
            north.close()
            (tmp_path / "uids").rename(tmp_path / "lost")  # as if the claims had never been put
            north.open()
            assert north.index.mark == 4
            found = asyncio.run(north.post(measurement("a"), measurement("b", ts="2025-06-01T10:00:00Z")))
            assert [each["verdict"] for each in found] == ["duplicate", "duplicate"]
            found = asyncio.run(north.post(measurement("c", measure={"tokens": 0}), organization=SOUTH))
            assert [each["verdict"] for each in found] == ["conflict"]

    def test_dying_between_append_and_claims_loses_and_repeats_nothing(
        self, north: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: object) -> None:
            raise OSError("killed here")

        with monkeypatch.context() as patch:
            patch.setattr(north.index, "put", die)
            # It is on disk by then, and its sender may be told.
            assert asyncio.run(north.post(measurement("a")))[0]["verdict"] == "accepted"
        assert north.journaled() == [(NORTH, "a")]
        # The same process heals before its next group …
        assert asyncio.run(north.post(measurement("a")))[0]["verdict"] == "duplicate"
        # … and so does the next process.
        north.reopen()
        assert asyncio.run(north.post(measurement("a")))[0]["verdict"] == "duplicate"
        assert len(north.journaled()) == 1

    def test_a_full_disk_keeps_nothing_and_recovers_without_a_restart(
        self, north: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_blocks: Sequence[Block]) -> list[Block]:
            raise Refusal("busy", "no space left")

        with monkeypatch.context() as patch:
            patch.setattr(north.journal, "append", full)
            with pytest.raises(Refusal, match="no space"):
                asyncio.run(north.post(measurement("a")))
        assert north.journal.last == 0
        assert asyncio.run(north.post(measurement("a")))[0]["verdict"] == "accepted"

    def test_a_journal_that_lost_acknowledged_entries_is_not_opened(self, tmp_path: Path) -> None:
        journal, index = FileJournal(tmp_path / "journal"), SortedUidIndex(tmp_path / "uids")
        index.put([], [], 1, 1)
        with pytest.raises(JournalCutShort, match="position 0, but uids up to position 1"):
            recover(journal, index)
        index.close()
        journal.close()

    def test_recovery_starts_in_the_middle_of_nothing(self, tmp_path: Path) -> None:
        journal, index = FileJournal(tmp_path / "journal"), SortedUidIndex(tmp_path / "uids")
        entries = [candidate(f"u{number}").entries[0] for number in range(10)]
        for number in range(10):
            journal.append([Block(organization_id=NORTH, kind="measurement", received=NOW, entries=[entries[number]])])
        assert recover(journal, index) == 10
        assert recover(journal, index) == 0
        found = index.look_up([uid_key(NORTH, f"u{number}") for number in range(11)])
        assert [found[uid_key(NORTH, f"u{number}")].position for number in range(10)] == [*range(1, 11)]
        assert len(found) == 10
        index.close()
        journal.close()


# ------------------------------------------------------------------------------------- against a model

UIDS = st.sampled_from(["a", "b", "c"])
MEMBERS = st.fixed_dictionaries(
    {
        "uid": UIDS,
        "tokens": st.sampled_from([1, 1.0, 2, "2"]),  # a text is rejected
        "ts": st.sampled_from(["2025-06-01T10:00:00Z", "2025-06-01 12:00+02:00", "2025-06-01T11:00:00Z"]),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([NORTH, SOUTH]), st.lists(MEMBERS, min_size=1, max_size=4)), st.just("restart")
    ),
    max_size=8,
)


@dataclass
class Model:
    """What ingest means, in a few lines: the first valid content of a uid is the one that counts."""

    claimed: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)

    def verdict(self, organization: str, member: dict[str, Any]) -> str:
        if isinstance(member["tokens"], str):
            return "rejected"
        hour = {"2025-06-01 12:00+02:00": "10", "2025-06-01T10:00:00Z": "10", "2025-06-01T11:00:00Z": "11"}
        content = (float(member["tokens"]), hour[member["ts"]])
        first = self.claimed.setdefault((organization, member["uid"]), content)
        if first is content:
            return "accepted"
        return "duplicate" if first == content else "conflict"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("model")) as opened:
        yield opened


EXAMPLES = count(1)


@given(steps=STEPS)
@settings(**drawing(40))
def test_uids_mean_what_the_model_says(lasting: World, steps: list[Any]) -> None:
    model, example = Model(), f"{next(EXAMPLES)}/"
    for step in steps:
        if step == "restart":
            lasting.reopen()
            continue
        organization, members = step
        expected = [model.verdict(organization, member) for member in members]
        sent = [
            measurement(example + each["uid"], ts=each["ts"], measure={"tokens": each["tokens"]}) for each in members
        ]
        found = asyncio.run(lasting.post(*sent, organization=organization))
        assert [each["verdict"] for each in found] == expected
    journaled = [
        (organization, uid.removeprefix(example))
        for organization, uid in lasting.journaled()
        if uid.startswith(example)
    ]
    assert sorted(journaled) == sorted(model.claimed)
