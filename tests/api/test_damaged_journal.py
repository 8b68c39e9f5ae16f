"""A journal that is found damaged while the server runs: `/health` says so and what to do; nothing more is taken."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tallystick.api.operator import OpenCall, health
from tallystick.app import build
from tallystick.errors import Refusal
from tallystick.ports import Block
from tallystick.settings import Settings
from tallystick.web.query import QueryString
from tallystick.worker import Worker

SOON = 20.0


def test_damage_that_the_projection_finds_stops_the_writing(tmp_path: Path) -> None:
    app = build(Settings(data=str(tmp_path)))
    call = OpenCall(app=app, now=app.clock.now(), headers={}, body=b"", query=QueryString({}))
    assert isinstance(health(call), dict)
    block = Block(organization_id="north", kind="measurement", received=app.clock.now(), entries=(b"x" * 100,))
    app.journal.append([block])
    (segment,) = (tmp_path / "journal").glob("*.journal")
    content = bytearray(segment.read_bytes())
    content[-50] ^= 1
    segment.write_bytes(content)
    worker = Worker(app)
    worker.start()
    try:
        deadline = time.monotonic() + SOON
        while app.journal.damage is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for act in (lambda: health(call), lambda: app.journal.append([block])):
            with pytest.raises(Refusal, match=r"journal is damaged: .*restore this file from a backup") as refused:
                act()
            assert refused.value.code.name == "busy"
    finally:
        worker.stop()
        app.close()
