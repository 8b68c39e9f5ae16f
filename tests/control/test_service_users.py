"""Service users: secrets that are shown once, scopes, revocation."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from shop import NOW, NOWHERE, refused

from tallystick.control import service_users
from tallystick.control.desk import Desk
from tallystick.core.period import Instant
from tallystick.ports import Actor, Records, ServiceUser


def add(records: Records, desk: Desk, *scopes: str) -> tuple[ServiceUser, str]:
    return service_users.create(records, desk.records.organization_id, "Importer", scopes or ("all",), NOW)


def test_a_secret_opens_and_only_its_digest_is_kept(records: Records, desk: Desk) -> None:
    user, secret = add(records, desk)
    kept = records.service_user_by_key(user.access_key)
    assert kept == user
    assert secret not in repr(kept)
    assert service_users.check_secret(user, secret)
    assert not service_users.check_secret(user, secret[:-1])
    assert not service_users.check_secret(user, "")
    assert not service_users.check_secret(user, user.secret_digest)


def test_secrets_have_256_bits_and_differ(records: Records, desk: Desk) -> None:
    secrets = {add(records, desk)[1] for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(secret) == 43 for secret in secrets), "32 bytes in URL-safe base64"


def test_the_sources_of_chance_can_be_fixed(records: Records, desk: Desk) -> None:
    numbers = count(1)
    user, secret = service_users.create(
        records,
        desk.records.organization_id,
        " Importer ",
        ("config:retrieve", "config:retrieve"),
        NOW,
        new_id=lambda: f"{next(numbers)}-{desk.records.organization_id}",
        new_secret=lambda: "hush",
    )
    assert (user.name, user.scopes, secret) == ("Importer", ("config:retrieve",), "hush")
    # sha256("hush"), from coreutils
    assert user.secret_digest == "dc8331bcb2283e89d275a1c2fe66f7bf5ac3163ec1967f149dd7e27906365f0c"


@pytest.mark.parametrize(
    ("name", "scopes", "field"),
    [
        ("", ("all",), "name"),
        ("   ", ("all",), "name"),
        ("n" * 201, ("all",), "name"),
        ("Importer", (), "scopes"),
        ("Importer", ("everything",), "scopes"),
        ("Importer", ("config:create", "x" * 99), "scopes"),
    ],
)
def test_names_and_scopes_are_checked(
    records: Records, desk: Desk, name: str, scopes: tuple[str, ...], field: str
) -> None:
    refusal = refused(lambda: service_users.create(records, desk.records.organization_id, name, scopes, NOW))
    assert (refusal.code.name, refusal.field) == ("invalid_request", field)


def test_an_organization_that_does_not_exist_has_no_users(records: Records) -> None:
    refusal = refused(lambda: service_users.create(records, NOWHERE, "Importer", ("all",), NOW))
    assert refusal.code.name == "not_found"


def test_a_revoked_user_opens_nothing_for_ever(records: Records, desk: Desk) -> None:
    user, secret = add(records, desk)
    organization = desk.records.organization_id
    revoked = service_users.revoke(records, organization, user.id, NOW)
    assert revoked == replace(user, revoked=NOW)
    assert service_users.retrieve(records, organization, user.id) == revoked
    assert not service_users.check_secret(revoked, secret)
    later = Instant.parse("2026-01-01T00:00:00Z")
    assert service_users.revoke(records, organization, user.id, later) == revoked, "the first time counts"


def test_users_of_another_organization_are_not_found(records: Records, desk: Desk, other_desk: Desk) -> None:
    user, _ = add(records, desk)
    other = other_desk.records.organization_id
    assert refused(lambda: service_users.retrieve(records, other, user.id)).code.name == "not_found"
    assert refused(lambda: service_users.revoke(records, other, user.id, NOW)).code.name == "not_found"
    assert service_users.find(records, other) == []
    assert service_users.find(records, desk.records.organization_id) == [user]


@pytest.mark.parametrize(
    ("own", "asked", "allowed"),
    [
        (("all",), ("all",), True),
        (("all",), ("config:create",), True),
        (("config:create", "config:retrieve"), ("config:retrieve",), True),
        (("config:create",), ("config:create", "config:delete"), False),
        (("config:create",), ("all",), False),
    ],
)
def test_nobody_grants_more_than_they_have(own: tuple[str, ...], asked: tuple[str, ...], allowed: bool) -> None:
    actor = Actor(id="someone", kind="SERVICE_USER", scopes=own)
    if allowed:
        service_users.require_grantable(actor, asked)
    else:
        assert refused(lambda: service_users.require_grantable(actor, asked)).code.name == "forbidden"
