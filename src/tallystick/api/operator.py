"""What is answered without an organisation: health, tokens, the published description, and the operator's desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl

import msgspec

from tallystick import __version__
from tallystick.api import auth, stripe_webhook
from tallystick.api.errors import ErrorReply
from tallystick.api.openapi import describe
from tallystick.api.routes import PUBLISHED
from tallystick.api.routing import struct_page
from tallystick.control import users
from tallystick.control.desk import Desk
from tallystick.control.organization_config import OPERATOR
from tallystick.control.organizations import create_organization
from tallystick.core import wire
from tallystick.core.period import Instant
from tallystick.core.user import Role
from tallystick.errors import Refusal
from tallystick.web.query import QueryString

if TYPE_CHECKING:
    from tallystick.app import App


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sends for a token; form bodies have the same names."""

    grant_type: str
    scope: str | None = None


class TokenReply(msgspec.Struct, frozen=True, kw_only=True):
    """A token and how many seconds it is good for."""

    access_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105  the kind of token, no secret
    scope: str = ""


class OrganizationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator says of a new organisation."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    currency: str = "USD"


class OrganizationReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new organisation's id and the credentials of its first service user, told once."""

    org_id: str
    api_key: str
    api_secret: str


class OrganizationRow(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation as the operator's list shows it."""

    id: str
    name: str
    created: Instant


class UserRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the operator says of a new user of an organisation; with a password it may sign in at once."""

    org_id: str
    email: str
    role: Role = Role.ADMIN
    first_name: str = ""
    last_name: str = ""
    password: str | None = None


class UserReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A user, and the path of the link by which it sets its password, told once."""

    user_id: str
    email: str
    role: Role
    link: str | None = None


class StatusReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far each store is, in journal positions; `damage` says what is wrong with the journal."""

    version: str
    now: str  # a UTC instant
    journal: int
    usage: int
    uids: int
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A request that belongs to no organisation."""

    app: App
    now: Instant
    headers: Mapping[str, str]
    body: bytes
    query: QueryString


@dataclass(frozen=True, slots=True)
class OpenRoute:
    """One operation outside the organisations."""

    method: str
    path: str
    run: Callable[[OpenCall], object]
    summary: str


def health(call: OpenCall) -> object:
    """Answers once everything is open. Refusal `busy` once journal or uid index is found damaged, with what to do."""
    damage = call.app.journal.damage or call.app.uids.damage
    if damage is not None:
        raise Refusal("busy", damage)
    return {"status": "ready", "version": __version__}


def token(call: OpenCall) -> object:
    """The client-credentials grant, with a JSON or a form body."""
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = dict(parse_qsl(call.body.decode("utf-8", "replace")))
        request = wire.convert(TokenRequest, form)
    else:
        request = wire.decode(TokenRequest, call.body)
    if request.grant_type != "client_credentials":
        raise Refusal("invalid_request", "grant_type: must be client_credentials", field="grant_type")
    seconds = call.app.settings.token_seconds
    signed = auth.sign_in(call.app.records, call.app.key, call.headers.get("authorization"), call.now, seconds)
    return TokenReply(access_token=signed, expires_in=seconds)


def add_organization(call: OpenCall) -> object:
    """A new organisation with its first service user."""
    _require_operator(call)
    wanted = wire.decode(OrganizationRequest, call.body)
    made = create_organization(call.app.records, wanted.name, wanted.currency, call.now)
    return OrganizationReply(org_id=made.organization.id, api_key=made.api_key, api_secret=made.api_secret)


def list_organizations(call: OpenCall) -> object:
    """A page of the organisations of this server, newest first."""
    _require_operator(call)
    page = call.query.page()
    rows = call.app.records.organizations()[::-1]
    start = 0
    if page.token is not None:
        places = [place for place, each in enumerate(rows, start=1) if each.id == page.token]
        if not places:
            message = f"nextToken: {page.token[:40]!r} is no token of this list"
            raise Refusal("invalid_page", message, field="nextToken")
        start = places[0]
    shown = rows[start : start + page.size]
    return struct_page(
        [OrganizationRow(id=each.id, name=each.name, created=Instant.of(each.created)) for each in shown],
        shown[-1].id if start + page.size < len(rows) else None,
    )


def add_user(call: OpenCall) -> object:
    """A new user of an organisation; for an address that is one already, another link."""
    _require_operator(call)
    wanted = wire.decode(UserRequest, call.body)
    records = call.app.records
    if records.find_organization(wanted.org_id) is None:
        raise Refusal("not_found", f"there is no organisation {wanted.org_id[:40]!r}")
    desk = Desk(records=records.organization(wanted.org_id), actor=OPERATOR, now=call.now)
    present = users.by_email(desk.records, wanted.email)
    if present is not None:
        user, token = users.new_link(desk, present.id)
    else:
        first, last = wanted.first_name, wanted.last_name
        user, token = users.invite(desk, wanted.email, wanted.role, first_name=first, last_name=last)
    link: str | None = f"/invitation/{token}"
    if wanted.password is not None:
        users.set_password(records, token, wanted.password, call.now)
        link = None
    return UserReply(user_id=user.id, email=user.value.email, role=user.value.role, link=link)


def status(call: OpenCall) -> object:
    """What `tallystick doctor` asks of a running server: how far the projections are behind the journal."""
    _require_operator(call)
    app = call.app
    usage, uids = app.usage.mark, app.uids.mark  # before the journal, which may grow meanwhile
    return StatusReply(
        version=__version__,
        now=call.now.wire(),
        journal=app.journal.last,
        usage=usage,
        uids=uids,
        damage=app.journal.damage or app.uids.damage,
    )


def published(_: OpenCall) -> object:
    """The description of the whole API."""
    return describe(PUBLISHED, _open_paths())


def _require_operator(call: OpenCall) -> None:
    grant = auth.read_token(call.app.key, call.headers.get("authorization"), call.now)
    if grant.actor.kind != "OPERATOR":
        raise Refusal("forbidden", "Authorization: this needs the operator's token")


OPEN_ROUTES = (
    OpenRoute("GET", "/health", health, "Say whether the server is ready"),
    OpenRoute("POST", "/oauth/token", token, "Exchange access key and secret for a token"),
    OpenRoute("GET", "/openapi.json", published, "Describe the API"),
    OpenRoute("POST", "/operator/organizations", add_organization, "Create an organisation"),
    OpenRoute("POST", "/operator/users", add_user, "Add a user of an organisation, or make one another link"),
    OpenRoute("GET", "/operator/organizations", list_organizations, "List the organisations"),
    OpenRoute("GET", "/operator/status", status, "Say how far each store is"),
    OpenRoute("POST", stripe_webhook.PATH, stripe_webhook.receive, "Take a signed notification of Stripe"),
)
_BODIES: dict[object, type] = {token: TokenRequest, add_organization: OrganizationRequest, add_user: UserRequest}
_REPLIES: dict[object, type] = {
    token: TokenReply,
    add_organization: OrganizationReply,
    add_user: UserReply,
    status: StatusReply,
    stripe_webhook.receive: stripe_webhook.ReceivedReply,
}


_SECURITY: dict[object, list[dict[str, list[str]]]] = {
    health: [],
    published: [],
    token: [{"serviceUser": []}],
    stripe_webhook.receive: [],
}


def _open_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in OPEN_ROUTES:
        operation: dict[str, Any] = {
            "operationId": route.run.__name__,
            "summary": route.summary,
            "tags": ["Operator"],
            "responses": {
                "200": {"description": "Done.", "content": _content(_REPLIES.get(route.run))},
                "default": {"description": "Refused; the message says why.", "content": _content(ErrorReply)},
            },
        }
        if route.run in _BODIES:
            operation["requestBody"] = {"required": True, "content": _content(_BODIES[route.run])}
        if route.run in _SECURITY:
            operation["security"] = _SECURITY[route.run]
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return paths


def _content(of: type | None) -> dict[str, Any]:
    if of is None:
        return {"application/json": {"schema": {"type": "object"}}}
    (schema,), components = msgspec.json.schema_components([of])
    return {"application/json": {"schema": _inlined(components.get(of.__name__, schema), components)}}


def _inlined(schema: Any, components: Mapping[str, Any]) -> Any:
    """A schema with what it refers to in place of the references."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return _inlined(components[reference.rpartition("/")[2]], components)
        return {name: _inlined(part, components) for name, part in schema.items()}
    return schema
