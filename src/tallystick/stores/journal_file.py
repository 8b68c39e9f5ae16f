"""The journal as append-only segment files: one frame per append, fsynced before anyone is told.

Layout of DIR: `lock`, and segments named by the first position they hold, `00000000000000000001.journal`. A segment
starts with MAGIC; then come frames. A frame is one append, whole or not at all:

    head    MARK, length of the body (u32), first position (u64), number of entries (u32), CRC-32 of the fields
            before it and of the body (u32), all little-endian
    body    msgpack: [[organization id, kind, received (microseconds since 1970), first position, [entry, …]], …]

Why one frame per append: the next append starts only after the one before is durable, so a broken frame is an
append that nobody was told of if and only if no whole frame follows it. That tells a torn tail, which is cut off
on opening, from damage inside, which stops the server with the file and the offset.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.failpoints import reached
from tallystick.ports import Block
from tallystick.ports.packed import Buffer, Packed, opening

MAGIC = b"tallystick journal 1\n"
MARK = b"\xf5\x00\xffT"  # 0xf5 and 0xff never occur in UTF-8, so no measurement can look like the start of a frame
HEAD = struct.Struct("<4sIQII")
HEAD_CHECKED = 20  # bytes of the head that the checksum covers
SEGMENT_BYTES = 64 * 1024 * 1024
PAGE = 4096
PARTS = 1_000  # buffers that are written together at most; systems take 1,024
SUFFIX = ".journal"
EPOCH = Instant(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class JournalDamaged(Exception):
    """A part of the journal that was acknowledged cannot be read: an operator must restore it from a backup."""


class JournalInUse(Exception):
    """Another process has this journal open."""


class _Frame(NamedTuple):
    """Where a frame lies, and which positions it holds."""

    offset: int
    end: int
    first: int
    held: int  # number of entries


@dataclass(frozen=True, slots=True)
class _End:
    """How far the journal is durable: the segment being written, the offset after its last frame, the last position."""

    segment: int
    offset: int
    last: int


class _Broken(Exception):
    """The bytes at an offset are no whole frame."""


class FileJournal:
    """`ports.Journal` on a directory. One process may have it open; one thread appends, any thread reads."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open or create; cuts off a torn append. Raises JournalInUse or JournalDamaged."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = _lock(directory)
        try:
            self._segments = self._find_segments()
            self._file, self._end = self._open_last()
            self._sync_what_was_found()
        except BaseException:
            os.close(self._lock)
            raise
        self._dirty = False  # a failed append may have left bytes after the end
        self._damage: str | None = None
        self._resume = (0, 0, 0)  # where the last read stopped: position, segment, offset

    @property
    def last(self) -> int:
        """The highest durable position; 0 when empty."""
        return self._end.last

    @property
    def damage(self) -> str | None:
        """What a read found damaged, and what to do."""
        return self._damage

    def append(self, blocks: Sequence[Block]) -> list[Block]:
        """Write the blocks as one frame and return them with positions once they are on disk.

        Refusal `busy` when the disk does not take them (full, or failing), or when what was acknowledged before has
        been found damaged: then nothing is kept.
        """
        if self._damage is not None:
            raise Refusal("busy", f"{self._damage}; nothing more is taken until then")
        placed: list[Block] = []
        first = self._end.last + 1
        for block in blocks:
            assert block.entries, "a block holds at least one entry"
            placed.append(replace(block, first=first))
            first += len(block.entries)
        if not placed:
            return []
        count = first - placed[0].first
        try:
            self._clean_up()
            if self._end.offset >= self._segment_bytes:
                self._start_segment(self._end.last + 1)
            self._dirty = True
            size = _write(self._file, _frame(placed, count), self._end.offset)
            reached("journal.written")
            os.fdatasync(self._file)
            reached("journal.synced")
            self._dirty = False
        except OSError as problem:
            self._try_clean_up()
            message = f"the journal could not be written ({problem.strerror}); nothing of this request was kept"
            raise Refusal("busy", message) from problem
        start, end = self._end.offset, self._end.offset + size
        self._end = _End(self._end.segment, end, first - 1)
        _let_go(self._file, start, end)
        return placed

    def read(self, after: int) -> Iterator[Block]:
        """The durable blocks that have entries above `after`, in order, up to what is durable when the read starts.

        Raises JournalDamaged where a frame does not match its checksum, or does not follow the one before it.
        """
        end = self._end
        if after >= end.last:
            return
        at, segment, offset = self._resume
        if at != after or segment not in self._segments:
            segment = max((first for first in self._segments if first <= after + 1), default=self._segments[0])
            at, offset = segment - 1, len(MAGIC)
        for each in [first for first in self._segments if segment <= first <= end.segment]:
            start = offset if each == segment else len(MAGIC)
            stop = end.offset if each == end.segment else None
            at = yield from self._read_segment(each, (start, stop), after, at)

    def close(self) -> None:
        """Close the files and let another process open the journal."""
        os.close(self._file)
        os.close(self._lock)

    # ------------------------------------------------------------------------------------------------ reading

    def _read_segment(
        self, segment: int, part: tuple[int, int | None], after: int, last: int
    ) -> Generator[Block, None, int]:
        """The blocks in a part of a segment, the first of which follows the position `last`; answers the last one."""
        path = self._path(segment)
        offset, stop = part
        with path.open("rb") as file:
            stop = os.fstat(file.fileno()).st_size if stop is None else stop
            while offset < stop:
                try:
                    frame = _head(file.fileno(), offset, stop)
                    _require_next(frame, last)
                    wanted = frame.first + frame.held - 1 > after
                    blocks = _blocks(_checked(file.fileno(), frame)) if wanted else []
                except _Broken as problem:
                    damaged = _damage(path, offset, problem)
                    self._damage = str(damaged)
                    raise damaged from None
                offset, last = frame.end, frame.first + frame.held - 1
                # Set before the blocks go out: a reader that stops after the last of them comes back right here.
                self._resume = (last, segment, offset)
                yield from (block for block in blocks if block.last > after)
        return last

    # ------------------------------------------------------------------------------------------------ writing

    def _start_segment(self, first: int) -> None:
        """Make a new segment durable, its name in the directory included, before anything is written to it."""
        path = self._path(first)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write(file, [MAGIC], 0)
            os.fsync(file)
            reached("journal.segment")
            _sync_directory(self._directory)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        if self._segments:
            os.close(self._file)
        self._file = file
        self._segments = [*self._segments, first]
        self._end = _End(first, len(MAGIC), first - 1)

    def _clean_up(self) -> None:
        """Take back what a failed append left behind, so that the next one starts at the end of the last good."""
        if self._dirty:
            os.ftruncate(self._file, self._end.offset)
            os.fdatasync(self._file)
            self._dirty = False

    def _try_clean_up(self) -> None:
        try:
            self._clean_up()
        except OSError:
            assert self._dirty  # the next append tries again before it writes

    # ------------------------------------------------------------------------------------------------ opening

    def _find_segments(self) -> list[int]:
        found = sorted(int(path.stem) for path in self._directory.glob("*" + SUFFIX))
        # A crash while a segment was being created leaves a file without its first line: nothing was ever in it.
        if found and self._path(found[-1]).stat().st_size < len(MAGIC):
            self._path(found.pop()).unlink()
        return found

    def _open_last(self) -> tuple[int, _End]:
        if not self._segments:
            self._start_segment(1)
            return self._file, self._end
        segment = self._segments[-1]
        path = self._path(segment)
        file = os.open(path, os.O_RDWR)
        try:
            return file, _scan(path, file, segment)
        except BaseException:
            os.close(file)
            raise

    def _sync_what_was_found(self) -> None:
        """Make durable what a killed process may have written and not synced: from here on it is built upon.

        An append that was killed before its sync is whole in the cache: its uids are claimed again and told to be
        duplicates, which must not become untrue by a power cut. The same holds for the names that lead to the files.
        """
        os.fsync(self._file)
        for each in (self._directory, self._directory.parent):
            _sync_directory(each)

    def _path(self, segment: int) -> Path:
        return self._directory / f"{segment:020d}{SUFFIX}"


