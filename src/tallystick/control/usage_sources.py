"""Sources of usage as people configure them, and the credentials that they are read with."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.control.desk import Desk, Noun, rule_broken
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.usage_source import CREDENTIALS, UsageSource
from tallystick.ports import Document, OrganizationRecords, Transaction
from tallystick.ports.handover import Vault

STATE, SECRET = "usagesourcestate", "usagesourcesecret"


def _forget(write: Transaction, source: Entity[UsageSource]) -> None:
    """How it stands and what it is read with goes; what was read of its files stays: their rows stay counted."""
    write.remove_documents(STATE, [source.id])
    write.remove_documents(SECRET, [source.id])


USAGE_SOURCES = Noun(of=UsageSource, check_removal=_forget)


def set_paused(desk: Desk, id: str, *, paused: bool) -> Entity[UsageSource]:
    """Let a source rest, or go on. Done again it changes nothing. Refusal `not_found`."""
    with desk.records.transaction() as write:
        before = USAGE_SOURCES.retrieve(write, id)
        if before.value.paused == paused:
            return before
        value = UsageSource(
            name=before.value.name,
            code=before.value.code,
            configuration=before.value.configuration,
            mapping=before.value.mapping,
            paused=paused,
        )
        return USAGE_SOURCES.update_within(desk, write, before, value, None)


def set_credentials(desk: Desk, vault: Vault, id: str, given: Mapping[str, str]) -> Entity[UsageSource]:
    """Keep what a source is read with, sealed; nothing shows it again. None at all forgets them. Refusals: `not_found`,
    `rule_broken` for what the type does not take."""
    source = USAGE_SOURCES.retrieve(desk.records, id)
    wanted = CREDENTIALS[type(source.value.configuration)]
    if given and set(given) != set(wanted):
        names = " and ".join(wanted) or "no credentials"
        raise rule_broken("credentials", f"a source of this type takes {names}, got {', '.join(sorted(given))}")
    sealed = vault.seal(wire.encode(dict(given)).decode(), _about(source.id)) if given else ""
    with desk.records.transaction() as write:
        if given:
            document = Document(id=source.id, sort=desk.now.stamp(), keys={}, body=wire.encode(sealed))
            write.put_documents(SECRET, [document])
        else:
            write.remove_documents(SECRET, [source.id])
        write.note("CREDENTIALS", UsageSource.kind, source.id, at=desk.now, by=desk.actor)
    return source


def credentials_of(vault: Vault, source: Entity[UsageSource], kept: Document | None) -> dict[str, str]:
    """What a source is read with, from the document that keeps it. Refusal `sealed_elsewhere`."""
    if kept is None:
        return {}
    return wire.decode(dict[str, str], vault.open(wire.decode(str, kept.body), _about(source.id)))


def has_credentials(records: OrganizationRecords, id: str) -> bool:
    """Whether a source was given any."""
    return records.document(SECRET, id) is not None


def _about(id: str) -> str:
    return f"usage source {id}"
