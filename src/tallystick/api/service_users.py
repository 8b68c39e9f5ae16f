"""Service users over HTTP: an extension of ours, as m3ter manages them in its console only."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.routing import Call, Paged, Route
from tallystick.control import service_users
from tallystick.core.period import Instant
from tallystick.ports import ServiceUser

PATH = "/serviceusers"


class ServiceUserRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new service user: what it is called and what it may do."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=service_users.MAX_NAME)]
    scopes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class ServiceUserReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A service user. `api_secret` is shown once, by the create."""

    id: str
    name: str
    api_key: str
    scopes: tuple[str, ...]
    dt_created: Instant
    dt_revoked: Instant | None = None
    api_secret: str | None = None


def _reply(user: ServiceUser, secret: str | None = None) -> ServiceUserReply:
    return ServiceUserReply(
        id=user.id,
        name=user.name,
        api_key=user.access_key,
        scopes=user.scopes,
        dt_created=Instant.of(user.created),
        dt_revoked=None if user.revoked is None else Instant.of(user.revoked),
        api_secret=secret,
    )


def _create(call: Call, body: ServiceUserRequest) -> ServiceUserReply:
    service_users.require_grantable(call.actor, body.scopes)
    user, secret = service_users.create(call.app.records, call.organization_id, body.name, body.scopes, call.now)
    return _reply(user, secret)


def _list(call: Call) -> dict[str, object]:
    return {"data": [_reply(user) for user in service_users.find(call.app.records, call.organization_id)]}


def _retrieve(call: Call) -> ServiceUserReply:
    return _reply(service_users.retrieve(call.app.records, call.organization_id, call.path["id"]))


def _revoke(call: Call) -> ServiceUserReply:
    return _reply(service_users.revoke(call.app.records, call.organization_id, call.path["id"], call.now))


ROUTES = (
    Route(
        method="POST",
        path=PATH,
        run=_create,
        summary="Create a service user; its secret is shown this once",
        tag="Service users",
        scope="config:create",
        body=ServiceUserRequest,
        reply=ServiceUserReply,
    ),
    Route(
        method="GET",
        path=PATH,
        run=_list,
        summary="List every service user",
        tag="Service users",
        scope="config:retrieve",
        reply=Paged(ServiceUserReply),
    ),
    Route(
        method="GET",
        path=PATH + "/{id}",
        run=_retrieve,
        summary="Retrieve a service user",
        tag="Service users",
        scope="config:retrieve",
        reply=ServiceUserReply,
    ),
    Route(
        method="DELETE",
        path=PATH + "/{id}",
        run=_revoke,
        summary="Revoke a service user for good",
        tag="Service users",
        scope="config:delete",
        reply=ServiceUserReply,
    ),
)
