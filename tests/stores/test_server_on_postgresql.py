"""The whole server with its records in PostgreSQL: chosen by a setting, the same bills."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cast_ahead import cast_ahead
from m3ter import M3ter
from token_shop import Event, bill_march, expected_total, join, lines, open_shop

from tallystick.app import build
from tallystick.cli.launch import free_port, launched
from tallystick.settings import Settings
from tenant import new_tenant


def submit(client: M3ter, events: list[Event]) -> None:
    members: list[Any] = [event.measurement("acme") for event in events]
    client.usage.submit(measurements=members)


def test_a_server_on_postgresql_bills_and_survives_a_kill(
    tmp_path: Path, postgresql_server: Any, migrated_postgresql: str
) -> None:
    url = postgresql_server.url(postgresql_server.create(migrated_postgresql))
    setting = {"TALLYSTICK_RECORDS_URL": url}
    events = [Event(f"e{number}", number * 60, "eu", number) for number in range(1, 41)]
    with launched(tmp_path, free_port(), setting) as server:
        tenant = new_tenant(server)
        with tenant.sdk() as client:
            account = join(client, open_shop(client), "acme")
            submit(client, events)
            before = bill_march(client, [account])[account]
            server.kill()
    with launched(tmp_path, free_port(), setting) as server:
        tenant = type(tenant)(url=server.url, data=tenant.data, id=tenant.id, key=tenant.key, secret=tenant.secret)
        with tenant.sdk() as client:
            submit(client, events)
            after = bill_march(client, [account])[account]
    assert Decimal(str(before.bill_total)) == expected_total(events)  # 10 + 100 + 720 / 2 + 4 = 474
    assert expected_total(events) == 474
    assert (after.id, after.version, lines(after)) == (before.id, before.version, lines(before))
    assert not (tmp_path / "records.sqlite").exists()


def test_large_runs_are_cast_ahead_there_too(
    tmp_path: Path, postgresql_server: Any, migrated_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql_server.url(postgresql_server.create(migrated_postgresql))
    app = build(Settings(data=str(tmp_path), records_url=url, bill_chunk=6, foundry_bills=24))
    assert cast_ahead(app, [f"a{number:02}" for number in range(24)], monkeypatch) == [0, 6, 6, 6]
