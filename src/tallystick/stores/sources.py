"""Second sources on this machine: files that were sent, a folder for each organisation, and databases by SQLAlchemy.

Databases are named by the operator in a file that only the server can read: their addresses, which may hold passwords,
never go through the API, the records, the audit or the log.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tallystick.core import wire
from tallystick.core.usage_source import FolderFrom
from tallystick.errors import Refusal
from tallystick.stores.source_folder import SourceFolder

EVERYBODY = "*"
ROWS_AT_ONCE = 2_000
OTHERS_MAY = 0o077
LONGEST_REASON = 300
CONNECT_SECONDS = 10
LONGEST_SECONDS = 600  # for all rows of SQLite, which is asked how it is after each so many steps
STEPS = 100_000
ANSWER_SECONDS = 120  # to the first rows, and from some rows to the next


class SqlSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A database that may be asked: its SQLAlchemy URL, and by which organisations ("*" for all)."""

    url: str
    organizations: tuple[str, ...]


class LocalSources:
    """`uploads` is where files that are sent are kept; `folder` has a folder for each organisation, by its id;
    `databases` is the operator's file of SQL sources. The last two may be absent."""

    def __init__(self, uploads: Path, folder: Path | None, databases: Path | None) -> None:
        self._uploads = uploads
        self._folder = folder
        self._databases = databases

    # --------------------------------------------------------------------------------------------- files

    def append(self, organization_id: str, stored: str, content: bytes, offset: int) -> int:
        """See `ports.sources.Sources`."""
        path = self._place(organization_id, stored)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = os.fstat(file).st_size
            if offset > size:
                message = f"offset: the file has {size:,} bytes so far; send the part that begins there"
                raise Refusal("rule_broken", message, field="offset")
            rest = content[size - offset :]
            if rest:
                os.lseek(file, size, os.SEEK_SET)
                with os.fdopen(os.dup(file), "wb") as out:
                    out.write(rest)
                os.fsync(file)
            return max(size, offset + len(content))
        finally:
            os.close(file)

    def drop(self, organization_id: str, stored: str) -> None:
        """See `ports.sources.Sources`."""
        self._place(organization_id, stored).unlink(missing_ok=True)

    def upload(self, organization_id: str, stored: str) -> Path:
        """See `ports.sources.Sources`."""
        path = self._place(organization_id, stored)
        if not path.is_file():
            raise Refusal("not_found", "uploadId: the file is no longer here; send it again", field="uploadId")
        return path

    def file(self, organization_id: str, path: str) -> Path:
        """See `ports.sources.Sources`."""
        if self._folder is None:
            message = "source.path: the operator has opened no folder: TALLYSTICK_SOURCE_DIR names one"
            raise Refusal("not_found", message, field="source")
        own = (self._folder / organization_id).resolve()
        wanted = (own / path).resolve()  # where links and dots lead
        if not wanted.is_relative_to(own):
            message = "source.path: must lie within the organisation's folder of sources"
            raise Refusal("forbidden", message, field="source")
        if not wanted.is_file():
            raise Refusal("not_found", f"source.path: there is no file {path[:100]!r} in the folder", field="source")
        return wanted

    def folder(self, organization_id: str, source: FolderFrom) -> SourceFolder:
        """A folder that is watched for files. Refusal `source_failed`."""
        if self._folder is None:
            message = "configuration.path: the operator has opened no folder: TALLYSTICK_SOURCE_DIR names one"
            raise Refusal("source_failed", message)
        return SourceFolder(self._folder / organization_id, source)

    def _place(self, organization_id: str, stored: str) -> Path:
        assert "/" not in organization_id + stored, "both are ids of ours"
        return self._uploads / organization_id / stored

    # --------------------------------------------------------------------------------------------- databases

    def connections(self, organization_id: str) -> Sequence[str]:
        """See `ports.sources.Sources`."""
        return sorted(
            name
            for name, each in self._named().items()
            if EVERYBODY in each.organizations or organization_id in each.organizations
        )

    @contextmanager
    def rows(
        self, organization_id: str, connection: str, query: str, parameters: Mapping[str, str]
    ) -> Iterator[Iterator[Mapping[str, object]]]:
        """See `ports.sources.Sources`."""
        if connection not in self.connections(organization_id):
            message = f"source.connection: the operator has named no database {connection!r} for this organisation"
            raise Refusal("not_found", message, field="source")
        url = _url(connection, self._named()[connection].url)
        try:
            given = {"poolclass": NullPool, "hide_parameters": True, "connect_args": _connecting(url)}
            engine = create_engine(_only_reading(url), **given)
        except (ArgumentError, NoSuchModuleError, ImportError) as problem:
            raise _failed(connection, url, problem) from None
        if url.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _query_only)
        try:
            with engine.connect() as opened:
                only_reading = {"postgresql_readonly": True} if url.get_backend_name() == "postgresql" else {}
                yield _read(opened.execution_options(**only_reading), query, parameters)
        except SQLAlchemyError as problem:
            raise _failed(connection, url, problem) from None
        finally:
            engine.dispose()

    def _named(self) -> dict[str, SqlSource]:
        """The operator's file as it is now; a Refusal says what is wrong with it, and nothing of what is in it."""
        if self._databases is None:
            return {}
        try:
            if self._databases.stat().st_mode & OTHERS_MAY:
                raise Refusal("source_failed", "the file of TALLYSTICK_SQL_SOURCES must be readable by its owner only")
            return wire.decode(dict[str, SqlSource], self._databases.read_bytes())
        except OSError as problem:
            message = f"the file of TALLYSTICK_SQL_SOURCES cannot be read: {problem.strerror}"
            raise Refusal("source_failed", message) from None
        except msgspec.MsgspecError as problem:
            message = f"the file of TALLYSTICK_SQL_SOURCES is not as it must be: {problem}"
            raise Refusal("source_failed", message) from None


