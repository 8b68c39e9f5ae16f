"""Invitations over HTTP: a link that the inviter passes on.

Who changes users can make itself anything, so all of it needs the scope `all`. An invitation is no thing of its own: it
tells of a user whether the link was used, and until when it can be (docs/decisions/0320-invitations.md).
"""

from __future__ import annotations

import msgspec

from tallystick.api.crud import desk_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control import users
from tallystick.control.users import Invitation
from tallystick.core.period import Instant
from tallystick.core.user import Role, User
from tallystick.ports import Where

EVERYBODY = Where()


class InvitationRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whom to invite, as what, and until when."""

    email: str
    first_name: str
    last_name: str
    contact_number: str | None = None
    dt_end_access: Instant | None = None
    role: Role = Role.READ_ONLY


class InvitationReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An invitation. `id` is the user's. The link to pass on is told once, by the create."""

    id: str
    version: int
    email: str
    role: Role
    first_name: str
    last_name: str
    accepted: bool
    inviting_principal_id: str
    dt_created: Instant
    dt_expiry: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    link: str | None = None
    dt_end_access: Instant | None = None


def _invite(call: Call, body: InvitationRequest) -> InvitationReply:
    user, token = users.invite(
        desk_of(call),
        body.email,
        body.role,
        first_name=body.first_name,
        last_name=body.last_name,
        contact_number=body.contact_number,
        until=body.dt_end_access,
    )
    return _reply(users.invitation(call.records, user), f"{call.base_url}/invitation/{token}")


def _list(call: Call) -> dict[str, object]:
    found = call.records.find(User, EVERYBODY, call.query.page())
    return struct_page([_reply(users.invitation(call.records, each)) for each in found.rows], found.next_token)


def _retrieve(call: Call) -> InvitationReply:
    return _reply(users.invitation(call.records, users.USERS.retrieve(call.records, call.path["id"])))


def _reply(invitation: Invitation, link: str | None = None) -> InvitationReply:
    user = invitation.user
    return InvitationReply(
        id=user.id,
        version=user.version,
        email=user.value.email,
        role=user.value.role,
        first_name=user.value.first_name,
        last_name=user.value.last_name,
        accepted=invitation.accepted,
        inviting_principal_id=user.created_by,
        dt_created=Instant.of(user.created),
        dt_expiry=invitation.expires,
        dt_last_modified=Instant.of(user.modified),
        created_by=user.created_by,
        last_modified_by=user.modified_by,
        link=link,
        dt_end_access=user.value.dt_end_access,
    )


ROUTES = (
    Route(
        method="POST",
        path="/invitations",
        run=_invite,
        summary="Invite a user; the link to pass on is shown this once",
        tag="Users",
        scope="all",
        body=InvitationRequest,
        reply=InvitationReply,
    ),
    Route(
        method="GET",
        path="/invitations",
        run=_list,
        summary="List invitations, accepted ones too",
        tag="Users",
        scope="all",
        reply=Paged(InvitationReply),
        query={
            "pageSize": "How many rows a page has at most.",
            "nextToken": "The nextToken of the page before.",
        },
    ),
    Route(
        method="GET",
        path="/invitations/{id}",
        run=_retrieve,
        summary="Retrieve the invitation of a user",
        tag="Users",
        scope="all",
        reply=InvitationReply,
    ),
)
