"""Signing in: access tokens for service users and for the operator, and what a token may do.

Tokens are signed JWTs, so that issuing and checking one costs microseconds: the official Python client asks for a
new token before every call. The signing key lies in the data directory, readable by its owner alone; who can read
it is the operator.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import jwt

from tallystick.control.service_users import check_secret
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Actor, Records

ALGORITHM = "HS256"
ANY_ORGANIZATION = "*"
OPERATOR_SECONDS = 3600
EVERYTHING = "all"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid token says: who, in which organisation."""

    actor: Actor
    organization_id: str

    def require_organization(self, organization_id: str) -> None:
        """Refuse a token of another organisation, in the same words as an unknown one."""
        if self.organization_id not in {organization_id, ANY_ORGANIZATION}:
            raise Refusal("forbidden", f"this token gives no access to the organization {organization_id[:40]!r}")

    def require_scope(self, scope: str) -> None:
        """Refuse what the service user was not given."""
        if EVERYTHING not in self.actor.scopes and scope not in self.actor.scopes:
            raise Refusal("forbidden", f"this needs the scope {scope}, which the service user does not have")


def issue(key: bytes, grant: Grant, now: Instant, seconds: int) -> str:
    """A signed token that says `grant` for `seconds` from now."""
    claims = {
        "sub": grant.actor.id,
        "kind": grant.actor.kind,
        "org": grant.organization_id,
        "scope": " ".join(grant.actor.scopes),
        "iat": int(now.timestamp()),
        "exp": int(now.timestamp()) + seconds,
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def operator_token(key: bytes, now: Instant) -> str:
    """A token for whoever can read the data directory's key: every organisation, every scope, one hour."""
    actor = Actor(id="operator", kind="OPERATOR", scopes=(EVERYTHING,))
    return issue(key, Grant(actor, ANY_ORGANIZATION), now, OPERATOR_SECONDS)


def sign_in(records: Records, key: bytes, authorization: str | None, now: Instant, seconds: int) -> str:
    """Exchange `Basic base64(accessKey:apiSecret)` for a token; one message for every way it can be wrong."""
    wrong = Refusal("forbidden", "Authorization: unknown access key or wrong secret")
    if authorization is None or not authorization.lower().startswith("basic "):
        raise Refusal("forbidden", "Authorization: send Basic base64(accessKeyId:apiSecret)")
    try:
        access_key, _, secret = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise wrong from None
    user = records.service_user_by_key(access_key) if "\x00" not in access_key else None
    if user is None or user.revoked is not None or not check_secret(user, secret):
        raise wrong
    return issue(key, Grant(Actor(user.id, "SERVICE_USER", user.scopes), user.organization_id), now, seconds)


def read_token(key: bytes, authorization: str | None, now: Instant) -> Grant:
    """What a bearer token says, if it is ours and has not expired. Whether its user was revoked is not asked here."""
    if authorization is None or not authorization.lower().startswith("bearer "):
        raise Refusal("forbidden", "Authorization: send the Bearer token that POST /oauth/token answers")
    try:
        claims = jwt.decode(authorization[7:], key, algorithms=[ALGORITHM], options={"verify_exp": False})
    except jwt.InvalidTokenError:
        raise Refusal("forbidden", "Authorization: this token was not issued here") from None
    if claims["exp"] <= now.timestamp():
        raise Refusal("forbidden", "Authorization: this token has expired")
    actor = Actor(id=claims["sub"], kind=claims["kind"], scopes=tuple(claims["scope"].split()))
    return Grant(actor, claims["org"])