def _url(name: str, given: str) -> URL:
    try:
        return make_url(given)
    except (ArgumentError, ValueError):
        raise Refusal("source_failed", f"the address of the database {name!r} is no SQLAlchemy URL") from None


def _only_reading(url: URL) -> URL:
    """SQLite makes the file that it is asked for, unless it is told to only read."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return url
    return url.set(database=f"file:{url.database}", query={**url.query, "mode": "ro", "uri": "true"})


def _connecting(url: URL) -> dict[str, object]:
    """How long PostgreSQL may take to answer, so that neither other reconciliations nor the end of the server wait for
    it; and that nothing is written, whatever a query calls."""
    if url.get_backend_name() != "postgresql" or url.get_driver_name() not in {"psycopg", "psycopg2"}:
        return {}
    return {
        "connect_timeout": CONNECT_SECONDS,
        "options": f"-c statement_timeout={ANSWER_SECONDS}s -c default_transaction_read_only=on",
    }


def _query_only(opened: Any, _: object) -> None:
    """Nothing is written; and a query without an end is given up, else neither its thread nor the server would end."""
    opened.execute("PRAGMA query_only=ON")
    until = time.monotonic() + LONGEST_SECONDS
    opened.set_progress_handler(lambda: time.monotonic() > until, STEPS)


def _read(opened: Connection, query: str, parameters: Mapping[str, str]) -> Iterator[Mapping[str, object]]:
    statement = text(query)
    wanted = {name: value for name, value in parameters.items() if name in statement.compile().params}
    streaming = opened.execution_options(stream_results=True, yield_per=ROWS_AT_ONCE)
    for row in streaming.execute(statement, wanted).mappings():
        yield {name: _cell(value) for name, value in row.items()}


def _cell(value: object) -> object:
    """A cell as the rows of files have it: floats are read by their shortest text."""
    if isinstance(value, float):
        return Decimal(repr(value))
    return value if isinstance(value, str | int | Decimal | datetime | date | None) else str(value)


def _failed(name: str, url: URL, problem: Exception) -> Refusal:
    """What the database or its driver says, in a line, without the password."""
    said = str(getattr(problem, "orig", None) or problem).strip().splitlines() or [type(problem).__name__]
    told = said[0][:LONGEST_REASON]
    for secret in (url.password, url.render_as_string(hide_password=False)):
        told = told.replace(str(secret), "***") if secret else told
    return Refusal("source_failed", f"the database {name!r} did not answer the query: {told}")