def _scan(path: Path, file: int, segment: int) -> _End:
    """Walk the last segment, check every frame, cut off a torn one, and say where the journal ends."""
    size = os.fstat(file).st_size
    if os.pread(file, len(MAGIC), 0) != MAGIC:
        raise _damage(path, 0, _Broken("the first line is not that of a journal"))
    offset, last = len(MAGIC), segment - 1
    while offset < size:
        try:
            frame = _head(file, offset, size)
            _checked(file, frame, after=last)
        except _Broken as problem:
            if _whole_frame_after(file, offset, size):
                raise _damage(path, offset, problem) from None
            os.ftruncate(file, offset)
            os.fsync(file)
            break
        offset, last = frame.end, frame.first + frame.held - 1
    return _End(segment, offset, last)


def _whole_frame_after(file: int, offset: int, size: int) -> bool:
    """Whether any whole frame lies beyond a broken one, which then was acknowledged."""
    rest = os.pread(file, size - offset, offset)
    at = rest.find(MARK, 1)
    while at >= 0:
        try:
            _checked(file, _head(file, offset + at, size))
        except _Broken:
            at = rest.find(MARK, at + 1)
        else:
            return True
    return False


def _head(file: int, offset: int, size: int) -> _Frame:
    raw = os.pread(file, HEAD.size, offset)
    if len(raw) < HEAD.size or not raw.startswith(MARK):
        raise _Broken("there is no frame")
    _mark, length, first, count, _checksum = HEAD.unpack(raw)
    end = offset + HEAD.size + length
    if end > size:
        raise _Broken("the frame is cut short")
    return _Frame(offset, end, first, count)


