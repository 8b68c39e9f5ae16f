"""Events and notification rules through m3ter's own client, whose types check every answer."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError
from storefront import BODIES, Storefront, read, refused, send

RULE: dict[str, Any] = {
    "code": "renamed",
    "name": "Renamed",
    "description": "An account has another name",
    "event_name": "configuration.account.updated",
    "calculation": "new.name != old.name",
}
PYTHON: dict[str, tuple[type, ...]] = {"String": (str,), "Number": (int, float), "Boolean": (bool,)}
ACME: Any = {"code": "acme", "email_address": "ap@acme.example"}


def test_a_rule_lives_through_the_client(client: M3ter) -> None:
    rules = client.notification_configurations
    made = rules.create(**RULE)
    assert (made.version, made.active, made.always_fire_event, made.calculation) == (
        1,
        True,
        False,
        RULE["calculation"],
    )
    changed = rules.update(id=made.id, **{**RULE, "active": False, "version": 1})
    assert (changed.version, changed.active) == (2, False)
    assert rules.retrieve(id=made.id) == changed
    for filters, found in (
        ({}, [made.id]),
        ({"active": True}, []),
        ({"active": False}, [made.id]),
        ({"event_name": RULE["event_name"]}, [made.id]),
        ({"event_name": "configuration.account.created"}, []),
        ({"ids": [made.id]}, [made.id]),
    ):
        assert [each.id for each in rules.list(**filters)] == found  # type: ignore[arg-type]  # filters by name, as a table has them
    assert rules.delete(id=made.id).id == made.id
    with pytest.raises(NotFoundError):
        rules.retrieve(id=made.id)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"event_name": "configuration.acount.updated"}, "eventName: there is no event 'configuration.acount.updated'"),
        ({"calculation": "new.nam != old.name"}, "calculation: character 1: .*new.nam"),
        ({"calculation": "new.name !="}, "calculation: character"),
        ({"calculation": "new.version + 1"}, "calculation: must be true or false"),
        ({"calculation": "new.name > 5"}, "calculation: character"),
        ({"calculation": ""}, "calculation: give a formula"),
        ({"description": ""}, "description"),
    ],
)
def test_a_rule_with_a_mistake_is_refused_where_it_is(client: M3ter, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        client.notification_configurations.create(**{**RULE, **changes})


def test_a_rule_that_holds_makes_an_event_that_is_found_by_it(client: M3ter) -> None:
    rule = client.notification_configurations.create(**RULE)
    account = client.accounts.create(name="Acme", **ACME)
    client.accounts.update(id=account.id, name="Acme", **{**ACME, "purchase_order_number": "PO-1"})
    client.accounts.update(id=account.id, name="Acme Ltd", **ACME)
    until = time.monotonic() + 30
    while not (found := list(client.events.list(notification_code="renamed"))):
        assert time.monotonic() < until
        time.sleep(0.05)
    (event,) = found
    told: Any = event.m3ter_event
    assert (told["notificationId"], told["new"]["name"], told["old"]["name"]) == (rule.id, "Acme Ltd", "Acme")
    for filters in (
        {"notification_id": rule.id},
        {"event_type": "Notification"},
        {"resource_id": rule.id, "event_type": "Notification"},
        {"account_id": account.id, "event_type": "Notification"},
    ):
        assert [each.id for each in client.events.list(**filters)] == [event.id]
    assert list(client.events.list(notification_code="other")) == []
    changes = client.events.list(resource_id=account.id, event_name="configuration.account.updated")
    assert {each.m3ter_event["new"]["version"] for each in changes} == {2, 3}  # type: ignore[index]  # an object


def test_a_formula_can_be_tried(client: M3ter, http: httpx.Client) -> None:
    account = client.accounts.create(name="Acme", **ACME)
    (event,) = client.events.list(resource_id=account.id)

    def tried(**body: object) -> dict[str, Any]:
        return read(send(http, "POST", "/notifications/evaluate", body))

    assert tried(eventId=event.id, calculation="new.name == 'Acme'") == {"success": True}
    assert tried(eventId=event.id, calculation="new.name == 'Bolt'") == {"success": False}
    assert tried(eventName="configuration.account.created", calculation="new.version > 1") == {"success": True}
    assert "unknown field 'new.nam'" in tried(eventId=event.id, calculation="new.nam == 1")["errorMessage"]
    assert "division by zero" in tried(eventId=event.id, calculation="1 / (new.version - 1) > 1")["errorMessage"]
    refused(send(http, "POST", "/notifications/evaluate", {"calculation": "true"}))


def test_everything_that_people_make_is_told(client: M3ter, http: httpx.Client) -> None:
    """Of one of everything that there is to make, the event of its making, and its type in the lists of types."""
    store = Storefront(http)
    types = set(client.events.get_types().events or ())
    fields = client.events.get_fields().events or {}
    assert types == set(fields)
    for path in sorted(set(BODIES) - {"/serviceusers"}):
        made = [each for each in client.events.list(resource_id=store.ids[path]) if "created" in each.event_name]
        assert made, path
        assert made[-1].event_name in types, path
        told: Any = made[-1].m3ter_event
        assert told["new"]["id"] == store.ids[path]
        kinds = {name.partition(".")[2]: kind for name, kind in fields[made[-1].event_name].items()}
        assert {"id", "version", "createdBy"} <= kinds.keys(), path
        for name in told["new"].keys() & kinds.keys():
            assert isinstance(told["new"][name], PYTHON[kinds[name]]), (path, name)


def test_a_scheduled_event_is_told_when_its_date_has_come(client: M3ter) -> None:
    scheduled = client.scheduled_event_configurations
    account = client.accounts.create(name="Acme", **ACME)
    body: dict[str, Any] = {"name": "scheduled.contract.endsSoon", "entity": "Contract", "field": "endDate"}
    made = scheduled.create(**body, offset=-30)
    assert (made.version, made.name, made.offset) == (1, "scheduled.contract.endsSoon", -30)
    kept = scheduled.update(id=made.id, **body, offset=-60, version=1)
    assert scheduled.retrieve(id=made.id) == kept
    assert [each.id for each in scheduled.list(ids=[made.id])] == [made.id]
    rule = {**RULE, "event_name": "scheduled.contract.endsSoon", "calculation": "new.code == 'year'"}
    client.notification_configurations.create(**rule)
    soon = (datetime.now(UTC) + timedelta(days=50)).date()
    for code, ends in (("year", soon), ("later", soon + timedelta(days=30))):
        client.contracts.create(account_id=account.id, name=code, code=code, start_date=date(2025, 1, 1), end_date=ends)
    until = time.monotonic() + 30
    while not list(client.events.list(notification_code="renamed")):
        assert time.monotonic() < until
        time.sleep(0.1)
    told: list[Any] = [each.m3ter_event for each in client.events.list(event_name="scheduled.contract.endsSoon")]
    assert [each["new"]["code"] for each in told] == ["year"]
    assert scheduled.delete(id=made.id).id == made.id


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "scheduled.account.soon"}, "name: must be scheduled.contract.<what>"),
        ({"entity": "Contrakt", "name": "scheduled.contrakt.soon"}, "entity: must be one of .*contract"),
        ({"field": "name"}, "field: must be a date of a contract: dtCreated, endDate, startDate"),
        ({"offset": 40_000}, "offset: from -36500 to 36500 days"),
    ],
)
def test_a_scheduled_event_that_makes_no_sense_is_refused(client: M3ter, changes: dict[str, Any], says: str) -> None:
    body = {"name": "scheduled.contract.soon", "entity": "Contract", "field": "endDate", "offset": 1}
    with pytest.raises(BadRequestError, match=says):
        client.scheduled_event_configurations.create(**{**body, **changes})  # type: ignore[arg-type]  # fields by name, as a table has them
