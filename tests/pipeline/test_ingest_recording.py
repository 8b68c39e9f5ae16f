"""Recording what did not count: together with others, but nobody waits for those who come later."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ingest_world import NORTH

from records_file import new_records
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import recording
from tallystick.pipeline.ingest.failures import Notes
from tallystick.pipeline.ingest.recording import Recorder


class Disk:
    """A disk that takes one transaction whenever it is let, and notes how many requests each was for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.began: queue.Queue[None] = queue.Queue()
        self.go = threading.Semaphore(0)

    def write(self, _records: Any, notes: Sequence[Notes]) -> None:
        self.sizes.append(len(notes))
        self.began.put(None)
        assert self.go.acquire(timeout=10)

    async def at_work(self) -> None:
        await asyncio.to_thread(self.began.get, timeout=10)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(recording, "write", disk.write)
    return disk


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Recorder]:
    records = new_records(tmp_path / "records.sqlite")
    yield Recorder(records)
    records.close()


NOTES = Notes({}, [])


def test_who_was_first_does_not_wait_for_those_who_come_later(disk: Disk, shared: Recorder) -> None:
    async def story() -> None:
        first = asyncio.create_task(shared.record(NORTH, NOTES))
        await disk.at_work()
        later = [asyncio.create_task(shared.record(NORTH, NOTES)) for _ in range(3)]
        await asyncio.sleep(0)
        disk.go.release()
        await disk.at_work()  # the transaction of the later ones is under way
        await asyncio.wait_for(first, 10)
        assert not any(each.done() for each in later)
        disk.go.release()
        await asyncio.gather(*later)

    asyncio.run(story())
    assert disk.sizes == [1, 3]


def test_what_cannot_be_written_is_told_to_all_who_share_it_and_the_next_goes_on(
    disk: Disk, shared: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_records: Any, _notes: Sequence[Notes]) -> None:
        raise Refusal("busy", "no space left")

    async def story() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(recording, "write", full)
            found = await asyncio.gather(*(shared.record(NORTH, NOTES) for _ in range(2)), return_exceptions=True)
            assert [type(each) for each in found] == [Refusal, Refusal]
        disk.go.release()
        await shared.record(NORTH, NOTES)

    asyncio.run(story())
    assert disk.sizes == [1]


def test_the_next_transaction_waits_for_company_while_other_requests_are_under_way(
    disk: Disk, shared: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PACE_SECONDS", 0.2)
    for _ in range(2):
        disk.go.release()

    async def story() -> None:
        shared.waiting(NORTH).under_way = 3  # as many requests as come
        await shared.record(NORTH, NOTES)  # the first after a rest waits for nobody
        second = asyncio.create_task(shared.record(NORTH, NOTES))
        await asyncio.sleep(0.02)
        assert disk.sizes == [1]
        await asyncio.gather(second, shared.record(NORTH, NOTES))

    asyncio.run(story())
    assert disk.sizes == [1, 2]


def test_who_comes_alone_waits_for_nobody(disk: Disk, shared: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PACE_SECONDS", 60)
    for _ in range(3):
        disk.go.release()

    async def story() -> None:
        shared.waiting(NORTH).under_way = 1
        for _ in range(3):
            await asyncio.wait_for(shared.record(NORTH, NOTES), 10)

    asyncio.run(story())
    assert disk.sizes == [1, 1, 1]
