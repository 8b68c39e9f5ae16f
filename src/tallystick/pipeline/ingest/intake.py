"""The door for measurements: from the bytes of a request to a verdict on each member.

split      the body into raw members; a body of another shape is refused as a whole
gather     the requests that arrive while others are at work, so that they share the next three steps
sort out   each member: read, held against its meter, attributed; a bad one never harms the others (`sorting.py`)
claim      the uids of the good ones; those that are new are on disk when this returns (`claim.py`)
record     what did not count, then answer

A large request needs no company: it is split and sorted out in a process of its own where there is one (`apart.py`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol
from weakref import WeakKeyDictionary

import msgspec
from msgspec.structs import replace

from tallystick.core.ingest_failure import FailedMeasurement
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.pipeline.ingest.apart import Apart
from tallystick.pipeline.ingest.claim import Claimer, Outcome
from tallystick.pipeline.ingest.failures import Failed, NotCounted, Notes, Scribe, unwritten, write_within
from tallystick.pipeline.ingest.identities import MARK, Attributor, any_named
from tallystick.pipeline.ingest.known import Directory, Known
from tallystick.pipeline.ingest.recording import Recorder
from tallystick.pipeline.ingest.sorting import Batch, Member, Sorter
from tallystick.pipeline.ingest.splitting import split
from tallystick.pipeline.ingest.verdicts import Reply, not_counted, rejected, reply_json, set_aside, verdicts
from tallystick.ports import Clock, Records, Transaction

AT_WORK = 2  # how many gatherings of an organisation are at work before further requests wait for the next …
ENOUGH = 500  # … unless so many of their members wait
MOST = 1_000  # members that are sorted out together, or one request: what a processor's cache holds, a few milliseconds
MAX_GATHERED = 200_000  # members that may wait to be sorted out
LARGE = 50_000  # bytes of a request from which on it is sorted out apart
ROUNDS = 4  # how often that is tried while accounts are not known there


class HasIntake(Protocol):
    """An app that takes measurements."""

    @property
    def intake(self) -> Intake: ...


async def ingest(app: HasIntake, organization_id: str, body: bytes) -> bytes:
    """The reply, as JSON, to `POST /measurements` with this body. Refusals: see `Intake.answer`."""
    return await app.intake.answer(organization_id, body)


@dataclass(frozen=True, slots=True)
class _Request:
    """The members of a request, and who waits for the answer."""

    members: Sequence[Member]
    answer: asyncio.Future[bytes]


@dataclass(slots=True)
class _Gathering:
    """The requests of an organisation that wait to be sorted out together."""

    requests: list[_Request] = field(default_factory=list)
    members: int = 0  # of the requests
    at_work: int = 0  # gatherings that are being served
    due: bool = False  # the next is about to be

    def take(self) -> list[_Request]:
        """Requests in the order they came, of MOST members or not much more."""
        sizes = accumulate(len(each.members) for each in self.requests)
        count = next((number for number, size in enumerate(sizes, 1) if size >= MOST), len(self.requests))
        taken, self.requests = self.requests[:count], self.requests[count:]
        self.members -= sum(len(each.members) for each in taken)
        return taken


class Intake:
    """Takes measurements for all organisations. `new_id` gives ids and the uids of measurements without one."""

    def __init__(
        self,
        records: Records,
        claimer: Claimer,
        clock: Clock,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        *,
        identity_key: bytes,
        apart: Sequence[Apart] = (),
    ) -> None:
        self._records = records
        self._recorder = Recorder(records)
        self._claimer = claimer
        self._clock = clock
        self._new_id = new_id
        self._apart = apart
        self._directory = Directory(records, new_id)
        self._attributor = Attributor(records, identity_key, new_id)
        # By event loop, since what waits can be woken by its own only.
        self._gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Gathering]] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()  # an event loop holds its tasks by weak references only

    def close(self) -> None:
        """End the processes that sort out large requests; what is asked from now on is sorted out here."""
        for each in self._apart:
            each.close()

    async def answer(self, organization_id: str, body: bytes) -> bytes:
        """The reply to a request, as JSON, once what was accepted is on disk and what was not is recorded.

        Refusals: `payload_too_large`, `invalid_request` (nothing was looked at), `busy` (nothing was kept, or the
        recording failed: send all of it again), `forbidden` (no such organisation).
        """
        waiting = self._recorder.waiting(organization_id)
        waiting.under_way += 1
        try:
            return await self._answer_one(organization_id, body)
        finally:
            waiting.under_way -= 1

    async def _answer_one(self, organization_id: str, body: bytes) -> bytes:
        if len(body) >= LARGE and (told := await self._answer_apart(organization_id, body)):
            return told
        members = split(body)
        if MARK in body and any_named(members):
            return _REPLY.encode(await asyncio.to_thread(self.take, organization_id, members))
        loop = asyncio.get_running_loop()
        request = _Request(members, loop.create_future())
        gathering = self._gatherings.setdefault(loop, {}).setdefault(organization_id, _Gathering())
        if gathering.members > MAX_GATHERED:
            message = f"{gathering.members} measurements are waiting to be read; nothing of this request was kept"
            raise Refusal("busy", message)
        gathering.requests.append(request)
        gathering.members += len(request.members)
        self._go_on(organization_id, gathering)
        return await request.answer

    def take(self, organization_id: str, members: Sequence[Member], *, record: bool = True) -> Reply:
        """The same for a caller that may block and has the members already. Without `record`, what does not count
        is only told. Members that name an identity get its account, or wait."""
        reply, notes = self._taken(organization_id, members)
        if record and notes:
            self._recorder.record_in_thread(organization_id, notes)
        return reply if record else reply.untold()

    def take_along(
        self,
        organization_id: str,
        members: Sequence[Member],
        keep: Callable[[Transaction, Reply], None],
        *,
        aside: Sequence[Failed] = (),
        once: bool = False,
    ) -> Reply:
        """The same for a caller that reads from somewhere and remembers how far it has come: `keep` writes that, in the
        transaction that writes what does not count. A caller that was stopped before it and sends the same again thus
        finds nothing counted twice (by the uids) and nothing written down twice. With `once`, what was written down of
        the same uid before is not written again: for what is read again and again. `aside` is what became no
        measurement; it is written down with the rest."""
        reply, notes = self._taken(organization_id, members, once=once)
        if aside:
            notes = [*notes, self._scribe(organization_id, self._clock.now()).note([NotCounted(list(aside), [])])]
        with self._records.organization(organization_id).transaction() as write:
            if notes:
                write_within(write, notes)
            keep(write, reply)
        return reply

    def set_aside(self, organization_id: str, failed: Sequence[Failed]) -> Mapping[int, FailedMeasurement]:
        """Write down what became no measurement, in the failed queue: by place what waits there."""
        notes = self._scribe(organization_id, self._clock.now()).note([NotCounted(list(failed), [])])
        self._recorder.record_in_thread(organization_id, [notes])
        return notes.queue

    def correct(self, organization_id: str, members: Sequence[bytes], withdrawals: Sequence[bytes]) -> None:
        """Append withdrawals (entries of the journal) with the measurements that go with them: all or nothing. Members
        that are there already with the same content stay as they are, so that this can be done again.

        Refusals: `rule_broken` where a member cannot count; `busy`. Then nothing was kept.
        """
        received = self._clock.now()
        batch, _ = self._sorted_out(organization_id, members, received)
        if batch.bad:
            assert batch.bad[0].rejection is not None, "what did not reach the claimer was rejected"
            why = batch.bad[0].rejection.reason
            raise Refusal("rule_broken", f"a measurement that the correction adds cannot be counted any more: {why}")
        self._claimer.correct_in_thread(organization_id, received, batch.candidates, withdrawals)

    def sorted_out(self, organization_id: str, members: Sequence[bytes]) -> Batch:
        """Which of these would be candidates, and what is wrong with the others. No uid is claimed."""
        return self._sorted_out(organization_id, members, self._clock.now())[0]

    def _taken(
        self, organization_id: str, members: Sequence[Member], *, once: bool = False
    ) -> tuple[Reply, Sequence[Notes]]:
        """What became of the members, and what is to be written down of it. What waits is on disk already."""
        if not any_named(members):
            return self._counted(organization_id, members, self._clock.now(), once=once)
        while (taken := self._attributed(organization_id, members, once=once)) is None:
            pass
        return taken

    def _attributed(
        self, organization_id: str, members: Sequence[Member], *, once: bool
    ) -> tuple[Reply, Sequence[Notes]] | None:
        """The same of members some of which name an identity; None where that became somebody's meanwhile."""
        received = self._clock.now()
        known = self._directory.refresh(organization_id)
        sorter = Sorter(organization_id, known, received, self._new_id)
        found = self._attributor.attribute(organization_id, members, known.schemas, sorter.content_of, received)
        waits = self._attributor.keep(organization_id, found.waiters)
        if waits is None:
            return None
        failed = [*found.bad, *(each.conflict for each in found.waiters if not waits[each.place])]
        not_written = self._unwritten(organization_id, NotCounted(failed, []), once=once)
        own = self._scribe(organization_id, received).note([not_written])
        others, notes = self._counted(organization_id, found.members, received, once=once)
        told = {
            place: replace(each, index=place) for place, each in zip(found.places, others.measurements, strict=True)
        }
        told |= {each.place: set_aside(each, waits=waits[each.place]) for each in found.waiters}
        for each in found.bad:
            generated = each.place in found.generated
            told[each.place] = rejected(each, own.queue.get(each.place), each.place, generated=generated)
        return Reply(measurements=[told[place] for place in range(len(members))]), [*([own] if failed else ()), *notes]

    def _counted(
        self, organization_id: str, members: Sequence[Member], received: Instant, *, once: bool
    ) -> tuple[Reply, Sequence[Notes]]:
        """The same of members that name their accounts."""
        batch, known = self._sorted_out(organization_id, members, received)
        outcomes: list[Outcome] = []
        if batch.places:
            outcomes = self._claimer.claim_in_thread(organization_id, received, batch.candidates)
        found = self._unwritten(organization_id, not_counted(batch, known, outcomes), once=once)
        notes = self._scribe(organization_id, received).note([found]) if found else None
        queue: Mapping[int, FailedMeasurement] = notes.queue if notes is not None else {}
        reply = Reply(measurements=verdicts(batch, outcomes, queue, range(len(members))))
        return reply, () if notes is None else (notes,)

    def _unwritten(self, organization_id: str, found: NotCounted, *, once: bool) -> NotCounted:
        """What of it is to be written down: with `once` only what was not before."""
        return unwritten(self._records.organization(organization_id), found) if once and found else found

    # ------------------------------------------------------------------------------------------------ gathering

    def _go_on(self, organization_id: str, gathering: _Gathering) -> None:
        """Serve what has gathered, unless it had better wait for more company."""
        ready = gathering.at_work < AT_WORK or gathering.members >= ENOUGH
        if gathering.requests and ready and not gathering.due:
            gathering.due = True
            task = asyncio.get_running_loop().create_task(self._serve(organization_id, gathering))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, organization_id: str, gathering: _Gathering) -> None:
        gathering.due = False
        gathering.at_work += 1
        requests = gathering.take()
        try:
            self._go_on(organization_id, gathering)
            await self._answer(organization_id, requests)
        except Exception as problem:
            for request in requests:
                if not request.answer.done():
                    request.answer.set_exception(problem)
        finally:
            gathering.at_work -= 1
            self._go_on(organization_id, gathering)

    async def _answer(self, organization_id: str, requests: Sequence[_Request]) -> None:
        received = self._clock.now()
        members = requests[0].members if len(requests) == 1 else [each for one in requests for each in one.members]
        known = await self._known(organization_id)
        batch = self._sort_out(organization_id, members, known, received)
        while batch.strangers:
            known = await asyncio.to_thread(self._directory.enrol, organization_id, batch.strangers, received)
            batch = self._sort_out(organization_id, members, known, received)
        ends = list(accumulate(len(each.members) for each in requests))
        outcomes, queue = await self._settled(organization_id, batch, known, received, ends)
        indices = [index for each in requests for index in range(len(each.members))]
        told = verdicts(batch, outcomes, queue, indices)
        start = 0
        for request in requests:
            end = start + len(request.members)
            if not request.answer.done():  # the client may have gone away
                request.answer.set_result(_REPLY.encode(Reply(measurements=told[start:end])))
            start = end

    async def _answer_apart(self, organization_id: str, body: bytes) -> bytes | None:
        """The reply to a large request; None when it must be sorted out here."""
        if not self._apart:
            return None
        apart = min(self._apart, key=lambda each: each.at_work)
        received = self._clock.now()
        known = await self._known(organization_id)
        strangers: Collection[str] = ()
        for _ in range(ROUNDS):
            batch = await apart.sort_out(organization_id, body, known, received, strangers)
            if batch is None or not (strangers := batch.strangers):
                break
            if not all(code in known.accounts or code in known.refused for code in strangers):
                known = await asyncio.to_thread(self._directory.enrol, organization_id, strangers, received)
        if batch is None or batch.strangers:
            return None
        outcomes, queue = await self._settled(organization_id, batch, known, received, [batch.size])
        return reply_json(batch, outcomes, queue)

    async def _known(self, organization_id: str) -> Known:
        """What is known of an organisation, read again where that no longer holds."""
        known = self._directory.current(organization_id)
        return await asyncio.to_thread(self._directory.refresh, organization_id) if known is None else known

    async def _settled(
        self, organization_id: str, batch: Batch, known: Known, received: Instant, ends: Sequence[int]
    ) -> tuple[Sequence[Outcome], Mapping[int, FailedMeasurement]]:
        """Claim the uids and write down what did not count of requests whose members end before these places."""
        outcomes: list[Outcome] = []
        if batch.places:
            outcomes = await self._claimer.claim(organization_id, received, batch.candidates)
        found = not_counted(batch, known, outcomes)
        if not found:
            return outcomes, {}
        notes = self._scribe(organization_id, received).note(found.split(ends))
        await self._recorder.record(organization_id, notes)
        return outcomes, notes.queue

    def _scribe(self, organization_id: str, received: Instant) -> Scribe:
        return Scribe(organization_id, received, self._new_id)

    def _sorted_out(self, organization_id: str, members: Sequence[Member], received: Instant) -> tuple[Batch, Known]:
        known = self._directory.refresh(organization_id)
        batch = self._sort_out(organization_id, members, known, received)
        while batch.strangers:
            known = self._directory.enrol(organization_id, batch.strangers, received)
            batch = self._sort_out(organization_id, members, known, received)
        return batch, known

    def _sort_out(self, organization_id: str, members: Sequence[Member], known: Known, received: Instant) -> Batch:
        return Sorter(organization_id, known, received, self._new_id).sort_out(members)


_REPLY = msgspec.json.Encoder()
