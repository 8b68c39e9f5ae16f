"""The spool against a model: whatever is appended, torn, damaged, shared or left behind, nothing that was kept is lost,
and nothing is sent that was never kept."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from effort import drawing
from tallystick.client import Emitter, EmitterSettings
from tallystick.client.spool import ENDING, Spool, SpoolFull, Taken

MUCH = 1 << 30


def line(number: int) -> bytes:
    return b'{"uid":"%d","text":"a line that is long enough to fill segments"}' % number


def died(spool: Spool) -> None:
    """The process of a spool ends: its files are closed, and nothing else is done."""
    for file in (spool._writing and spool._writing[1], spool._reading and spool._reading.file):
        if file:
            os.close(file)
    spool._writing = spool._reading = None


class SpoolMachine(RuleBasedStateMachine):
    """Two processes share a directory. `kept` are the lines whose `append` returned, `sent` those that were sent and
    said to be done."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(mkdtemp(prefix="spool-"))
        self.spools = [self.opened(), self.opened()]
        self.taken: list[Taken | None] = [None, None]
        self.number = 0
        self.kept: set[bytes] = set()
        self.sent: Counter[bytes] = Counter()
        self.damaged = 0

    def opened(self) -> Spool:
        def told(number: int) -> None:
            self.damaged += number

        return Spool(self.directory, MUCH, segment_bytes=600, on_damaged=told)

    @rule(which=st.integers(0, 1), count=st.integers(1, 12))
    def append(self, which: int, count: int) -> None:
        lines = [line(self.number + each) for each in range(count)]
        self.number += count
        self.spools[which].append(lines)
        self.kept |= set(lines)

    @rule(which=st.integers(0, 1), count=st.integers(1, 20), size=st.integers(1, 2_000))
    def take(self, which: int, count: int, size: int) -> None:
        taken = self.spools[which].take(count, size)
        if taken is not None:
            assert len(taken.lines) <= count
            assert len(taken.lines) == 1 or sum(len(each) + 1 for each in taken.lines) <= size
        self.taken[which] = taken

    @rule(which=st.integers(0, 1))
    def done(self, which: int) -> None:
        if (taken := self.taken[which]) is not None:
            self.sent.update(taken.lines)
            self.spools[which].done(taken)
            self.taken[which] = None

    @rule(which=st.integers(0, 1), torn=st.booleans())
    def die_and_start_again(self, which: int, torn: bool) -> None:
        spool = self.spools[which]
        if torn and spool._writing is not None:  # in the middle of an append, which therefore never returned
            os.write(spool._writing[1], b"0badc0de " + line(999_999)[:20])
        died(spool)
        self.taken[which] = None
        self.spools[which] = self.opened()

    @rule(which=st.integers(0, 1))
    def close_in_order(self, which: int) -> None:
        self.spools[which].close()
        self.taken[which] = None

    @rule(at=st.integers(0, 63))
    def damage_the_first_line(self, at: int) -> None:
        """A disk that rots: the mark of how far a segment is sent, or the room behind it."""
        segments = sorted(self.directory.glob(f"*{ENDING}"))
        if segments:
            with segments[-1].open("r+b") as file:
                file.seek(at % 39)
                file.write(b"~")

    @invariant()
    def nothing_is_made_up(self) -> None:
        assert set(self.sent) <= self.kept

    def teardown(self) -> None:
        for each in self.spools:
            died(each)
        last = self.opened()
        while (taken := last.take(7, 500)) is not None:
            self.sent.update(taken.lines)
            last.done(taken)
        assert set(self.sent) == self.kept
        assert last.empty()
        assert not list(self.directory.glob(f"*{ENDING}"))


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(**drawing(40), stateful_step_count=25)


def test_a_line_that_rots_is_put_aside_and_told_and_harms_no_other(tmp_path: Path) -> None:
    told: list[int] = []
    spool = Spool(tmp_path, MUCH, on_damaged=told.append)
    spool.append([line(1), line(2), line(3)])
    spool.close()
    (segment,) = tmp_path.glob(f"*{ENDING}")
    content = segment.read_bytes()
    segment.write_bytes(content.replace(b'"uid":"2"', b'"uid":"7"'))
    taken = spool.take(10, MUCH)
    assert taken is not None
    assert taken.lines == [line(1), line(3)]
    again = spool.take(10, MUCH)
    assert again is not None
    assert again.lines == taken.lines, "what is not said to be done is taken again"
    spool.done(again)
    assert told == [1]
    (aside,) = tmp_path.glob("*.damaged")
    assert b'"uid":"7"' in aside.read_bytes()


def test_what_is_sent_is_not_taken_again_after_a_crash(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    spool.append([line(1), line(2), line(3)])
    taken = spool.take(2, MUCH)
    assert taken is not None
    spool.done(taken)
    died(spool)
    rest = Spool(tmp_path, MUCH).take(10, MUCH)
    assert rest is not None
    assert rest.lines == [line(3)]


def test_the_bound_holds_for_all_who_share_the_directory(tmp_path: Path) -> None:
    one, other = Spool(tmp_path, 1_000), Spool(tmp_path, 1_000)
    one.append([line(each) for each in range(8)])
    with pytest.raises(SpoolFull, match="at most 1,000"):
        other.append([line(each) for each in range(8, 16)])
    assert other.size() < 1_000
    taken = one.take(100, MUCH)
    assert taken is not None
    one.done(taken)
    other.append([line(each) for each in range(8, 16)])


def test_a_full_disk_keeps_all_of_an_append_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, MUCH)
    spool.append([line(1)])
    real = os.write

    def half(file: int, content: bytes) -> int:
        real(file, bytes(content[: len(content) // 2]))
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(SpoolFull, match="No space left"):
        spool.append([line(2)])
    monkeypatch.setattr(os, "write", real)
    spool.append([line(3)])
    taken = spool.take(10, MUCH)
    assert taken is not None
    assert taken.lines == [line(1), line(3)]


def test_a_directory_that_was_tidied_away_is_made_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", MUCH, segment_bytes=10)  # each append ends its segment
    spool.append([line(1)])
    shutil.rmtree(tmp_path / "spool")
    assert spool.take(10, MUCH) is None
    spool.append([line(2)])
    taken = spool.take(10, MUCH)
    assert taken is not None
    assert taken.lines == [line(2)]


def test_a_child_that_is_forked_while_a_segment_ends_does_not_keep_it_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segment is no longer known and not closed yet when the child is made; it must not live as long as that."""
    set_up = EmitterSettings(url="http://127.0.0.1:9", organization="o", key="k", secret="s", spool=tmp_path)
    with Emitter(set_up) as emitter:
        spool = emitter._spool
        assert spool is not None
        spool.append([line(1)])
        real, ending, forked = os.fdatasync, Event(), Event()

        def slow(file: int) -> None:
            ending.set()
            forked.wait(1)
            real(file)

        monkeypatch.setattr(os, "fdatasync", slow)
        closing = Thread(target=spool.close)
        closing.start()
        assert ending.wait(5)
        child = os.fork()
        if not child:
            time.sleep(20)
            os._exit(0)
        try:
            forked.set()
            closing.join()
            other = Spool(tmp_path / "o", MUCH)
            taken = other.take(10, MUCH)
            assert taken is not None
            assert taken.lines == [line(1)]
            other.close()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
