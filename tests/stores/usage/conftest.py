"""Every usage store under one suite: the reference in memory, and the column store in a directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from usage_examples import Tenant

from tallystick.ports import UsageStore
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.usage_clickhouse import ClickHouseUsage


# One store for a module: opening the engine takes a while, and a process can have one directory open.
@pytest.fixture(scope="module", params=["memory", "clickhouse"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsageStore]:
    opened: UsageStore
    opened = MemoryUsage() if request.param == "memory" else ClickHouseUsage(tmp_path_factory.mktemp("usage"))
    yield opened
    opened.close()


@pytest.fixture
def tenant(store: UsageStore) -> Tenant:
    """An organisation that nobody else uses."""
    return Tenant(store)
