"""The uid index: claims and mark move together, and are there after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.ports import Claim
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


def test_one_process_at_a_time(index: RocksUidIndex, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="lock"):
        RocksUidIndex(tmp_path / "uids")
    assert index.mark == 0
