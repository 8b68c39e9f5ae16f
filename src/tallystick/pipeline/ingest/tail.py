"""The tail of the journal in memory: what the door read as columns, kept until it is projected.

Between its acceptance and its projection a measurement need not be read from its JSON a second time. The tail is
bounded, and nothing depends on it: what is not in it is read from the journal.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tallystick.core.period import Instant
from tallystick.pipeline.ingest.columns import Columns
from tallystick.ports import Block, UsageBlock, Withdrawn

MAX_ROWS = 300_000  # about 300 bytes each
WIDTH = 16  # bytes of a key, and of a digest
MOST = 0.75  # of a request's measurements that are accepted: then it does not pay to cut the others out


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Candidates of one meter that were read as columns. `ranks` are their places among the candidates that were
    submitted together; without it they are all of them, in order."""

    meter_id: str
    account_ids: pa.Array
    columns: Columns
    ranks: np.ndarray | None = None

    def at(self, ranks: np.ndarray) -> Reading:
        """The same at other places."""
        return replace(self, ranks=ranks)

    def block(self, organization_id: str, received: Instant, positions: np.ndarray) -> UsageBlock:
        """The columns, as far as any were accepted; `positions` are those of the candidates, 0 for what was not."""
        positions = positions if self.ranks is None else positions[self.ranks]
        columns = self.columns
        block = UsageBlock(
            organization_id=organization_id,
            meter_id=self.meter_id,
            received=received,
            positions=positions,
            account_ids=self.account_ids,
            uids=columns.uids,
            ts=columns.ts,
            numbers=columns.numbers,
            texts=columns.texts,
        )
        return block if np.count_nonzero(positions) >= MOST * len(positions) else block.taking(positions > 0)


class Candidates(NamedTuple):
    """Valid measurements that ask for their uids, in parallel lists: the keys of the uids, the digests of their
    contents, their journal entries. `readings` has those among them that were read as columns."""

    keys: Sequence[bytes]
    contents: Sequence[bytes]
    entries: Sequence[bytes]
    readings: Sequence[Reading] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Appended:
    """What is durable at the positions `first` to `last`: blocks of columns, the entries of all other measurements, and
    what is withdrawn."""

    organization_id: str
    received: Instant
    first: int
    last: int
    blocks: Sequence[UsageBlock]
    rest: Sequence[tuple[int, bytes]]  # position, entry
    withdrawn: Sequence[Withdrawn] = ()


def appended(block: Block, parts: Sequence[tuple[Candidates, np.ndarray]]) -> Appended:
    """A block of the journal by what it was made of: candidates, and which of them were accepted, in order."""
    blocks: list[UsageBlock] = []
    rest: list[tuple[int, bytes]] = []
    first = block.first
    for candidates, accepted in parts:
        positions = np.where(accepted, first - 1 + np.cumsum(accepted), 0)
        read = np.zeros(len(positions), bool)
        for reading in candidates.readings:
            read[slice(None) if reading.ranks is None else reading.ranks] = True
            blocks.append(reading.block(block.organization_id, block.received, positions))
        rest += [
            (int(positions[place]), candidates.entries[place]) for place in np.flatnonzero(accepted & ~read).tolist()
        ]
        first += int(accepted.sum())
    kept = [each for each in blocks if len(each)]
    return Appended(block.organization_id, block.received, block.first, block.last, kept, rest)


class Tail:
    """One thread adds at the end, one takes from the front."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._items: deque[Appended] = deque()
        self._rows = 0
        self._lock = threading.Lock()

    def add(self, items: Sequence[Appended]) -> None:
        """Keep what was appended to the journal, in order, while there is room."""
        with self._lock:
            for item in items:
                if self._rows + item.last - item.first < self._max_rows:
                    self._items.append(item)
                    self._rows += item.last - item.first + 1

    def take(self, after: int, limit: int) -> list[Appended]:
        """What follows a position without a gap, about `limit` rows of it at most; nothing where the tail has a gap
        there. What lies at or before the position is dropped."""
        taken: list[Appended] = []
        until = after + limit
        with self._lock:
            while self._items and self._items[0].first <= after + 1 <= until:
                item = self._items.popleft()
                self._rows -= item.last - item.first + 1
                if item.first == after + 1:
                    taken.append(item)
                    after = item.last
        return taken
