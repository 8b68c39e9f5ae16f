"""The spool: measurements in files of a directory, until the server has them.

Each file is a segment: a line that says how far it is sent, then a line for each measurement, its CRC and its JSON. Who
writes a segment, or sends it, holds a lock on it, which ends with the process: so that what a process leaves behind
when it dies is sent by whoever comes next, and any number of processes may share a directory. A segment that is sent
is deleted. After a crash some of it may be sent twice, under the same uids: the server counts it once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

SEGMENT_BYTES = 4 * 1024 * 1024
ENDING = ".spool"
DAMAGED = ".damaged"
LOOK_SECONDS = 1.0  # between two looks at how much the directory holds …
HOLD_SECONDS = 5.0  # at most, for who forks
LEFT_SECONDS = 5.0  # … and at whether other processes have left something
_HEAD = b"TALLYSTICK-SPOOL 1 %020d\n"
_HEAD_BYTES = len(_HEAD % 0)
_HEADER = re.compile(rb"TALLYSTICK-SPOOL 1 (\d{20})\n")


class SpoolFull(Exception):
    """The spool holds as much as it may, or its disk is full. Nothing of what was to be appended was kept."""


class Taken(NamedTuple):
    """Measurements from a segment, to be sent; `end` is where the next begin."""

    lines: list[bytes]
    segment: Path
    end: int


class Spool:
    """One process's way to a directory of segments. Safe to use from several threads.

    `limit`: bytes that all segments may have together, whoever wrote them; each process may be beyond it by what it
    appends within a second. With `sync` what is appended is on the disk when `append` returns, else it is with the
    operating system: safe from the death of this process, not from a power cut. `on_damaged` is told how many lines
    could not be read; they are kept beside the segment, in a file that ends in `.damaged`.
    """

    def __init__(
        self,
        directory: Path,
        limit: int,
        *,
        sync: bool = False,
        on_damaged: Callable[[int], None] = lambda _: None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory, self._limit, self._sync = directory, limit, sync
        self._on_damaged, self._segment_bytes = on_damaged, segment_bytes
        self._lock = Lock()
        self._writing: tuple[Path, int, int] | None = None  # path, file, size
        self._reading: _Reading | None = None
        self._held = self._size()
        self._looked = self._looked_for_others = time.monotonic()
        self._may_wait = True  # whether a look may find something to send

    # ---------------------------------------------------------------------------------------------- writing

    def append(self, lines: Sequence[bytes]) -> None:
        """Keep lines, in order, all or none of them. SpoolFull where they do not fit."""
        framed = b"".join(b"%08x %s\n" % (zlib.crc32(line), line) for line in lines)
        with self._lock:
            now = time.monotonic()
            late = now - self._looked > LOOK_SECONDS
            if late or self._writing is None or self._held + len(framed) > self._limit:
                self._held, self._looked = self._size(), now
            if self._held + len(framed) > self._limit:
                raise SpoolFull(f"the spool holds {self._held:,} bytes, of at most {self._limit:,}")
            path, file, size = self._writing or self._begin()
            try:
                _write(file, framed)
                if self._sync:
                    os.fdatasync(file)
            except OSError as problem:
                self._writing = (path, file, size)
                try:
                    os.ftruncate(file, size)
                except OSError:  # then nothing more is written behind half a line
                    self._seal()
                raise SpoolFull(f"the spool's disk: {os.strerror(problem.errno or errno.EIO)}") from problem
            self._writing = (path, file, size + len(framed))
            self._held += len(framed)
            self._may_wait = True
            if size + len(framed) >= self._segment_bytes:
                self._seal()

    def _begin(self) -> tuple[Path, int, int]:
        """A segment of one's own, locked."""
        while True:
            path = self._directory / f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}{ENDING}"
            try:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # somebody may have tidied it away
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except OSError as problem:
                raise SpoolFull(f"the spool cannot be written: {os.strerror(problem.errno or errno.EIO)}") from problem
            if not _locked(path, file):  # somebody took it between the two, found it empty, and deleted it
                os.close(file)
                continue
            try:
                _write(file, _HEAD % _HEAD_BYTES)
                if self._sync:
                    _sync_directory(self._directory)
            except OSError as problem:
                os.unlink(path)
                os.close(file)
                raise SpoolFull(f"the spool's disk: {os.strerror(problem.errno or errno.EIO)}") from problem
            self._writing = (path, file, _HEAD_BYTES)
            return self._writing

    def _seal(self) -> None:
        """Let go of the segment that is being written, so that it can be sent."""
        if self._writing is not None:
            file = self._writing[1]
            self._writing = None
            with suppress(OSError):
                os.fdatasync(file)
            os.close(file)

    # ---------------------------------------------------------------------------------------------- sending

    def take(self, count: int, size: int) -> Taken | None:
        """The next measurements to send: at most so many, of so many bytes with what stands between them (one at
        least). None where there are none, or other processes are at them."""
        with self._lock:
            while True:
                if self._reading is None:
                    self._reading = self._open_next()
                    if self._reading is None:
                        return None
                taken, damaged = self._reading.next(count, size)
                if damaged:
                    self._put_aside(self._reading.path, damaged)
                if taken.lines:
                    return taken
                self._finish(self._reading)

    def done(self, taken: Taken) -> None:
        """The server has these: they are not taken again."""
        with self._lock:
            reading = self._reading
            if reading is None or reading.path != taken.segment:
                return
            reading.at = taken.end
            if reading.at >= len(reading.content):
                self._finish(reading)
            else:
                with suppress(OSError):  # then they are sent once more, and counted once
                    os.pwrite(reading.file, _HEAD % taken.end, 0)

    def _open_next(self) -> _Reading | None:
        now = time.monotonic()
        if not self._may_wait and now - self._looked_for_others < LEFT_SECONDS:
            return None
        self._looked_for_others = now
        for sealed in (False, True):
            if sealed:
                if self._writing is None or self._writing[2] <= _HEAD_BYTES:
                    break
                self._seal()
            for path in self._segments():
                if self._writing is not None and path == self._writing[0]:
                    continue
                found = _open(path)
                if found is not None:
                    return found
        self._may_wait = False
        return None

    def _finish(self, reading: _Reading) -> None:
        self._held = max(0, self._held - len(reading.content))
        self._reading = None
        self._may_wait = True
        with suppress(OSError):
            os.unlink(reading.path)
        os.close(reading.file)

    def _put_aside(self, path: Path, damaged: list[bytes]) -> None:
        with suppress(OSError), path.with_suffix(DAMAGED).open("ab") as file:
            file.writelines(each + b"\n" for each in damaged)
        self._on_damaged(len(damaged))

    # ---------------------------------------------------------------------------------------------- all of it

    def empty(self) -> bool:
        """Whether nothing is in it that this process could send now, or is sending."""
        with self._lock:
            if self._reading is not None or (self._writing is not None and self._writing[2] > _HEAD_BYTES):
                return False
            for path in self._segments():
                if self._writing is None or path != self._writing[0]:
                    found = _open(path)
                    if found is not None:
                        os.close(found.file)
                        return False
            return True

    def size(self) -> int:
        """Bytes that all segments have together."""
        with self._lock:
            return self._size()

    def close(self) -> None:
        """Let go of all segments: whoever comes next sends them. It can be used again."""
        with self._lock:
            if self._writing is not None and self._writing[2] <= _HEAD_BYTES:
                with suppress(OSError):
                    os.unlink(self._writing[0])
            self._seal()
            if self._reading is not None:
                os.close(self._reading.file)
                self._reading = None
            self._may_wait = True

    def hold(self) -> bool:
        """Before a fork: let no file be between opened and known, which a child would keep open, and so locked, for as
        long as it lives. Whether that was so in time."""
        return self._lock.acquire(timeout=HOLD_SECONDS)

    def let_go(self) -> None:
        """After a fork, in the parent."""
        self._lock.release()

    def forget(self) -> None:
        """After a fork, in the child: what is open is the parent's, and stays locked for it."""
        self._lock = Lock()
        for file in (self._writing and self._writing[1], self._reading and self._reading.file):
            if file:
                os.close(file)
        self._writing = self._reading = None
        self._may_wait = True

    def _segments(self) -> list[Path]:
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return []
        return [self._directory / name for name in names if name.endswith(ENDING)]

    def _size(self) -> int:
        found = 0
        for path in self._segments():
            with suppress(FileNotFoundError):  # another process has sent it meanwhile
                found += path.stat().st_size
        return found


