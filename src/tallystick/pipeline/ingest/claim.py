"""Group commit: one thread decides what is new, makes it durable, and only then tells everyone who waits.

Requests queue their candidates. The committer takes all that is waiting, asks the uid index once, appends what is
new to the journal in one write and one fsync, puts the claims, and answers. So the cost of a disk round is shared
by all requests that arrived during the one before, and no uid can be claimed twice: one thread decides.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tallystick.core.measurement import content_digest, uid_key
from tallystick.core.measurement_reading import read_measurement, unpack
from tallystick.core.period import Instant
from tallystick.errors import Refusal, Rejection
from tallystick.ports import Block, Claim, Journal, UidIndex

MEASUREMENT = "measurement"  # the kind of journal block
MAX_GROUP = 50_000  # measurements that are committed together at most: bounds a frame and the wait for it
MAX_WAITING = 200_000


class Outcome(StrEnum):
    """What became of a candidate. Only an accepted one claims its uid."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the uid was claimed before, with the same content
    CONFLICT = "conflict"  # the uid was claimed before, with other content: the first stays


class Candidate(NamedTuple):
    """A valid measurement that asks for its uid: the key of the uid, the digest of its content, its journal entry."""

    key: bytes
    content: bytes
    entry: bytes


class JournalCutShort(Exception):
    """The journal ends before a position that was acknowledged: files are missing and must be restored."""


@dataclass(frozen=True, slots=True)
class _Submission:
    """One request's candidates, and who waits for their outcomes: a thread, or a coroutine of an event loop."""

    organization_id: str
    received: Instant
    candidates: Sequence[Candidate]
    waiter: Future[list[Outcome]] | asyncio.Future[list[Outcome]]


class Claimer:
    """The one thread that claims uids and appends to the journal. `start` it before use, `close` it at the end."""

    def __init__(self, journal: Journal, index: UidIndex, *, max_waiting: int = MAX_WAITING) -> None:
        self._journal = journal
        self._index = index
        self._max_waiting = max_waiting
        self._queue: deque[_Submission] = deque()
        self._waiting = 0  # candidates in the queue
        self._closing = False
        self._work = threading.Condition()
        self._grown = threading.Condition()
        self._behind = True  # the index may lack entries that the journal has
        self._thread = threading.Thread(target=self._run, name="claimer", daemon=True)

    def start(self) -> None:
        """Bring the index up to the journal, then take candidates."""
        self._catch_up()
        self._thread.start()

    def close(self) -> None:
        """Commit what is waiting, then stop. What is submitted from now on is refused."""
        with self._work:
            self._closing = True
            self._work.notify()
        if self._thread.is_alive():
            self._thread.join()
        with self._grown:
            self._grown.notify_all()

    async def claim(self, organization_id: str, received: Instant, candidates: Sequence[Candidate]) -> list[Outcome]:
        """The outcome of each candidate, in order, once the accepted ones are on disk.

        Refusal `busy` when too much is waiting or the journal cannot be written: then nothing was kept.
        """
        waiter: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._submit(_Submission(organization_id, received, candidates, waiter))
        return await waiter

    def claim_in_thread(
        self, organization_id: str, received: Instant, candidates: Sequence[Candidate]
    ) -> list[Outcome]:
        """The same for a caller that may block."""
        waiter: Future[list[Outcome]] = Future()
        self._submit(_Submission(organization_id, received, candidates, waiter))
        return waiter.result()

    def wait_for_more(self, after: int, timeout: float) -> bool:
        """Wait until the journal reaches beyond a position, at most `timeout` seconds; says whether it does."""
        with self._grown:
            return self._grown.wait_for(lambda: self._journal.last > after or self._closing, timeout) and (
                self._journal.last > after
            )

    def _submit(self, submission: _Submission) -> None:
        with self._work:
            if self._closing:
                raise Refusal("busy", "the server is stopping; nothing of this request was kept")
            if self._waiting + len(submission.candidates) > self._max_waiting:
                message = f"{self._waiting} measurements are waiting for the disk; nothing of this request was kept"
                raise Refusal("busy", message)
            self._queue.append(submission)
            self._waiting += len(submission.candidates)
            self._work.notify()

    # ------------------------------------------------------------------------------------------- the committer

    def _run(self) -> None:
        while group := self._next_group():
            results: list[list[Outcome] | Exception]
            try:
                self._catch_up()
                results = list(self._commit(group))
            except Exception as problem:
                # Entries may have become durable without their claims: the next group starts by catching up.
                self._behind = True
                results = [problem] * len(group)
            _deliver(group, results)
            with self._grown:
                self._grown.notify_all()

    def _next_group(self) -> list[_Submission]:
        """Everything that is waiting, up to a bound; nothing when closed and empty."""
        with self._work:
            self._work.wait_for(lambda: self._queue or self._closing)
            group: list[_Submission] = []
            size = 0
            while self._queue and (not group or size + len(self._queue[0].candidates) <= MAX_GROUP):
                submission = self._queue.popleft()
                group.append(submission)
                size += len(submission.candidates)
            self._waiting -= size
            return group

    def _catch_up(self) -> None:
        if self._behind:
            recover(self._journal, self._index)
            self._behind = False

    def _commit(self, group: Sequence[_Submission]) -> list[list[Outcome]]:
        known = self._index.look_up([each.key for submission in group for each in submission.candidates])
        claims = iter(known)
        fresh: dict[bytes, bytes] = {}  # key → content of what this group claims
        entries: dict[str, list[bytes]] = {}  # organisation → journal entries, in order
        keys: dict[str, list[bytes]] = {}
        received: dict[str, Instant] = {}
        outcomes: list[list[Outcome]] = []
        for submission in group:
            organization_id = submission.organization_id
            received[organization_id] = max(submission.received, received.get(organization_id, submission.received))
            results: list[Outcome] = []
            for key, content, entry in submission.candidates:
                claim = next(claims)
                before = fresh.get(key) if claim is None else claim.content
                if before is None:
                    fresh[key] = content
                    entries.setdefault(organization_id, []).append(entry)
                    keys.setdefault(organization_id, []).append(key)
                    results.append(Outcome.ACCEPTED)
                else:
                    results.append(Outcome.DUPLICATE if before == content else Outcome.CONFLICT)
            outcomes.append(results)
        if fresh:
            blocks = [
                Block(organization_id=each, kind=MEASUREMENT, received=received[each], entries=entries[each])
                for each in entries
            ]
            self._append(blocks, keys, fresh)
        return outcomes

    def _append(self, blocks: Sequence[Block], keys: dict[str, list[bytes]], fresh: dict[bytes, bytes]) -> None:
        placed = self._journal.append(blocks)
        claims = {
            key: Claim(fresh[key], position)
            for block in placed
            for position, key in enumerate(keys[block.organization_id], block.first)
        }
        self._index.put(claims, placed[-1].last)


