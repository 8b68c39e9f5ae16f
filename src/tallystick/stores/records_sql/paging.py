"""The nextToken of a list: the place of the last row that was shown, as opaque text that is safe in a URL."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec

from tallystick.core import wire
from tallystick.errors import Refusal
from tallystick.stores.records_sql.texts import storable


class EntityPlace(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a list of entities goes on: below this sequence number."""

    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class DocumentPlace(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a list of documents goes on: below this (sort, sequence number)."""

    sort: str
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


Place = TypeVar("Place", EntityPlace, DocumentPlace)


def write_token(place: EntityPlace | DocumentPlace) -> str:
    """The token that names a place."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def read_token(token: str, of: type[Place]) -> Place:
    """The place that a token names. Refusal `invalid_page` for anything that `write_token` did not write."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        place = wire.decode(of, base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeError, binascii.Error, msgspec.DecodeError):
        raise _malformed(token) from None
    if not all(storable(part) for part in msgspec.structs.astuple(place) if isinstance(part, str)):
        raise _malformed(token)
    return place


def _malformed(token: str) -> Refusal:
    return Refusal(
        "invalid_page", f"nextToken: {token[:80]!r} is not a token of this list; pass it unchanged", field="nextToken"
    )
