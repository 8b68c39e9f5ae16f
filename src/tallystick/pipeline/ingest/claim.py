"""Group commit: one thread decides what is new, makes it durable, and only then tells everyone who waits.

Requests queue their candidates. The committer takes all that is waiting, asks the uid index once, appends what is
new to the journal in one write and one fsync, puts the claims, and answers. So the cost of a disk round is shared
by all requests that arrived during the one before, and no uid can be claimed twice: one thread decides.

Nearly every candidate is new, and then nothing has to be known of it but that no other has its uid. So a large group is
decided at once (`_decided`): the keys are sorted by half of their bytes, and only those that the index knows, or that
share that half with another, are looked at one by one, as `_in_turn` looks at all of them. Small groups, and those
that withdraw something, are decided by `_in_turn` alone; tests/pipeline/test_ingest_claims.py holds the two together.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, compress
from typing import NamedTuple

import numpy as np

from tallystick.core.measurement import content_digest, uid_key
from tallystick.core.measurement_reading import read_measurement, uid_of, unpack
from tallystick.core.period import Instant
from tallystick.errors import Refusal, Rejection
from tallystick.pipeline.ingest.tail import WIDTH, Candidates, Tail, appended
from tallystick.ports import Block, Journal, UidIndex
from tallystick.ports.packed import Fixed, Packed, data_of

log = logging.getLogger(__name__)

MEASUREMENT, WITHDRAWAL = "measurement", "withdrawal"  # the kinds of journal blocks
MAX_GROUP = 50_000  # measurements that are committed together at most: bounds a frame and the wait for it
MAX_WAITING = 200_000
MANY = 200  # candidates from which on it pays to decide a group at once


class Outcome(StrEnum):
    """What became of a candidate. Only an accepted one claims its uid."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the uid was claimed before, with the same content
    CONFLICT = "conflict"  # the uid was claimed before, with other content: the first stays


class JournalCutShort(Exception):
    """The journal ends before a position that was acknowledged: files are missing and must be restored."""


@dataclass(frozen=True, slots=True)
class _Submission:
    """One request's candidates, and who waits for their outcomes: a thread, or a coroutine of an event loop."""

    organization_id: str
    received: Instant
    candidates: Candidates
    waiter: Future[list[Outcome]] | asyncio.Future[list[Outcome]]
    withdrawals: Sequence[bytes] = ()  # entries that go with the candidates: all of it is appended, or nothing

    @property
    def size(self) -> int:
        return len(self.candidates.keys) + len(self.withdrawals)


class _Decided(NamedTuple):
    """A submission with what became of its candidates; `accepted` marks those that are to be appended."""

    submission: _Submission
    outcomes: list[Outcome]
    accepted: np.ndarray
    refused: Refusal | None = None


