"""Sorting out large requests in a process of its own.

Reading a thousand measurements and holding them against their meters is half of what they cost, and Python does one
thing at a time in a process: sorted out elsewhere, they leave this one free to claim, write and project what came
before, on another processor. The other process (`apart_process`) knows no store and decides nothing. It is asked with
the bytes of a request and answers with what `Sorter` makes of them, as a sheet (`sheets.py`) in memory that both see:

ask        the body into a free slot of the shared memory, a few words over a socket
answer     the same slot has the sheet; it is copied out, and the slot is free again
strangers  the accounts that it does not know it asks for, as it would be asked here

It is an accelerator and nothing more: until it has started, while all slots are taken, when it does not answer in time
or has died, and for small requests, the caller sorts out by itself, which comes to the same
(tests/pipeline/test_ingest_apart.py). It starts with the first large request, so that a server at rest does without.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NamedTuple

import msgspec

from tallystick import beside
from tallystick.core.measurement import Schema
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.errors import Rejection
from tallystick.pipeline.ingest.known import Known
from tallystick.pipeline.ingest.sheets import Head, take_up
from tallystick.pipeline.ingest.sorting import Batch

log = logging.getLogger(__name__)

MODULE = "tallystick.pipeline.ingest.apart_process"
SLOTS = 16  # requests that may be there at once
SLOT_BYTES = 4 * 1024 * 1024  # a request, and the sheet that takes its place
ANSWER_SECONDS = 10.0  # a request takes milliseconds; after this it is not waited for
STARTS = 3  # attempts without one answer after which it is left alone
READY = b""  # what it says first


class Learn(NamedTuple):
    """What an organisation's requests are held against, from here on. Accounts are not known yet."""

    organization_id: str
    config: OrganizationConfig
    schemas: Mapping[str, Schema]


class Ask(NamedTuple):
    """Sort out the request of `size` bytes in a slot. What is known of accounts that were asked for comes with it."""

    job: int
    organization_id: str
    slot: int
    size: int
    received: Instant
    accounts: Mapping[str, str]  # code → id
    refused: Mapping[str, Rejection]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came of a job; without a head whoever asked had better do it."""

    job: int
    head: Head | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Who waits for a job: its slot, until when, and what is set where."""

    slot: int
    until: float
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Batch | None]


