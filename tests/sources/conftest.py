"""A server that may read sources of usage: folders, databases, and whatever listens on this machine."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from source_world import House, house_on

from tallystick.cli.launch import Server, free_port, launched


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the folders of sources and the database lie."""
    ground = tmp_path_factory.mktemp("ground")
    with sqlite3.connect(ground / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE calls (id TEXT, at TEXT, who TEXT, tokens INTEGER, changed TEXT)")
    named = {"shop": {"url": f"sqlite:///{ground / 'shop.sqlite'}", "organizations": ["*"]}}
    (ground / "databases.json").write_text(json.dumps(named))
    (ground / "databases.json").chmod(0o600)
    return ground


@pytest.fixture(scope="session")
def settings(ground: Path) -> dict[str, str]:
    return {
        "TALLYSTICK_SOURCE_DIR": str(ground / "folders"),
        "TALLYSTICK_SQL_SOURCES": str(ground / "databases.json"),
        "TALLYSTICK_SOURCE_HOSTS": "127.0.0.1",
    }


@pytest.fixture(scope="session")
def reading_server(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[Server]:
    with launched(tmp_path_factory.mktemp("reading"), free_port(), settings) as server:
        yield server


@pytest.fixture
def house(reading_server: Server, ground: Path) -> Iterator[House]:
    with house_on(reading_server, ground / "folders") as made:
        yield made


@pytest.fixture(scope="session")
def kafka() -> Producer:
    """A producer that has a cluster of its own, which others reach at `brokers_of`."""
    return Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "linger.ms": 0})
