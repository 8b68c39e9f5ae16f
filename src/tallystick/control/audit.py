"""Who did what, as people read it: the entries with the names behind their ids, and field by field what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tallystick.core import wire
from tallystick.core.difference import Difference, differences
from tallystick.core.user import User
from tallystick.ports import AuditEntry, AuditWhere, OrganizationRecords, Page, Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An entry, who the actor is called, what the thing is called (its code, name or address), and what changed."""

    entry: AuditEntry
    actor_name: str
    label: str
    changes: tuple[Difference, ...]


def told(
    all_records: Records, records: OrganizationRecords, where: AuditWhere, page: Page
) -> tuple[tuple[Told, ...], str | None]:
    """A page of the audit, latest first, and the token of the next."""
    found = records.audit(where, page)
    names = actor_names(all_records, records, {(each.actor_kind, each.actor_id) for each in found.rows})
    return tuple(_told(records, each, names) for each in found.rows), found.next_token


def actor_names(
    all_records: Records, records: OrganizationRecords, actors: set[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """What those who did something are called; who is not known any more by the id."""
    names: dict[tuple[str, str], str] = {}
    for kind, actor_id in actors:
        if kind == "USER":
            user = records.get(User, actor_id)
            names[kind, actor_id] = actor_id if user is None else user.value.name
        elif kind == "SERVICE_USER":
            service = all_records.service_user(actor_id)
            fits = service is not None and service.organization_id == records.organization_id
            names[kind, actor_id] = service.name if fits and service is not None else actor_id
        else:
            names[kind, actor_id] = actor_id
    return names


def _told(records: OrganizationRecords, entry: AuditEntry, names: dict[tuple[str, str], str]) -> Told:
    before = after = None
    if entry.version is not None:
        after = records.body(entry.kind, entry.id, entry.version)
        before = records.body(entry.kind, entry.id, entry.version - 1)
        changes = differences(before, after)
    else:
        changes = wire.decode(tuple[Difference, ...], entry.change)
    label = _label(after or before)
    name = names[entry.actor_kind, entry.actor_id]
    return Told(entry=entry, actor_name=name, label=label, changes=changes)


def _label(body: bytes | None) -> str:
    value = wire.decode(dict[str, Any], body) if body else {}
    for name in ("name", "email", "code", "description"):
        text = value.get(name)
        if isinstance(text, str) and text:
            return text
    return ""
