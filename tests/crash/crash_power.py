"""Power cuts for files: a layer that notes what was synced, and a cut that takes back everything else.

SIGKILL leaves the page cache as it is, so it cannot show a missing fsync. `RecordingOs` stands in for `os` under the
journal and notes, at every fsync, how long the file was or which names the directory held. `cut` then does to the
files what a power cut may do: names that were never synced are gone, and of the bytes beyond the synced length some
are gone, or are zeros.

The uid index writes through RocksDB, where nothing of ours can stand in between. What it never syncs is its
write-ahead log: that is cut anywhere, or removed. Nothing is imported from the product here.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

PAGE = 4096
JOURNAL = "journal"
UIDS = "uids"


class RecordingOs:
    """`os`, with a note in `record` for every fsync, made after it. `real` is what does the work."""

    def __init__(self, data: Path, record: Path, real: Any = os) -> None:
        self._data = data
        self._real = real
        self._paths: dict[int, Path] = {}
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        file: int = self._real.open(path, flags, mode)
        self._paths[file] = Path(path)
        return file

    def close(self, file: int) -> None:
        self._paths.pop(file, None)
        self._real.close(file)

    def fsync(self, file: int) -> None:
        self._sync(file, "fsync")

    def fdatasync(self, file: int) -> None:
        self._sync(file, "fdatasync")

    def _sync(self, file: int, how: str) -> None:
        path = self._paths[file]
        # Taken before the sync: what comes in between may have missed it.
        held: Any = sorted(os.listdir(path)) if path.is_dir() else os.fstat(file).st_size
        getattr(self._real, how)(file)
        os.write(self._record, _note(self._data, path, held))


def _note(data: Path, path: Path, held: object) -> bytes:
    return json.dumps([os.path.relpath(path, data), held]).encode() + b"\n"


def _durable(record: Path) -> dict[str, Any]:
    """For each path what is on disk of it: a length, or names."""
    lines = record.read_bytes().splitlines() if record.exists() else []
    return dict(json.loads(line) for line in lines)


def cut(data: Path, record: Path, chance: random.Random, *, harsh: bool = False) -> str:
    """Take back what was not synced, and say in a few words how. The server must not be running.

    `harsh`: everything that is not synced is gone, the uid index's log too.
    """
    durable = _durable(record)
    how = "all" if harsh else chance.choice(("all", "some", "zeros"))
    lost = 0
    journal = data / JOURNAL
    names = durable.get(JOURNAL, [])
    if JOURNAL not in durable.get(".", []):
        shutil.rmtree(journal, ignore_errors=True)
    else:
        for path in sorted(journal.glob("*.journal")):
            if path.name in names:
                lost += _cut_file(path, durable.get(f"{JOURNAL}/{path.name}", 0), how, chance)
            else:
                lost += path.stat().st_size
                path.unlink()
    index = _cut_index(data / UIDS, chance, harsh=harsh)
    with record.open("ab") as file:  # what is left after a power cut is on disk
        for path in journal.glob("*.journal"):
            file.write(_note(data, path, path.stat().st_size))
    return f"journal {how}, {lost} bytes; uid index {index}"


def _cut_file(path: Path, synced: int, how: str, chance: random.Random) -> int:
    """Take back what lies beyond the synced length; gives how many bytes that were."""
    size = path.stat().st_size
    if size <= synced:
        return 0
    if how == "zeros":  # the length reached the disk, some pages did not
        first = chance.randint(synced, size - 1)
        with path.open("r+b") as file:
            file.seek(first)
            file.write(bytes(min(PAGE - first % PAGE, size - first)))
        return size - synced
    os.truncate(path, synced if how == "all" else chance.randint(synced, size))
    return size - synced


def _cut_index(directory: Path, chance: random.Random, *, harsh: bool) -> str:
    for path in directory.glob("*.json"):  # what the library writes for itself at every opening, never synced
        os.truncate(path, 0)
    logs = sorted(directory.glob("*.log"))
    if not logs:
        return "has no log"
    how = "log emptied" if harsh else chance.choice(("kept", "log emptied", "log cut", "log with zeros", "log removed"))
    newest = logs[-1]
    size = newest.stat().st_size
    if how == "log removed":
        newest.unlink()
    elif how == "log emptied":
        os.truncate(newest, 0)
    elif how == "log cut":
        os.truncate(newest, chance.randint(0, size))
    elif how == "log with zeros" and size > 0:
        _cut_file(newest, 0, "zeros", chance)
    return how
