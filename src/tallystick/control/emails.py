"""E-mail as people set it up: what is sent, in which words, and who wants none (docs/decisions/0483-email.md).

What is sent is handed over like everything else: the settings keep an integration configuration for bills and one for
alerts, so that each message has a run, is tried again, and is shown with how it went.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

import msgspec

from tallystick.control.desk import Desk, Draft, Noun, rule_broken
from tallystick.core import wire
from tallystick.core.email import (
    BILL_CHANGED,
    EmailOptOut,
    EmailSettings,
    EmailTemplate,
    MessageKind,
    SendBills,
)
from tallystick.core.email_words import SAMPLES
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.integration import EVENT, EVENT_NAMES, Destination, IntegrationConfig
from tallystick.core.spend_alert import EVENT_NAME as ALERT_FIRED
from tallystick.email_text import Filled, fill
from tallystick.errors import Refusal
from tallystick.ports import Actor, OrganizationRecords, Records, Transaction, Where

_SETTINGS = Noun(of=EmailSettings)
_MANAGED = Noun(of=IntegrationConfig)
RECIPIENT = Actor(id="recipient", kind="RECIPIENT")  # who follows a link of a message


def _check_template(draft: Draft[EmailTemplate]) -> EmailTemplate:
    value = draft.value
    wanted = Where(equal={"message_kind": (value.message_kind.value,), "language": (value.language,)})
    others = [each for each in draft.read.every(EmailTemplate, wanted) if each.id != draft.id]
    if others:
        raise rule_broken("language", f"there are words for {value.message_kind} in {value.language}: {others[0].id}")
    preview(value)
    return value


def _check_opt_out(draft: Draft[EmailOptOut]) -> EmailOptOut:
    if [each for each in opt_outs_of(draft.read, draft.value.address, draft.value.message_kind) if each.id != draft.id]:
        raise rule_broken("address", "wants no messages of this kind already")
    return draft.value


TEMPLATES = Noun(of=EmailTemplate, check=_check_template)
OPT_OUTS = Noun(of=EmailOptOut, check=_check_opt_out)


def current_settings(records: OrganizationRecords) -> Entity[EmailSettings] | None:
    """What the organisation sends, once somebody said."""
    return records.get(EmailSettings, records.organization_id)


def update_settings(desk: Desk, value: EmailSettings, version: int | None) -> Entity[EmailSettings]:
    """Say what is sent, from now on."""
    with desk.records.transaction() as write:
        before = current_settings(write)
        if before is None:
            if version not in {None, 0}:
                message = f"version: nothing was set yet, the request names {version}"
                raise Refusal("version_mismatch", message, field="version")
            kept = _SETTINGS.create_within(desk, write, value, write.organization_id)
        else:
            kept = _SETTINGS.update_within(desk, write, before, value, version)
        _manage(desk, write, "bills", BILL_CHANGED, value.send_bills is not SendBills.NEVER)
        _manage(desk, write, "alerts", ALERT_FIRED, value.send_alerts)
    return kept


def preview(template: EmailTemplate) -> Filled:
    """The words filled in with a sample. Refusal `rule_broken` naming what cannot be filled in."""
    return fill(template, SAMPLES[template.message_kind])


def opt_outs_of(records: OrganizationRecords, address: str, kind: MessageKind) -> list[Entity[EmailOptOut]]:
    """What says that an address wants no messages of a kind."""
    return list(records.every(EmailOptOut, Where(equal={"address": (address,), "message_kind": (kind.value,)})))


def opt_out(desk: Desk, address: str, kind: MessageKind) -> None:
    """Send an address no messages of a kind any more; again is nothing."""
    with desk.records.transaction() as write:
        if not opt_outs_of(write, address, kind):
            OPT_OUTS.create_within(desk, write, EmailOptOut(address=address, message_kind=kind), desk.new_id())


class OptOutToken(msgspec.Struct, frozen=True, rename={"organization_id": "o", "address": "a", "kind": "k"}):
    """What a link says by which a recipient ends messages of a kind."""

    organization_id: str
    address: str
    kind: MessageKind


@dataclass(frozen=True, slots=True)
class SignedLinks:
    """Makes and reads those links. Fulfils `OptOutLinks`. They hold for ever: so do the messages they stand in."""

    key: bytes
    public_url: str

    def link(self, organization_id: str, address: str, kind: MessageKind) -> str | None:
        """The link, None where the server's own address is not set."""
        if not self.public_url:
            return None
        said = wire.encode(OptOutToken(organization_id, address, kind))
        token = urlsafe_b64encode(said).decode().rstrip("=")
        return f"{self.public_url}/unsubscribe/{token}.{self._signature(token)}"

    def read(self, text: str) -> OptOutToken:
        """What a link says; Refusal `forbidden` where it was not made here."""
        token, _, signature = text.partition(".")
        if not hmac.compare_digest(self._signature(token).encode(), signature.encode("utf-8", "replace")):
            raise Refusal("forbidden", "token: this link was not made by this server, or was changed since")
        return wire.decode(OptOutToken, urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    def _signature(self, token: str) -> str:
        key = hmac.new(self.key, b"unsubscribe", hashlib.sha256).digest()  # a key of its own
        return hmac.new(key, token.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def opt_out_by_link(records: Records, token: OptOutToken, desk: Desk | None) -> str:
    """Follow a link, or with no desk only look: the name of the organisation. Refusal `forbidden` where it is gone."""
    organization = records.find_organization(token.organization_id)
    if organization is None:
        raise Refusal("forbidden", "token: this link is of an organisation that is not here")
    if desk is not None:
        opt_out(desk, token.address, token.kind)
    return organization.name


def _manage(desk: Desk, write: Transaction, what: str, event_name: str, wanted: bool) -> None:
    """Keep the integration configuration that hands over to e-mail as the settings want it."""
    id_ = named_id(write.organization_id, f"email/{what}")
    there = write.get(IntegrationConfig, id_)
    if there is None and wanted:
        value = IntegrationConfig(
            entity_type=EVENT,
            destination=Destination.EMAIL,
            name=f"E-mail: {what}",
            config_data={EVENT_NAMES: [event_name]},
        )
        _MANAGED.create_within(desk, write, value, id_)
    elif there is not None and there.value.enabled != wanted:
        changed = msgspec.structs.replace(there.value, enabled=wanted)
        _MANAGED.update_within(desk, write, there, changed, None)
