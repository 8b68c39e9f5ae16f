"""The emitter: measurements go from a program to the server in batches, from a thread of its own.

`emit` writes a measurement down, with its uid, and returns; the server is never waited for, unless all room is taken.
What the server did not take is sent again under the same uid until it does, and so counts once.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import accumulate, takewhile
from types import TracebackType
from typing import Any, TypedDict, Unpack
from weakref import WeakSet

from tallystick.client.measurement import UIDS, Line, Numbers, Texts, line_of, now
from tallystick.client.sending import Away, Connection, Refused, Rejected, pause, send
from tallystick.client.settings import BATCH_BYTES, EmitterSettings
from tallystick.client.spool import Spool, SpoolFull
from tallystick.client.waiting import Stats, Waiting

log = logging.getLogger(__name__)

IDLE_SECONDS = 5.0  # between two looks at whether other processes have left something in the spool
SPILL_SECONDS = 0.2  # while the server is away: how long a measurement stays in memory only


class Full(Exception):
    """Neither memory nor spool had room in time; the measurement was not kept."""


class Maps(TypedDict, total=False):
    """What a measurement may say besides what is measured."""

    ets: str | datetime
    who: Texts
    what: Texts
    where: Texts
    other: Texts
    metadata: Texts
    income: Numbers
    cost: Numbers


class Emitter:
    """Sends measurements of one organisation. Safe to use from any number of threads, and after a fork.

    `on_rejected` is told of each measurement that the server did not count, and why; `on_dropped` how many were lost
    and why. Both are called from the emitter's thread, or from the one that emits.
    """

    def __init__(
        self,
        settings: EmitterSettings | None = None,
        *,
        on_rejected: Callable[[Rejected], object] | None = None,
        on_dropped: Callable[[int, str], object] | None = None,
    ) -> None:
        self.settings = settings = settings or EmitterSettings()
        self._on_rejected, self._on_dropped = on_rejected, on_dropped
        self._connection = Connection(settings.credentials, settings.timeout)
        self._spool = self._open_spool()
        self._most_bytes = BATCH_BYTES
        self._waiting = Waiting(settings.memory_bytes, settings.batch_events)
        self._thread: threading.Thread | None = None
        _ALL.add(self)
        self._start()

    def _open_spool(self) -> Spool | None:
        directory = self.settings.directory
        if directory is None:
            return None
        try:
            return Spool(directory, self.settings.spool_bytes, sync=self.settings.sync, on_damaged=self._damaged)
        except OSError as problem:
            raise ValueError(f"spool: {problem}; name a directory that can be written, or None") from problem

    # ---------------------------------------------------------------------------------------------- emitting

    def emit(
        self,
        meter: str,
        account: str,
        measure: Numbers | None = None,
        *,
        uid: str | None = None,
        ts: str | datetime | None = None,
        **maps: Unpack[Maps],
    ) -> str:
        """Have a measurement counted; the answer is its uid. `ts` is now unless given.

        ValueError and TypeError for what can be no measurement; `Full` see `EmitterSettings`.
        """
        uid = uid or UIDS.next()
        self.offer(line_of(Line(uid, meter, account, now() if ts is None else ts, measure, **maps)))
        return uid

    def offer(self, line: bytes, *, wait: bool = True) -> bool:
        """Take a measurement that is written down already. False where there is no room and `wait` is not wished."""
        if self._thread is None:
            self._start()
        spool = self._spool
        if not (spool is not None and self.settings.write_ahead) and self._waiting.take_in(line):
            return True
        if spool is None:
            return self._offer_later(line, wait, "the emitter is closed" if self._waiting.closing else "memory is full")
        try:
            spool.append([line])
        except SpoolFull as problem:
            return self._offer_later(line, wait, str(problem))
        self._waiting.spooled()
        return True

    def _offer_later(self, line: bytes, wait: bool, why: str) -> bool:
        """There is no room: what then, the settings say."""
        if self.settings.when_full == "drop":
            self._drop(1, why)
            return True
        if not wait:
            return False
        limit, began = self.settings.block_seconds, time.monotonic()
        while not (self._spool is None and self._waiting.closing):
            if self._waiting.take_in(line, SPILL_SECONDS):
                return True
            if self._spool is not None:
                with suppress(SpoolFull):
                    self._spool.append([line])
                    self._waiting.spooled()
                    return True
                time.sleep(SPILL_SECONDS / 4)
            if limit is not None and time.monotonic() - began > limit:
                break
        raise Full(f"{why}; the measurement was not kept")

    # ---------------------------------------------------------------------------------------------- ending

    def flush(self, timeout: float | None = None) -> bool:
        """Send all that waits, in memory and in the spool; whether the server had taken it in time."""
        until = None if timeout is None else time.monotonic() + timeout
        while not (self._waiting.empty and (self._spool is None or self._spool.empty())):
            if until is not None and time.monotonic() > until:
                return False
            self._waiting.hurry()
            time.sleep(0.005)
        return True

    def close(self, timeout: float | None = None) -> None:
        """Send what waits, for at most `exit_seconds` unless another time is given; what then is left goes to the
        spool. Without one it is lost, counted and told. Done by itself at the end of the process."""
        self._waiting.close()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(self.settings.exit_seconds if timeout is None else timeout)
        left = self._waiting.abandon()
        if left and not self._keep(left):
            self._drop(len(left), "the emitter was closed while the server was away")
        if self._spool is not None:
            self._spool.close()
        _ALL.discard(self)

    def __enter__(self) -> Emitter:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def stats(self) -> Stats:
        """What became of the measurements until now."""
        return self._waiting.stats()

    def before_fork(self) -> Spool | None:
        """The spool, held until after the fork."""
        return self._spool if self._spool is not None and self._spool.hold() else None

    def after_fork(self) -> None:
        """In a forked child: what waits is the parent's, which sends it."""
        self._connection.forget()
        if self._spool is not None:
            self._spool.forget()
        self._waiting = Waiting(self.settings.memory_bytes, self.settings.batch_events)
        self._thread = None

    # ---------------------------------------------------------------------------------------------- the thread

    def _start(self) -> None:
        with _STARTING:
            if self._thread is None and not self._waiting.closing:
                self._thread = threading.Thread(
                    target=self._run, args=(self._waiting,), name="tallystick-emitter", daemon=True
                )
                with suppress(RuntimeError):  # the interpreter is ending: `close` keeps what waits
                    self._thread.start()

    def _run(self, waiting: Waiting) -> None:
        tries = 0
        while not waiting.abandoned:
            closing = waiting.closing  # before the round: what comes in during it is sent in the next
            try:
                more = self._round(waiting)
                tries = 0
            except Exception as problem:  # a bug must not end the thread either: nothing would be sent any more
                if isinstance(problem, Away):
                    (log.warning if tries == 0 else log.debug)("measurements wait: %s", problem)
                else:
                    log.exception("sending measurements failed")
                waiting.add(failures=1)
                if waiting.closing and self._spool is not None:
                    return  # whoever comes next sends what is in the spool
                self._rest(waiting, pause(tries, problem.after if isinstance(problem, Away) else None))
                tries += 1
                continue
            if not more and closing:
                self._connection.close()
                return
            if not more:
                waiting.wait(IDLE_SECONDS, self.settings.linger_seconds)

    def _rest(self, waiting: Waiting, seconds: float) -> None:
        """Until the next try. What comes in meanwhile goes to the spool, where there is one."""
        began = time.monotonic()
        while not waiting.abandoned:
            left = began + (min(seconds, SPILL_SECONDS) if waiting.closing else seconds) - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SPILL_SECONDS))
            self._spill(waiting)

    def _round(self, waiting: Waiting) -> bool:
        """Send a batch from memory and one from the spool; whether there may be more. Away: all of it is kept."""
        batch = waiting.next(self._most_bytes)
        sent = bool(batch)
        try:
            while batch:
                part, batch = self._send(batch)
                waiting.arrived(part, batch)
        except BaseException:
            waiting.put_back()
            self._spill(waiting)
            raise
        if self._spool is None or waiting.abandoned:
            return sent
        taken = self._spool.take(self.settings.batch_events, self._most_bytes)
        if taken is None:
            return sent
        batch = taken.lines
        while batch:
            _, batch = self._send(batch)
        self._spool.done(taken)
        return True

    def _send(self, batch: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Send as many of a batch as the server takes at once: these, and the others."""
        part = batch[: self._fitting(batch)]
        while True:
            try:
                outcome = send(self._connection, part)
                break
            except Refused as refusal:
                part = part[: (len(part) + 1) // 2]
                if refusal.size:
                    self._most_bytes = sum(map(len, part)) + len(part)
        self._most_bytes = min(BATCH_BYTES, self._most_bytes + self._most_bytes // 100 + 1)
        self._waiting.add(accepted=outcome.accepted, duplicates=outcome.duplicates, rejected=len(outcome.rejected))
        for each in outcome.rejected:
            self._tell_rejected(each)
        return part, batch[len(part) :]

    def _fitting(self, batch: Sequence[bytes]) -> int:
        """How many of a batch are not larger than what the server takes, as far as is known; one at least."""
        sizes = accumulate(len(each) + 1 for each in batch)
        return max(1, sum(1 for _ in takewhile(lambda size: size <= self._most_bytes, sizes)))

    def _spill(self, waiting: Waiting) -> None:
        """Move what is in memory into the spool, as far as it has room."""
        while self._spool is not None and (batch := waiting.next(BATCH_BYTES)):
            if not self._keep(batch):
                waiting.put_back()
                return
            waiting.arrived(batch)

    # ---------------------------------------------------------------------------------------------- telling

    def _keep(self, lines: Sequence[bytes]) -> bool:
        """Spool lines; whether they were."""
        if self._spool is None:
            return False
        try:
            self._spool.append(lines)
        except SpoolFull:
            return False
        self._waiting.add(spooled=len(lines))
        return True

    def _drop(self, number: int, why: str) -> None:
        self._waiting.add(dropped=number)
        if self._on_dropped is None:
            log.error("%d measurements were lost: %s", number, why)
        else:
            _call(self._on_dropped, number, why)

    def _damaged(self, number: int) -> None:
        self._waiting.add(damaged=number)
        log.error("%d lines of the spool could not be read; they are kept beside it", number)

    def _tell_rejected(self, each: Rejected) -> None:
        if self._on_rejected is None:
            log.warning("measurement %s was not counted: %s %s", each.uid, each.code, each.reason)
        else:
            _call(self._on_rejected, each)


def _call(callback: Callable[..., object], *values: Any) -> None:
    """A callback that fails must not end the emitter's thread."""
    try:
        callback(*values)
    except Exception:
        log.exception("a callback of the emitter failed")


_ALL: WeakSet[Emitter] = WeakSet()
_STARTING = threading.Lock()


_HELD = threading.local()  # the spools that a thread holds while it forks


def _before_fork() -> None:
    _HELD.spools = [held for each in list(_ALL) if (held := each.before_fork()) is not None]


def _after_fork_in_parent() -> None:
    for each in _HELD.spools:
        each.let_go()


def _after_fork() -> None:
    global _STARTING  # noqa: PLW0603  the parent's may be held by a thread that the child does not have
    _STARTING = threading.Lock()
    for each in list(_ALL):
        each.after_fork()


def _at_exit() -> None:
    for each in list(_ALL):
        each.close()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
atexit.register(_at_exit)
