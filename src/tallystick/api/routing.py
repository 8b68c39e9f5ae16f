"""How a noun says what it answers: a `Route` names method, path, types and the function behind it.

The functions are plain and synchronous: `(call)` or `(call, body)` in, a value out. `server.py` turns the routes
into Litestar handlers that run them in a thread; `openapi.py` turns them into the published description.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from tallystick.core.entity import Entity, Value
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Actor, OrganizationRecords, OrganizationUsage, Page

if TYPE_CHECKING:
    from tallystick.app import App

DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True)
class QueryString:
    """The query of a request: names to raw texts. Reading a malformed value is a Refusal that names it."""

    values: Mapping[str, str]

    def text(self, name: str) -> str | None:
        """The text given, or None when absent or empty."""
        return self.values.get(name) or None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A comma-joined list (`ids=a,b`), or None when absent."""
        text = self.text(name)
        return None if text is None else tuple(part for part in text.split(",") if part)

    def flag(self, name: str) -> bool | None:
        """`true` or `false`."""
        text = self.text(name)
        if text is None:
            return None
        if text.lower() not in {"true", "false"}:
            raise Refusal("invalid_request", f"{name}: must be true or false, got {text[:40]!r}", field=name)
        return text.lower() == "true"

    def number(self, name: str, *, lowest: int, highest: int) -> int | None:
        """A whole number between two bounds."""
        text = self.text(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 19 and lowest <= int(text) <= highest):
            message = f"{name}: must be a whole number from {lowest} to {highest}, got {text[:40]!r}"
            raise Refusal("invalid_request", message, field=name)
        return int(text)

    def day(self, name: str) -> date | None:
        """A calendar day: `2025-01-31` (of a date and time, its day)."""
        text = self.text(name)
        if text is None:
            return None
        try:
            if "T" in text:
                Instant.parse(text)
            return date.fromisoformat(text.partition("T")[0])
        except ValueError:
            raise Refusal("invalid_request", f"{name}: must be a date, got {text[:40]!r}", field=name) from None

    def instant(self, name: str) -> Instant | None:
        """A date and time, or a date (its midnight, UTC)."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return Instant.parse(text)
        except ValueError as problem:
            raise Refusal("invalid_request", f"{name}: {problem}", field=name) from None

    def page(self, *, highest: int = 100) -> Page:
        """`pageSize` and `nextToken`."""
        size = self.number("pageSize", lowest=1, highest=highest)
        return Page(size=size or min(DEFAULT_PAGE, highest), token=self.text("nextToken"))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation under `/organizations/{orgId}`.

    `path` starts after that prefix and may hold `{names}`. `body` and `reply` are msgspec structs (or `Envelope`
    of one) that the published description is made from. `query` maps each query parameter to one line on it. A
    `signed` route is reached by a link of `links.sign` and needs no token. With `file_bytes` the body is a file of at
    most so many bytes, whatever the limit of other requests is.
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
    """A reply that is no JSON value: bytes with their media type, as a download when it has a file name."""

    body: bytes
    media_type: str
    file_name: str | None = None


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
