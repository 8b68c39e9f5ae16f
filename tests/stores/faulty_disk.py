"""A stand-in for `os` under a store: it fails where it is told to, and can say what a power cut would leave.

Of a directory the disk has the names of its last sync, of a file the bytes of its last; of what came after each name
may be there or not, and bytes in whole, in part, or as zeros. Nothing is imported from the product here.
"""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any


class FaultyDisk:
    """`os` for one flat directory. What `arm` names fails, and all that follows if it `stays` so; when the power fails
    there (`cuts`), `left` is what is found afterwards."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self._directory = directory
        self._chance = chance
        self._numbers: dict[str, int] = {}  # name → which file it is
        self._made = 0
        self._paths: dict[int, Path] = {}
        self._bytes: dict[int, bytes] = {}  # of each file what is on disk
        self._names: dict[str, int] = {}  # of the directory what is on disk
        self._remaining: int | None = None  # operations that succeed before one fails
        self._stays = self._cuts = False
        self.done = 0
        self.left: dict[str, bytes] | None = None

    def arm(self, after: int | None, *, stays: bool = False, cuts: bool = False) -> None:
        """Let the operation after so many fail; None: none."""
        self._remaining, self._stays, self._cuts = after, stays or cuts, cuts
        self.left = None

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        self._count("open")
        if flags & os.O_CREAT and not path.exists():
            self._made += 1
            self._numbers[path.name] = self._made
        file = os.open(path, flags, mode)
        self._paths[file] = Path(path)
        return file

    def close(self, file: int) -> None:
        self._paths.pop(file, None)
        os.close(file)

    def pwrite(self, file: int, data: Any, offset: int) -> int:
        self._count("pwrite")
        return os.pwrite(file, data[: max(64, len(data) // 2)], offset)  # as the system may

    def fsync(self, file: int) -> None:
        self._count("fsync")
        path = self._paths[file]
        if path == self._directory:
            self._names = self._present()
        elif path.parent == self._directory:
            self._bytes[self._numbers[path.name]] = path.read_bytes()

    def replace(self, source: Path, target: Path) -> None:
        self._count("replace")
        os.replace(source, target)
        self._numbers[target.name] = self._numbers.pop(source.name)

    def cut(self) -> dict[str, bytes]:
        """What a power cut leaves now, by name."""
        now = self._present()
        # Nothing says in which order the names that changed since the last sync come to the disk.
        chosen = {name: self._chance.choice((self._names, now)).get(name) for name in sorted({*self._names, *now})}
        names = {name: number for name, number in chosen.items() if number is not None}
        there = {number: (self._directory / name).read_bytes() for name, number in now.items()}
        left = {}
        for name, number in names.items():
            synced, written = self._bytes.get(number, b""), there.get(number, b"")
            kept = self._chance.randint(len(synced), max(len(synced), len(written)))
            torn = (synced + written[len(synced) : kept], synced + bytes(kept - len(synced)))
            left[name] = synced if written[: len(synced)] != synced else self._chance.choice((synced, *torn))
        return left

    def found(self, left: dict[str, bytes]) -> None:
        """The directory is as a power cut left it, and that is on disk."""
        for path in self._directory.iterdir():
            path.unlink()
        self._numbers, self._bytes = {}, {}
        for number, (name, data) in enumerate(left.items(), self._made + 1):
            (self._directory / name).write_bytes(data)
            self._numbers[name], self._bytes[number] = number, data
        self._made += len(left)
        self._names = dict(self._numbers)

    def _present(self) -> dict[str, int]:
        return {name: number for name, number in self._numbers.items() if (self._directory / name).exists()}

    def _count(self, operation: str) -> None:
        self.done += 1
        if self._remaining is None:
            return
        if self._remaining:
            self._remaining -= 1
            return
        if self._cuts and self.left is None:
            self.left = self.cut()
        if not self._stays:
            self._remaining = None
        raise OSError(self._chance.choice((errno.ENOSPC, errno.EIO)), f"{operation}: told to fail")
