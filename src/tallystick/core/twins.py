"""Copies of measurements: the same content under another uid, found in one pass through a list that falls in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

MOST_WAITING = 50_000  # however many measurements are of one time: beyond, a copy may go unseen

T = TypeVar("T")


@dataclass(slots=True)
class Seen(Generic[T]):
    """A measurement of the pass. `twin` is the uid of the one that it copies, once that was seen."""

    item: T
    uid: str
    content: Hashable
    ts: datetime
    original: bool  # known for certain to be no copy: the source has it too
    twin: str | None = None


class Twins(Generic[T]):
    """Measurements with equal content at most `window` apart. An original has copies; of several of which none is known
    to be one, the first of the list is taken for it."""

    def __init__(self, window: timedelta) -> None:
        self._window = window
        self._waiting: deque[Seen[T]] = deque()
        self._by_content: dict[Hashable, list[Seen[T]]] = {}

    def see(self, new: Seen[T]) -> Iterator[Seen[T]]:
        """Take the next in falling order of time; gives those that are decided by now."""
        while self._waiting and (self._waiting[0].ts - new.ts > self._window or len(self._waiting) > MOST_WAITING):
            yield self._leave()
        alike = self._by_content.setdefault(new.content, [])
        if new.original:
            for each in alike:
                if not each.original and each.twin is None:
                    each.twin = new.uid
        elif alike:
            best = next((each for each in alike if each.original), alike[0])
            new.twin = best.twin or best.uid
        alike.append(new)
        self._waiting.append(new)

    def rest(self) -> Iterator[Seen[T]]:
        """At the end of the list: all that were not given yet."""
        while self._waiting:
            yield self._leave()

    def _leave(self) -> Seen[T]:
        gone = self._waiting.popleft()
        alike = self._by_content[gone.content]
        alike.remove(gone)
        if not alike:
            del self._by_content[gone.content]
        return gone
