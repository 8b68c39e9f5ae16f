"""The door: it asks the records about a token at most once a second, and forgets in time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tallystick.api import door as door_module
from tallystick.api.auth import Grant, issue, operator_token
from tallystick.api.door import Door
from tallystick.control import service_users
from tallystick.control.organizations import create_organization
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Actor, Records, ServiceUser
from tallystick.stores.records_sql import open_records

NOW = Instant.parse("2025-06-15T12:00:00Z")
KEY = b"k" * 32


def later(seconds: float) -> Instant:
    return Instant.of(NOW + timedelta(seconds=seconds))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    opened = open_records(f"sqlite:///{tmp_path_factory.mktemp('door') / 'records.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def user(records: Records) -> ServiceUser:
    made = create_organization(records, "North", "USD", NOW)
    found = records.service_user_by_key(made.api_key)
    assert found is not None
    return found


def bearer(user: ServiceUser, seconds: int = 60) -> str:
    grant = Grant(Actor(user.id, "SERVICE_USER", user.scopes), user.organization_id)
    return "Bearer " + issue(KEY, grant, NOW, seconds)


def test_a_revoked_user_is_refused_within_a_second(records: Records, user: ServiceUser) -> None:
    door, token = Door(records, KEY), bearer(user)
    assert door.admit(token, NOW).actor.id == user.id
    service_users.revoke(records, user.organization_id, user.id, NOW)
    assert door.admit(token, later(0.999)).actor.id == user.id
    for after in (1.0, 1.5, 30):
        with pytest.raises(Refusal, match="the service user of this token was revoked"):
            door.admit(token, later(after))


def test_a_user_who_never_came_by_is_refused_at_once(records: Records, user: ServiceUser) -> None:
    service_users.revoke(records, user.organization_id, user.id, NOW)
    with pytest.raises(Refusal, match="revoked"):
        Door(records, KEY).admit(bearer(user), NOW)


def test_a_user_who_does_not_exist_is_refused(records: Records, user: ServiceUser) -> None:
    grant = Grant(Actor("nobody", "SERVICE_USER", ("all",)), user.organization_id)
    with pytest.raises(Refusal, match="revoked"):
        Door(records, KEY).admit("Bearer " + issue(KEY, grant, NOW, 60), NOW)


def test_a_token_ends_when_it_says_within_a_second(records: Records, user: ServiceUser) -> None:
    door, token = Door(records, KEY), bearer(user, seconds=10)
    door.admit(token, later(9.5))
    with pytest.raises(Refusal, match="expired"):
        door.admit(token, later(10.5))


def test_a_clock_that_was_set_back_admits_nobody_longer(records: Records, user: ServiceUser) -> None:
    """What was seen in the future is looked at again."""
    door, token = Door(records, KEY), bearer(user)
    door.admit(token, later(30))
    service_users.revoke(records, user.organization_id, user.id, NOW)
    with pytest.raises(Refusal, match="revoked"):
        door.admit(token, later(5))


def test_the_operator_needs_no_service_user(records: Records) -> None:
    assert Door(records, KEY).admit("Bearer " + operator_token(KEY, NOW), NOW).actor.kind == "OPERATOR"


def test_what_the_door_remembers_is_bounded(
    records: Records, user: ServiceUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "REMEMBER_TOKENS", 5)
    door = Door(records, KEY)
    for seconds in range(1, 30):
        door.admit(bearer(user, seconds), NOW)
        assert len(door._seen) <= 5


def test_a_refused_token_is_not_remembered(records: Records) -> None:
    door = Door(records, KEY)
    for _ in range(2):
        with pytest.raises(Refusal):
            door.admit("Bearer x", NOW)
    assert door._seen == {}
