"""The emitter loses nothing when the server is killed under load. `outage.py` keeps it away for a minute."""

from __future__ import annotations

from pathlib import Path

from outage import outage


def test_nothing_is_lost_and_nothing_counted_twice_when_the_server_is_killed(tmp_path: Path) -> None:
    found = outage(tmp_path, away=3.0, rate=1_000, processes=1)
    for each in found:
        assert each.emitted > 3_000
        assert each.spooled > 1_000, "what was emitted while it was away waited on the disk"
        assert each.dropped == 0
        assert each.exactly_once, each
