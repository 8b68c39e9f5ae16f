"""Sessions of the customer's portal: allowed by the organisation, for one account and a short while, and taken back.

A token names organisation, account and session and is signed with a key of its own, made from the server's: no token of
the portal is one of the API, nor the other way round. What holds is in the records, so a session can be revoked
(docs/decisions/0295-portal-sessions.md).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum

import jwt
import msgspec
from babel import Locale, UnknownLocaleError

from tallystick.control.accounts import ACCOUNTS
from tallystick.control.desk import ID, Desk
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.period import Instant, require_zone
from tallystick.core.portal import PortalSession, PortalSessionRequest, new_session
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction
from tallystick.ports.founded import config_of

KIND = "portalsession"
ALGORITHM = "HS256"
OPEN = "/portal/open"


class TokenUse(StrEnum):
    """A link is handed to the customer and opens the portal once; a visit is what it is exchanged for."""

    LINK = "link"
    VISIT = "visit"
    FRAME = "frame"  # a visit inside another site's page


@dataclass(frozen=True, slots=True)
class PortalToken:
    """What a portal token says."""

    organization_id: str
    account_id: str
    session_id: str
    use: TokenUse


def issue(key: bytes, token: PortalToken, expires: Instant) -> str:
    """A signed token."""
    claims = {
        "org": token.organization_id,
        "acc": token.account_id,
        "sid": token.session_id,
        "use": token.use.value,
        "exp": int(expires.timestamp()),
    }
    return jwt.encode(claims, _portal_key(key), algorithm=ALGORITHM)


def read_token(key: bytes, text: str, now: Instant, *uses: TokenUse) -> PortalToken:
    """What a token says, if it was made here for one of these uses and has not expired; else Refusal `forbidden`."""
    try:
        claims = jwt.decode(text, _portal_key(key), algorithms=[ALGORITHM], options={"verify_exp": False})
    except jwt.InvalidTokenError:
        raise Refusal("forbidden", "token: this link was not made here, or was changed since") from None
    if claims["use"] not in uses:
        raise Refusal("forbidden", "token: this token is not for this place")
    if claims["exp"] <= now.timestamp():
        raise Refusal("forbidden", "token: this link has expired; ask for a new one")
    return PortalToken(claims["org"], claims["acc"], claims["sid"], TokenUse(claims["use"]))


def link(key: bytes, base_url: str, organization_id: str, session: PortalSession) -> tuple[str, str]:
    """The link that opens a session, and the token in it."""
    named = PortalToken(organization_id, session.account_id, session.id, TokenUse.LINK)
    token = issue(key, named, session.expires_at)
    return f"{base_url}{OPEN}?token={token}", token


def form_key(key: bytes, session_id: str) -> str:
    """What the forms of a session carry, so that no other site can send them."""
    return hmac.new(_portal_key(key), f"form\n{session_id}".encode(), hashlib.sha256).hexdigest()


def _portal_key(key: bytes) -> bytes:
    return hmac.new(key, b"customer portal", hashlib.sha256).digest()


def create_session(desk: Desk, account_id: str, asked: PortalSessionRequest) -> PortalSession:
    """Allow a visit. Refusals: `not_found` for an account that is not there, `invalid_request` for a time zone or a
    locale that there is not."""
    zone = asked.timezone or config_of(desk.records).value.timezone
    try:
        require_zone(zone)
    except ValueError as problem:
        raise Refusal("invalid_request", str(problem), field="timezone") from None
    try:
        Locale.parse(asked.locale.replace("-", "_"))
    except (ValueError, UnknownLocaleError, TypeError):
        message = f"locale: there is no locale {asked.locale!r}; give one such as en, de-CH or pt_BR"
        raise Refusal("invalid_request", message, field="locale") from None
    with desk.records.transaction() as write:
        account = ACCOUNTS.retrieve(write, account_id)
        session = new_session(desk.new_id(), account.id, asked, zone, desk.now, desk.actor.id)
        _keep(write, session)
    return session


def list_sessions(records: OrganizationRecords, account_id: str, page: Page) -> Found[PortalSession]:
    """A page of the sessions of an account, newest first; Refusal `not_found` for an account that is not there."""
    account = ACCOUNTS.retrieve(records, account_id)
    found = records.documents(KIND, DocumentWhere(equal={"account_id": (account.id,)}), page)
    return Found(tuple(_read(each) for each in found.rows), found.next_token)


def get_session(records: OrganizationRecords, account_id: str, id: str) -> PortalSession:
    """A session of an account; Refusal `not_found`."""
    document = records.document(KIND, id) if ID.fullmatch(id) else None
    session = None if document is None else _read(document)
    if session is None or session.account_id != account_id:
        raise Refusal("not_found", f"id: there is no portal session {id[:40]!r} of this account", field="id")
    return session


def revoke_session(desk: Desk, account_id: str, id: str) -> PortalSession:
    """End a session at once; one that is revoked stays as it is."""
    with desk.records.transaction() as write:
        session = get_session(write, account_id, id)
        if session.revoked is None:
            session = msgspec.structs.replace(session, revoked=desk.now, revoked_by=desk.actor.id)
            _keep(write, session)
        return session


def open_session(records: OrganizationRecords, token: PortalToken, now: Instant) -> PortalSession:
    """Exchange a link, once: Refusal `forbidden` when it was opened before, or the session is over."""
    with records.transaction() as write:
        session = present_session(write, token, now)
        if session.opened is not None:
            raise Refusal("forbidden", "token: this link has been opened before; ask for a new one")
        session = msgspec.structs.replace(session, opened=now)
        _keep(write, session)
        return session


def present_session(records: OrganizationRecords, token: PortalToken, now: Instant) -> PortalSession:
    """The session that a token names, while it lasts: Refusal `forbidden` once it has expired or was revoked, and when
    its account is no longer there."""
    document = records.document(KIND, token.session_id)
    session = None if document is None else _read(document)
    if session is None or session.account_id != token.account_id or session.over(now):
        raise Refusal("forbidden", "token: this visit is over; ask for a new link")
    if records.get(Account, session.account_id) is None:
        raise Refusal("forbidden", "token: the account of this visit has ended")
    return session


def _keep(write: Transaction, session: PortalSession) -> None:
    keys = {"account_id": session.account_id}
    write.put_documents(
        KIND, [Document(id=session.id, sort=session.created.stamp(), keys=keys, body=wire.encode(session))]
    )


def _read(document: Document) -> PortalSession:
    return wire.decode(PortalSession, document.body)
