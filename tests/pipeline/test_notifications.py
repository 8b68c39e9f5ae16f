"""Notification rules: what makes a notification, by which version of the rule, and what is told where one fails."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from handing_world import ORGANIZATION, HandingWorld

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.notification import EVENT_TYPE, FAILED_TYPE, NotificationConfiguration, holds
from tallystick.outbox import EVENT, event_document, put_events
from tallystick.ports import DocumentWhere, Page

COMMITMENT = named_id(ORGANIZATION, "commitment")
CHANGED = "configuration.commitment.updated"
# Nine tenths are crossed: told then, and not again while it stays above.
CROSSED = "new.amountSpent >= 0.9 * new.amount AND (old.amountSpent == null OR old.amountSpent < 0.9 * old.amount)"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HandingWorld]:
    world = HandingWorld(tmp_path)
    yield world
    world.store.close()


def rule(world: HandingWorld, code: str, version: int = 1, **fields: Any) -> str:
    id_ = named_id(ORGANIZATION, code)
    value = NotificationConfiguration(
        **{"code": code, "name": code, "description": code, "event_name": CHANGED} | fields
    )
    written = {"created": world.now, "created_by": "ada", "modified": world.now, "modified_by": "ada"}
    entity: Entity[Any] = Entity(id=id_, version=version, value=value, **written)  # type: ignore[arg-type]  # the times
    with world.records.transaction() as write:
        if version == 1:
            write.insert(entity)
        else:
            write.replace(entity)
    return id_


def happens(world: HandingWorld, number: int, name: str = CHANGED, **told: Any) -> Event:
    id_ = named_id(ORGANIZATION, f"event {number}")
    event = Event(id=id_, event_name=name, event_time=world.now, m3ter_event={"eventName": name, **told})
    with world.records.transaction() as write:
        put_events(write, [event_document(event, event_type="ConfigurationChange", resource_id=COMMITMENT)])
    return event


def told(world: HandingWorld, of_type: str = EVENT_TYPE) -> list[Event]:
    found = world.records.documents(EVENT, DocumentWhere(equal={"event_type": (of_type,)}), Page())
    return [wire.decode(Event, each.body) for each in found.rows]


@pytest.mark.parametrize(
    ("calculation", "new", "old", "fires"),
    [
        (CROSSED, {"amount": 100, "amountSpent": 95}, {"amount": 100, "amountSpent": 80}, True),
        (CROSSED, {"amount": 100, "amountSpent": 95}, {"amount": 100, "amountSpent": 92}, False),
        (CROSSED, {"amount": 100, "amountSpent": 95}, {"amount": 100}, True),
        (CROSSED, {"amount": 100, "amountSpent": 89}, {"amount": 100, "amountSpent": 80}, False),
        ("new.status == 'APPROVED'", {"status": "APPROVED"}, {"status": "PENDING"}, True),
        ("new.locked AND NOT old.locked", {"locked": True}, {"locked": False}, True),
        ("new.customFields.tier == 'gold'", {"customFields": {"tier": "gold"}}, {}, True),
        ("new.missing", {}, {}, False),  # null is not true
    ],
)
def test_a_formula_is_over_what_is_now_and_what_was(
    calculation: str, new: dict[str, Any], old: dict[str, Any], fires: bool
) -> None:
    exact = wire.decode(dict[str, Any], wire.encode({"new": new, "old": old}))
    event = Event(id=COMMITMENT, event_name=CHANGED, event_time=None, m3ter_event=exact)  # type: ignore[arg-type]  # no time is read
    assert holds(calculation, event) is fires


def test_an_event_without_sides_is_all_of_it_new() -> None:
    event = Event(id=COMMITMENT, event_name="x", event_time=None, m3ter_event={"value": Decimal("0.3")})  # type: ignore[arg-type]  # no time is read
    assert holds("new.value > 0.29 AND new.value < 0.31", event)


def test_a_rule_that_holds_makes_a_notification_that_is_handed_over(world: HandingWorld) -> None:
    low, every = rule(world, "low", calculation="new.left < 10"), rule(world, "every", always_fire_event=True)
    world.integration("all notifications", entity_type="Notification")
    world.integration("of one rule", entity_type="Notification", entity_id=low)
    happens(world, 1, new={"left": 5})
    happens(world, 2, new={"left": 50})
    happens(world, 3, name="configuration.account.updated", new={"left": 5})
    world.round()
    fired = sorted((each.m3ter_event["notificationCode"], each.m3ter_event["new"]["left"]) for each in told(world))
    assert fired == [("every", 5), ("every", 50), ("low", 5)]
    reached = sorted(
        (what.config.value.name, what.event.m3ter_event["notificationCode"]) for what in world.receiver.got
    )
    assert reached == [
        ("all notifications", "every"),
        ("all notifications", "every"),
        ("all notifications", "low"),
        ("of one rule", "low"),
    ]
    assert {each.entity_id for each in world.runs()} == {low, every}


def test_the_rule_holds_as_it_stood_when_the_event_happened(world: HandingWorld) -> None:
    rule(world, "low", calculation="new.left < 10")
    happens(world, 1, new={"left": 5})
    rule(world, "low", version=2, calculation="new.left < 1")
    happens(world, 2, new={"left": 5})
    world.round()
    assert [each.m3ter_event["eventId"] for each in told(world)] == [named_id(ORGANIZATION, "event 1")]


def test_an_inactive_rule_makes_nothing(world: HandingWorld) -> None:
    rule(world, "low", calculation="new.left < 10", active=False)
    happens(world, 1, new={"left": 5})
    world.round()
    assert told(world) == []


def test_a_formula_that_cannot_be_computed_is_told_and_the_other_rules_go_on(world: HandingWorld) -> None:
    rule(world, "share", calculation="100 / new.left > 5")
    rule(world, "every", always_fire_event=True)
    happens(world, 1, new={"left": 0})
    world.round()
    assert [each.m3ter_event["notificationCode"] for each in told(world)] == ["every"]
    (failed,) = told(world, FAILED_TYPE)
    assert failed.m3ter_event["reason"] == (
        "the calculation of share cannot be computed from configuration.commitment.updated: "
        "/ at character 5: division by zero"
    )


def test_a_formula_that_is_none_any_more_holds_up_nothing(world: HandingWorld) -> None:
    """It was saved when the language had that function. Nothing of the organisation was handed over any more."""
    rule(world, "old", calculation="Text.of(new.amountSpent) == '1'")
    world.integration("erp", "Commitment")
    event = happens(world, 1, new={"amountSpent": 1})
    world.round()
    assert [what.event.id for what in world.receiver.got] == [event.id]
    (failed,) = told(world, FAILED_TYPE)
    assert "the calculation of old cannot be computed" in failed.m3ter_event["reason"]


def test_rules_do_not_go_round_in_circles(world: HandingWorld) -> None:
    rule(world, "of notifications", event_name="notification.fired", always_fire_event=True)
    rule(world, "of failures", event_name="notification.evaluation.error", always_fire_event=True)
    rule(world, "share", calculation="100 / new.left > 5")
    happens(world, 1, new={"left": 0})
    happens(world, 2, new={"left": 1})
    for _ in range(5):
        world.round()
    assert (len(told(world)), len(told(world, FAILED_TYPE))) == (1, 1)
