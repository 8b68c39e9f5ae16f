"""Signing in, in process: what a token says, whom it admits, and every way in which it can be wrong."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta

import jwt
import pytest

from tallystick.api import auth
from tallystick.api.auth import Grant, issue, operator_token, read_token, sign_in
from tallystick.control import service_users
from tallystick.control.organizations import NewOrganization, create_organization
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Actor, Records
from tallystick.stores.records_sql import open_records

NOW = Instant.parse("2025-06-15T12:00:00Z")
KEY = b"k" * 32
READER = Actor(id="reader", kind="SERVICE_USER", scopes=("config:retrieve", "analytics:query"))
HERE = Grant(READER, "here")


def later(seconds: float) -> Instant:
    return Instant.of(NOW + timedelta(seconds=seconds))


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    opened = open_records(f"sqlite:///{tmp_path_factory.mktemp('auth') / 'records.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def made(records: Records) -> NewOrganization:
    return create_organization(records, "North", "USD", NOW)


def test_a_token_says_who_where_and_what_for_as_long_as_it_is_good() -> None:
    token = issue(KEY, HERE, NOW, 60)
    for header in (f"Bearer {token}", f"bearer {token}", f"BEARER {token}"):
        assert read_token(KEY, header, NOW) == HERE
    assert read_token(KEY, f"Bearer {token}", later(59.999)) == HERE
    for after in (60, 61, 10**6):
        with pytest.raises(Refusal, match="this token has expired"):
            read_token(KEY, f"Bearer {token}", later(after))


def signed_otherwise() -> dict[str, str]:
    token = issue(KEY, HERE, NOW, 60)
    head, claims, signature = token.split(".")
    more = base64.urlsafe_b64encode(b'{"sub":"operator","kind":"OPERATOR","org":"*","scope":"all","exp":9999999999}')
    said = {"sub": "x", "kind": "OPERATOR", "org": "*", "scope": "all", "iat": 0, "exp": 9_999_999_999}
    return {
        "another key": issue(b"x" * 32, HERE, NOW, 60),
        "no signature": f"{head}.{claims}.",
        "other claims under the old signature": f"{head}.{more.decode().rstrip('=')}.{signature}",
        "the algorithm none": jwt.encode(said, "", algorithm="none"),
        "another algorithm": jwt.encode(said, KEY * 2, algorithm="HS512"),
        "cut short": token[:-1],
        "no token": "x",
        "two parts": f"{head}.{claims}",
        "empty": "",
        "not ASCII": "é.é.é",
        "NUL": "\x00",
        "huge": "a" * 100_000,
    }


@pytest.mark.parametrize("token", signed_otherwise().values(), ids=signed_otherwise().keys())
def test_a_token_that_was_not_issued_here_admits_nobody(token: str) -> None:
    with pytest.raises(Refusal, match="Authorization: ") as caught:
        read_token(KEY, f"Bearer {token}", NOW)
    assert caught.value.code.name == "forbidden"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Token x", "Basic eDp5", "x"])
def test_without_a_bearer_token_the_message_says_where_to_get_one(header: str | None) -> None:
    with pytest.raises(Refusal, match="send the Bearer token that POST /oauth/token answers"):
        read_token(KEY, header, NOW)


def test_a_grant_is_for_one_organisation_and_its_scopes() -> None:
    HERE.require_organization("here")
    HERE.require_scope("config:retrieve")
    for organization in ("there", "", "*", "here "):
        with pytest.raises(Refusal, match="gives no access to the organization"):
            HERE.require_organization(organization)
    for scope in ("config:update", "config:", "all"):
        with pytest.raises(Refusal, match=f"needs the scope {scope}"):
            HERE.require_scope(scope)


def test_the_operator_may_do_everything_everywhere_for_an_hour() -> None:
    token = f"Bearer {operator_token(KEY, NOW)}"
    grant = read_token(KEY, token, NOW)
    grant.require_organization("anywhere")
    grant.require_scope("config:delete")
    assert grant.actor.kind == "OPERATOR"
    with pytest.raises(Refusal, match="expired"):
        read_token(KEY, token, later(auth.OPERATOR_SECONDS))


def test_key_and_secret_are_exchanged_for_a_token(records: Records, made: NewOrganization) -> None:
    token = sign_in(records, KEY, basic(f"{made.api_key}:{made.api_secret}"), NOW, 60)
    grant = read_token(KEY, f"Bearer {token}", NOW)
    assert grant.organization_id == made.organization.id
    assert grant.actor.scopes == ("all",)
    assert grant.actor.kind == "SERVICE_USER"


WRONG = "unknown access key or wrong secret"
SEND_BASIC = r"send Basic base64\(accessKeyId:apiSecret\)"


@pytest.mark.parametrize("header", [None, "", "Basic", "Bearer x", "x"])
def test_without_basic_credentials_the_message_says_what_to_send(records: Records, header: str | None) -> None:
    with pytest.raises(Refusal, match=SEND_BASIC):
        sign_in(records, KEY, header, NOW, 60)


@pytest.mark.parametrize(
    "header",
    [
        "Basic !!!",
        "Basic YQ",
        "Basic " + "A" * 100_000,
        basic(""),
        basic(":"),
        basic("no colon"),
        basic("\x00:\x00"),
        basic(b"\xff\xfe:x"),
        basic(b"\xed\xa0\x80:x"),
        basic("' OR 1=1 --:x"),
    ],
)
def test_credentials_that_cannot_be_read_are_wrong_credentials(records: Records, header: str) -> None:
    with pytest.raises(Refusal, match=WRONG) as caught:
        sign_in(records, KEY, header, NOW, 60)
    assert caught.value.code.name == "forbidden"


@pytest.mark.parametrize(
    "credentials", ["{key}:", "{key}:wrong", "{key}:{secret} ", "{key} :{secret}", "{secret}:{key}", "{id}:{secret}"]
)
def test_an_attacker_does_not_learn_what_was_wrong(records: Records, made: NewOrganization, credentials: str) -> None:
    user = records.service_user_by_key(made.api_key)
    assert user is not None
    header = basic(credentials.format(key=made.api_key, secret=made.api_secret, id=user.id))
    with pytest.raises(Refusal, match=WRONG):
        sign_in(records, KEY, header, NOW, 60)


def test_a_revoked_service_user_gets_no_token(records: Records, made: NewOrganization) -> None:
    user = records.service_user_by_key(made.api_key)
    assert user is not None
    service_users.revoke(records, made.organization.id, user.id, NOW)
    with pytest.raises(Refusal, match=WRONG):
        sign_in(records, KEY, basic(f"{made.api_key}:{made.api_secret}"), NOW, 60)
