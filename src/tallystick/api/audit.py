"""Who did what, over HTTP: an extension of ours. Entries are never changed and never deleted."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.audit import Told, told
from tallystick.control.audit_proof import MOST, checkpoint, verify_audit
from tallystick.core.audit_chain import Checkpoint, Fault
from tallystick.core.difference import Difference
from tallystick.core.period import Instant
from tallystick.ports import AuditWhere


class AuditReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One change: what was done to what, by whom and when. `sequence_number` has no gaps.

    `count` above 1 is a change of many by the server itself, and `entity_id` then the job's.
    """

    sequence_number: int
    dt_created: Instant
    actor_id: str
    actor_type: str
    actor_name: str
    action: str
    entity_type: str
    entity_id: str
    entity_name: str = ""
    request_id: str = ""
    version: int | None = None
    count: int = 1
    changes: tuple[Difference, ...] = ()


class AuditCheck(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to hold the audit against: checkpoints that were kept elsewhere, and the key that they must be signed with
    (absent: each by the one it names)."""

    checkpoints: Annotated[tuple[Checkpoint, ...], msgspec.Meta(max_length=MOST)] = ()
    public_key: str | None = None


class AuditCheckReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether the audit is as it was written; `entries` were walked, and `fault` says where the first bad one is."""

    verified: bool
    entries: int
    fault: Fault | None = None


def _checkpoint(call: Call) -> Checkpoint:
    return checkpoint(call.records, call.app.signer, call.now)


def _verify(call: Call, body: AuditCheck) -> AuditCheckReply:
    found = verify_audit(call.records, call.app.signer, body.checkpoints, body.public_key)
    return AuditCheckReply(verified=found.fault is None, entries=found.entries, fault=found.fault)


def _list(call: Call) -> dict[str, object]:
    query = call.query
    where = AuditWhere(
        actor_id=query.text("actorId"),
        kind=query.text("entityType"),
        id=query.text("entityId"),
        action=query.text("action"),
        since=query.instant("startDate"),
        until=query.instant("endDate"),
    )
    rows, next_token = told(call.app.records, call.records, where, query.page())
    return struct_page([_reply(each) for each in rows], next_token)


def _reply(each: Told) -> AuditReply:
    entry = each.entry
    return AuditReply(
        sequence_number=entry.number,
        dt_created=Instant.of(entry.at),
        actor_id=entry.actor_id,
        actor_type=entry.actor_kind,
        actor_name=each.actor_name,
        action=entry.action,
        entity_type=entry.kind,
        entity_id=entry.id,
        entity_name=each.label,
        request_id=entry.request_id,
        version=entry.version,
        count=entry.count,
        changes=each.changes,
    )


ROUTES = (
    Route(
        method="GET",
        path="/audit",
        run=_list,
        summary="List who did what, latest first, with what changed",
        tag="Audit",
        scope="config:retrieve",
        reply=Paged(AuditReply),
        query={
            "actorId": "Only changes by this user or service user.",
            "entityType": "Only changes of this kind of thing, such as account or bill.",
            "entityId": "Only changes of this one.",
            "action": "Only this action, such as CREATE, UPDATE or DELETE.",
            "startDate": "Only changes at or after this instant.",
            "endDate": "Only changes before this instant.",
            "pageSize": "How many rows a page has at most.",
            "nextToken": "The nextToken of the page before.",
        },
    ),
    Route(
        method="GET",
        path="/audit/checkpoint",
        run=_checkpoint,
        summary="Sign what the last entry of the audit is, to be kept elsewhere",
        tag="Audit",
        scope="config:retrieve",
        reply=Checkpoint,
    ),
    Route(
        method="POST",
        path="/audit/verification",
        run=_verify,
        summary="Check that the audit is as it was written, also against checkpoints that were kept",
        tag="Audit",
        scope="config:retrieve",
        body=AuditCheck,
        reply=AuditCheckReply,
    ),
)
