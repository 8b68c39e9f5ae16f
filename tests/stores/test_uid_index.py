"""The uid index: claims and mark move together, and are there after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.ports import Claim
from tallystick.stores import uid_index
from tallystick.stores.uid_index import RocksUidIndex


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def content(position: int) -> bytes:
    return bytes([position % 256]) * 16


def claim(position: int) -> Claim:
    return Claim(content(position), position)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[RocksUidIndex]:
    opened = RocksUidIndex(tmp_path / "uids")
    yield opened
    opened.close()


def test_a_new_index_is_empty(index: RocksUidIndex) -> None:
    assert index.mark == 0
    assert index.look_up([]) == {}
    assert index.look_up([key(1), key(2)]) == {}


def test_claims_come_back_by_their_keys(index: RocksUidIndex) -> None:
    index.put([key(1), key(2)], [content(5), content(6)], 5, 7)
    assert index.look_up([key(2), key(3), key(1), key(2)]) == {key(2): claim(6), key(1): claim(5)}
    assert index.mark == 7


@pytest.mark.parametrize("position", [1, 2**32, 2**63 - 1])
def test_positions_of_any_size_are_kept(index: RocksUidIndex, position: int) -> None:
    index.put([key(1)], [content(position)], position, position)
    assert index.look_up([key(1)]) == {key(1): claim(position)}
    assert index.mark == position


def test_the_mark_moves_without_claims(index: RocksUidIndex) -> None:
    index.put([], [], 7, 7)
    assert index.mark == 7


def test_the_mark_is_no_key(index: RocksUidIndex) -> None:
    like = b"mark".ljust(16, b"\0")
    index.put([like], [content(1)], 1, 9)
    assert index.mark == 9
    assert index.look_up([like]) == {like: claim(1)}


def test_claims_and_mark_outlive_the_process(tmp_path: Path) -> None:
    opened = RocksUidIndex(tmp_path / "uids")
    numbers = range(1, 10_001)
    opened.put([key(number) for number in numbers], [content(number) for number in numbers], 1, 10_000)
    opened.close()
    opened = RocksUidIndex(tmp_path / "uids")
    assert opened.mark == 10_000
    found = opened.look_up([key(number) for number in range(10_002)])
    assert found == {key(number): claim(number) for number in numbers}
    opened.close()


def test_claims_are_known_before_they_are_written_and_written_together(tmp_path: Path) -> None:
    opened = RocksUidIndex(tmp_path / "uids", gather=3)
    opened.put([key(2), key(1)], [content(1), content(2)], 1, 2)
    assert opened.look_up([key(1), key(2), key(3)]) == {key(2): claim(1), key(1): claim(2)}
    assert opened._store.get(key(1)) is None
    opened.put([key(3)], [content(3)], 3, 3)
    assert opened._store.get(key(1)) is not None
    opened.put([key(4)], [content(4)], 4, 4)
    del opened  # without closing, as a crash would: what was not written is not there, and the mark says so
    opened = RocksUidIndex(tmp_path / "uids")
    assert opened.mark == 3
    assert opened.look_up([key(number) for number in range(5)]).keys() == {key(1), key(2), key(3)}
    opened.close()


class Syncs:
    """An engine, and how long each write-ahead log was when the logs were last synced."""

    def __init__(self, store: Any, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self.synced: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def lengths(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in self._directory.glob("*.log")}

    def flush_wal(self, sync: bool) -> None:
        self._store.flush_wal(sync)
        assert sync
        self.synced |= self.lengths()


@pytest.mark.parametrize(("claims", "batch"), [(1_000, 400), (uid_index.LOG_CLAIMS, 50_000)])
def test_no_log_is_begun_before_the_one_before_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claims: int, batch: int
) -> None:
    """With the constants as they are, and often with small ones: the engine never begins one by itself."""
    monkeypatch.setattr(uid_index, "LOG_CLAIMS", claims)
    index = RocksUidIndex(tmp_path / "uids", gather=batch)
    store = Syncs(index._store, tmp_path / "uids")
    index._store = store
    seen = store.lengths()
    begun = 0
    for first in range(1, 7 * batch, batch):
        names = [key(number) for number in range(first, first + batch)]
        index.put(names, names, first, first + batch - 1)
        now = store.lengths()
        new = now.keys() - seen.keys()
        if new:
            begun += 1
            assert all(now.get(name, length) <= store.synced[name] for name, length in seen.items())
            assert len(new) == 1
        seen = now
    assert begun >= 2
    index.close()


def test_one_process_at_a_time(index: RocksUidIndex, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="lock"):
        RocksUidIndex(tmp_path / "uids")
    assert index.mark == 0
