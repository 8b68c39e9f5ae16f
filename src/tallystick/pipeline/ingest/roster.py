"""Accounts by their codes, many at once: a table beside the map, for columns of codes.

To make a text of each code of a request and look it up in a map of ten thousand costs more than all else that is done
with an account, for neither fits into the processor's cache. Here the codes are hashed where they lie, column-wise.
What the table has at the place of a hash is compared with the code itself, so a hash that is met by two only means that
one of them is looked up in the map, as are codes that came later than the table.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ACCOUNT_ID = 36  # signs of an id; others are left to whoever asked
WORD = 8  # bytes that are hashed at once …
WORDS = 8  # … and how often at most: longer codes are told apart by their first 64 bytes only
ROOM = 32  # places of the table for each account …
MOST_PLACES = 2**22  # … and in all, of four bytes


class Roster:
    """The accounts of an organisation. The map it is made of may grow; nothing else of it may change."""

    def __init__(self, accounts: Mapping[str, str]) -> None:
        """Of a map from codes to ids."""
        self._accounts = accounts
        self._missed = 0  # codes that were looked up in the map since the table was made
        self._make({})

    def ids(self, codes: pa.Array) -> pa.Array | None:
        """The ids of accounts by their codes, not sliced from others; None where one is not known, or has another kind
        of id."""
        places = self._table[_hashes(codes) >> self._shift]
        found = pc.equal(self._codes.take(pa.array(places)), codes).to_numpy(zero_copy_only=False)
        ids = self._ids[places]
        others = np.flatnonzero(~found | (places == len(self._ids) - 1)).tolist()  # the last is nobody's: an empty code
        for at in others:
            id_ = self._accounts.get(codes[at].as_py(), "")
            if len(id_) != ACCOUNT_ID or not id_.isascii():
                return None
            ids[at] = id_.encode()
        self._missed += len(others)
        if self._missed > self._size < len(self._accounts):
            self._make({code: id_ for code, id_ in self._accounts.items() if len(id_) == ACCOUNT_ID and id_.isascii()})
        ends = np.arange(0, ACCOUNT_ID * len(codes) + 1, ACCOUNT_ID, dtype=np.int32)
        return pa.Array.from_buffers(pa.string(), len(codes), [None, pa.py_buffer(ends), pa.py_buffer(ids)])

    def _make(self, accounts: Mapping[str, str]) -> None:
        bits = min(max(len(accounts) * ROOM, 2), MOST_PLACES).bit_length()
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(2**bits, np.int32)
        self._codes = pa.array([*accounts, ""], pa.string())  # the last: what a free place has
        self._ids = np.array([*(id_.encode() for id_ in accounts.values()), b""], f"S{ACCOUNT_ID}")
        self._table[:] = len(accounts)
        self._table[_hashes(self._codes) >> self._shift] = np.arange(len(self._codes))
        self._size, self._missed = len(self._accounts) if accounts else 0, 0


def _hashes(texts: pa.Array) -> np.ndarray:
    """A hash of each text; two that are alike have the same."""
    _, ends, signs = texts.buffers()
    bounds = np.frombuffer(ends, np.int32, len(texts) + 1)
    text = np.zeros(int(bounds[-1]) + WORD, np.uint8)  # so that a word may begin at the end
    text[:-WORD] = np.frombuffer(signs, np.uint8, len(text) - WORD) if signs is not None else 0
    words = np.ndarray((len(text) - WORD + 1,), f"V{WORD}", text, 0, (1,))
    starts, sizes = bounds[:-1], np.diff(bounds)
    hashes = sizes.astype(np.uint64)
    least = int(sizes.min())
    for at in range(0, min(int(sizes.max()), WORD * WORDS), WORD):
        if at + WORD <= least:
            word = words[starts + at].view("<u8")
        else:  # what does not belong to a text must not count
            left = np.minimum(np.maximum(sizes - at, 0), WORD)
            word = words[np.minimum(starts + at, bounds[-1])].view("<u8") & _MASKS[left]
        hashes = (hashes ^ word) * _MIX
        hashes ^= hashes >> np.uint64(29)
    return hashes * _MIX


_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, odd
_MASKS = np.array([2 ** (8 * size) - 1 for size in range(WORD + 1)], np.uint64)