class Apart:
    """The process beside this one, started when it is first needed. Any event loop may ask; `close` ends it."""

    def __init__(self, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._ready: Connection | None = None
        self._memory = memoryview(b"")
        self._free: list[int] = []
        self._waiting: dict[int, _Waiting] = {}
        self._jobs = 0
        self._learnt: dict[str, Known] = {}
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0  # since the last answer
        self._closing = False

    @property
    def at_work(self) -> int:
        """How many requests it has."""
        return len(self._waiting)

    async def sort_out(
        self, organization_id: str, body: bytes, known: Known, received: Instant, strangers: Collection[str] = ()
    ) -> Batch | None:
        """What a request is sorted out to; None when the caller had better do it. A batch with strangers wants to be
        asked for again with these, once `known` knows them."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._ready is None:
                self._start()
                return None
            if not self._free or len(body) > SLOT_BYTES:
                return None
            slot, self._jobs = self._free.pop(), self._jobs + 1
            waiting = _Waiting(slot, time.monotonic() + self._answer_seconds, loop, loop.create_future())
            self._waiting[self._jobs] = waiting
            accounts = {code: known.accounts[code] for code in strangers if code in known.accounts}
            refused = {code: known.refused[code] for code in strangers if code in known.refused}
            self._memory[slot * SLOT_BYTES :][: len(body)] = body
            try:
                self._teach(self._ready, organization_id, known)
                self._ready.send(Ask(self._jobs, organization_id, slot, len(body), received, accounts, refused))
            except OSError:  # it is gone; the thread that hears of it answers everybody who waits
                self._ready = None
        return await waiting.answer

    def close(self) -> None:
        """End the process. Who still waits for it, and who asks from now on, has to do without."""
        with self._lock:
            self._closing = True
            process, thread = self._process, self._thread
        if process is not None:
            process.kill()  # it keeps nothing
        if thread is not None:
            thread.join()

    def _teach(self, connection: Connection, organization_id: str, known: Known) -> None:
        """Say what has changed since this organisation was asked for last."""
        before = self._learnt.get(organization_id)
        if before is None or before.accounts is not known.accounts or before.forms is not known.forms:
            connection.send(Learn(organization_id, known.config, known.schemas))
            self._learnt[organization_id] = known

    # ---------------------------------------------------------------------------------------------- the process

    def _start(self) -> None:
        alive = self._thread is not None and self._thread.is_alive()
        if alive or self._closing or self._starts >= STARTS:
            return
        self._starts += 1
        self._thread = threading.Thread(target=self._run, name="sorter apart", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Start the process and hear its answers until it ends; then answer who is left."""
        try:
            with _SharedMemory() as memory:
                self._serve(memory)
        except OSError as problem:
            log.warning("large requests are sorted out in this process: the one beside it failed (%s)", problem)
        except Exception:
            log.exception("large requests are sorted out in this process: the one beside it said what cannot be read")
        with self._lock:
            self._ready, self._process = None, None
            self._free, self._memory = [], memoryview(b"")
            self._learnt.clear()
            left, self._waiting = list(self._waiting.values()), {}
            if self._starts >= STARTS and not self._closing:
                log.error("the process that sorts out large requests ended %d times without an answer", self._starts)
        for each in left:
            _resolve(each, None)

    def _serve(self, memory: _SharedMemory) -> None:
        connection, process = beside.start(MODULE, memory.handle)
        with connection, process:
            try:
                with self._lock:
                    self._process = process
                    if self._closing:
                        return
                self._hear(connection, memory.view)
            finally:
                process.kill()

    def _hear(self, connection: Connection, memory: memoryview) -> None:
        """Hand out answers until there are no more, or one does not come in time."""
        while True:
            if not connection.poll(1.0):
                if self._overdue():
                    log.error("the process that sorts out large requests did not answer for %s s", self._answer_seconds)
                    return
                continue
            try:
                said = connection.recv_bytes()
            except EOFError:
                return
            if said == READY:
                with self._lock:
                    self._memory, self._free, self._ready = memory, list(range(SLOTS)), connection
                continue
            answer = _ANSWER.decode(said)
            waiting = self._waiting[answer.job]
            start = waiting.slot * SLOT_BYTES
            batch = None if answer.head is None else take_up(answer.head, memory[start : start + SLOT_BYTES])
            with self._lock:
                del self._waiting[answer.job]
                self._free.append(waiting.slot)
                self._starts = 0
            _resolve(waiting, batch)

    def _overdue(self) -> bool:
        with self._lock:
            now = time.monotonic()
            return any(each.until < now for each in self._waiting.values())


class _SharedMemory:
    """Memory of all slots that a child can be given. Pages that are never used cost nothing."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self.handle = os.memfd_create("tallystick")
        else:
            with tempfile.TemporaryFile() as file:
                self.handle = os.dup(file.fileno())
        os.ftruncate(self.handle, SLOTS * SLOT_BYTES)
        self._map = mmap.mmap(self.handle, SLOTS * SLOT_BYTES)
        self.view = memoryview(self._map)

    def __enter__(self) -> _SharedMemory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)


def _resolve(waiting: _Waiting, batch: Batch | None) -> None:
    try:
        waiting.loop.call_soon_threadsafe(_set, waiting.answer, batch)
    except RuntimeError:
        assert waiting.loop.is_closed()  # nobody is left to be told


def _set(answer: asyncio.Future[Batch | None], batch: Batch | None) -> None:
    if not answer.done():  # the client may have gone away
        answer.set_result(batch)


_ANSWER = msgspec.msgpack.Decoder(Answer)
