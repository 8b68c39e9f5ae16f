"""Users of an organisation: invited by a link that works once, signed in with a password of their own.

Only digests are kept of links and sessions, and a slow hash of passwords (`passwords.py`). An email address belongs to
one user on the whole server, because signing in names nothing else (docs/decisions/0271-users-and-sessions.md).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from tallystick.control import passwords
from tallystick.control.desk import Desk, Draft, Noun, rule_broken
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.user import May, Role, User, address
from tallystick.errors import Refusal
from tallystick.ports import Actor, Credential, OrganizationRecords, Page, Records, Transaction, Where

PASSWORD, SESSION, LINK = "PASSWORD", "SESSION", "LINK"
LINK_LIFE = timedelta(days=7)
IDLE = timedelta(hours=8)
LONGEST = timedelta(days=7)
TOUCH = timedelta(minutes=5)  # how exactly it is kept when a session was last used
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A user with the session that proves who it is."""

    user: Entity[User]
    session: Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Whether a user has set a password by a link, and until when the present link, or else the first, can be used."""

    user: Entity[User]
    accepted: bool
    expires: Instant


def digest(token: str) -> str:
    """What is kept of a token of 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """256 random bits as text that is safe in a URL and a cookie."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def invite(
    desk: Desk,
    email: str,
    role: Role,
    *,
    first_name: str = "",
    last_name: str = "",
    contact_number: str | None = None,
    until: Instant | None = None,
) -> tuple[Entity[User], str]:
    """Add a user and return it with the token of a link by which it sets its password, once, within seven days.

    Refusals: `invalid_request` for what is no address, `code_in_use` when somebody on this server has it.
    """
    with desk.records.transaction() as write:
        names = {"firstName": first_name, "lastName": last_name, "contactNumber": contact_number}
        value = _user(email, {**names, "role": role, "dtEndAccess": until})
        if by_email(write, value.email) is not None:
            raise _taken(value.email)
        user = USERS.create_within(desk, write, value, desk.new_id())
        _keep_address(write, user, desk.now)
        return user, _new_link(write, user, desk.now)


def invitation(records: OrganizationRecords, user: Entity[User]) -> Invitation:
    """How the invitation of a user stands."""
    kept = {each.purpose: each for each in records.credentials(user.id, (PASSWORD, LINK))}
    password, link = kept.get(PASSWORD), kept.get(LINK)
    ends = user.created + LINK_LIFE if link is None or link.expires is None else link.expires
    return Invitation(user=user, accepted=bool(password and password.secret), expires=Instant.of(ends))


def by_email(records: OrganizationRecords, email: str) -> Entity[User] | None:
    """The user of the organisation with this address."""
    try:
        wanted = address(email)
    except ValueError:
        return None
    rows = records.find(User, Where(equal={"email": (wanted,)}), Page(size=1)).rows
    return rows[0] if rows else None


def new_link(desk: Desk, id: str) -> tuple[Entity[User], str]:
    """Another link for a user, in place of those before; the password stays until the link is used."""
    with desk.records.transaction() as write:
        user = USERS.retrieve(write, id)
        write.note("INVITE", User.kind, id, at=desk.now, by=desk.actor)
        return user, _new_link(write, user, desk.now)


def change(desk: Desk, id: str, edit: Callable[[User], User], version: int | None = None) -> Entity[User]:
    """Change a user. Whose access or role changes is signed out everywhere.

    Refusals: `rule_broken` for the last administrator's own end, and for another email: the address is the identity.
    """
    with desk.records.transaction() as write:
        before = USERS.retrieve(write, id)
        after = edit(before.value)
        user = USERS.update_within(desk, write, before, after, version)
        if (after.role, after.dt_end_access) != (before.value.role, before.value.dt_end_access):
            write.remove_credentials(id, (SESSION, LINK))
        return user


def link_owner(records: Records, token: str, now: Instant) -> tuple[Entity[User], Credential]:
    """Whom a link is for, with its credential; Refusal `sign_in_failed` when it was used or has expired."""
    link = records.credential(LINK, digest(token))
    user = None if link is None else records.organization(link.organization_id).get(User, link.user_id)
    if link is None or user is None or _over(link, now) or not user.value.may_sign_in(now):
        raise Refusal("sign_in_failed", "link: this link was used already or has expired")
    return user, link


def set_password(records: Records, token: str, password: str, now: Instant) -> tuple[Entity[User], str]:
    """Set the password of the user that a link is for, sign it in, and end the link and every other session."""
    user, link = link_owner(records, token, now)
    secret = passwords.hashed(password, user.value.email)
    with records.organization(link.organization_id).transaction() as write:
        link_owner(records, token, now)
        write.remove_credentials(user.id, (LINK, SESSION))
        kept = _password(records, user)
        write.put_credential(replace(kept, secret=secret, used=now))
        write.note("SET_PASSWORD", User.kind, user.id, at=now, by=Actor(user.id, "USER"))
        return user, _new_session(write, user.id, now)


def change_password(records: Records, signed_in: SignedIn, old: str, new: str, now: Instant) -> str:
    """Change one's own password and return the token of a new session; all others end."""
    user = signed_in.user
    kept = _password(records, user)
    if not passwords.verify(kept.secret, old):
        raise Refusal("invalid_request", "oldPassword: is not the present password", field="oldPassword")
    secret = passwords.hashed(new, user.value.email)
    with records.organization(kept.organization_id).transaction() as write:
        write.remove_credentials(user.id, (LINK, SESSION))
        write.put_credential(replace(kept, secret=secret))
        write.note("SET_PASSWORD", User.kind, user.id, at=now, by=Actor(user.id, "USER"))
        return _new_session(write, user.id, now)


