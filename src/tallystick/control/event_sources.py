"""Event sources and their secrets: made here, shown once, sealed, and replaced with a time in which both hold."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

from tallystick.control.desk import Desk, Draft, Noun, rule_broken
from tallystick.core.entity import Entity
from tallystick.core.event_source import PURPOSE, EventSource, sealed_for
from tallystick.core.period import Instant
from tallystick.ports import Credential, OrganizationRecords, Transaction
from tallystick.ports.handover import Vault

SECRET_BYTES = 32
SHORTEST, LONGEST = 16, 200  # characters of a secret that the other side has chosen
MOST_KEPT_HOURS = 24 * 30  # of a secret that was replaced


def _check(draft: Draft[EventSource]) -> EventSource:
    if draft.before is not None and draft.before.value.form is not draft.value.form:
        raise rule_broken("form", "an event source keeps its form; make another one")
    return draft.value


def _forget(write: Transaction, entity: Entity[EventSource]) -> None:
    write.remove_credentials(entity.id, [PURPOSE])


EVENT_SOURCES = Noun(of=EventSource, check=_check, check_removal=_forget)


def renew_secret(
    desk: Desk, vault: Vault, source: Entity[EventSource], *, secret: str | None, keep_hours: int
) -> tuple[str, Instant | None]:
    """Give a source a secret: the one that the other side has chosen, or a new one. Returns it, to be shown this once,
    and until when those before it hold. Refusal `rule_broken` for one that is too short or could be no header."""
    if secret is not None and not (SHORTEST <= len(secret) <= LONGEST and secret.isascii() and secret.isprintable()):
        raise rule_broken("secret", f"must have {SHORTEST} to {LONGEST} printable ASCII characters")
    chosen = secret or secrets.token_urlsafe(SECRET_BYTES)
    until = Instant.of(desk.now + timedelta(hours=keep_hours))
    with desk.records.transaction() as write:
        before = _live(write, source.id, desk.now)
        for each in before:
            if keep_hours == 0:
                write.remove_credential(PURPOSE, each.id)
            elif each.expires is None:
                write.put_credential(replace(each, expires=until))
        sealed = vault.seal(chosen, sealed_for(write.organization_id, source.id))
        write.put_credential(
            Credential(
                purpose=PURPOSE,
                id=desk.new_id(),
                organization_id=write.organization_id,
                user_id=source.id,
                created=desk.now,
                secret=sealed,
            )
        )
        write.note("RENEW_SECRET", EventSource.kind, source.id, at=desk.now, by=desk.actor)
    return chosen, until if before and keep_hours else None


def live_secrets(records: OrganizationRecords, vault: Vault, source_id: str, now: Instant) -> list[str]:
    """The secrets of a source that hold now."""
    about = sealed_for(records.organization_id, source_id)
    return [vault.open(each.secret, about) for each in _live(records, source_id, now)]


def _live(records: OrganizationRecords, source_id: str, now: Instant) -> list[Credential]:
    found = records.credentials(source_id, [PURPOSE])
    return [each for each in found if each.expires is None or each.expires > now]
