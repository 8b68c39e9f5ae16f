"""Users of the organisation over HTTP, and invitations: a link that the inviter passes on.

`role` is ours; m3ter's permission policies are not. Who changes users can make itself anything, so all of it needs the
scope `all`.
"""

from __future__ import annotations

import msgspec

from tallystick.api.crud import desk_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control import users
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.user import Role, User
from tallystick.ports import Where


class UserChange(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What may change about a user: when its access ends (absent: it does not), and its role (absent: as it is)."""

    dt_end_access: Instant | None = None
    role: Role | None = None
    version: int | None = None


class InvitationRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whom to invite, as what, and until when."""

    email: str
    first_name: str
    last_name: str
    contact_number: str | None = None
    dt_end_access: Instant | None = None
    role: Role = Role.READ_ONLY


class UserReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A user of the organisation."""

    id: str
    version: int
    email: str
    role: Role
    first_name: str
    last_name: str
    organizations: tuple[str, ...]
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    contact_number: str | None = None
    dt_end_access: Instant | None = None


class InvitationReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An invitation, with the link to pass on: it is told this once. `id` is the user's."""

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
    link: str
    dt_end_access: Instant | None = None


def _list(call: Call) -> dict[str, object]:
    ids = call.query.texts("ids")
    found = call.records.find(User, Where(equal=None if ids is None else {"id": ids}), call.query.page())
    return struct_page([_reply(call, each) for each in found.rows], found.next_token)


def _retrieve(call: Call) -> UserReply:
    return _reply(call, users.USERS.retrieve(call.records, call.path["id"]))


def _update(call: Call, body: UserChange) -> UserReply:
    def edit(before: User) -> User:
        return msgspec.structs.replace(
            before, dt_end_access=body.dt_end_access, role=before.role if body.role is None else body.role
        )

    return _reply(call, users.change(desk_of(call), call.path["id"], edit, body.version))


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
    shown = _reply(call, user)
    return InvitationReply(
        id=user.id,
        version=user.version,
        email=shown.email,
        role=shown.role,
        first_name=shown.first_name,
        last_name=shown.last_name,
        accepted=False,
        inviting_principal_id=call.actor.id,
        dt_created=call.now,
        dt_expiry=Instant.of(call.now + users.LINK_LIFE),
        dt_last_modified=call.now,
        created_by=user.created_by,
        last_modified_by=user.modified_by,
        link=f"{call.base_url}/invitation/{token}",
        dt_end_access=shown.dt_end_access,
    )


def _reply(call: Call, user: Entity[User]) -> UserReply:
    value = user.value
    return UserReply(
        id=user.id,
        version=user.version,
        email=value.email,
        role=value.role,
        first_name=value.first_name,
        last_name=value.last_name,
        organizations=(call.organization_id,),
        dt_created=Instant.of(user.created),
        dt_last_modified=Instant.of(user.modified),
        created_by=user.created_by,
        last_modified_by=user.modified_by,
        contact_number=value.contact_number,
        dt_end_access=value.dt_end_access,
    )


ROUTES = (
    Route(
        method="GET",
        path="/users",
        run=_list,
        summary="List users",
        tag="Users",
        scope="all",
        reply=Paged(UserReply),
        query={
            "ids": "Only these ids, comma-joined.",
            "pageSize": "How many rows a page has at most.",
            "nextToken": "The nextToken of the page before.",
        },
    ),
    Route(
        method="GET",
        path="/users/{id}",
        run=_retrieve,
        summary="Retrieve a user",
        tag="Users",
        scope="all",
        reply=UserReply,
    ),
    Route(
        method="PUT",
        path="/users/{id}",
        run=_update,
        summary="End the access of a user, or change its role",
        tag="Users",
        scope="all",
        body=UserChange,
        reply=UserReply,
    ),
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
)
