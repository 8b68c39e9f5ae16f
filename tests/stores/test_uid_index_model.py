"""The uid index against a dictionary, through failing disks, kills and power cuts at every step.

The model is the journal: every claim that was ever put, by position. Whatever happens, the index knows all claims up to
its mark with content and position, those above it rightly or not at all, and the mark never falls behind a flush that
succeeded. After a crash what lies above the mark is put again, as the server does from the journal.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest
import xxhash
from faulty_disk import FaultyDisk
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from effort import drawing
from tallystick.errors import Refusal
from tallystick.ports import Claim
from tallystick.stores import uid_claims, uid_index, uid_runs
from tallystick.stores.uid_index import SortedUidIndex
from tallystick.stores.uid_runs import UidIndexDamaged

GATHER = 6
STEPS = st.integers(0, 60)


def key_of(position: int) -> bytes:
    """As even as real ones; every seventh has the hash of its neighbour."""
    digest = xxhash.xxh3_128_digest(b"%d" % position)
    alike = xxhash.xxh3_64_digest(b"%d" % (position - position % 7))
    return b"orga" + digest[:4] + (alike if position % 7 < 2 else digest[4:12])


def content_of(position: int) -> bytes:
    return xxhash.xxh3_128_digest(b"content %d" % position)


def made_small(patch: pytest.MonkeyPatch) -> None:
    """Several blocks and pieces for a few claims."""
    patch.setattr(uid_runs, "BLOCK", 4)
    patch.setattr(uid_runs, "PIECE", 8)
    patch.setattr(uid_runs, "merged_in_pieces", partial(uid_claims.merged_in_pieces, piece=8))
    patch.setattr(uid_claims, "LEAST_WORDS", 2)


class Indexed:
    """An index on a disk that may fail, and how far the journal and the last good flush are."""

    def __init__(self, directory: Path, seed: int, found: dict[str, bytes] | None = None) -> None:
        self.directory = directory
        directory.mkdir()
        self.disk = FaultyDisk(directory, random.Random(seed))
        self.disk.found(found or {})
        self._patch = pytest.MonkeyPatch()
        made_small(self._patch)
        for module in (uid_runs, uid_index):
            self._patch.setattr(module, "os", self.disk)
        self.index = SortedUidIndex(directory, gather=GATHER)
        self.journal = self.flushed = self.index.mark

    def end(self) -> None:
        self.disk.arm(None)
        self.index.close()
        self._patch.undo()

    def settle(self) -> None:
        """Wait for a merge."""
        if self.index._merger is not None:
            self.index._merger.join()

    def put(self, first: int, count: int) -> bool:
        """Put claims; says whether the disk took what was to be written. They are known either way."""
        positions = range(first, first + count)
        self.journal = max(self.journal, positions.stop - 1)
        try:
            keys, contents = [key_of(each) for each in positions], [content_of(each) for each in positions]
            self.index.put(keys, contents, first, positions.stop - 1)
        except Refusal:
            return False
        finally:
            self.settle()
        return True

    def flush(self) -> bool:
        try:
            self.index.flush()
        except Refusal:
            return False
        finally:
            self.settle()
        self.flushed = self.journal
        return True

    def crash(self, left: dict[str, bytes] | None = None) -> None:
        """Start again: after a kill with all that was written, or with what a power cut left. Then put the rest."""
        self.settle()
        os.close(self.index._lock)
        self.disk.arm(None)
        if left is not None:
            self.disk.found(left)
        self.index = SortedUidIndex(self.directory, gather=GATHER)
        assert self.flushed <= self.index.mark <= self.journal
        self.look(self.index.mark)
        if self.index.mark < self.journal:
            assert self.put(self.index.mark + 1, self.journal - self.index.mark)
        self.look(self.journal)

    def look(self, upto: int) -> None:
        """Every claim up to a position is known; those above rightly or not at all; no others."""
        positions = {key_of(position): position for position in range(-8, self.journal + 9)}
        found = self.index.look_up(list(positions))
        for key, position in positions.items():
            right = Claim(content_of(position), position)
            if 1 <= position <= upto:
                assert found.get(key) == right, position
            else:
                assert key not in found or (1 <= position <= self.journal and found[key] == right), position


class UidIndexMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp())
        self.indexed: Indexed | None = None

    @property
    def it(self) -> Indexed:
        if self.indexed is None:
            self.indexed = Indexed(self.top / "uids", 0)
        return self.indexed

    def teardown(self) -> None:
        if self.indexed is not None:
            self.indexed.end()
        shutil.rmtree(self.top)

    @rule(count=st.integers(1, 15))
    def put(self, count: int) -> None:
        assert self.it.put(self.it.journal + 1, count)

    @rule()
    def flush(self) -> None:
        assert self.it.flush()

    @rule()
    def look(self) -> None:
        self.it.look(self.it.journal)

    @rule()
    def start_again(self) -> None:
        self.it.index.close()
        self.it.index = SortedUidIndex(self.it.directory, gather=GATHER)
        assert self.it.index.mark == self.it.journal
        self.it.flushed = self.it.journal
        self.it.look(self.it.journal)

    @rule()
    def kill(self) -> None:
        self.it.crash()

    @rule()
    def cut_power(self) -> None:
        self.it.crash(self.it.disk.cut())

    @rule(after=STEPS, stays=st.booleans(), count=st.integers(1, 15), kill=st.booleans())
    def put_on_a_failing_disk(self, after: int, stays: bool, count: int, kill: bool) -> None:
        self.it.disk.arm(after, stays=stays)
        self.it.put(self.it.journal + 1, count)
        self.it.flush()
        self.it.look(self.it.journal)
        if kill:
            self.it.crash()
        self.it.disk.arm(None)
        assert self.it.flush()
        self.it.look(self.it.journal)

    @rule(after=STEPS, count=st.integers(1, 15))
    def put_while_power_fails(self, after: int, count: int) -> None:
        flushed = self.it.flushed
        self.it.disk.arm(after, cuts=True)
        self.it.put(self.it.journal + 1, count)
        self.it.flush()
        left = self.it.disk.left
        if left is not None:
            self.it.flushed = flushed  # what was said after the cut, nobody heard
        self.it.crash(left)


UidIndexMachine.TestCase.settings = settings(**drawing(12, shrink=False), stateful_step_count=25)
test_the_uid_index_does_what_the_model_says = UidIndexMachine.TestCase


@pytest.fixture
def pristine(tmp_path: Path) -> Path:
    """Three runs of least size, which a fourth will be merged with, and one that was merged."""
    indexed = Indexed(tmp_path / "pristine", 0)
    for _ in range(7):
        assert indexed.put(indexed.journal + 1, GATHER)
    indexed.end()
    return indexed.directory


@pytest.mark.parametrize("how", ["fails once", "stays full", "killed, then power fails", "power fails"])
def test_every_step_of_a_flush_and_a_merge_may_fail(pristine: Path, tmp_path: Path, how: str) -> None:
    found = {path.name: path.read_bytes() for path in pristine.iterdir()}
    step = 0
    while True:  # until nothing is left to fail
        indexed = Indexed(tmp_path / str(step), step + 200, found)
        indexed.disk.arm(step, stays=how in ("stays full", "killed, then power fails"), cuts=how == "power fails")
        before = indexed.disk.done
        indexed.put(indexed.journal + 1, GATHER)
        done = indexed.disk.done - before
        indexed.look(indexed.journal)
        indexed.crash(indexed.disk.left)
        if how == "killed, then power fails":
            indexed.crash(indexed.disk.cut())
        indexed.end()
        if done <= step:
            break
        step += 1
    assert step > 25, "a flush and a merge take more steps than that"


# --------------------------------------------------------------------------------------------------- spoiled bits

PARTS = ("head", "hashes", "rests", "contents", "positions", "checks of hashes", "checks of contents")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    made_small(monkeypatch)


def flip(path: Path, part: str, chance: random.Random) -> None:
    """Turn a bit over in a part of a file, without a word to whoever has it open."""
    count = int.from_bytes(path.read_bytes()[48:56], "little")
    columns = [64 + width * count for width in (0, 8, 16, 32, 40)]
    checks = -(-count // 4) * 8
    where = {
        "head": (0, 64),
        **{name: (columns[at], columns[at + 1]) for at, name in enumerate(PARTS[1:5])},
        "checks of hashes": (columns[4], columns[4] + checks),
        "checks of contents": (columns[4] + 2 * checks, columns[4] + 3 * checks),
        "all": (0, path.stat().st_size),
    }
    data = bytearray(path.read_bytes())
    data[chance.randrange(*where[part])] ^= 1 << chance.randrange(8)
    with path.open("r+b") as file:
        file.write(data)


@pytest.mark.parametrize("part", [*PARTS, "list"])
def test_what_the_disk_spoiled_is_told_at_the_start_or_by_the_first_answer_it_concerns(
    pristine: Path, tmp_path: Path, small: None, part: str
) -> None:
    chance = random.Random(part)
    for number in range(12):
        directory = shutil.copytree(pristine, tmp_path / str(number))
        if part == "list":
            data = bytearray((directory / "runs").read_bytes())
            data[number * len(data) // 12] ^= 1 << chance.randrange(8)
            (directory / "runs").write_bytes(data)
        else:
            flip(chance.choice(sorted(directory.glob("*.uids"))), part, chance)
        if "contents" not in part and part != "positions":
            with pytest.raises(UidIndexDamaged, match=r"rebuild --uids"):
                SortedUidIndex(directory)
            continue
        index = SortedUidIndex(directory)
        for _ in range(2):
            with pytest.raises(Refusal, match=r"rebuild --uids"):
                index.look_up([key_of(position) for position in range(1, 43)])
        assert index.damage is not None
        index.close()


@pytest.mark.parametrize("part", ["hashes", "rests"])
def test_what_the_disk_spoils_under_an_open_index_never_makes_a_known_uid_new(
    pristine: Path, tmp_path: Path, small: None, part: str
) -> None:
    chance = random.Random(part)
    told = 0
    for number in range(20):
        directory = shutil.copytree(pristine, tmp_path / str(number))
        index = SortedUidIndex(directory, gather=GATHER)
        flip(chance.choice(sorted(directory.glob("*.uids"))), part, chance)
        try:
            for position in range(1, 43):
                assert index.look_up([key_of(position)]) == {key_of(position): Claim(content_of(position), position)}
        except Refusal:
            told += 1
        index.close()
    assert told >= 15, "a few are found beside what is spoiled"


def test_a_merge_of_what_the_disk_spoiled_is_given_up(pristine: Path, tmp_path: Path, small: None) -> None:
    chance = random.Random(1)
    for number, part in enumerate(PARTS[1:]):
        directory = shutil.copytree(pristine, tmp_path / str(number))
        index = SortedUidIndex(directory, gather=GATHER)
        paths = sorted(directory.glob("*.uids"))
        for path in paths:
            flip(path, part, chance)
        for first in range(43, 43 + 4 * GATHER, GATHER):
            positions = range(first, first + GATHER)
            index.put([*map(key_of, positions)], [*map(content_of, positions)], first, positions.stop - 1)
            if index._merger is not None:
                index._merger.join()
        assert index.damage is not None
        assert all(path.exists() for path in paths)
        with pytest.raises(Refusal, match="nothing more is taken"):
            index.look_up([key_of(1000)])
        index.close()
