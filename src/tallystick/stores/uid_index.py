"""The uid index on RocksDB: which uids were ever claimed, with what content, and where in the journal.

16-byte key → 16-byte digest of the content and 8-byte position. The key MARK, which is no 16 bytes long, holds the
journal position up to which the index is complete; it is written in the same batch as the claims, so that after a
crash index and mark agree and the tail of the journal is claimed again. Claims are gathered in memory and written in
large sorted batches.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch

from tallystick.errors import Refusal
from tallystick.failpoints import reached
from tallystick.ports import Claim

log = logging.getLogger(__name__)

MARK = b"mark"
DIGEST_BYTES = 16
CACHE_BYTES = 256 * 1024 * 1024
POSITION_BYTES = 8
GATHER = 20_000  # claims that are written together
# As much as a processor's cache holds: random keys are put twice as fast as into 64 MiB.
MEMTABLE_BYTES = 16 * 1024 * 1024
LOG_CLAIMS = 100_000  # claims of one write-ahead log: they and a batch of 50,000 fit into the memory above


class RocksUidIndex:
    """`ports.UidIndex` on a directory. One process may have it open; one thread looks up and puts."""

    def __init__(self, directory: Path, *, cache_bytes: int = CACHE_BYTES, gather: int = GATHER) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._logged = 0  # claims since the present write-ahead log was begun
        self._store = Rdict(str(directory), _options(cache_bytes))
        mark = self._store.get(MARK)
        self._mark = 0 if mark is None else int.from_bytes(mark, "big")
        self._gather = gather
        self._recent: dict[bytes, bytes] = {}  # key → value of what is not written yet

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, Claim]:
        """The claims on those of the keys that have one. Any thread may ask."""
        recent = self._recent  # before the store: what is written to it meanwhile is still in here
        found: list[bytes | None] = (self._store.get(list(keys)) or []) if keys else []
        values = {key: value for key, value in zip(keys, found, strict=True) if value is not None}
        values |= {key: recent[key] for key in keys if key in recent}
        return {
            key: Claim(value[:DIGEST_BYTES], int.from_bytes(value[DIGEST_BYTES:], "big"))
            for key, value in values.items()
        }

    def put(self, keys: Sequence[bytes], contents: Sequence[bytes], first: int, mark: int) -> None:
        """Add claims, positions from `first` on, and move the mark. They are kept from here on, and written together
        with others: see `flush`, which this may do."""
        self._recent.update(zip(keys, _values(contents, first), strict=True))
        self._mark = mark
        if len(self._recent) >= self._gather:
            self.flush()

    def flush(self) -> None:
        """Write what was put, in one atomic write, which outlives the process but perhaps not the power.

        Refusal `busy` when the disk does not take it: then it stays in memory. The engine takes writes again some
        seconds after there is room.
        """
        if not self._recent:
            return
        keys = sorted(self._recent)  # neighbours go to one place of the engine's memory: half the cost
        batch = WriteBatch(raw_mode=True)
        # A loop that stays out of the interpreter.
        deque(map(batch.put, keys, map(self._recent.__getitem__, keys)), maxlen=0)
        batch.put(MARK, self._mark.to_bytes(8, "big"))
        try:
            if self._logged >= LOG_CLAIMS:
                self._begin_log()
            self._store.write(batch)
        except Exception as problem:
            if type(problem) is not Exception:  # the engine raises no class of its own
                raise
            message = f"the uid index could not be written ({problem}); send the same again"
            raise Refusal("busy", message) from problem
        self._recent = {}
        self._logged += len(keys)
        reached("uids.put")

    def _begin_log(self) -> None:
        """Make the write-ahead log durable, then begin a new one; never the other way round.

        The engine would begin one by itself when its memory is full, and let the old one go when that is written out.
        Should the power fail in between, a part of the old log could be gone while the new one is there: the index
        would lack claims below its mark, without a sign of it (docs/decisions/0207-logs-of-the-uid-index.md).
        """
        self._store.flush_wal(sync=True)
        names = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(names)
        finally:
            os.close(names)
        self._store.flush(wait=False)
        self._logged = 0

    @property
    def mark(self) -> int:
        """The journal position up to which the index is complete; 0 when empty."""
        return self._mark

    def close(self) -> None:
        """Write out, as far as the disk takes it, and let another process open the index."""
        try:
            self.flush()
        except Refusal as problem:
            log.warning("%s; the journal has them, the next start claims them again", problem)
        self._store.close()


def _values(contents: Sequence[bytes], first: int) -> list[bytes]:
    """What the keys map to: the digest of a content, and its position."""
    values = np.empty((len(contents), DIGEST_BYTES + POSITION_BYTES), np.uint8)
    values[:, :DIGEST_BYTES] = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, DIGEST_BYTES)
    positions = np.arange(first, first + len(contents), dtype=">u8")
    values[:, DIGEST_BYTES:] = positions.view(np.uint8).reshape(-1, POSITION_BYTES)
    rows: list[bytes] = values.view(f"V{DIGEST_BYTES + POSITION_BYTES}").ravel().tolist()
    return rows


def _options(cache_bytes: int) -> Options:
    """Point look-ups of random keys, mostly of ones that are not there: filters in memory and in the memtable."""
    table = BlockBasedOptions()
    table.set_block_cache(Cache(cache_bytes))
    table.set_bloom_filter(10, False)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_format_version(5)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.none())  # hashes do not shrink
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_write_buffer_number(4)
    options.set_allow_concurrent_memtable_write(False)  # one thread puts
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.1)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1024 * 1024)
    return options
