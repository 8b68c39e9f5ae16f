"""The uid index as sorted files: which uids were ever claimed, with what content, and where in the journal.

Claims are gathered in memory and written as a run of many: a file of claims in the order of their hashes, written once
and never changed (see `uid_runs`). Runs of like size are merged into one by a thread of their own, four at a time, so
that there are few. Nothing is looked for in files but keys that the filter says may be known. DIR also holds `lock`.

A run is on disk before the list of those that count names it, and the list is replaced as a whole. So the mark, the
journal position up to which the index is complete, always agrees with the claims, and what a crash takes is claimed
again from the journal (docs/decisions/0240-uids-in-sorted-runs.md).
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tallystick.errors import Refusal
from tallystick.failpoints import reached
from tallystick.ports import Claim
from tallystick.stores.uid_claims import Claims, Filter, claims_of, merged, split_keys
from tallystick.stores.uid_runs import (
    SUFFIX,
    Listed,
    Run,
    UidIndexDamaged,
    map_run,
    merged_runs,
    prepare_list,
    read_list,
    replace_list,
    sync_directory,
    write_run,
)

log = logging.getLogger(__name__)

GATHER = 50_000  # claims that are written together
LET_GO = 2_000  # keys that are looked for in files before their pages leave the memory: up to 0.5 MiB for each
TOGETHER = 4  # runs of like size that are merged into one


class UidIndexInUse(Exception):
    """Another process has this index open."""


class SortedUidIndex:
    """`ports.UidIndex` on a directory. One process may have it open; one thread puts."""

    def __init__(self, directory: Path, *, gather: int = GATHER) -> None:
        """Open or create. Raises UidIndexInUse or UidIndexDamaged."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._gather = gather
        self._lock = _lock(directory)
        try:
            kept = read_list(directory)
            self._mark = self._written = kept.mark
            self._runs = tuple(map_run(directory / name) for name in kept.names)
            self._next = 1 + max((int(path.stem) for path in directory.glob("*" + SUFFIX)), default=0)
            # A killed process may have replaced the list and not synced its name: before what the list of the disk may
            # still name is removed, it must be the one that was read. The same holds for the name of the directory.
            sync_directory(directory)
            sync_directory(directory.parent)
            self._recent: tuple[Claims, ...] = ()  # what is not written yet, the largest part first
            self._changing = threading.Condition()  # held while the runs that count are changed
            self._filter = self._new_filter()
            self._forget(path.name for path in directory.glob("*" + SUFFIX) if path.name not in kept.names)
        except BaseException:
            os.close(self._lock)
            raise
        self._looked_for = 0  # keys that were looked for since the files' pages were let go of
        self._damage: str | None = None
        self._closing = False
        self._merger: threading.Thread | None = None

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, Claim]:
        """The claims on those of the keys that have one. Any thread may ask.

        Refusal `busy` once a file is found damaged.
        """
        if self._damage is None:
            try:
                return self._look_up(keys)
            except UidIndexDamaged as problem:
                self._found_damaged(problem)
        raise Refusal("busy", f"{self._damage}; nothing more is taken until then")

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, Claim]:
        recent = self._recent  # before the runs: what becomes a run meanwhile is still in here
        found: dict[bytes, Claim] = {}
        if not keys:
            return found
        hashes, rests = split_keys(keys)
        asked = np.flatnonzero(self._filter.may_know(hashes, rests))
        for each in (*recent, *reversed(self._runs)):
            if not len(asked):
                break
            self._looked_for += len(asked) if isinstance(each, Run) else 0
            places = each.find(hashes[asked], rests[asked])
            claims = each.claims if isinstance(each, Run) else each
            there = places >= 0
            for at, place in zip(asked[there].tolist(), places[there].tolist(), strict=True):
                found[keys[at]] = Claim(claims.contents[place].tobytes(), int(claims.positions[place]))
            asked = asked[~there]
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
            self._enlarge_filter()
        reached("uids.put")
        self._merge_soon()

    @property
    def mark(self) -> int:
        """The journal position up to which the index is complete; 0 when empty."""
        return self._mark

    @property
    def damage(self) -> str | None:
        """What a look-up or a merge found damaged, and what to do."""
        return self._damage

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
            self._merge_below(None)
        except _Stopped:
            return
        except UidIndexDamaged as problem:
            self._found_damaged(problem)
        except OSError as problem:
            log.warning("runs of the uid index could not be merged (%s); they stay apart until later", problem)

    def _merge_below(self, size: int | None) -> None:
        """Merge while there are runs to merge, of less than a size if one is given."""
        while alike := self._alike(size):
            count = sum(len(run.claims) for run in alike)
            own = self._size(alike[0])
            self._replace(alike, self._write(merged_runs(alike, partial(self._go_on, own)), count), None)

    def _go_on(self, size: int) -> None:
        """Between the pieces of a merge: stop when the index is being closed; else merge first what became enough of
        smaller runs meanwhile, since large merges take minutes and each look-up asks every run."""
        if self._closing:
            raise _Stopped
        self._merge_below(size)

    def _alike(self, below: int | None = None) -> tuple[Run, ...]:
        """TOGETHER runs or more of like size, the smallest there are; else nothing."""
        sizes: dict[int, list[Run]] = {}
        for run in self._runs:
            sizes.setdefault(self._size(run), []).append(run)
        enough = [size for size, alike in sizes.items() if len(alike) >= TOGETHER and (below is None or size < below)]
        return tuple(sizes[min(enough)]) if enough else ()

    def _size(self, run: Run) -> int:
        """Runs of one size are merged: 0 for what is written at once, and one more for each TOGETHER times as much."""
        size = 0
        while len(run.claims) >= self._gather * TOGETHER ** (size + 1):
            size += 1
        return size

    def _found_damaged(self, problem: UidIndexDamaged) -> None:
        self._damage = str(problem)
        log.error("%s; nothing more is taken until then", problem)

    # ------------------------------------------------------------------------------------------------------ files

    def _write(self, pieces: Iterable[Claims], count: int) -> Run:
        """A new run of `count` claims that come in order: on disk, but not counted yet."""
        with self._changing:
            name = f"{self._next:010d}{SUFFIX}"
            self._next += 1
        return write_run(self._directory / name, pieces, count)

    def _replace(self, old: Sequence[Run], new: Run, mark: int | None) -> None:
        """Let a run count in the place of others; `mark`: what the index is complete up to from here on."""
        gone = {run.name for run in old}
        with self._changing:
            runs = (*(run for run in self._runs if run.name not in gone), new)
            written = self._written if mark is None else mark
            try:
                prepare_list(self._directory, Listed(written, tuple(run.name for run in runs)))
            except OSError:
                self._forget([new.name])
                raise
            replace_list(self._directory)
            self._runs, self._written = runs, written
        self._forget(gone)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            (self._directory / name).unlink(missing_ok=True)

    def _enlarge_filter(self) -> None:
        """Make a larger filter. The old one knows all too, only less well: it stays when a file cannot be read."""
        try:
            self._filter = self._new_filter()
        except UidIndexDamaged as problem:
            self._found_damaged(problem)
        except OSError as problem:
            log.warning("the filter of the uid index could not be made larger (%s)", problem)

    def _new_filter(self) -> Filter:
        """A filter of everything there is, with room for as much again."""
        with self._changing:  # a merge must not take away what is being read
            made = Filter(sum(map(len, self._recent)) + sum(len(run.claims) for run in self._runs))
            made.add(self._recent)
            for run in self._runs:
                made.add(run.keys())
        return made


class _Stopped(Exception):
    """The index is being closed: what was to be merged is merged another time."""


def _lock(directory: Path) -> int:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UidIndexInUse(f"{directory} is in use: another process holds its lock") from None
    return lock