class Claimer:
    """The one thread that claims uids and appends to the journal. `start` it before use, `close` it at the end."""

    def __init__(
        self, journal: Journal, index: UidIndex, tail: Tail | None = None, *, max_waiting: int = MAX_WAITING
    ) -> None:
        self._journal = journal
        self._index = index
        self._tail = tail or Tail()
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

    async def claim(self, organization_id: str, received: Instant, candidates: Candidates) -> list[Outcome]:
        """The outcome of each candidate, in order, once the accepted ones are on disk.

        Refusal `busy` when too much is waiting or the journal cannot be written: then nothing was kept.
        """
        waiter: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._submit(_Submission(organization_id, received, candidates, waiter))
        return await waiter

    def claim_in_thread(self, organization_id: str, received: Instant, candidates: Candidates) -> list[Outcome]:
        """The same for a caller that may block."""
        waiter: Future[list[Outcome]] = Future()
        self._submit(_Submission(organization_id, received, candidates, waiter))
        return waiter.result()

    def correct_in_thread(
        self, organization_id: str, received: Instant, candidates: Candidates, withdrawals: Sequence[bytes]
    ) -> list[Outcome]:
        """Append withdrawals, and the candidates that go with them, at once: no position lies between them that anybody
        could read up to. The outcomes of the candidates as for `claim`.

        Refusal `rule_broken` where a candidate is a conflict: then nothing of it was kept.
        """
        waiter: Future[list[Outcome]] = Future()
        self._submit(_Submission(organization_id, received, candidates, waiter, withdrawals))
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
            if self._waiting + submission.size > self._max_waiting:
                message = f"{self._waiting} measurements are waiting for the disk; nothing of this request was kept"
                raise Refusal("busy", message)
            self._queue.append(submission)
            self._waiting += submission.size
            self._work.notify()

    # ------------------------------------------------------------------------------------------- the committer

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._catch_up()
                decided = self._decide(group)
                parts = _by_organization(decided)
                placed = []
                withdrawn = [_withdrawals(each) for each in decided if _withdraws(each)]
                if parts or withdrawn:
                    self._behind = True  # from the append until the claims are put; a crash in between heals likewise
                    placed = self._journal.append([*(_block(each) for each in parts), *withdrawn])
                # The disk has them, so who waits for that need not wait for the claims: only this thread asks for them.
                _deliver(group, [each.refused or each.outcomes for each in decided])
                if placed:
                    self._put(parts, placed)
                    self._behind = False
            except Exception as problem:
                # Entries may have become durable without their claims: the next group starts by catching up.
                self._behind = True
                if not isinstance(problem, Refusal):
                    log.exception("a commit group failed; the next one starts by catching up with the journal")
                _deliver(group, [problem] * len(group))
            with self._grown:
                self._grown.notify_all()

    def _next_group(self) -> list[_Submission]:
        """Everything that is waiting, up to a bound; nothing when closed and empty."""
        with self._work:
            self._work.wait_for(lambda: self._queue or self._closing)
            group: list[_Submission] = []
            size = 0
            while self._queue and (not group or size + self._queue[0].size <= MAX_GROUP):
                submission = self._queue.popleft()
                group.append(submission)
                size += submission.size
            self._waiting -= size
            return group

    def _catch_up(self) -> None:
        if self._behind:
            recover(self._journal, self._index)
            self._behind = False

    def _decide(self, group: Sequence[_Submission]) -> list[_Decided]:
        """The outcomes of each submission's candidates."""
        keys = _laid([each.candidates.keys for each in group])
        known = {key: claim.content for key, claim in self._index.look_up(keys).items()}
        if len(keys) < MANY or any(each.withdrawals for each in group):
            return _in_turn(group, known)
        return _decided(group, keys, known)

    def _put(self, decided: Sequence[Sequence[_Decided]], placed: Sequence[Block]) -> None:
        """Claim the uids of what was appended, and keep what was read as columns for the projection."""
        counted = [each for parts in decided for each in parts]
        keys = _laid([_those(each.submission.candidates.keys, each.accepted) for each in counted])
        contents = _laid([_those(each.submission.candidates.contents, each.accepted) for each in counted])
        tail = [
            appended(block, [(each.submission.candidates, each.accepted) for each in parts])
            for block, parts in zip(placed, decided, strict=False)  # withdrawals come after them and claim nothing
        ]
        self._index.put(keys, contents, placed[0].first, placed[-1].last)
        self._tail.add(tail)  # what is withdrawn is read from the journal


def _in_turn(group: Sequence[_Submission], known: Mapping[bytes, bytes]) -> list[_Decided]:
    """The outcomes of each submission's candidates; `known`: the contents of the keys that were claimed before."""
    seen = dict(known)
    decided: list[_Decided] = []
    for submission in group:
        candidates = submission.candidates
        if submission.withdrawals and (conflict := _conflict(submission, seen)):
            decided.append(_Decided(submission, [], np.zeros(len(candidates.keys), bool), conflict))
            continue
        pairs = zip(candidates.keys, candidates.contents, strict=True)
        outcomes = [_outcome(seen, key, content) for key, content in pairs]
        accepted = np.array([each is Outcome.ACCEPTED for each in outcomes], bool)
        decided.append(_Decided(submission, outcomes, accepted))
    return decided


def _outcome(seen: dict[bytes, bytes], key: bytes, content: bytes) -> Outcome:
    """What becomes of a candidate after those that were seen; it is seen from then on."""
    if key not in seen:
        seen[key] = content
        return Outcome.ACCEPTED
    return Outcome.DUPLICATE if seen[key] == content else Outcome.CONFLICT


