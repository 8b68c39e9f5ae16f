"""A folder of the operator's directory of sources, watched for files that are whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from tallystick.core.source_upload import ending_of
from tallystick.core.usage_source import FolderFrom
from tallystick.errors import Refusal
from tallystick.ports.feeds import FileThere

DONE = ".done"


class SourceFolder:
    """`own` is the folder of the organisation; nothing that lies outside of it is read, wherever links lead."""

    def __init__(self, own: Path, source: FolderFrom) -> None:
        self._source = source
        self._own = own.resolve()
        self._folder = (self._own / source.path).resolve()
        if not self._folder.is_relative_to(self._own):
            message = "configuration.path: must lie within the organisation's folder of sources"
            raise Refusal("source_failed", message)
        self._seen: dict[str, tuple[str, float]] = {}  # by name: how a file was, and since when it is so

    def files(self) -> Sequence[FileThere]:
        """See `ports.feeds.Shelf`."""
        try:
            paths = sorted(each for each in self._folder.iterdir() if self._wanted(each))
        except OSError as problem:
            shown = self._source.path or "."
            message = f"configuration.path: the folder {shown!r} cannot be read: {problem.strerror}"
            raise Refusal("source_failed", message) from None
        whole: list[tuple[int, FileThere]] = []
        seen: dict[str, tuple[str, float]] = {}
        now = time.monotonic()
        for path in paths:
            try:
                how = path.stat()
            except FileNotFoundError:
                continue  # gone between two looks
            stamp = _stamp(how)
            before, since = self._seen.get(path.name, ("", now))
            seen[path.name] = (stamp, since if before == stamp else now)
            if self._is_whole(path, now - seen[path.name][1]):
                origin = f"folder/{self._own.name}/{self._source.path}"
                body = f"{how.st_dev}-{how.st_ino}"
                whole.append((how.st_mtime_ns, FileThere(path.name, how.st_size, stamp, origin, body)))
        self._seen = seen
        return [file for _, file in sorted(whole, key=lambda each: (each[0], each[1].name))]

    def _wanted(self, path: Path) -> bool:
        try:
            ending_of(path.name)
        except ValueError:
            return False
        plain = not path.name.startswith(".") and fnmatchcase(path.name, self._source.pattern)
        return plain and path.is_file() and path.resolve().is_relative_to(self._own)

    def _is_whole(self, path: Path, unchanged: float) -> bool:
        if self._source.done_marker:
            return path.with_name(path.name + DONE).exists()
        return unchanged >= self._source.settle_seconds

    @contextmanager
    def opened(self, file: FileThere) -> Iterator[Path]:
        """See `ports.feeds.Shelf`."""
        yield self._folder / file.name

    def is_as_it_was(self, file: FileThere) -> bool:
        """See `ports.feeds.Shelf`: nothing that is written to it meanwhile can have been read in part."""
        path = self._folder / file.name
        try:
            return _stamp(path.stat()) == file.stamp and self._wanted(path)
        except FileNotFoundError:
            return False

    def finished(self, file: FileThere) -> None:
        """See `ports.feeds.Shelf`: a file that was written anew meanwhile stays where it is."""
        if self._source.move_to is None:
            return
        path = self._folder / file.name
        target = self._folder / self._source.move_to
        try:
            how = path.stat()
            if _stamp(how) != file.stamp:
                return
            target.mkdir(exist_ok=True)
            there = target / file.name
            path.rename(there if not there.exists() else target / f"{file.stamp}-{file.name}")
            path.with_name(path.name + DONE).unlink(missing_ok=True)
        except FileNotFoundError:
            return  # somebody else has put it away
        except OSError as problem:
            message = f"configuration.moveTo: {file.name} cannot be moved: {problem.strerror}"
            raise Refusal("source_failed", message) from None

    def close(self) -> None:
        """Nothing is held."""


def _stamp(how: os.stat_result) -> str:
    return f"{how.st_mtime_ns}-{how.st_size}"
