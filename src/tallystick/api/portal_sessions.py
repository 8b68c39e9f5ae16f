"""Sessions of the customer's portal over HTTP: an extension of ours."""

from __future__ import annotations

import msgspec

from tallystick.api.crud import PAGING, desk_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control import portal_sessions
from tallystick.core.period import Instant
from tallystick.core.portal import PortalSession, PortalSessionRequest

PATH = "/accounts/{accountId}/portalsessions"


class PortalLinkReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new session with the link that opens it, once. `token` is the part of the link that embedded pages are given;
    nothing shows it again."""

    id: str
    account_id: str
    url: str
    token: str
    expires_at: Instant


def _create(call: Call, body: PortalSessionRequest) -> PortalLinkReply:
    session = portal_sessions.create_session(desk_of(call), call.path["accountId"], body)
    url, token = portal_sessions.link(call.app.key, call.base_url, call.organization_id, session)
    return PortalLinkReply(
        id=session.id,
        account_id=session.account_id,
        url=url,
        token=token,
        expires_at=session.expires_at,
    )


def _list(call: Call) -> dict[str, object]:
    found = portal_sessions.list_sessions(call.records, call.path["accountId"], call.query.page())
    return struct_page(found.rows, found.next_token)


def _retrieve(call: Call) -> PortalSession:
    return portal_sessions.get_session(call.records, call.path["accountId"], call.path["id"])


def _revoke(call: Call) -> PortalSession:
    return portal_sessions.revoke_session(desk_of(call), call.path["accountId"], call.path["id"])


ROUTES = (
    Route(
        method="POST",
        path=PATH,
        run=_create,
        summary="Let a customer visit the portal; the link is shown this once",
        tag="Portal",
        scope="config:create",
        body=PortalSessionRequest,
        reply=PortalLinkReply,
    ),
    Route(
        method="GET",
        path=PATH,
        run=_list,
        summary="List the portal sessions of an account, newest first",
        tag="Portal",
        scope="config:retrieve",
        reply=Paged(PortalSession),
        query=PAGING,
    ),
    Route(
        method="GET",
        path=PATH + "/{id}",
        run=_retrieve,
        summary="Retrieve a portal session",
        tag="Portal",
        scope="config:retrieve",
        reply=PortalSession,
    ),
    Route(
        method="DELETE",
        path=PATH + "/{id}",
        run=_revoke,
        summary="Revoke a portal session: from now on it shows nothing",
        tag="Portal",
        scope="config:delete",
        reply=PortalSession,
    ),
)