def _decided(group: Sequence[_Submission], keys: Sequence[bytes], known: Mapping[bytes, bytes]) -> list[_Decided]:
    """The same of submissions that withdraw nothing, all at once; `keys` are those of the whole group."""
    halves = _halves(keys)
    order = np.argsort(halves)
    laid = halves[order]
    first, after = (np.searchsorted(laid, _halves(list(known)), side) for side in ("left", "right"))
    doubtful = [order[start:end] for start, end in zip(first.tolist(), after.tolist(), strict=True)]
    again = np.flatnonzero(laid[1:] == laid[:-1])
    accepted = np.ones(len(keys), bool)
    outcomes = [Outcome.ACCEPTED] * len(keys)
    seen = dict(known)
    contents = _laid([each.candidates.contents for each in group])
    for place in np.unique(np.concatenate([*doubtful, order[again], order[again + 1]])).tolist():
        outcomes[place] = _outcome(seen, keys[place], contents[place])
        accepted[place] = outcomes[place] is Outcome.ACCEPTED
    ends = list(accumulate(each.size for each in group))
    return [
        _Decided(each, outcomes[end - each.size : end], accepted[end - each.size : end])
        for each, end in zip(group, ends, strict=True)
    ]


def _halves(keys: Sequence[bytes]) -> np.ndarray:
    """The part of each key that `_decided` sorts by."""
    return np.frombuffer(data_of(keys), "<u8")[1::2]


def _laid(parts: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """Keys or digests, one part after the other: side by side as soon as one part is."""
    if any(isinstance(each, Fixed) for each in parts):
        return Fixed(b"".join(map(data_of, parts)), WIDTH)
    return [each for part in parts for each in part]


def _by_organization(decided: Sequence[_Decided]) -> list[list[_Decided]]:
    """What has something to append, together for each organisation."""
    parts: dict[str, list[_Decided]] = {}
    for each in decided:
        if each.accepted.any():
            parts.setdefault(each.submission.organization_id, []).append(each)
    return list(parts.values())


def _block(parts: Sequence[_Decided]) -> Block:
    """The journal block of what one organisation has to append."""
    return Block(
        organization_id=parts[0].submission.organization_id,
        kind=MEASUREMENT,
        received=max(each.submission.received for each in parts),
        entries=_joined([_those(each.submission.candidates.entries, each.accepted) for each in parts]),
    )


def _joined(parts: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """Journal entries, one part after the other: packed as soon as one part is."""
    if any(isinstance(each, Packed) for each in parts):
        return Packed.joined([Packed.of(each) for each in parts])
    return [entry for part in parts for entry in part]


def _withdraws(decided: _Decided) -> bool:
    return bool(decided.submission.withdrawals) and decided.refused is None


def _withdrawals(decided: _Decided) -> Block:
    """The journal block of what one submission withdraws."""
    submission = decided.submission
    return Block(
        organization_id=submission.organization_id,
        kind=WITHDRAWAL,
        received=submission.received,
        entries=list(submission.withdrawals),
    )


def _conflict(submission: _Submission, seen: Mapping[bytes, bytes]) -> Refusal | None:
    """Why a submission is refused as a whole: a uid of it was claimed before with other content."""
    for key, content in zip(submission.candidates.keys, submission.candidates.contents, strict=True):
        if seen.get(key, content) != content:
            return Refusal("rule_broken", "a uid that the correction adds was accepted meanwhile with other content")
    return None


def _those(values: Sequence[bytes], which: np.ndarray) -> Sequence[bytes]:
    if which.all():
        return values
    return values.taking(which) if isinstance(values, Fixed | Packed) else list(compress(values, which.tolist()))


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
        keys: list[bytes] = []
        contents: list[bytes] = []
        if block.kind == MEASUREMENT:
            for position, raw in enumerate(block.entries, block.first):
                entry = unpack(raw)
                measurement = read_measurement(entry.original)
                assert not isinstance(measurement, Rejection), f"position {position} holds an unreadable measurement"
                keys.append(uid_key(block.organization_id, uid_of(entry, measurement)))
                contents.append(content_digest(measurement))
        index.put(keys, contents, block.first, block.last)
        healed += len(block.entries)
    index.flush()
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
