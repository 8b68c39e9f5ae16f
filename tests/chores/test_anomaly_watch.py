"""The hourly look: what is out of the ordinary is told of before any bill is made of it, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from billing_world import World, id_of
from tallystick.app import App, build
from tallystick.chores.anomalies import AnomalyWatch
from tallystick.chores.chore import Left
from tallystick.core import wire
from tallystick.core.anomaly import Anomaly, AnomalyKind, AnomalyPolicy
from tallystick.core.period import Instant
from tallystick.ports import DocumentWhere, Organization, Page, UsageRow
from tallystick.settings import Settings

TODAY = date(2025, 6, 20)


@dataclass
class Hand:
    """A clock that is turned by hand."""

    moment: Instant = field(default_factory=lambda: Instant.parse(f"{TODAY}T05:00:00Z"))

    def now(self) -> Instant:
        return self.moment


@dataclass
class Shop:
    app: App
    clock: Hand
    world: World
    watch: AnomalyWatch = field(default_factory=AnomalyWatch)

    def use(self, account: str, day: date, calls: int, each: int = 1) -> None:
        first = self.app.usage.mark + 1
        rows = [
            UsageRow(
                position=first + number,
                organization_id=self.world.organization_id,
                meter_id=id_of("meter", "requests"),
                account_id=id_of("account", account),
                uid=str(first + number),
                ts=Instant.parse(f"{day}T03:00:00Z"),
                ets=None,
                received=Instant.parse(f"{day}T03:00:00Z"),
                numbers={"calls": Decimal(calls)},
                texts={},
            )
            for number in range(each)
        ]
        self.app.usage.add(rows, rows[-1].position)

    def look(self) -> Left:
        return self.watch.look(self.app, self.world.organization_id)

    def documents(self, kind: str) -> list[bytes]:
        records = self.app.records.organization(self.world.organization_id)
        return [each.body for each in records.documents(kind, DocumentWhere(), Page(size=100)).rows]

    def told(self) -> list[str]:
        """The ids of the events of anomalies."""
        records = self.app.records.organization(self.world.organization_id)
        where = DocumentWhere(equal={"event_name": ("anomaly.found",)})
        return [each.id for each in records.documents("event", where, Page()).rows]

    def found(self) -> list[tuple[str, date, Decimal]]:
        every = [wire.decode(Anomaly, each) for each in self.documents("anomaly")]
        return sorted((each.kind.value, each.day, each.measured) for each in every)

    def add(self, **policy: object) -> None:
        self.world.add(AnomalyPolicy(**policy), "policy")  # type: ignore[arg-type]  # the fields of a policy
        records = self.app.records.organization(self.world.organization_id)
        with records.transaction() as write:
            write.insert(self.world.order[-1])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Sixty measurements a day of one account, up to the day before yesterday."""
    clock = Hand()
    app = build(Settings(data=str(tmp_path)), clock)
    world = World()
    world.aggregation()
    world.account("acme")
    app.records.add_organization(Organization(id=world.organization_id, name="Test", created=clock.now()))
    world.store(app.records.organization(world.organization_id))
    made = Shop(app, clock, world)
    for back in range(30, 1, -1):
        made.use("acme", TODAY - timedelta(days=back), calls=10, each=60)
    yield made
    app.close()


def test_nothing_unusual_is_nothing_told(shop: Shop) -> None:
    shop.use("acme", TODAY - timedelta(days=1), calls=10, each=60)
    assert shop.look() is Left.LATER
    assert shop.found() == []


def test_a_spike_is_told_while_its_day_goes_on_and_once(shop: Shop) -> None:
    shop.use("acme", TODAY - timedelta(days=1), calls=10, each=60)
    shop.use("acme", TODAY, calls=400, each=60)
    shop.look()
    assert shop.found() == [("SPIKE", TODAY, 24_000)]
    shop.use("acme", TODAY, calls=400, each=1)
    shop.look()  # in the same hour: not again
    assert shop.found() == [("SPIKE", TODAY, 24_000)]
    shop.clock.moment = Instant.of(shop.clock.moment + timedelta(hours=1))
    shop.look()
    assert shop.found() == [("SPIKE", TODAY, 24_400)]
    assert len(shop.told()) == 1


def test_that_nothing_came_is_told_some_hours_after_the_day(shop: Shop) -> None:
    shop.look()
    assert shop.found() == [], "at five in the morning it may still come"
    shop.clock.moment = Instant.parse(f"{TODAY}T06:00:00Z")
    shop.look()
    yesterday = TODAY - timedelta(days=1)
    assert shop.found() == [("DROP_TO_ZERO", yesterday, 0), ("SILENT_METER", yesterday, 0)]


def test_a_policy_says_what_is_looked_for(shop: Shop) -> None:
    shop.clock.moment = Instant.parse(f"{TODAY}T06:00:00Z")
    shop.add(alert_for=(AnomalyKind.SILENT_METER,))
    shop.look()
    assert [kind for kind, _, _ in shop.found()] == ["SILENT_METER"]


def test_who_wants_nothing_told_is_not_looked_at(shop: Shop) -> None:
    shop.add(alert_for=())
    assert shop.look() is Left.NOTHING


def test_what_only_holds_is_found_but_not_told(shop: Shop) -> None:
    shop.clock.moment = Instant.parse(f"{TODAY}T06:00:00Z")
    shop.add(alert_for=(), hold_for=(AnomalyKind.SILENT_METER,))
    shop.look()
    assert [kind for kind, _, _ in shop.found()] == ["SILENT_METER"]
    assert shop.told() == []
