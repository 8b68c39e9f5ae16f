"""What `tallystick doctor` looks at in an installation, and what to do about what is wrong. Nothing is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from zoneinfo import ZoneInfo

import chdb
import msgspec
import sqlalchemy
from sqlalchemy import create_engine, text

from tallystick import __version__
from tallystick.settings import Settings
from tallystick.stores.journal_file import FileJournal
from tallystick.stores.records_sql.schema import SCHEMA_REVISION
from tallystick.stores.uid_index import SortedUidIndex
from tallystick.stores.usage_clickhouse import ClickHouseUsage

FREE_WARNING, FREE_FAILURE = 5 << 30, 512 << 20  # bytes
SLOW_SYNC_SECONDS = 0.05
BEHIND_WARNING = 1_000_000  # measurements; a quiet server is never that far behind

OK, WARNING, FAILED = "ok", "warning", "failed"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check came to; `hint` says what to do unless all is well."""

    check: str
    result: str
    found: str
    hint: str = ""


def look_over(settings: Settings, *, served: bool) -> Iterator[Finding]:
    """Every check in turn. Where there is no data directory yet, only what does not need one; where a server runs on
    it (`served`), the stores are left to it."""
    yield _libraries()
    yield _time_zones()
    if not settings.directory.is_dir():
        yield Finding(
            check="data directory",
            result=FAILED,
            found=f"there is no {settings.directory}",
            hint="`tallystick org create NAME --data DIR` makes one; or name another with --data",
        )
        return
    checks: list[Callable[[Settings], Finding]] = [_disk, _sync, _key, _records]
    for check in checks if served else [*checks, _stores]:
        yield check(settings)


def _libraries() -> Finding:
    """In which versions the engines are installed; this module loads them."""
    engines = {"Python": ".".join(str(part) for part in sys.version_info[:3]), "SQLite": sqlite3.sqlite_version}
    engines |= {"chDB": chdb.__version__, "SQLAlchemy": sqlalchemy.__version__}
    found = ", ".join(f"{name} {version}".strip() for name, version in engines.items())
    return Finding(check="libraries", result=OK, found=f"tallystick {__version__}, {found}")


def _time_zones() -> Finding:
    try:
        ZoneInfo("Pacific/Auckland")
    except Exception as problem:  # whatever is wrong with the tables
        return Finding(check="time zones", result=FAILED, found=str(problem), hint="install the package tzdata")
    return Finding(check="time zones", result=OK, found="the tables are there")


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.directory).free
    found = f"{free / (1 << 30):.1f} GiB free in {settings.directory}"
    if not os.access(settings.directory, os.W_OK):
        return Finding(check="disk", result=FAILED, found=f"{found}, not writable", hint="make it writable for you")
    if free < FREE_WARNING:
        result = FAILED if free < FREE_FAILURE else WARNING
        return Finding(check="disk", result=result, found=found, hint="free space: writes are refused when it is full")
    return Finding(check="disk", result=OK, found=found)


def _sync(settings: Settings) -> Finding:
    """How long the disk takes to make a small write durable: every acknowledged batch waits for that."""
    path = settings.directory / f".doctor.{os.getpid()}"
    times = []
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(5):
                file.write(b"x" * 4096)
                before = time.perf_counter()
                os.fdatasync(file.fileno())
                times.append(time.perf_counter() - before)
    except OSError as problem:
        return Finding(check="durable writes", result=FAILED, found=str(problem), hint="check the disk")
    finally:
        path.unlink(missing_ok=True)
    median = sorted(times)[2]
    found = f"{median * 1000:.1f} ms for 4 KiB"
    if median > SLOW_SYNC_SECONDS:
        return Finding(
            check="durable writes", result=WARNING, found=found, hint="answers wait for this: use a faster disk"
        )
    return Finding(check="durable writes", result=OK, found=found)


def _key(settings: Settings) -> Finding:
    path = settings.directory / "keys" / "signing.key"
    if not path.is_file():
        return Finding(check="signing key", result=OK, found="none yet: the first start makes one")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding(
            check="signing key", result=FAILED, found=f"others may read it ({mode:o})", hint=f"chmod 600 {path}"
        )
    return Finding(check="signing key", result=OK, found="readable by its owner alone")


def _records(settings: Settings) -> Finding:
    """SQLite says that it is whole; of PostgreSQL, that it answers and has our tables."""
    path = settings.directory / "records.sqlite"
    if not settings.records_url and not path.is_file():
        return Finding(check="records", result=OK, found="none yet: the first start makes them")
    try:
        if not settings.records_url:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                (whole,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        else:
            whole = "ok"
            with create_engine(settings.records).connect() as other:
                revision = other.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except Exception as problem:  # whatever the database says
        return Finding(check="records", result=FAILED, found=str(problem), hint="check the database or its address")
    if whole != "ok":
        return Finding(check="records", result=FAILED, found=str(whole), hint="`tallystick restore` from a backup")
    if revision != SCHEMA_REVISION:
        hint = (
            "start the server: it brings the tables up to date" if revision < SCHEMA_REVISION else "update tallystick"
        )
        return Finding(check="records", result=WARNING, found=f"tables of revision {revision}", hint=hint)
    return Finding(check="records", result=OK, found=f"whole, tables of revision {revision}")


def _stores(settings: Settings) -> Finding:
    """Open journal, uid index and usage store as a server would, and compare how far they are."""
    directory = settings.directory
    if not (directory / "journal").is_dir():
        return Finding(check="journal", result=OK, found="none yet: the first start makes it")
    try:
        with closing(FileJournal(directory / "journal")) as journal:
            last, damage = journal.last, journal.damage
            with closing(SortedUidIndex(directory / "uids")) as uids:
                indexed = uids.mark
            with closing(ClickHouseUsage(directory / "usage")) as usage:
                projected = usage.mark
    except Exception as problem:  # whatever a store says when it is in use, damaged or not ours to read
        return Finding(check="journal", result=FAILED, found=str(problem), hint="see docs/guides/crashes.md")
    return compared(last, projected, indexed, damage)


def compared(journal: int, usage: int, uids: int, damage: str | None) -> Finding:
    """The projections against the journal: behind is mended by itself, ahead means that the journal lost something."""
    found = f"journal at {journal:,}, usage at {usage:,}, uid index at {uids:,}"
    if damage is not None:
        return Finding(check="journal", result=FAILED, found=damage, hint="see docs/guides/crashes.md")
    if usage > journal or uids > journal:
        hint = "measurements are missing from the journal: `tallystick restore` from a backup"
        return Finding(check="journal", result=FAILED, found=found, hint=hint)
    if journal - usage > BEHIND_WARNING:
        hint = "usage is counted late: wait, or see whether the server's log says why"
        return Finding(check="journal", result=WARNING, found=found, hint=hint)
    return Finding(check="journal", result=OK, found=found)
