"""Identities over HTTP, and the usage that waits for one: an extension of ours."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tallystick.api.crud import IDS, PAGING, Crud, desk_of, where_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.identities import (
    IDENTITIES,
    Dismissal,
    dismiss,
    get_unmapped,
    list_unmapped,
    list_waiting,
)
from tallystick.core.entity import EntityCode, Id, Name, Value
from tallystick.core.identity import (
    MAX_PRIORITY,
    Hash,
    Identity,
    IdentityValue,
    UnmappedIdentity,
    UnmappedUsage,
    fingerprint,
    group_id,
    hash_of,
    hint_of,
)
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Where

MAX_PAGE = 100


class IdentityRequest(Value, frozen=True, kw_only=True):
    """Whose usage an identity is, from when to when. Send its `value`, or the `hash` that usage waits under. The
    value of one that is `sensitive` is not kept: a later update may leave it out."""

    type: EntityCode
    account_id: Id
    value: IdentityValue | None = None
    hash: Hash | None = None
    sensitive: bool = True
    start_date: Instant | None = None
    end_date: Instant | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=MAX_PRIORITY)] = 0
    name: Name | None = None
    version: int | None = None


class FingerprintRequest(Value, frozen=True, kw_only=True):
    """An identity, of which nothing is kept."""

    type: EntityCode
    value: IdentityValue


class FingerprintReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the identity is known by here."""

    hash: str
    fingerprint: str


class DismissRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why usage of the identity that waits shall never count."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


def compose(call: Call, body: Any) -> Identity:
    """The identity that a request describes: by its hash, in words only where it is no secret."""
    assert isinstance(body, IdentityRequest), "the route says the type of its body"
    known_by, value, hint = _known_by(call, body)
    return Identity(
        type=body.type,
        hash=known_by,
        account_id=body.account_id,
        value=None if body.sensitive else value,
        hint=hint if body.sensitive else None,
        sensitive=body.sensitive,
        start_date=body.start_date,
        end_date=body.end_date,
        priority=body.priority,
        name=body.name,
    )


def identity_hash(call: Call, type: str, value: str) -> str:
    """What a value is known by in this organisation."""
    return hash_of(call.app.identity_key, call.organization_id, type, value)


def _known_by(call: Call, body: IdentityRequest) -> tuple[str, str | None, str | None]:
    """The hash, and what is known of the value in words."""
    before = _before(call)
    if body.value is not None:
        found = identity_hash(call, body.type, body.value)
        if body.hash not in {None, found}:
            raise Refusal("invalid_request", "hash: is not that of the value; send one of them", field="hash")
        return found, body.value, hint_of(body.value)
    if before is not None and body.type == before.type and body.hash in {None, before.hash}:
        if not body.sensitive and before.value is None:
            raise Refusal("invalid_request", "value: is not kept of a secret; send it to have it shown", field="value")
        return before.hash, before.value, before.hint or (hint_of(before.value) if before.value else None)
    if body.hash is None:
        raise Refusal(
            "invalid_request", "value: is missing; send it, or the hash that usage waits under", field="value"
        )
    return _of_what_waits(call.records, body.type, body.hash)


def _of_what_waits(records: OrganizationRecords, type: str, hash: str) -> tuple[str, str | None, str | None]:
    waits = get_unmapped(records, group_id(hash))
    if waits.type != type:
        raise Refusal("invalid_request", f"type: usage waits for this hash as {waits.type!r}", field="type")
    return hash, waits.value, waits.hint


def _before(call: Call) -> Identity | None:
    """The identity that an update is of; Refusal `not_found`."""
    return IDENTITIES.retrieve(call.records, call.path["id"]).value if "id" in call.path else None


def _where(call: Call) -> Where:
    query = call.query
    return where_of(call, id=query.texts("ids"), type=query.text("type"), account_id=query.text("accountId"))


def fingerprint_of(call: Call, body: FingerprintRequest) -> FingerprintReply:
    """What a value is known by."""
    found = identity_hash(call, body.type, body.value)
    return FingerprintReply(hash=found, fingerprint=fingerprint(found))


def unmapped(call: Call) -> dict[str, object]:
    """A page of identities that usage waits for."""
    found = list_unmapped(call.records, call.query.page(highest=MAX_PAGE), type=call.query.text("type"))
    return struct_page(found.rows, found.next_token)


def waiting(call: Call) -> dict[str, object]:
    """A page of the usage that waits."""
    query = call.query
    found = list_waiting(
        call.records, query.page(highest=MAX_PAGE), hash=query.text("identityHash"), meter=query.text("meter")
    )
    return struct_page(found.rows, found.next_token)


def dismiss_waiting(call: Call, body: DismissRequest) -> Dismissal:
    """Decide that what waits shall never count."""
    return dismiss(desk_of(call), call.path["id"], body.reason)


_TAG = "Identities"
ROUTES = (
    Route(
        method="POST",
        path="/identities/fingerprint",
        run=fingerprint_of,
        summary="Say what an identity is known by; nothing is kept",
        tag=_TAG,
        scope="config:retrieve",
        body=FingerprintRequest,
        reply=FingerprintReply,
    ),
    Route(
        method="GET",
        path="/unmappedidentities",
        run=unmapped,
        summary="List the identities that usage waits for, what most waits for first",
        tag=_TAG,
        scope="measurements:retrieve",
        reply=Paged(UnmappedIdentity),
        query={"type": "Only identities of this type.", **PAGING},
    ),
    Route(
        method="POST",
        path="/unmappedidentities/{id}/dismiss",
        run=dismiss_waiting,
        summary="Decide that usage that waits for an identity shall never count; repeat while it dismisses some",
        tag=_TAG,
        scope="measurements:upload",
        body=DismissRequest,
        reply=Dismissal,
    ),
    Route(
        method="GET",
        path="/unmappedusage",
        run=waiting,
        summary="List measurements that wait for an account to have their identity, newest first",
        tag=_TAG,
        scope="measurements:retrieve",
        reply=Paged(UnmappedUsage),
        query={
            "identityHash": "Only what waits for this identity.",
            "meter": "Only measurements of the meter with this code.",
            **PAGING,
        },
    ),
    *Crud(
        noun=IDENTITIES,
        path="/identities",
        tag=_TAG,
        where=_where,
        compose=compose,
        body=IdentityRequest,
        filters={
            "ids": IDS,
            "type": "Only identities of this type.",
            "accountId": "Only identities whose usage is this account's.",
        },
    ).routes(),
)
