"""Power cuts for files: a layer that notes what was synced, and a cut that takes back everything else.

SIGKILL leaves the page cache as it is, so it cannot show a missing fsync. `RecordingOs` stands in for `os` under the
journal and the uid index and notes, at every fsync, how long the file was or which names the directory held. `cut`
then does to the files what a power cut may do: names that were never synced are gone, and of the bytes beyond the
synced length some are gone, or are zeros.

Nothing is imported from the product here.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

PAGE = 4096
JOURNAL = "journal"
UIDS = "uids"
RUNS = "runs"  # of the uid index: replaced as a whole, so that its name is always there


class RecordingOs:
    """`os`, with a note in `record` for every fsync, made after it. `real` is what does the work."""

    def __init__(self, data: Path, record: Path, real: Any = os) -> None:
        self._data = data
        self._real = real
        self._paths: dict[int, Path] = {}
        self._synced: dict[Path, Any] = {}
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(self._record, b"\n")  # the last line of a process that was killed may lack its end

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
        self._synced[path] = held
        os.write(self._record, _note(self._data, path, held))

    def replace(self, source: Path, target: Path) -> None:
        """What takes another's name has on disk under it what it had before. Killed in between, the name is of one of
        the two, and of both what was synced is there."""
        there = target.stat().st_size if target.exists() else 0  # since before this process, if it synced none
        synced, before = self._synced.get(source, 0), self._synced.get(target, there)
        os.write(self._record, _note(self._data, target, max(synced, before)))
        self._real.replace(source, target)
        self._synced[target] = synced
        os.write(self._record, _note(self._data, target, synced))


def _note(data: Path, path: Path, held: object) -> bytes:
    return json.dumps([os.path.relpath(path, data), held]).encode() + b"\n"


def _durable(record: Path) -> dict[str, Any]:
    """For each path what is on disk of it: a length, or names. Of a torn line nobody was told that it is synced."""
    durable: dict[str, Any] = {}
    for line in record.read_bytes().splitlines() if record.exists() else ():
        with suppress(json.JSONDecodeError):
            path, held = json.loads(line)
            durable[path] = held
    return durable


def cut(data: Path, record: Path, chance: random.Random, *, harsh: bool = False) -> str:
    """Take back what was not synced, and say in a few words how. The server must not be running.

    `harsh`: everything that is not synced is gone.
    """
    durable = _durable(record)
    how = "all" if harsh else chance.choice(("all", "some", "zeros"))
    lost = {JOURNAL: 0, UIDS: 0}
    for store in lost:
        directory = data / store
        names = durable.get(store, [])
        if store == JOURNAL and JOURNAL not in durable.get(".", []):
            shutil.rmtree(directory, ignore_errors=True)
        for path in sorted(each for each in directory.glob("*") if each.name != "lock"):
            if path.name in names or path.name == RUNS:
                lost[store] += _cut_file(path, durable.get(f"{store}/{path.name}", 0), how, chance)
            else:
                lost[store] += path.stat().st_size
                path.unlink()
    with record.open("ab") as file:  # what is left after a power cut is on disk
        for path in (data / JOURNAL).glob("*.journal"):
            file.write(_note(data, path, path.stat().st_size))
    return f"{how}; bytes lost: {lost}"


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
