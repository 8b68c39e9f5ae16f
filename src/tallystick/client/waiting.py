"""What waits in memory to be sent, and the numbers of what became of the rest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple


class Stats(NamedTuple):
    """What became of the measurements of this process (and, where it has sent them, of others that share its spool).

    `dropped` were lost: there was no room, or no spool when the process ended. `waiting` are in memory.
    """

    emitted: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    spooled: int = 0
    dropped: int = 0
    damaged: int = 0
    failures: int = 0
    waiting: int = 0


class Waiting:
    """Measurements in memory, of so many bytes at most, in order; some of them are `flying`: they are being sent.

    Who sends waits here for something to send, and who emits for room.
    """

    def __init__(self, most: int, batch: int) -> None:
        self._most, self._batch = most, batch
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._queue: deque[bytes] = deque()
        self._flying: Sequence[bytes] = ()
        self._bytes = 0  # of the queue and of what is flying
        self._count = dict.fromkeys(Stats._fields[:-1], 0)
        self._idle = True
        self._news = False  # whether something went into the spool since a batch was last asked for
        self.closing = False  # nothing more is taken in
        self.abandoned = False  # what was here is elsewhere: what is still flying is nobody's

    # ---------------------------------------------------------------------------------------------- by who emits

    def take_in(self, line: bytes, seconds: float = 0.0) -> bool:
        """Keep a measurement, when there is room for it within so many seconds; whether there was."""
        with self._lock:
            if self._bytes + len(line) > self._most and seconds:
                self._room.wait(seconds)
            if self._bytes + len(line) > self._most or self.closing:
                return False
            self._queue.append(line)
            self._bytes += len(line)
            self._count["emitted"] += 1
            if self._idle:
                self._idle = False
                self._wake.set()
            elif len(self._queue) == self._batch:
                self._hurry.set()
            return True

    def spooled(self) -> None:
        """A measurement went past the memory, into the spool."""
        with self._lock:
            self._count["emitted"] += 1
            self._count["spooled"] += 1
            self._news = True
            if self._idle:
                self._idle = False
                self._wake.set()

    def close(self) -> None:
        """Take nothing in any more, and have what is here sent."""
        with self._lock:
            self.closing = True
            self._room.notify_all()
        self.hurry()

    def abandon(self) -> list[bytes]:
        """All that is left, given away."""
        with self._lock:
            self.abandoned = True
            left = [*self._flying, *self._queue]
            self._queue.clear()
            self._flying, self._bytes = (), 0
            return left

    # ---------------------------------------------------------------------------------------------- by who sends

    def next(self, size: int) -> list[bytes]:
        """The next batch, of at most so many bytes with what stands between (one measurement at least): it flies."""
        with self._lock:
            batch: list[bytes] = []
            taken, self._news = 0, False
            while self._queue and len(batch) < self._batch:
                taken += len(self._queue[0]) + 1
                if batch and taken > size:
                    break
                batch.append(self._queue.popleft())
            self._flying = batch
            return batch

    def arrived(self, gone: Sequence[bytes], rest: Sequence[bytes] = ()) -> None:
        """Some of what was flying is safe elsewhere; the rest still flies."""
        with self._lock:
            if not self.abandoned:
                self._flying = rest
                self._bytes -= sum(map(len, gone))
                self._room.notify_all()

    def put_back(self) -> None:
        """What was flying could not be sent: it waits again, in front."""
        with self._lock:
            if not self.abandoned:
                self._queue.extendleft(reversed(self._flying))
                self._flying = ()

    def wait(self, idle: float, linger: float) -> None:
        """Until something is here and has waited for company, or for so many seconds."""
        with self._lock:
            self._idle = not self._queue and not self._news
            if self._idle and not self.closing:
                self._wake.clear()
        if self._wake.wait(idle) and not self.closing:
            self._hurry.wait(linger)
        with self._lock:
            self._idle = False
            self._hurry.clear()

    def hurry(self) -> None:
        """Let who sends wait no longer."""
        self._hurry.set()
        self._wake.set()

    # ---------------------------------------------------------------------------------------------- numbers

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing flies."""
        with self._lock:
            return not self._queue and not self._flying

    def add(self, **more: int) -> None:
        """Count what became of measurements."""
        with self._lock:
            for name, number in more.items():
                self._count[name] += number

    def stats(self) -> Stats:
        """What became of the measurements until now."""
        with self._lock:
            return Stats(**self._count, waiting=len(self._queue) + len(self._flying))
