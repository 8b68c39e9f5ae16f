"""The real thing for tests: a server process, an organisation of one's own, and the official client signed in to it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from m3ter import M3ter

from tallystick.cli.launch import Server, free_port, launched
from tenant import Tenant, new_tenant

SHARED = Path(__file__).parent.parent.parent / "shared"

# Nothing here speaks TLS, yet each HTTP client reads all certificates of the machine, for 30 ms of processor time: a
# tenth of the whole suite. From a directory that holds none there is nothing to read.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = os.devnull

# Fourteen thousand tests are a lot of values that stay: cycles are looked for once all are found, among what is made
# since, and as seldom as in a server. Else it would be half of the time that finding the tests takes.
gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    gc.enable()


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own TALLYSTICK_ variables change no test."""
    for name in list(os.environ):
        if name.startswith("TALLYSTICK_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server process on an empty data directory, shared by all tests of this worker."""
    outside = [name for name in os.environ if name.startswith("TALLYSTICK_")]
    for name in outside:
        del os.environ[name]
    with launched(tmp_path_factory.mktemp("server"), free_port()) as running:
        yield running


@pytest.fixture
def new_organization(server: Server) -> Callable[[], Tenant]:
    """Makes organisations, for tests that need several."""
    return lambda: new_tenant(server)


@pytest.fixture
def organization(server: Server) -> Tenant:
    """An organisation of one's own on the running server."""
    return new_tenant(server)


@pytest.fixture
def client(organization: Tenant) -> Iterator[M3ter]:
    """The official client, signed in to `organization`."""
    with organization.sdk() as sdk:
        yield sdk


@pytest.fixture
def http(organization: Tenant) -> Iterator[httpx.Client]:
    """A plain client, signed in to `organization`."""
    with organization.http() as plain:
        yield plain


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real traffic: two files of one hour each, described in the README beside them."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(reason=f"the sample traffic is not on this machine: {data}")
    return data
