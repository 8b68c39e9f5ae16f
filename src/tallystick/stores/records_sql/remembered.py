"""What was made of records, remembered until one of the kinds that were read for it is written.

Every commit moves the stamps of the kinds (of entity, of document) that it may have written. What is remembered knows
the stamps that its kinds had before it read them: while they are the same, reading again would give the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

ENTITIES = "*"  # stands for entities of every kind
MOST = 2_000  # values that are remembered; those that were not asked for the longest go first


def of_documents(kind: str) -> str:
    """What a kind of document is called here: an entity's may have the same name."""
    return f"document {kind}"


class Reading:
    """The kinds that something is made of, with the stamps that they had before they were first read."""

    def __init__(self, stamp: Callable[[str], int]) -> None:
        self._stamp = stamp
        self.seen: dict[str, int] = {}

    def note(self, kind: str) -> None:
        """A kind is about to be read."""
        if kind not in self.seen:
            self.seen[kind] = self._stamp(kind)

    def note_all(self, seen: dict[str, int]) -> None:
        """Something remembered is used, which was made of these."""
        for kind, stamp in seen.items():
            self.seen[kind] = min(stamp, self.seen.get(kind, stamp))


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    seen: dict[str, int]


class Memory:
    """Values of all organisations, by organisation and key. Any thread may ask."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, Hashable], _Kept[Any]] = OrderedDict()
        self._stamps: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._written: OrderedDict[str, int] = OrderedDict()  # by organisation, when something was last; latest last
        self._writes = 0
        self._lock = threading.Lock()

    def recall(
        self,
        organization_id: str,
        key: Hashable,
        make: Callable[[Reading], T],
        holds: Callable[[T], bool],
        within: Reading | None,
    ) -> T:
        """The value under a key, made if there is none that holds. `within` is what it is being read for."""
        stamps = self._stamps[organization_id]
        place = (organization_id, key)
        kept = cast("_Kept[T] | None", self._kept.get(place))
        if (
            kept is None
            or any(stamps.get(kind, 0) != seen for kind, seen in kept.seen.items())
            or not holds(kept.value)
        ):
            reading = Reading(lambda kind: stamps.get(kind, 0))
            kept = _Kept(make(reading), reading.seen)
            with self._lock:
                self._kept[place] = kept
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if within is not None:
            within.note_all(kept.seen)
        return kept.value

    def stamp(self, organization_id: str, kind: str) -> int:
        """How often something of a kind may have been written."""
        return self._stamps[organization_id].get(kind, 0)

    def forget(self, organization_id: str, kinds: Collection[str]) -> None:
        """Something of these kinds may have been written."""
        with self._lock:
            stamps = self._stamps[organization_id]
            for kind in kinds:
                stamps[kind] = stamps.get(kind, 0) + 1
            if kinds:
                self._writes += 1
                self._written[organization_id] = self._writes
                self._written.move_to_end(organization_id)

    def written(self, after: int) -> tuple[int, list[str]]:
        """The number of writes so far, and the organisations of those after the first so many."""
        with self._lock:
            latest = takewhile(lambda each: each[1] > after, reversed(self._written.items()))
            return self._writes, [organization_id for organization_id, _ in latest]
