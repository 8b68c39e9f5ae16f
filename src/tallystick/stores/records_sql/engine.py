"""Connections: a pool for reading, and one writer at a time.

SQLite before 3.51.3 can corrupt its log when two connections write or checkpoint at once. So there is exactly one
connection that writes and checkpoints, a lock beside the file keeps other processes out, and the pooled connections
can only read.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    QueuePool,
    Select,
    StaticPool,
    create_engine,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.exc import DBAPIError

from tallystick.errors import Refusal

BUSY_SECONDS = 30  # how long a statement waits for another connection before it fails
# Of a new SQLite file. A bill is 6 KB and is in eleven indexes: in smaller pages it touches more of them.
PAGE_BYTES = 8_192
CHECKPOINT_PAGES = 4_000  # SQLite folds its log into the file at 32 MB: a page that many commits touch moves once
PAGE_CACHE_KIB = 16_384  # of each SQLite connection
_SQLITE_ARGUMENTS: Mapping[str, Any] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
_SQLITE_TROUBLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_POSTGRESQL_TROUBLE = {"08", "53", "57", "58"}  # connection, resources (a full disk), shutting down, its own files


class Database:
    """One database: `reading` gives a pooled connection, `writing` the only transaction of an organisation."""

    def __init__(self, readers: Engine, writers: Engine | None, locked_file: int | None = None) -> None:
        self.dialect = readers.dialect.name
        self._readers = readers
        self._writers = writers
        self._locked_file = locked_file
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._thread = threading.local()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees what is committed; each statement is a snapshot of its own. Thread-safe."""
        with self._readers.connect() as connection:
            yield connection

    def read(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Sequence[Any]:
        """All rows of one statement. When the server has gone and come back, it is asked once more: cheaper than to
        ask before each statement whether it is there."""
        try:
            with self.reading() as connection:
                return connection.execute(statement, parameters).all()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        with self.reading() as connection:
            return connection.execute(statement, parameters).all()

    @contextmanager
    def still(self) -> Iterator[Connection]:
        """A connection whose statements all see what was committed when the block began, and keep nobody from writing.
        Not to be held for hours: meanwhile SQLite's log grows, and PostgreSQL keeps what was deleted."""
        with self._readers.connect() as connection:
            if self.dialect == "postgresql":
                held = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                with held.begin():
                    held.exec_driver_sql("SELECT 1")
                    yield held
                return
            connection.exec_driver_sql("BEGIN")
            try:
                connection.exec_driver_sql("SELECT count(*) FROM organization")  # SQLite begins with the first table
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def writing(self, organization_id: str) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises. Never nested.

        Refusal `busy` when the database cannot take it now, because its disk is full or it is not there.
        """
        assert self._writers is not None, "these records were opened to read them"
        assert not getattr(self._thread, "writes", False), "a transaction is already open in this thread"
        with self._lock(organization_id), _told_to_wait():
            self._thread.writes = True
            try:
                with self._writers.begin() as connection:
                    if self.dialect == "postgresql":
                        connection.execute(select(func.pg_advisory_xact_lock(_lock_number(organization_id))))
                    yield connection
            finally:
                self._thread.writes = False

    def close(self) -> None:
        """Close every connection; on SQLite this folds the log into the file."""
        self._readers.dispose()
        if self._writers is not None:
            self._writers.dispose()
        if self._locked_file is not None:
            os.close(self._locked_file)
            self._locked_file = None

    def _lock(self, organization_id: str) -> threading.Lock:
        """On SQLite one lock for all. On PostgreSQL one per organisation, so that those who wait in this process hold
        no connection; the advisory lock keeps other processes apart."""
        with self._guard:
            return self._locks.setdefault(organization_id if self.dialect == "postgresql" else "", threading.Lock())


@contextmanager
def _told_to_wait() -> Iterator[None]:
    """What the database cannot do now but may do later, as a refusal."""
    try:
        yield
    except DBAPIError as error:
        if not _may_pass(error):
            raise
        message = f"the records could not be written ({error.orig}); send the same again"
        raise Refusal("busy", message) from error


def _may_pass(error: DBAPIError) -> bool:
    """Whether the fault lies with the disk or the connection, not with the statement."""
    if error.connection_invalidated:
        return True
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return sqlite_code & 0xFF in _SQLITE_TROUBLE  # the low byte is the kind, the rest its circumstances
    return (getattr(error.orig, "sqlstate", None) or "")[:2] in _POSTGRESQL_TROUBLE


def connect(url: str) -> Database:
    """The database at `sqlite:////absolute/path` or `postgresql+psycopg://…`. Raises ValueError for another URL, and
    Refusal `busy` when another process has the SQLite file open."""
    parsed = make_url(url)
    if parsed.drivername == "sqlite":
        return _connect_sqlite(parsed)
    if parsed.drivername == "postgresql+psycopg":
        return _connect_postgresql(parsed)
    raise ValueError(f"records: use sqlite:////path or postgresql+psycopg://host/database, got {parsed.drivername}")


def connect_reading(url: str) -> Database:
    """The database at a URL that another process has open (`connect`). It cannot be written, nor its log folded into
    the file: on SQLite only that process may."""
    parsed = make_url(url)
    if parsed.drivername == "sqlite":
        return Database(_sqlite_readers(_sqlite_path(parsed)), None)
    return Database(_postgresql_readers(parsed), None)


def _sqlite_path(url: URL) -> Path:
    if not url.database or not Path(url.database).is_absolute():
        raise ValueError("records: give SQLite an absolute path: sqlite:////path/to/records.sqlite")
    return Path(url.database)


def _connect_sqlite(url: URL) -> Database:
    path = _sqlite_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    locked_file = _lock_file(path.with_name(path.name + ".lock"))
    writers = create_engine(url, poolclass=StaticPool, connect_args=dict(_SQLITE_ARGUMENTS))
    event.listen(writers, "connect", _prepare_writer)
    event.listen(writers, "begin", _begin_immediate)
    readers = _sqlite_readers(path)
    try:
        writers.connect().close()  # now: the readers cannot create the file
    except BaseException:
        os.close(locked_file)
        raise
    return Database(readers, writers, locked_file)


def _sqlite_readers(path: Path) -> Engine:
    readers = create_engine(
        URL.create("sqlite", database=f"file:{_quote(path)}", query={"mode": "ro", "uri": "true"}),
        poolclass=QueuePool,
        pool_size=16,
        max_overflow=-1,
        pool_use_lifo=True,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        connect_args=dict(_SQLITE_ARGUMENTS),
    )
    event.listen(readers, "connect", _prepare_reader)
    return readers


def _connect_postgresql(url: URL) -> Database:
    readers = _postgresql_readers(url)
    # A pool of its own: who writes can always read, however many wait to write.
    writers = create_engine(url, pool_size=8, max_overflow=24, pool_pre_ping=True, isolation_level="READ COMMITTED")
    return Database(readers, writers)


def _postgresql_readers(url: URL) -> Engine:
    return create_engine(
        url,
        pool_size=16,
        max_overflow=48,
        pool_use_lifo=True,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
    )


def _prepare_writer(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_immediate` does
    for pragma in (
        f"page_size={PAGE_BYTES}",  # before the first table, and before the log
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"cache_size=-{PAGE_CACHE_KIB}",
        "temp_store=MEMORY",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_reader(connection: Any, _record: object) -> None:
    for pragma in ("query_only=ON", "wal_autocheckpoint=0", f"cache_size=-{PAGE_CACHE_KIB}", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first and writes later could fail halfway."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _lock_file(path: Path) -> int:
    """Hold a file until it is closed or the process ends, however that happens."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Refusal(
            "busy", f"the records at {path.with_suffix('')} are open already; stop what uses them, or ask it over HTTP"
        ) from None
    return descriptor


def _lock_number(organization_id: str) -> int:
    """The organisation as the 64-bit number that an advisory lock takes."""
    return int.from_bytes(hashlib.blake2b(organization_id.encode(), digest_size=8).digest(), "big", signed=True)


def _quote(path: Path) -> str:
    """The path inside an SQLite URI."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