def sign_in(records: Records, email: str, password: str, now: Instant) -> tuple[Entity[User], str]:
    """The user, and the token of a new session. One message for every way it can be wrong, after the same time."""
    wrong = Refusal("sign_in_failed", "email: unknown address or wrong password")
    try:
        kept = records.credential(PASSWORD, address(email))
    except ValueError:
        kept = None
    right = passwords.verify("" if kept is None else kept.secret, password)
    user = None if kept is None else records.organization(kept.organization_id).get(User, kept.user_id)
    if not right or kept is None or user is None or not user.value.may_sign_in(now):
        raise wrong
    with records.organization(kept.organization_id).transaction() as write:
        write.remove_expired_credentials(now)
        write.put_credential(replace(kept, used=now))
        write.note("SIGN_IN", User.kind, user.id, at=now, by=Actor(user.id, "USER"))
        return user, _new_session(write, user.id, now)


def signed_in(records: Records, token: str, now: Instant) -> SignedIn | None:
    """Who a session is, unless it ended: after eight hours without use, after seven days, or with the access."""
    session = records.credential(SESSION, digest(token))
    if session is None or _over(session, now):
        return None
    used = session.used or session.created
    if used + IDLE <= now:
        return None
    organization = records.organization(session.organization_id)
    user = organization.get(User, session.user_id)
    if user is None or not user.value.may_sign_in(now):
        return None
    if used + TOUCH <= now:
        with organization.transaction() as write:
            # Not one that was signed out since.
            if records.credential(SESSION, session.id) is not None:
                write.put_credential(replace(session, used=now))
    return SignedIn(user=user, session=session)


def sign_out(records: Records, session: Credential) -> None:
    """End a session."""
    with records.organization(session.organization_id).transaction() as write:
        write.remove_credential(SESSION, session.id)


def last_sign_in(records: Records, user: Entity[User]) -> Instant | None:
    """When the user signed in last."""
    kept = records.credential(PASSWORD, user.value.email)
    return None if kept is None or kept.used is None else Instant.of(kept.used)


def _user(email: str, fields: dict[str, object]) -> User:
    """A user of these fields. Refusal `invalid_request` naming the one at fault."""
    try:
        return wire.convert(User, {**fields, "email": address(email)})
    except ValueError as problem:
        field = str(problem).partition(":")[0]
        raise Refusal("invalid_request", str(problem), field=field) from None


def _keep_address(write: Transaction, user: Entity[User], now: Instant) -> None:
    credential = Credential(
        purpose=PASSWORD,
        id=user.value.email,
        organization_id=write.organization_id,
        user_id=user.id,
        created=now,
    )
    try:
        write.put_credential(credential)
    except Refusal:
        raise _taken(user.value.email) from None


def _taken(email: str) -> Refusal:
    return Refusal("code_in_use", f"email: {email!r} belongs to a user of this server already", field="email")


def _password(records: Records, user: Entity[User]) -> Credential:
    kept = records.credential(PASSWORD, user.value.email)
    assert kept is not None, f"the user {user.id} has no credential for its address"
    return kept


def _new_link(write: Transaction, user: Entity[User], now: Instant) -> str:
    write.remove_credentials(user.id, (LINK,))
    return _new_credential(write, LINK, user.id, now, LINK_LIFE)


def _new_session(write: Transaction, user_id: str, now: Instant) -> str:
    return _new_credential(write, SESSION, user_id, now, LONGEST)


def _new_credential(write: Transaction, purpose: str, user_id: str, now: Instant, life: timedelta) -> str:
    token = new_token()
    write.put_credential(
        Credential(
            purpose=purpose,
            id=digest(token),
            organization_id=write.organization_id,
            user_id=user_id,
            created=now,
            used=now if purpose == SESSION else None,
            expires=now + life,
        )
    )
    return token


def _over(credential: Credential, now: Instant) -> bool:
    return credential.expires is not None and credential.expires <= now


def _check(draft: Draft[User]) -> User:
    before, value = draft.before, draft.value
    if before is None:
        return value
    if value.email != before.value.email:
        raise rule_broken("email", "is what the user signs in with and stays; invite the new address instead")
    now = draft.desk.now
    if _administers(before.value, now) and not _administers(value, now):
        others = (each for each in draft.read.every(User) if each.id != draft.id)
        if not any(_administers(each.value, now) for each in others):
            raise rule_broken("role", "this is the last administrator; make somebody else one first")
    return value


def _administers(user: User, now: Instant) -> bool:
    return user.may(May.ADMINISTER) and user.may_sign_in(now)


USERS = Noun(of=User, check=_check)
