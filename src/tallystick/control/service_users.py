"""The API identities of an organisation: who may call, with which scopes, and how their secrets are kept.

A secret is 256 random bits, shown once and kept as its SHA-256 digest. A fast hash is right here and wrong for
passwords: nobody can guess 256 random bits, so there is nothing for a slow hash to slow down, and the sign-in is on
the path of every SDK call (see docs/decisions/0060-secrets-of-service-users.md).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Actor, Records, ServiceUser

# What a service user may be allowed to do; "all" is every one of them (source: reference 2.13).
SCOPES = (
    "all",
    "config:create",
    "config:retrieve",
    "config:update",
    "config:delete",
    "measurements:upload",
    "measurements:fileupload",
    "measurements:retrieve",
    "analytics:query",
)
MAX_NAME = 200
SECRET_BYTES = 32


def _new_id() -> str:
    return str(uuid.uuid4())


def _new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str) -> str:
    """What is kept of a secret: SHA-256, as hexadecimal text."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create(
    records: Records,
    organization_id: str,
    name: str,
    scopes: Sequence[str],
    now: Instant,
    *,
    new_id: Callable[[], str] = _new_id,
    new_secret: Callable[[], str] = _new_secret,
) -> tuple[ServiceUser, str]:
    """Add a service user and return it with its secret, which nothing can show again.

    Refusal `invalid_request` for a name outside 1–200 characters, no scope or an unknown one; `not_found` for an
    organisation that does not exist.
    """
    if not 1 <= len(name.strip()) <= MAX_NAME:
        raise Refusal("invalid_request", f"name: must have 1 to {MAX_NAME} characters", field="name")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        given = repr(unknown[0][:40]) if unknown else "none"
        raise Refusal("invalid_request", f"scopes: give some of {', '.join(SCOPES)}; got {given}", field="scopes")
    if records.find_organization(organization_id) is None:
        raise Refusal("not_found", f"there is no organisation {organization_id!r}")
    secret = new_secret()
    user = ServiceUser(
        id=new_id(),
        organization_id=organization_id,
        name=name.strip(),
        access_key=new_id(),
        secret_digest=digest(secret),
        scopes=tuple(dict.fromkeys(scopes)),
        created=now,
    )
    records.add_service_user(user)
    return user, secret


def check_secret(user: ServiceUser, secret: str) -> bool:
    """Whether this is the user's secret and the user is not revoked; takes the same time either way."""
    right = hmac.compare_digest(user.secret_digest, digest(secret))
    return right and user.revoked is None


def allows(user_scopes: Sequence[str], scope: str) -> bool:
    """Whether these scopes include the one that is asked for."""
    return "all" in user_scopes or scope in user_scopes


def require_grantable(actor: Actor, scopes: Sequence[str]) -> None:
    """Refuse to hand out more than the actor may do itself: `forbidden`, naming the scope."""
    for scope in scopes:
        if not allows(actor.scopes, scope):
            raise Refusal(
                "forbidden", f"scopes: you may not grant {scope[:40]!r}, which you do not have", field="scopes"
            )


def retrieve(records: Records, organization_id: str, id: str) -> ServiceUser:
    """One service user of the organisation, revoked ones too; Refusal `not_found` for any other id."""
    user = records.service_user(id)
    if user is None or user.organization_id != organization_id:
        raise Refusal("not_found", f"there is no service user {id!r} in this organisation")
    return user


def find(records: Records, organization_id: str) -> list[ServiceUser]:
    """All service users of the organisation, newest first."""
    users = records.service_users(organization_id)
    return sorted(users, key=lambda user: (user.created, user.id), reverse=True)


def revoke(records: Records, organization_id: str, id: str, now: Instant) -> ServiceUser:
    """End a service user for good: its secret and its tokens no longer work. Again changes nothing."""
    user = retrieve(records, organization_id, id)
    if user.revoked is not None:
        return user
    revoked = replace(user, revoked=now)
    records.replace_service_user(revoked)
    return revoked
