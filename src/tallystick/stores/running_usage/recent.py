"""The measurements that were added last, of the accounts whose answers run on. Bounded; what is not here is asked of
the store."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tallystick.ports import UsageBlock, UsageRow

MAX_ROWS = 100_000  # about 300 bytes each

Place = tuple[str, str, str]  # organisation, meter, account


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """What one addition had of the accounts that are followed: positions above `after`, up to `mark`."""

    after: int
    mark: int
    rows: Mapping[Place, Sequence[UsageRow]]
    blocks: Sequence[UsageBlock]
    size: int


class Recent:
    """One thread adds, any thread asks."""

    def __init__(self, mark: int, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._added: deque[Added] = deque()
        self._size = 0
        self._begun = mark  # the highest position that an addition was begun for
        self._dropped = 0  # what lies at or below this position may have been dropped
        self._followed: Counter[Place] = Counter()
        self._since: dict[Place, int] = {}  # what lies at or below this position was not kept

    def follow(self, places: Collection[Place]) -> None:
        """Keep what is added for these from now on."""
        with self._lock:
            for place in places:
                self._followed[place] += 1
                self._since.setdefault(place, self._begun)

    def leave(self, places: Collection[Place]) -> None:
        """No longer, unless somebody else follows them."""
        with self._lock:
            for place in places:
                self._followed[place] -= 1
                if not self._followed[place]:
                    del self._followed[place], self._since[place]

    def add(self, rows: Sequence[UsageRow], blocks: Sequence[UsageBlock], after: int, mark: int) -> None:
        """What is about to be added to the store. Nobody asks for it before the store says that it is there."""
        with self._lock:
            followed = set(self._followed)
            self._begun = max(self._begun, mark)
        if not followed:
            return
        kept = _of_rows(rows, followed, after)
        taken = [each for each in (_taken(block, followed, after) for block in blocks) if each is not None]
        size = sum(map(len, kept.values())) + sum(map(len, taken))
        if not size:
            return
        with self._lock:
            self._added.append(Added(after, mark, kept, taken, size))
            self._size += size
            while self._size > self._max_rows:
                dropped = self._added.popleft()
                self._size -= dropped.size
                self._dropped = max(self._dropped, dropped.mark)

    def take_back(self, after: int) -> None:
        """Adding what lies above a position failed, and it may come again. Should it be there all the same, the store
        is asked."""
        with self._lock:
            self._dropped = max(self._dropped, self._begun)
            while self._added and self._added[-1].after >= after:
                self._size -= self._added.pop().size

    def above(self, places: Collection[Place], after: int) -> list[Added] | None:
        """What was added for these above a position; None where that is not all there is."""
        with self._lock:
            if self._dropped > after or any(self._since.get(place, self._begun + 1) > after for place in places):
                return None
            found = []
            for each in reversed(self._added):
                if each.mark <= after:
                    break
                found.append(each)
            return found


def _of_rows(rows: Sequence[UsageRow], followed: Collection[Place], after: int) -> dict[Place, list[UsageRow]]:
    kept: dict[Place, list[UsageRow]] = {}
    for row in rows:
        place = (row.organization_id, row.meter_id, row.account_id)
        if place in followed and row.position > after:
            kept.setdefault(place, []).append(row)
    return kept


def _taken(block: UsageBlock, followed: Collection[Place], after: int) -> UsageBlock | None:
    of_meter = (block.organization_id, block.meter_id)
    accounts = [account for *meter, account in followed if tuple(meter) == of_meter]
    if not accounts:
        return None
    mask = pc.is_in(block.account_ids, value_set=pa.array(accounts, pa.string())).to_numpy(zero_copy_only=False)
    mask = mask & (block.positions > after)
    return block.taking(np.asarray(mask)) if mask.any() else None
