"""A desk at an organisation of its own, on a real store, and the few things that most stories begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop, new_desk

from tallystick.control.desk import Desk
from tallystick.ports import Records
from tallystick.stores.records_sql import open_records


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    path: Path = tmp_path_factory.mktemp("control") / "records.db"
    opened = open_records(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def desk(records: Records) -> Desk:
    return new_desk(records)


@pytest.fixture
def other_desk(records: Records) -> Desk:
    return new_desk(records)


@pytest.fixture
def shop(desk: Desk) -> Shop:
    return Shop(desk)
