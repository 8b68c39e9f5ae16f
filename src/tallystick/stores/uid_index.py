"""The uid index as sorted files: which uids were ever claimed, with what content, and where in the journal.

DIR holds `lock`, `runs` (JSON: the mark, and the names of the files that count) and `NUMBER.uids`, each a run: claims
in the order of their hashes, column after column (see `uid_claims`), written once and never changed. Claims are
gathered in memory and written as a run of many; runs of like size are merged into one by a thread of their own, four at
a time, so that there are few. Nothing is looked for in files but keys that the filter says may be known.

A run is on disk before `runs` names it, and `runs` is replaced as a whole. So the mark, the journal position up to
which the index is complete, always agrees with the claims, and what a crash takes is claimed again from the journal
(docs/decisions/0240-uids-in-sorted-runs.md).
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from tallystick.errors import Refusal
from tallystick.failpoints import reached
from tallystick.ports import Claim
from tallystick.stores.uid_claims import (
    CLAIM_BYTES,
    COLUMNS,
    CONTENT,
    PIECE,
    Claims,
    Filter,
    claims_of,
    merged,
    merged_in_pieces,
    split_keys,
)

log = logging.getLogger(__name__)

MAGIC = b"tallystick uids 1".ljust(40, b"\n")
SUFFIX = ".uids"
RUNS = "runs"
PREPARED = "runs.new"
GATHER = 50_000  # claims that are written together
LET_GO = 500  # keys that are found before what was read of the files leaves the memory: up to 2 MiB for each
TOGETHER = 4  # runs of like size that are merged into one


class UidIndexInUse(Exception):
    """Another process has this index open."""


class UidIndexDamaged(Exception):
    """A file that counts is not there or not whole: make the index again from the journal."""


class _Run(NamedTuple):
    """A file of claims, as it lies in memory when it is read."""

    name: str
    claims: Claims
    held: mmap.mmap

    def keys(self, directory: Path) -> Iterator[Claims]:
        """What the filter needs, some at a time: read, as mapping each page would cost several times as much."""
        nothing = np.empty(0, np.uint64)
        size = np.dtype(np.uint64).itemsize
        with (directory / self.name).open("rb") as file:
            for start in range(0, len(self.claims), PIECE):
                count = min(PIECE, len(self.claims) - start)
                columns: list[np.ndarray] = []
                for place in range(2):  # hashes and rests come first
                    at = len(MAGIC) + size * (place * len(self.claims) + start)
                    columns.append(np.frombuffer(os.pread(file.fileno(), size * count, at), np.uint64))
                hashes, rests = columns
                yield Claims(hashes, rests, nothing, nothing)

    def let_go(self) -> None:
        """Take what was read of the file out of the memory of this process."""
        self.held.madvise(mmap.MADV_DONTNEED)


class _Runs(msgspec.Struct, frozen=True):
    """What counts: up to which journal position, and the names of the files."""

    mark: int
    names: tuple[str, ...]


class SortedUidIndex:
    """`ports.UidIndex` on a directory. One process may have it open; one thread puts."""

    def __init__(self, directory: Path, *, gather: int = GATHER) -> None:
        """Open or create. Raises UidIndexInUse or UidIndexDamaged."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._gather = gather
        self._lock = _lock(directory)
        try:
            kept = _read_runs(directory)
            self._mark = self._written = kept.mark
            self._runs = tuple(_mapped(directory / name) for name in kept.names)
            self._next = 1 + max((int(path.stem) for path in directory.glob("*" + SUFFIX)), default=0)
            self._forget(path.name for path in directory.glob("*" + SUFFIX) if path.name not in kept.names)
        except BaseException:
            os.close(self._lock)
            raise
        self._recent: tuple[Claims, ...] = ()  # what is not written yet, the largest part first
        self._filter = self._new_filter()
        self._looked_for = 0  # keys that were found since the files' pages were let go of
        self._closing = False
        self._changing = threading.Condition()  # held while the runs that count are changed
        self._merger: threading.Thread | None = None

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, Claim]:
        """The claims on those of the keys that have one. Any thread may ask."""
        recent = self._recent  # before the runs: what becomes a run meanwhile is still in here
        found: dict[bytes, Claim] = {}
        if not keys:
            return found
        hashes, rests = split_keys(keys)
        asked = np.flatnonzero(self._filter.may_know(hashes, rests))
        for claims in (*recent, *(run.claims for run in reversed(self._runs))):
            if not len(asked):
                break
            places = claims.find(hashes[asked], rests[asked])
            there = places >= 0
            for at, place in zip(asked[there].tolist(), places[there].tolist(), strict=True):
                found[keys[at]] = Claim(claims.contents[place].tobytes(), int(claims.positions[place]))
            asked = asked[~there]
        self._looked_for += len(found)
        if self._looked_for > LET_GO:
            self._looked_for = 0
            for run in self._runs:
                run.let_go()
        return found

    def put(self, keys: Sequence[bytes], contents: Sequence[bytes], first: int, mark: int) -> None:
        """Add claims, positions from `first` on, and move the mark. They are kept from here on, and written together
        with others: see `flush`, which this may do."""
        if keys:
            new = claims_of(keys, contents, first)
            self._filter.add([new])
            recent = [*self._recent, new]
            while len(recent) > 1 and len(recent[-2]) <= 2 * len(recent[-1]):
                recent[-2:] = [merged(recent[-2:])]
            self._recent = tuple(recent)
        self._mark = mark
        if sum(map(len, self._recent)) >= self._gather:
            self.flush()

    def flush(self) -> None:
        """Make what was put durable, as a run of its own.

        Refusal `busy` when the disk does not take it: then it stays in memory.
        """
        if not self._recent:
            return
        claims = merged(self._recent)
        try:
            run = self._write([claims], len(claims))
            self._replace((), run, self._mark)
        except OSError as problem:
            message = f"the uid index could not be written ({problem.strerror}); send the same again"
            raise Refusal("busy", message) from problem
        self._recent = ()
        if self._filter.full:
            self._filter = self._new_filter()
        reached("uids.put")
        self._merge_soon()

    @property
    def mark(self) -> int:
        """The journal position up to which the index is complete; 0 when empty."""
        return self._mark

    def close(self) -> None:
        """Write out, as far as the disk takes it, and let another process open the index."""
        with self._changing:
            self._closing = True
        if self._merger is not None:
            self._merger.join()
        try:
            self.flush()
        except Refusal as problem:
            log.warning("%s; the journal has them, the next start claims them again", problem)
        os.close(self._lock)

    # ---------------------------------------------------------------------------------------------------- merging

    def _merge_soon(self) -> None:
        """Let a thread merge runs of like size, if there are enough of them and it is not at work already."""
        with self._changing:
            if self._closing or (self._merger is not None and self._merger.is_alive()) or not self._alike():
                return
            self._merger = threading.Thread(target=self._merge, name="uid merger", daemon=True)
            self._merger.start()

    def _merge(self) -> None:
        try:
            while (runs := self._alike()) and not self._closing:
                parts = [run.claims for run in runs]
                self._replace(runs, self._write(merged_in_pieces(parts), sum(map(len, parts))), None)
        except _Stopped:
            return
        except OSError as problem:
            log.warning("runs of the uid index could not be merged (%s); they stay apart until later", problem)

    def _alike(self) -> tuple[_Run, ...]:
        """TOGETHER runs or more of like size, the smallest there are; else nothing."""
        sizes: dict[int, list[_Run]] = {}
        for run in self._runs:
            size = 0
            while len(run.claims) >= self._gather * TOGETHER ** (size + 1):
                size += 1
            sizes.setdefault(size, []).append(run)
        return next((tuple(alike) for _, alike in sorted(sizes.items()) if len(alike) >= TOGETHER), ())

    # ------------------------------------------------------------------------------------------------------ files

    def _write(self, pieces: Iterable[Claims], count: int) -> _Run:
        """A new run of `count` claims that come in order: on disk, but not counted yet."""
        with self._changing:
            name = f"{self._next:010d}{SUFFIX}"
            self._next += 1
        path = self._directory / name
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write(file, MAGIC, 0)
            done = 0
            for piece in pieces:
                self._go_on(done)
                start = len(MAGIC)
                for column in COLUMNS:
                    values = getattr(piece, column).tobytes()
                    width = len(values) // len(piece)
                    _write(file, values, start + width * done)
                    start += width * count
                done += len(piece)
            assert done == count, "a merge neither makes nor loses claims"
            os.fsync(file)
        except BaseException:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        os.close(file)
        return _mapped(path)

    def _go_on(self, done: int) -> None:
        """Between the pieces of a run, which only merges have several of: stop when the index is being closed."""
        if self._closing and done:
            raise _Stopped

    def _replace(self, old: Sequence[_Run], new: _Run, mark: int | None) -> None:
        """Let a run count in the place of others; `mark`: what the index is complete up to from here on."""
        gone = {run.name for run in old}
        with self._changing:
            runs = (*(run for run in self._runs if run.name not in gone), new)
            written = self._written if mark is None else mark
            try:
                _prepare(self._directory, _Runs(written, tuple(run.name for run in runs)))
            except OSError:
                self._forget([new.name])
                raise
            # Should this fail half way, both lists are good, and both stay.
            os.replace(self._directory / PREPARED, self._directory / RUNS)
            _sync_directory(self._directory)
            self._runs, self._written = runs, written
        self._forget(gone)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            (self._directory / name).unlink(missing_ok=True)

    def _new_filter(self) -> Filter:
        """A filter of everything there is, with room for as much again."""
        made = Filter(sum(map(len, self._recent)) + sum(len(run.claims) for run in self._runs))
        made.add(self._recent)
        for run in self._runs:
            made.add(run.keys(self._directory))
        return made


