"""Claims on uids as columns in the order of their hashes, and a filter that knows almost all keys that are new.

A key has 16 bytes: the first 8 (of the organisation and the uid) are its `rest`, the last 8 its `hash`. Both are even
over their range in all but the organisation's 4 bytes, so a place among sorted hashes says where a key must be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tallystick.ports.packed import data_of

CLAIM_BYTES = 40
COLUMNS = ("hashes", "rests", "contents", "positions")
CONTENT = np.dtype((np.uint64, 2))
PIECE = 51_200  # claims that are read or merged at once: larger arrays would be new memory each time, which is slow
FEW = 16_000  # keys that are added to a filter at once, likewise: their arrays stay in a processor's cache
FILL = 8  # keys for each word of the filter: then one in 15 new keys is asked for in vain, at half as many one in 60
LEAST_WORDS, MOST_WORDS = 2**16, 2**25  # 0.5 to 256 MiB


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """Claims in the order of their hashes; arrays of one length, in memory or of a file."""

    hashes: np.ndarray  # u64
    rests: np.ndarray  # u64
    contents: np.ndarray  # 2 × u64
    positions: np.ndarray  # u64

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, hashes: np.ndarray, rests: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
        """The place of each key here; −1 where it is not. `at`: where the hashes are or would be, if that is known."""
        found = np.full(len(hashes), -1, np.int64)
        if not len(self):
            return found
        at = np.searchsorted(self.hashes, hashes) if at is None else at
        wanted = np.arange(len(hashes))
        while True:  # as often as different keys have one hash: once, but for keys made up so
            here = at < len(self)
            wanted, at = wanted[here], at[here]
            same = self.hashes[at] == hashes[wanted]
            wanted, at = wanted[same], at[same]
            if not len(wanted):
                return found
            mine = self.rests[at] == rests[wanted]
            found[wanted[mine]] = at[mine]
            wanted, at = wanted[~mine], at[~mine] + 1

    def between(self, start: int, end: int) -> Claims:
        """Those at the places from `start` to before `end`."""
        where = slice(start, end)
        return Claims(self.hashes[where], self.rests[where], self.contents[where], self.positions[where])


def split_keys(keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes and the rests of keys."""
    pairs = np.frombuffer(data_of(keys), "<u8").reshape(-1, 2)
    return pairs[:, 1], pairs[:, 0]


def claims_of(keys: Sequence[bytes], contents: Sequence[bytes], first: int) -> Claims:
    """Claims on keys, whose positions follow each other from `first` on."""
    hashes, rests = split_keys(keys)
    order = np.argsort(hashes)
    digests = np.frombuffer(data_of(contents), "<u8").reshape(-1, 2)
    return Claims(hashes[order], rests[order], digests[order], np.uint64(first) + order.astype(np.uint64))


def merged(parts: Sequence[Claims]) -> Claims:
    """All claims of the parts, in memory."""
    if len(parts) == 1:
        return parts[0]
    hashes = np.concatenate([each.hashes for each in parts])
    order = np.argsort(hashes)

    def laid(name: str) -> np.ndarray:
        joined: np.ndarray = np.concatenate([getattr(each, name) for each in parts])[order]
        return joined

    return Claims(hashes[order], laid("rests"), laid("contents"), laid("positions"))


def merged_in_pieces(
    parts: Sequence[Claims], piece: int = PIECE, *, check: Callable[[int, int, int], None] | None = None
) -> Iterator[Claims]:
    """The same, about `piece` claims after the other: parts of files need not fit into memory. `check` is called with
    which part is about to be read, from which place to which."""
    count = -(-sum(map(len, parts)) // piece)
    starts = [0] * len(parts)
    for number in range(1, count + 1):
        if number < count:
            bound = np.uint64((number << 64) // count)
            ends = [int(np.searchsorted(each.hashes, bound)) for each in parts]
        else:
            ends = list(map(len, parts))
        for which, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if check is not None and end > start:
                check(which, start, end)
        slices = [each.between(start, end) for each, start, end in zip(parts, starts, ends, strict=True)]
        starts = ends
        together = merged(slices)
        if len(together):
            yield together


class Filter:
    """Says of a key that it is certainly new, or that it may be known: four bits of one word for each key."""

    def __init__(self, expected: int) -> None:
        """For about so many keys; with more, fewer new ones are told to be so."""
        words = LEAST_WORDS
        while words * FILL < 2 * expected and words < MOST_WORDS:
            words *= 2
        self._words = np.zeros(words, np.uint64)  # memory is taken as it is used
        self._shift = np.uint64(64 - (words.bit_length() - 1))
        self._count = 0

    @property
    def full(self) -> bool:
        """Whether it is worth while to make a larger one."""
        return self._count > FILL * len(self._words) and len(self._words) < MOST_WORDS

    def add(self, parts: Iterable[Claims]) -> None:
        """Know the keys of the claims."""
        for part in parts:
            for start in range(0, len(part), FEW):
                few = part.between(start, start + FEW)
                np.bitwise_or.at(self._words, few.hashes >> self._shift, _bits(few.rests))
            self._count += len(part)

    def may_know(self, hashes: np.ndarray, rests: np.ndarray) -> np.ndarray:
        """False for keys that were never added."""
        bits = _bits(rests)
        known: np.ndarray = self._words[hashes >> self._shift] & bits == bits
        return known


def _bits(rests: np.ndarray) -> np.ndarray:
    """A word with up to four bits set, by the bytes of the uid in the rests."""
    one, mask = np.uint64(1), np.uint64(63)
    word = np.zeros(len(rests), np.uint64)
    for shift in (32, 38, 44, 50):
        word |= one << ((rests >> np.uint64(shift)) & mask)
    return word
