"""Fixtures of the pipeline's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from billing_desk import Desk

from billing_world import World
from tallystick.core.cast import Cast, Owner
from tallystick.core.mould import Mould
from tallystick.core.terms import Terms


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


@pytest.fixture
def cast(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The codes of the accounts whose bills were cast."""
    codes: list[str] = []
    own = Mould.cast

    def noted(mould: Mould, owner: Owner, rows: Any, terms: Terms | None = None) -> Cast:
        codes.append(owner.code)
        return own(mould, owner, rows, terms)

    monkeypatch.setattr(Mould, "cast", noted)
    return codes