def recover(journal: Journal, index: UidIndex) -> int:
    """Claim the uids of what the journal holds above the index's mark; gives how many entries that were.

    Heals a crash between the append and the claims. Raises JournalCutShort when the index knows of positions that
    the journal does not have.
    """
    if index.mark > journal.last:
        raise JournalCutShort(
            f"the journal ends at position {journal.last}, but uids up to position {index.mark} were acknowledged: "
            "measurements are missing; restore the journal from a backup"
        )
    healed = 0
    for block in journal.read(index.mark):
        claims: dict[bytes, Claim] = {}
        if block.kind == MEASUREMENT:
            for position, raw in enumerate(block.entries, block.first):
                entry = unpack(raw)
                measurement = read_measurement(entry.original)
                assert not isinstance(measurement, Rejection), f"position {position} holds an unreadable measurement"
                claims[uid_key(block.organization_id, entry.uid)] = Claim(content_digest(measurement), position)
        index.put(claims, block.last)
        healed += len(block.entries)
    return healed


def _deliver(group: Sequence[_Submission], results: Sequence[list[Outcome] | Exception]) -> None:
    """Hand every waiter its outcomes; an event loop is woken once for all of its waiters."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[list[Outcome]], list[Outcome] | Exception]]] = {}
    for submission, result in zip(group, results, strict=True):
        waiter = submission.waiter
        if isinstance(waiter, asyncio.Future):
            by_loop.setdefault(waiter.get_loop(), []).append((waiter, result))
        else:
            _resolve(waiter, result)
    for loop, waiters in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve_all, waiters)
        except RuntimeError:
            assert loop.is_closed()  # nobody is left to be told


def _resolve_all(waiters: Sequence[tuple[asyncio.Future[list[Outcome]], list[Outcome] | Exception]]) -> None:
    for waiter, result in waiters:
        _resolve(waiter, result)


def _resolve(waiter: Future[list[Outcome]] | asyncio.Future[list[Outcome]], result: list[Outcome] | Exception) -> None:
    if waiter.done():
        return  # cancelled: the client went away
    if isinstance(result, Exception):
        waiter.set_exception(result)
    else:
        waiter.set_result(result)
