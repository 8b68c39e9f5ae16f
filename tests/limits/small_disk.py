"""Disks that can be filled and freed under a running server.

Where mounting is allowed, a directory of the server is a small disk of its own (tmpfs). Elsewhere the server's process
is kept from making any file larger (RLIMIT_FSIZE, which can be set from outside): that stops everything it writes at
once, which no test may mind.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tallystick.cli.launch import Server

MIB = 1024 * 1024
FILLER = "filler"


class Disk(Protocol):
    """Something that a server writes to."""

    def fill(self, leave: int = 0) -> None:
        """Let no more than some bytes more be written."""

    def free(self) -> None:
        """Let everything be written again."""


class SmallDisk:
    """A mounted disk of its own; `mounted` makes one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def fill(self, leave: int = 0) -> None:
        state = os.statvfs(self._directory)
        room = state.f_bavail * state.f_frsize - leave
        assert room > 0, f"{self._directory} has no room to take away"
        with (self._directory / FILLER).open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, room)

    def free(self) -> None:
        (self._directory / FILLER).unlink(missing_ok=True)


class LimitedFiles:
    """The files that the worker process of a server writes; `directory` holds those that `leave` is counted for."""

    def __init__(self, server: Server, directory: Path) -> None:
        self._server = server
        self._directory = directory

    def fill(self, leave: int = 0) -> None:
        longest = max((each.stat().st_size for each in self._directory.rglob("*") if each.is_file()), default=0)
        self._limit(longest + leave if leave else 0)

    def free(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        for process in family(self._server.process.pid):
            _, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def mounted(directory: Path, size: int) -> Iterator[bool]:
    """Mount a disk of a size at a directory; gives whether that is allowed here."""
    directory.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tallystick-test", str(directory)]
    try:
        allowed = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    try:
        yield allowed
    finally:
        if allowed:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)


def family(process: int) -> Iterator[int]:
    """A process and those it started."""
    yield process
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))
