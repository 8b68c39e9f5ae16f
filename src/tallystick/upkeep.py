"""What an operator does to a data directory that no server runs on: rebuild projections, back up, restore.

The journal, the records and the keys are the truth; the usage store and the uid index follow from them. A backup
holds the truth only, and a restore makes the rest again. Each command holds the journal's lock meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from tallystick.core import wire
from tallystick.pipeline.ingest import recover
from tallystick.pipeline.mediate import project
from tallystick.ports import Journal
from tallystick.settings import Settings
from tallystick.stores.journal_file import FileJournal
from tallystick.stores.records_sql import open_records
from tallystick.stores.uid_index import SortedUidIndex
from tallystick.stores.usage_clickhouse import ClickHouseUsage

JOURNAL = "journal"
USAGE = "usage"
UIDS = "uids"
KEYS = "keys"
RECORDS = "records.sqlite"
MANIFEST = "backup.json"
FORMAT = 1

Told = Callable[[int, int], None]  # told how much is done, of how much


class UpkeepProblem(Exception):
    """A command cannot be carried out; the sentence says why and what to do."""


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of a backup: what it must hold. `usage` is the digest of the projection, where that was complete."""

    format: int = FORMAT
    last: int  # journal position
    usage: str | None
    files: dict[str, str]  # path → SHA-256


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild came to: journal position, and digest of the usage store before (None: incomplete) and after."""

    last: int
    before: str | None
    after: str


# ---------------------------------------------------------------------------------------------------- rebuilding


def rebuild(settings: Settings, told: Told, *, uids: bool = False) -> Rebuilt:
    """Make the usage store again from the journal, and the uid index too if asked.

    Stopped in between, the next server goes on where it stopped.
    """
    directory = settings.directory
    with _journal(settings) as journal:
        before = _digest(directory / USAGE, journal.last)
        shutil.rmtree(directory / USAGE, ignore_errors=True)
        if uids:
            shutil.rmtree(directory / UIDS, ignore_errors=True)
        with closing(SortedUidIndex(directory / UIDS)) as index:
            recover(journal, index)
        after = _project_all(settings, journal, told)
        return Rebuilt(last=journal.last, before=before, after=after)


def _project_all(settings: Settings, journal: Journal, told: Told) -> str:
    with (
        closing(open_records(settings.records)) as records,
        closing(ClickHouseUsage(settings.directory / USAGE)) as usage,
    ):
        while usage.mark < journal.last:
            told(project(journal, usage, records), journal.last)
        return usage.digest()


def _digest(directory: Path, last: int) -> str | None:
    """The digest of a usage store, if it is there, can be read, and holds the journal to its end."""
    if not directory.is_dir():
        return None
    try:
        with closing(ClickHouseUsage(directory)) as usage:
            return usage.digest() if usage.mark == last else None
    except Exception:  # whatever the engine says of a damaged directory: it is about to be made again
        return None


# --------------------------------------------------------------------------------------------------- backing up


def back_up(settings: Settings, target: Path, told: Told) -> BackedUp:
    """Copy the truth into a new directory, check it there, and write down what it must hold."""
    directory = settings.directory
    if not (directory / JOURNAL).is_dir():
        raise UpkeepProblem(f"{directory} is no data directory: it has no {JOURNAL}")
    _require_empty(target)
    with _journal(settings) as journal:
        usage = _digest(directory / USAGE, journal.last)
        sources = _truth(directory)
        for number, name in enumerate(sources, 1):
            _copy(directory / name, target / name)
            told(number, len(sources) + 1)
        if not settings.records_url:
            _copy_records(directory / RECORDS, target / RECORDS)
        last = journal.last
    _check(target, last)
    files = {str(path.relative_to(target)): _sha256(path) for path in _files(target)}
    backup = BackedUp(last=last, usage=usage, files=files)
    (target / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(backup)))
    _sync_all(target)
    told(1, 1)
    return backup


def restore(settings: Settings, source: Path, told: Told) -> Rebuilt:
    """Copy a backup into a new data directory, checked against its manifest, and make the projections again."""
    backup = _read_manifest(source)
    _require_empty(settings.directory)
    for number, (name, digest) in enumerate(backup.files.items(), 1):
        path = source / name
        if not path.is_file() or _sha256(path) != digest:
            raise UpkeepProblem(f"{path} is not what was backed up: it is missing or changed; take another backup")
        _copy(path, settings.directory / name)
        told(number, len(backup.files))
    _sync_all(settings.directory)
    _check(settings.directory, backup.last)
    rebuilt = rebuild(settings, told)
    if backup.usage is not None and rebuilt.after != backup.usage:
        raise UpkeepProblem(
            f"the usage made from the restored journal differs from what was backed up ({rebuilt.after[:12]}, not "
            f"{backup.usage[:12]}): records and journal do not belong together"
        )
    return rebuilt


def _read_manifest(source: Path) -> BackedUp:
    try:
        backup = wire.decode(BackedUp, (source / MANIFEST).read_bytes())
    except (OSError, msgspec.MsgspecError) as problem:
        raise UpkeepProblem(f"{source} is no complete backup: {MANIFEST}: {problem}") from None
    if backup.format != FORMAT:
        raise UpkeepProblem(f"{source} was written by another version of the program (format {backup.format})")
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in backup.files):
        raise UpkeepProblem(f"{source / MANIFEST} names files outside of the backup")
    return backup


def _truth(directory: Path) -> list[str]:
    """The files that are copied as they are, as paths in the data directory."""
    paths = [*sorted((directory / JOURNAL).glob("*.journal")), *sorted((directory / KEYS).glob("*"))]
    return [str(path.relative_to(directory)) for path in paths]


def _copy_records(source: Path, target: Path) -> None:
    """A consistent copy, whatever is still in SQLite's log."""
    if not source.is_file():
        raise UpkeepProblem(f"{source} is missing: without the records the journal cannot be read")
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _check(directory: Path, last: int) -> None:
    """Every frame of the journal is whole and it ends where it must; SQLite finds no fault in the records."""
    with closing(FileJournal(directory / JOURNAL)) as journal:
        position = 0
        for block in journal.read(0):
            if block.first != position + 1:
                raise UpkeepProblem(f"{directory / JOURNAL}: position {block.first} follows position {position}")
            position = block.last
    if position != last:
        raise UpkeepProblem(f"{directory / JOURNAL} ends at position {position}, not at {last}")
    records = directory / RECORDS
    if records.is_file():
        with closing(sqlite3.connect(f"file:{records}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            raise UpkeepProblem(f"{records}: {found}")


# -------------------------------------------------------------------------------------------------------- files


@contextmanager
def _journal(settings: Settings) -> Iterator[FileJournal]:
    """The journal, which keeps servers out for as long as it is open."""
    with closing(FileJournal(settings.directory / JOURNAL, segment_bytes=settings.segment_bytes)) as journal:
        yield journal


def _require_empty(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        raise UpkeepProblem(f"{directory} is not empty: name a new directory")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copy2(source, target)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and path.name != "lock")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_all(directory: Path) -> None:
    """Every file is on disk, and so are the names that lead to it."""
    for path in (*directory.rglob("*"), directory, directory.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