class _Stopped(Exception):
    """The index is being closed: what was to be merged is merged another time."""


def _mapped(path: Path) -> _Run:
    """The claims of a file, read as they are needed."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as problem:
        raise _damage(path) from problem
    held = np.frombuffer(mapped, np.uint8)
    count, rest = divmod(len(held) - len(MAGIC), CLAIM_BYTES)
    if count < 1 or rest or held[: len(MAGIC)].tobytes() != MAGIC:
        raise _damage(path)
    columns: list[np.ndarray] = []
    start = len(MAGIC)
    for name in COLUMNS:
        kind = CONTENT if name == "contents" else np.dtype(np.uint64)
        end = start + kind.itemsize * count
        columns.append(held[start:end].view(np.uint64).reshape((count, *kind.shape)))
        start = end
    return _Run(path.name, Claims(*columns), mapped)


def _damage(path: Path) -> UidIndexDamaged:
    return UidIndexDamaged(
        f"the uid index is damaged: {path} is not there or not whole; `tallystick rebuild --uids` makes it again from "
        "the journal"
    )


def _read_runs(directory: Path) -> _Runs:
    path = directory / RUNS
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Runs)
    except FileNotFoundError:
        return _Runs(0, ())
    except msgspec.MsgspecError as problem:
        raise _damage(path) from problem


def _prepare(directory: Path, runs: _Runs) -> None:
    """Write the list of what shall count: durable, with the names of the files in it, when this returns."""
    file = os.open(directory / PREPARED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        _write(file, msgspec.json.encode(runs), 0)
        os.fsync(file)
    finally:
        os.close(file)
    _sync_directory(directory)


def _write(file: int, data: bytes, offset: int) -> None:
    """Write all at an offset, however often the system takes only some of it."""
    rest = memoryview(data)
    while rest:
        taken = os.pwrite(file, rest, offset)
        rest, offset = rest[taken:], offset + taken


def _lock(directory: Path) -> int:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UidIndexInUse(f"{directory} is in use: another process holds its lock") from None
    return lock


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
