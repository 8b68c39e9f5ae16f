"""The uid index: claims and mark move together, and are there after a restart."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from tallystick.errors import Refusal
from tallystick.ports import Claim
from tallystick.stores import uid_claims, uid_runs
from tallystick.stores.uid_claims import COLUMNS, Claims, Filter, claims_of, merged, merged_in_pieces, split_keys
from tallystick.stores.uid_index import SortedUidIndex
from tallystick.stores.uid_runs import Run, UidIndexDamaged, map_run


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def content(position: int) -> bytes:
    return bytes([position % 256]) * 16


def claim(position: int) -> Claim:
    return Claim(content(position), position)


def end_without_closing(index: SortedUidIndex) -> None:
    """As a crash would: all that the system keeps of the process is files."""
    os.close(index._lock)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SortedUidIndex]:
    opened = SortedUidIndex(tmp_path / "uids")
    yield opened
    opened.close()


def test_a_new_index_is_empty(index: SortedUidIndex) -> None:
    assert index.mark == 0
    assert index.look_up([]) == {}
    assert index.look_up([key(1), key(2)]) == {}


def test_claims_come_back_by_their_keys(index: SortedUidIndex) -> None:
    index.put([key(1), key(2)], [content(5), content(6)], 5, 7)
    assert index.look_up([key(2), key(3), key(1), key(2)]) == {key(2): claim(6), key(1): claim(5)}
    assert index.mark == 7


@pytest.mark.parametrize("position", [1, 2**32, 2**63 - 1])
def test_positions_of_any_size_are_kept(index: SortedUidIndex, position: int) -> None:
    index.put([key(1)], [content(position)], position, position)
    assert index.look_up([key(1)]) == {key(1): claim(position)}
    assert index.mark == position


def test_the_mark_moves_without_claims(index: SortedUidIndex) -> None:
    index.put([], [], 7, 7)
    assert index.mark == 7


def test_the_mark_is_no_key(index: SortedUidIndex) -> None:
    like = b"mark".ljust(16, b"\0")
    index.put([like], [content(1)], 1, 9)
    assert index.mark == 9
    assert index.look_up([like]) == {like: claim(1)}


def test_claims_and_mark_outlive_the_process(tmp_path: Path) -> None:
    opened = SortedUidIndex(tmp_path / "uids")
    numbers = range(1, 10_001)
    opened.put([key(number) for number in numbers], [content(number) for number in numbers], 1, 10_000)
    opened.close()
    opened = SortedUidIndex(tmp_path / "uids")
    assert opened.mark == 10_000
    found = opened.look_up([key(number) for number in range(10_002)])
    assert found == {key(number): claim(number) for number in numbers}
    opened.close()


def test_claims_are_known_before_they_are_written_and_written_together(tmp_path: Path) -> None:
    opened = SortedUidIndex(tmp_path / "uids", gather=3)
    opened.put([key(2), key(1)], [content(1), content(2)], 1, 2)
    assert opened.look_up([key(1), key(2), key(3)]) == {key(2): claim(1), key(1): claim(2)}
    assert not list((tmp_path / "uids").glob("*.uids"))
    opened.put([key(3)], [content(3)], 3, 3)
    assert len(list((tmp_path / "uids").glob("*.uids"))) == 1
    opened.put([key(4)], [content(4)], 4, 4)
    end_without_closing(opened)  # what was not written is not there, and the mark says so
    opened = SortedUidIndex(tmp_path / "uids")
    assert opened.mark == 3
    assert opened.look_up([key(number) for number in range(5)]).keys() == {key(1), key(2), key(3)}
    opened.close()


def many(numbers: range) -> tuple[list[bytes], list[bytes]]:
    """Keys like real ones: even over their range but for the first 4 bytes."""
    keys = [b"orga" + xxhash.xxh3_128_digest(b"%d" % number)[:12] for number in numbers]
    return keys, [content(number) for number in numbers]


def wait_for_merges(index: SortedUidIndex) -> None:
    if index._merger is not None:
        index._merger.join()


def test_runs_of_like_size_are_merged_and_nothing_is_lost(tmp_path: Path) -> None:
    index = SortedUidIndex(tmp_path / "uids", gather=100)
    for first in range(1, 5_001, 50):
        keys, contents = many(range(first, first + 50))
        index.put(keys, contents, first, first + 49)
        wait_for_merges(index)
    # 50 runs of 100 would be there: of each size (100, 400, 1,600, …) at most three stay.
    files = list((tmp_path / "uids").glob("*.uids"))
    assert len(files) <= 9
    assert sum(len(map_run(path).claims) for path in files) == 5_000
    keys, _ = many(range(1, 6_001))
    expected = {key: claim(number) for number, key in enumerate(keys[:5_000], 1)}
    assert index.look_up(keys) == expected
    index.close()
    index = SortedUidIndex(tmp_path / "uids", gather=100)
    assert index.look_up(keys) == expected
    assert index.mark == 5_000
    index.close()


def test_keys_of_one_hash_are_told_apart(index: SortedUidIndex) -> None:
    keys = [number.to_bytes(8, "big") + b"one hash" for number in range(8)]
    index.put(keys[:3], [content(number) for number in range(1, 4)], 1, 3)
    index.flush()
    index.put(keys[3:6], [content(number) for number in range(4, 7)], 4, 6)
    assert index.look_up(keys) == {key: claim(number) for number, key in enumerate(keys[:6], 1)}


def test_merging_in_pieces_comes_to_the_same() -> None:
    parts = [claims_of(*many(range(first, first + count)), first) for first, count in ((1, 700), (701, 3), (704, 90))]
    pieces = list(merged_in_pieces(parts, 50))
    assert len(pieces) == 16
    together = merged(parts)
    for column in COLUMNS:
        assert (np.concatenate([getattr(each, column) for each in pieces]) == getattr(together, column)).all()


def test_the_filter_forgets_no_key_and_knows_nearly_all_new_ones() -> None:
    keys, contents = many(range(200_000))
    known = Filter(100_000)
    known.add([claims_of(keys[:100_000], contents[:100_000], 1)])
    answers = known.may_know(*split_keys(keys))
    assert answers[:100_000].all()
    assert answers[100_000:].mean() < 0.07


def test_a_filter_that_is_full_is_made_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uid_claims, "LEAST_WORDS", 2)
    index = SortedUidIndex(tmp_path / "uids", gather=100)
    keys, contents = many(range(1, 1_001))
    for first in range(0, 1_000, 100):
        index.put(keys[first : first + 100], contents[first : first + 100], first + 1, first + 100)
    assert 64 <= len(index._filter._words) < 1_000
    assert index.look_up(keys) == {key: claim(number) for number, key in enumerate(keys, 1)}
    index.close()


def put_runs(index: SortedUidIndex, first: int, count: int) -> None:
    """So many runs of 100."""
    for start in range(first, first + 100 * count, 100):
        keys, contents = many(range(start, start + 100))
        index.put(keys, contents, start, start + 99)


def test_small_runs_are_merged_while_large_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = SortedUidIndex(tmp_path / "uids", gather=100)
    for turn in range(3):
        put_runs(index, 1 + 400 * turn, 4)
        wait_for_merges(index)
    assert len(index._runs) == 3
    seen: list[int] = []
    go_on = SortedUidIndex._go_on

    def busy(index: SortedUidIndex, size: int) -> None:
        if size == 1 and not seen:
            put_runs(index, 1_601, 11)
            seen.append(len(index._runs))
        go_on(index, size)
        if size == 1:
            seen.append(len(index._runs))

    monkeypatch.setattr(SortedUidIndex, "_go_on", busy)
    put_runs(index, 1_201, 4)
    wait_for_merges(index)
    # The four large ones, of which none is merged yet; one that was made of eleven small ones.
    assert seen == [4 + 11, 4 + 1]
    keys, _ = many(range(1, 2_701))
    assert index.look_up(keys) == {key: claim(number) for number, key in enumerate(keys, 1)}
    index.close()


def test_a_filter_is_made_larger_while_runs_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = SortedUidIndex(tmp_path / "uids", gather=100)
    put_runs(index, 1, 3)
    keys_of = Run.keys
    together = index._write([merged([run.claims for run in index._runs])], 300)
    mergers: list[threading.Thread] = []

    def keys(run: Run) -> Iterator[Claims]:
        if not mergers:
            mergers.append(threading.Thread(target=index._replace, args=(index._runs, together, None)))
            mergers[0].start()
            mergers[0].join(0.2)  # it waits
        return keys_of(run)

    monkeypatch.setattr(Run, "keys", keys)
    before = index._filter
    index._enlarge_filter()
    mergers[0].join()
    assert len(index._runs) == 1
    assert index._filter is not before
    found, _ = many(range(1, 301))
    assert len(index.look_up(found)) == 300
    index.close()


@pytest.mark.parametrize("problem", [OSError(errno.EIO, "Input/output error"), UidIndexDamaged("spoiled")])
def test_claims_are_written_though_the_filter_cannot_be_made_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    monkeypatch.setattr(uid_claims, "LEAST_WORDS", 2)
    index = SortedUidIndex(tmp_path / "uids", gather=100)

    def keys(_: Run) -> Iterator[Claims]:
        raise problem

    monkeypatch.setattr(Run, "keys", keys)
    put_runs(index, 1, 2)
    if isinstance(problem, UidIndexDamaged):
        assert index.damage == "spoiled"
    else:
        found, _ = many(range(1, 300))
        assert len(index.look_up(found)) == 200
    index.close()


def test_what_new_uids_were_looked_for_in_leaves_the_memory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = SortedUidIndex(tmp_path / "uids", gather=100)
    put_runs(index, 1, 2)
    let_go: list[str] = []
    monkeypatch.setattr(Run, "let_go", lambda run: let_go.append(run.name))
    monkeypatch.setattr(Filter, "may_know", lambda *_: np.ones(300, bool))
    for first in range(1_000, 5_000, 1_000):
        assert index.look_up(many(range(first, first + 300))[0]) == {}
    assert len(let_go) == 2, "once for each run"
    index.close()


def test_what_the_system_has_no_room_for_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = SortedUidIndex(tmp_path / "uids", gather=2)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(uid_runs.mmap, "mmap", full)
        with pytest.raises(Refusal, match="Too many open files"):
            index.put([key(1), key(2)], [content(1), content(2)], 1, 2)
    assert not list((tmp_path / "uids").glob("*.uids"))
    index.flush()
    index.close()
    assert SortedUidIndex(tmp_path / "uids").mark == 2


class Failing:
    """`os`, of which one function finds no room from its n-th call on, until it is mended."""

    def __init__(self, name: str, after: int) -> None:
        self._name, self.after = name, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name != self._name:
            return real

        def call(*given: Any) -> Any:
            self.after -= 1
            if self.after < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*given)

        return call


@pytest.mark.parametrize(
    ("function", "after"), [("pwrite", 0), ("pwrite", 3), ("fsync", 0), ("pwrite", 5), ("fsync", 1), ("fsync", 2)]
)
@pytest.mark.parametrize("crash", [False, True])
def test_a_disk_that_takes_no_run_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, after: int, crash: bool
) -> None:
    index = SortedUidIndex(tmp_path / "uids", gather=2)
    index.put([key(1), key(2)], [content(1), content(2)], 1, 2)
    failing = Failing(function, after)
    monkeypatch.setattr(uid_runs, "os", failing)
    for number in (3, 5):
        with pytest.raises(Refusal, match="No space left"):
            index.put([key(number), key(number + 1)], [content(number), content(number + 1)], number, number + 1)
    everything = {key(number): claim(number) for number in range(1, 7)}
    assert index.look_up([key(number) for number in range(1, 9)]) == everything
    failing.after = 1_000
    if crash:
        end_without_closing(index)
        index = SortedUidIndex(tmp_path / "uids")
        assert index.mark == 2, "what could not be written is claimed again"
        assert index.look_up([key(number) for number in range(1, 9)]).keys() == {key(1), key(2)}
    else:
        index.flush()
    index.close()
    index = SortedUidIndex(tmp_path / "uids")
    assert index.look_up([key(number) for number in range(1, 9)]).keys() >= {key(1), key(2)}
    assert (index.mark == 6) is not crash
    index.close()


def test_a_run_that_is_missing_or_cut_is_told(tmp_path: Path) -> None:
    index = SortedUidIndex(tmp_path / "uids")
    index.put([key(1)], [content(1)], 1, 1)
    index.close()
    (path,) = (tmp_path / "uids").glob("*.uids")
    os.truncate(path, 60)
    for _ in range(2):
        with pytest.raises(UidIndexDamaged, match="rebuild --uids"):
            SortedUidIndex(tmp_path / "uids")
        path.unlink(missing_ok=True)


def test_one_process_at_a_time(index: SortedUidIndex, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="lock"):
        SortedUidIndex(tmp_path / "uids")
    assert index.mark == 0
