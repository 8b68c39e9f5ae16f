"""Fixtures of the pipeline's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from billing_desk import Desk

from billing_world import World


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Callable[[World], Desk]]:
    """Opens a billing desk on a world; closed after the test."""
    opened: list[Desk] = []

    def opens(world: World) -> Desk:
        directory = tmp_path / f"desk{len(opened)}"
        directory.mkdir()
        opened.append(Desk(directory, world))
        return opened[-1]

    yield opens
    for desk in opened:
        desk.close()
