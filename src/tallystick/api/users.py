"""Users of the organisation over HTTP, and who it is that asks.

`role` is ours; m3ter's permission policies are not. Who changes users can make itself anything, so all of it needs the
scope `all`.
"""

from __future__ import annotations

import msgspec

from tallystick.api.crud import desk_of
from tallystick.api.routing import SIGNED_IN, Call, Paged, Route, struct_page
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


class MeOrganization(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The organisation that the token is for."""

    id: str
    org_id: str
    organization_name: str
    short_name: str
    dt_created: Instant
    status: str = "ACTIVE"
    type: str = "PRODUCTION"


class MeServiceUser(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The service user that the token was given to."""

    id: str
    version: int
    name: str
    scopes: tuple[str, ...]
    dt_created: Instant


class MeReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who asks. People have sessions at the console and no tokens, so there is never a `user`."""

    organization: MeOrganization
    service_user: MeServiceUser | None = None


def _me(call: Call) -> MeReply:
    organization = call.app.records.find_organization(call.organization_id)
    assert organization is not None, "the request was let in to it"
    name, created = organization.name, Instant.of(organization.created)
    about = MeOrganization(
        id=organization.id, org_id=organization.id, organization_name=name, short_name=name, dt_created=created
    )
    service = call.app.records.service_user(call.actor.id) if call.actor.kind == "SERVICE_USER" else None
    if service is None:
        return MeReply(organization=about)
    user = MeServiceUser(
        id=service.id,
        version=1,
        name=service.name,
        scopes=service.scopes,
        dt_created=Instant.of(service.created),
    )
    return MeReply(organization=about, service_user=user)


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
        path="/users/me",
        run=_me,
        summary="Retrieve who the token was given to",
        tag="Users",
        scope=SIGNED_IN,
        reply=MeReply,
    ),
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
)
