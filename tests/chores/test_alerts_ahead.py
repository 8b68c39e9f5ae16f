"""Alerts on usage, on what a period will come to, and on how far a commitment is drawn; of an account by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing_world import World, bands, id_of
from credit_world import commitment
from tallystick.app import App, build
from tallystick.chores import alerts
from tallystick.chores.alerts import SpendWatch
from tallystick.chores.chore import Left
from tallystick.control.spend_alerts import active_alerts
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.period import Instant
from tallystick.core.spend_alert import SpendAlert
from tallystick.ports import DocumentWhere, Organization, OrganizationRecords, Page, UsageRow
from tallystick.settings import Settings

HALF_OF_JUNE = Instant.parse("2025-06-16T00:00:00Z")


class Halfway:
    """A clock that stands still."""

    def now(self) -> Instant:
        return HALF_OF_JUNE


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = build(Settings(data=str(tmp_path)), Halfway())
    yield app
    app.close()


def world() -> World:
    """A fee of 5.00 a month and 0.10 a call; 200.00 were paid in advance."""
    made = World()
    made.template(standing_charge=Decimal(5))
    made.aggregation("calls")
    made.plan()
    made.pricing("price", bands((0, "0.10")))
    made.account("acme")
    made.account_plan(account="acme", start="2025-01-01")
    commitment(made, amount=Decimal(200), start_date=date(2025, 6, 1), end_date=date(2026, 6, 1))
    return made


def alert(made: World, name: str, **given: Any) -> Entity[SpendAlert]:
    body = {"accountId": id_of("account", "acme"), **given}
    return made.add(wire.decode(SpendAlert, wire.encode(body)), name)


def hundred_calls(organization_id: str, day: int) -> UsageRow:
    """Those of a day of June, at the journal position of that number."""
    return UsageRow(
        position=day,
        organization_id=organization_id,
        meter_id=id_of("meter", "requests"),
        account_id=id_of("account", "acme"),
        uid=str(day),
        ts=Instant.parse(f"2025-06-{day:02}T00:00:00Z"),
        ets=None,
        received=HALF_OF_JUNE,
        numbers={"calls": Decimal(100)},
        texts={},
    )


def test_each_fires_at_what_it_says_and_not_before(app: App) -> None:
    """A thousand calls by the middle of June: 105.00 so far, of which the commitment has paid 105 of 200, that is
    52.5%; at this pace two thousand calls and 205.00."""
    made = world()
    calls = id_of("aggregation", "calls")
    expected = {
        alert(made, "usage", type="USAGE_ABOVE", aggregationId=calls, threshold=1000).id: Decimal(1000),
        alert(made, "pace", type="FORECAST_ABOVE", currency="USD", threshold=205).id: Decimal(205),
        alert(made, "burnt", type="COMMITMENT_ABOVE", threshold=Decimal("52.5")).id: Decimal("52.5"),
    }
    alert(made, "more usage", type="USAGE_ABOVE", aggregationId=calls, threshold=1001)
    alert(made, "faster", type="FORECAST_ABOVE", currency="USD", threshold=Decimal("205.01"))
    alert(made, "more burnt", type="COMMITMENT_ABOVE", threshold=Decimal("52.6"))
    alert(made, "another currency", type="FORECAST_ABOVE", currency="EUR", threshold=1)
    app.records.add_organization(Organization(id=made.organization_id, name="Test", created=HALF_OF_JUNE))
    records = app.records.organization(made.organization_id)
    made.store(records)
    app.usage.add([hundred_calls(made.organization_id, day) for day in range(1, 11)], 10)
    SpendWatch().look(app, made.organization_id)
    fired = DocumentWhere(equal={"event_name": ("spendalert.fired",)})
    found = [wire.decode(Event, each.body) for each in records.documents("event", fired, Page()).rows]
    told = {each.m3ter_event["alertId"]: each.m3ter_event for each in found}
    assert {id_: each["value"] for id_, each in told.items()} == expected
    assert [each["method"] for each in told.values() if "method" in each] == ["PACE"]


def test_spend_is_computed_again_where_something_changed_and_nowhere_else(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, looked = world(), list[str]()
    calls = id_of("aggregation", "calls")
    alert(made, "usage", type="USAGE_ABOVE", aggregationId=calls, threshold=1000)
    app.records.add_organization(Organization(id=made.organization_id, name="Test", created=HALF_OF_JUNE))
    records = app.records.organization(made.organization_id)
    made.store(records)

    def found(records: OrganizationRecords) -> dict[str, list[Entity[SpendAlert]]]:
        looked.append(records.organization_id)
        return active_alerts(records)

    monkeypatch.setattr(alerts, "active_alerts", found)
    watch = SpendWatch()

    def looks() -> int:
        before = len(looked)
        assert watch.look(app, made.organization_id) is Left.LATER
        return len(looked) - before

    assert (looks(), looks()) == (1, 0)
    app.usage.add([hundred_calls("another", 1)], 1)
    assert looks() == 0
    app.usage.add([hundred_calls(made.organization_id, 2)], 2)
    assert (looks(), looks()) == (1, 0)
    for kind in ("bill", "ledgerentry"):  # what is billed or drawn, or not any more
        with records.transaction() as write:
            write.remove_document(kind, "d1")
        assert looks() == 1, kind
