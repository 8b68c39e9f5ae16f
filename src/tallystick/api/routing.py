"""How a noun says what it answers: a `Route` names method, path, types and the function behind it.

The functions are plain and synchronous: `(call)` or `(call, body)` in, a value out. `server.py` turns the routes
into Litestar handlers that run them in a thread; `openapi.py` turns them into the published description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from tallystick.core.entity import Entity, Value
from tallystick.core.period import Instant
from tallystick.ports import Actor, OrganizationRecords, OrganizationUsage
from tallystick.web.query import QueryString

if TYPE_CHECKING:
    from tallystick.app import App


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, already signed in and bound to its organisation: nothing in it can name another."""

    app: App
    records: OrganizationRecords
    usage: OrganizationUsage
    actor: Actor
    now: Instant
    path: Mapping[str, str] = field(default_factory=dict)
    query: QueryString = field(default_factory=lambda: QueryString({}))
    raw: bytes = b""  # the body as it was sent
    base_url: str = ""  # scheme and host that the client sent the request to, such as https://billing.example

    @property
    def organization_id(self) -> str:
        return self.records.organization_id


SIGNED_IN = "signed in"  # the scope of a route that whoever is signed in to the organisation may use


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation under `/organizations/{orgId}`.

    `path` starts after that prefix and may hold `{names}`. `body` and `reply` are msgspec structs (or `Envelope`
    of one) that the published description is made from. `query` maps each query parameter to one line on it. A
    `signed` route is reached by a link of `links.sign` and needs no token. With `file_bytes` the body is a file of at
    most so many bytes, whatever the limit of other requests is; with `any_json` it is JSON of more than one form.
    """

    method: str
    path: str
    run: Callable[..., object]
    summary: str
    tag: str
    scope: str
    body: type | None = None
    reply: object = None
    query: Mapping[str, str] = field(default_factory=dict)
    signed: bool = False
    file_bytes: int | None = None
    any_json: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """As a reply type: an entity of this value type, with id, version and audit fields around the value's own."""

    of: type[Value]


@dataclass(frozen=True, slots=True)
class Paged:
    """As a reply type: `{"data": [...], "nextToken": ...}` of these rows."""

    of: object


@dataclass(frozen=True, slots=True)
class Rows:
    """As a reply type: a bare JSON array of these rows."""

    of: type


@dataclass(frozen=True, slots=True)
class Raw:
    """A reply that is no JSON value: bytes with their media type, as a download when it has a file name. A `warning`
    about it goes into the header Tallystick-Warning."""

    body: bytes
    media_type: str
    file_name: str | None = None
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """A download that is sent as it is read; nothing can be refused once it has begun."""

    parts: Iterator[bytes]
    media_type: str
    file_name: str


def entity_reply(entity: Entity[Any]) -> dict[str, object]:
    """An entity as the wire shows it: the value's fields with id, version and audit fields; nulls left out."""
    value = entity.value
    fields = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    shown = {wire: getattr(value, name) for wire, name in fields if getattr(value, name) is not None}
    return {
        "id": entity.id,
        "version": entity.version,
        **shown,
        "dtCreated": Instant.of(entity.created),
        "dtLastModified": Instant.of(entity.modified),
        "createdBy": entity.created_by,
        "lastModifiedBy": entity.modified_by,
    }


def struct_page(rows: Sequence[msgspec.Struct], next_token: str | None) -> dict[str, object]:
    """A page of structs, which write themselves."""
    return {"data": rows} if next_token is None else {"data": rows, "nextToken": next_token}


def page_reply(rows: list[dict[str, object]], next_token: str | None) -> dict[str, object]:
    """A page as the wire shows it; without `nextToken` it is the last."""
    return {"data": rows} if next_token is None else {"data": rows, "nextToken": next_token}