class _Reading:
    """A segment that is being sent."""

    def __init__(self, path: Path, file: int, content: bytes) -> None:
        self.path, self.file, self.content = path, file, content
        self.at = _start(content)
        self._told = self.at  # up to where damaged lines were told of

    def next(self, count: int, size: int) -> tuple[Taken, list[bytes]]:
        """The next measurements, and the lines before and between them that cannot be read."""
        lines: list[bytes] = []
        damaged: list[bytes] = []
        at, taken = self.at, 0
        while at < len(self.content) and len(lines) < count:
            end = self.content.find(b"\n", at)
            line = self.content[at : end if end >= 0 else None]
            body = line[9:]
            if end < 0 or line[8:9] != b" " or line[:8] != b"%08x" % zlib.crc32(body):
                if line and at >= self._told:
                    damaged.append(line)
            elif lines and taken + len(body) + 1 > size:
                break
            else:
                lines.append(body)
                taken += len(body) + 1
            at = end + 1 if end >= 0 else len(self.content)
        self._told = max(self._told, at)
        if not lines:
            self.at = at
        return Taken(lines, self.path, at), damaged


def _open(path: Path) -> _Reading | None:
    """A segment that nobody else is at, locked."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not _locked(path, file):
        os.close(file)
        return None
    with open(file, "rb", closefd=False) as stream:
        return _Reading(path, file, stream.read())


def _locked(path: Path, file: int) -> bool:
    """Lock a segment, unless somebody else has, or it was deleted meanwhile."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.stat(path).st_ino == os.fstat(file).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _start(content: bytes) -> int:
    """Where what is not sent yet begins."""
    header = _HEADER.match(content)
    if header is None:
        return 0
    at = int(header.group(1))
    return at if _HEAD_BYTES <= at <= len(content) and content[at - 1 : at] == b"\n" else _HEAD_BYTES


def _write(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