def _require_next(frame: _Frame, last: int) -> None:
    if frame.first != last + 1:
        raise _Broken(f"position {frame.first} follows position {last}: what was between is missing")


def _checked(file: int, frame: _Frame, after: int | None = None) -> memoryview:
    """The body of a frame whose checksum holds, and which follows position `after` if that is given."""
    raw = os.pread(file, frame.end - frame.offset, frame.offset)
    checksum = int.from_bytes(raw[HEAD_CHECKED : HEAD.size], "little")
    body = memoryview(raw)[HEAD.size :]
    if zlib.crc32(body, zlib.crc32(raw[:HEAD_CHECKED])) != checksum:
        raise _Broken("the checksum does not match")
    if after is not None and frame.first != after + 1:
        raise _Broken(f"position {frame.first} follows position {after}")
    return body


def _blocks(body: memoryview) -> list[Block]:
    return [
        Block(
            organization_id=organization_id,
            kind=kind,
            received=EPOCH + received * MICROSECOND,
            first=first,
            entries=entries,
        )
        for organization_id, kind, received, first, entries in _READ.decode(body)
    ]


def _frame(blocks: Sequence[Block], count: int) -> list[Buffer]:
    body: list[Buffer] = [opening(len(blocks), [])]
    for block in blocks:
        received = (block.received - EPOCH) // MICROSECOND
        body.append(opening(5, [block.organization_id, block.kind, received, block.first]))
        body += block.entries.array() if isinstance(block.entries, Packed) else (_WRITE.encode(block.entries),)
    head = HEAD.pack(MARK, sum(map(len, body)), blocks[0].first, count, 0)[:HEAD_CHECKED]
    checksum = zlib.crc32(head)
    for part in body:
        checksum = zlib.crc32(part, checksum)
    return [head + checksum.to_bytes(4, "little"), *body]


def _write(file: int, parts: Sequence[Buffer], offset: int) -> int:
    """Write all parts at an offset, however often the system takes only some of them; gives the number of bytes."""
    total = sum(map(len, parts))
    written = os.pwritev(file, parts if len(parts) <= PARTS else [b"".join(parts)], offset)
    if written < total:
        rest = memoryview(b"".join(parts))
        while written < total:
            written += os.pwrite(file, rest[written:], offset + written)
    return total


def _let_go(file: int, start: int, end: int) -> None:
    """Take the whole pages of what is on disk out of the system's cache.

    Only a projection that fell behind reads them again, while memory for ever new pages can cost more than the write:
    0.6 instead of 0.2 µs of processor time for a measurement, where the machine is a guest that must ask for them.
    """
    first, after = start - start % PAGE, end - end % PAGE
    if after > first and hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # no file system must know this, and the append is done
            os.posix_fadvise(file, first, after - first, os.POSIX_FADV_DONTNEED)


def _lock(directory: Path) -> int:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        message = f"{directory} is in use: another server runs on this data directory; stop it or choose another one"
        raise JournalInUse(message) from None
    return lock


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damage(path: Path, offset: int, problem: _Broken) -> JournalDamaged:
    return JournalDamaged(
        f"the journal is damaged: {path} at byte {offset}: {problem}. Acknowledged measurements from there on cannot "
        "be read; restore this file from a backup"
    )


_WRITE = msgspec.msgpack.Encoder()
_READ = msgspec.msgpack.Decoder(list[tuple[str, str, int, int, list[bytes]]])
