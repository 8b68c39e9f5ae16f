"""The files of the uid index: runs of claims, and the list of those that count. Each says by checksums what it holds.

A run is written once and never changed:

    head        MAGIC, number of claims (u64), XXH3 of the two (u64)
    columns     hashes, rests, contents, positions (see `uid_claims`), in the order of the hashes
    checks      for each column, the XXH3 (u64) of every BLOCK of its values

`runs` holds JSON: the mark, the names of the files that count, and the XXH3 of the two. Whatever an answer rests on is
held against its checksum when it is read: what the disk spoiled is told, and never makes a known uid look new
(docs/decisions/0245-checksums-in-the-uid-index.md).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import xxhash

from tallystick.core import wire
from tallystick.stores.uid_claims import CLAIM_BYTES, COLUMNS, CONTENT, PIECE, Claims, merged_in_pieces

MAGIC = b"tallystick uids 2".ljust(48, b"\n")
SUFFIX = ".uids"
RUNS = "runs"
PREPARED = "runs.new"
NUMBER = np.dtype(np.uint64)
HEAD_BYTES = len(MAGIC) + 2 * NUMBER.itemsize
BLOCK = 512  # claims: 4 KiB of hashes
KINDS = {name: CONTENT if name == "contents" else NUMBER for name in COLUMNS}
assert PIECE % BLOCK == 0, "what is read at once is whole blocks"


class UidIndexDamaged(Exception):
    """A file that counts is not there or not whole: make the index again from the journal."""


class Run(NamedTuple):
    """A file of claims, as it lies in memory when it is read."""

    path: Path
    claims: Claims
    checks: dict[str, np.ndarray]
    held: mmap.mmap

    @property
    def name(self) -> str:
        return self.path.name

    def find(self, hashes: np.ndarray, rests: np.ndarray) -> np.ndarray:
        """`Claims.find`, held against the checksums. Raises UidIndexDamaged.

        Values before and behind the place where a hash would be prove that it is not there, if they are what was
        written: so wherever the search was led to, only these are held against theirs.
        """
        at = np.searchsorted(self.claims.hashes, hashes)
        places = self.claims.find(hashes, rests, at)
        there = places >= 0
        absent = at[~there]
        behind = np.minimum(absent, len(self.claims) - 1)
        self._check("hashes", np.concatenate((behind, np.maximum(absent - 1, 0))))
        alike = behind[self.claims.hashes[behind] == hashes[~there]]
        if len(alike):
            # Rare, for all that differs is the rest: several of one hash lie side by side.
            last = np.searchsorted(self.claims.hashes, self.claims.hashes[alike], "right")
            for start, end in zip(alike.tolist(), last.tolist(), strict=True):
                self.check(start, end)
        for name in ("contents", "positions"):
            self._check(name, places[there])
        return places

    def check(self, start: int, end: int) -> None:
        """Hold all columns from one place to another against their checksums. Raises UidIndexDamaged."""
        for name in COLUMNS:
            self._check_blocks(name, range(start // BLOCK, -(-end // BLOCK)))

    def keys(self) -> Iterator[Claims]:
        """What the filter needs, some at a time: read, as mapping each page would cost several times as much."""
        nothing = np.empty(0, NUMBER)
        count = len(self.claims)
        with self.path.open("rb") as file:
            for start in range(0, count, PIECE):
                end = min(start + PIECE, count)
                columns: list[np.ndarray] = []
                for place, name in enumerate(COLUMNS[:2]):  # hashes and rests come first
                    at = HEAD_BYTES + NUMBER.itemsize * (place * count + start)
                    raw = os.pread(file.fileno(), NUMBER.itemsize * (end - start), at)
                    if sums(name, raw, start // BLOCK) != self.checks[name][start // BLOCK : -(-end // BLOCK)].tolist():
                        raise damage(self.path, f"its {name} do not match their checksums")
                    columns.append(np.frombuffer(raw, NUMBER))
                hashes, rests = columns
                yield Claims(hashes, rests, nothing, nothing)

    def let_go(self) -> None:
        """Take what was read of the file out of the memory of this process."""
        self.held.madvise(mmap.MADV_DONTNEED)

    def _check(self, name: str, places: np.ndarray) -> None:
        """Hold the blocks that places of a column lie in against their checksums."""
        self._check_blocks(name, np.unique(places // BLOCK).tolist())

    def _check_blocks(self, name: str, blocks: Iterable[int]) -> None:
        values, checks = getattr(self.claims, name), self.checks[name]
        for block in blocks:
            if checks[block] != _sum(name, values[block * BLOCK : (block + 1) * BLOCK].data, block):
                raise damage(self.path, f"its {name} do not match their checksums")


class Listed(msgspec.Struct, frozen=True):
    """What counts: up to which journal position, and the names of the files."""

    mark: int
    names: tuple[str, ...]
    check: str = ""

    def sum(self) -> str:
        """The checksum of what counts."""
        return xxhash.xxh3_64_hexdigest(msgspec.json.encode((self.mark, self.names)))


def _sum(name: str, values: memoryview, block: int) -> int:
    """The checksum of a block of a column; those of like blocks at other places differ."""
    return xxhash.xxh3_64_intdigest(values, seed=block * len(COLUMNS) + COLUMNS.index(name))


def sums(name: str, data: bytes, first: int) -> list[int]:
    """The checksums of the blocks in data of a column that begins with block `first`."""
    view, width = memoryview(data), BLOCK * KINDS[name].itemsize
    return [_sum(name, view[at : at + width], first + at // width) for at in range(0, len(data), width)]


# -------------------------------------------------------------------------------------------------------- writing


def write_run(path: Path, pieces: Iterable[Claims], count: int) -> Run:
    """A new run of `count` claims that come in order: on disk, but not counted yet. Raises OSError, and leaves
    nothing behind then, nor when `pieces` raises."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        try:
            _write_all(file, pieces, count)
            os.fsync(file)
        finally:
            os.close(file)
        return map_run(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_all(file: int, pieces: Iterable[Claims], count: int) -> None:
    head = MAGIC + count.to_bytes(8, "little")
    _write(file, head + xxhash.xxh3_64_intdigest(head).to_bytes(8, "little"), 0)
    done = 0
    checks: dict[str, list[int]] = {name: [] for name in COLUMNS}
    unsummed = dict.fromkeys(COLUMNS, b"")  # the begun block of each column
    for piece in pieces:
        start = HEAD_BYTES
        for name, kind in KINDS.items():
            values = getattr(piece, name).tobytes()
            _write(file, values, start + kind.itemsize * done)
            start += kind.itemsize * count
            joined = unsummed[name] + values
            whole = len(joined) - len(joined) % (BLOCK * kind.itemsize)
            checks[name] += sums(name, joined[:whole], len(checks[name]))
            unsummed[name] = joined[whole:]
        done += len(piece)
    assert done == count, "a merge neither makes nor loses claims"
    for name, rest in unsummed.items():
        checks[name] += sums(name, rest, len(checks[name]))
    _write(file, np.array([each for column in checks.values() for each in column], NUMBER).tobytes(), start)


def merged_runs(runs: Sequence[Run], between: Callable[[], None]) -> Iterator[Claims]:
    """The claims of the runs in order, piece by piece, each held against its checksums: a merge must not put new ones
    under what was spoiled. `between` is called before each piece. Raises UidIndexDamaged."""

    def check(which: int, start: int, end: int) -> None:
        runs[which].check(start, end)

    for piece in merged_in_pieces([run.claims for run in runs], check=check):
        between()
        yield piece
        for run in runs:
            run.let_go()


def prepare_list(directory: Path, listed: Listed) -> None:
    """Write the list of what shall count: durable, with the names of the files in it, when this returns."""
    file = os.open(directory / PREPARED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        _write(file, msgspec.json.encode(msgspec.structs.replace(listed, check=listed.sum())), 0)
        os.fsync(file)
    finally:
        os.close(file)
    sync_directory(directory)


def replace_list(directory: Path) -> None:
    """Let the prepared list count. Should this fail half way, both lists are good, and what both name must stay."""
    os.replace(directory / PREPARED, directory / RUNS)
    sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(file: int, data: bytes, offset: int) -> None:
    """Write all at an offset, however often the system takes only some of it."""
    rest = memoryview(data)
    while rest:
        taken = os.pwrite(file, rest, offset)
        rest, offset = rest[taken:], offset + taken


# -------------------------------------------------------------------------------------------------------- opening


def map_run(path: Path) -> Run:
    """The claims of a file, read as they are needed. Raises UidIndexDamaged; OSError when the system cannot."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise damage(path, "it is not there") from None
    try:
        mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise damage(path, "it is empty") from None
    finally:
        os.close(file)
    held = np.frombuffer(mapped, np.uint8)
    head = held[:HEAD_BYTES].tobytes()
    count = int.from_bytes(head[-16:-8], "little")
    if not head.startswith(MAGIC):
        raise damage(path, "it is not of this version of the program")
    if head[-8:] != xxhash.xxh3_64_intdigest(head[:-8]).to_bytes(8, "little"):
        raise damage(path, "its head does not match its checksum")
    blocks = -(-count // BLOCK)
    if len(held) != HEAD_BYTES + CLAIM_BYTES * count + NUMBER.itemsize * len(COLUMNS) * blocks:
        raise damage(path, f"it is {len(held):,} bytes long, which is not right for {count:,} claims")
    columns: list[np.ndarray] = []
    start = HEAD_BYTES
    for kind in KINDS.values():
        end = start + kind.itemsize * count
        columns.append(held[start:end].view(NUMBER).reshape((count, *kind.shape)))
        start = end
    checks = held[start:].view(NUMBER).reshape(len(COLUMNS), blocks)
    return Run(path, Claims(*columns), dict(zip(COLUMNS, checks, strict=True)), mapped)


def read_list(directory: Path) -> Listed:
    """What counts in a directory; nothing in a new one. Raises UidIndexDamaged."""
    path = directory / RUNS
    try:
        listed = wire.decode(Listed, path.read_bytes())
    except FileNotFoundError:
        return Listed(0, ())
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise damage(path, "it is no list of files") from None
    if listed.check != listed.sum():
        raise damage(path, "it does not match its checksum")
    return listed


def damage(path: Path, what: str) -> UidIndexDamaged:
    """What to tell about a file, and what to do."""
    return UidIndexDamaged(
        f"the uid index is damaged: {path}: {what}. Stop the server; `tallystick rebuild --uids` makes the index again "
        "from the journal"
    )
