"""Webhooks as people keep them: addresses that may be reached, secrets that are sealed, shown once where they are made
here, and rotated with an overlap (docs/decisions/0481-webhooks.md)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import msgspec

from tallystick.control.desk import Desk, Noun, in_use, new_id, rule_broken
from tallystick.control.integrations import INTEGRATIONS
from tallystick.core.entity import Description, Entity, EntityCode, Name
from tallystick.core.event import Event
from tallystick.core.integration import EVENT, EVENT_NAMES, Destination, IntegrationConfig
from tallystick.core.period import Instant
from tallystick.core.webhook import PING, SECRET_BYTES, Delivery, DeliveryOutcome, Webhook, sealed_for, secret_of
from tallystick.errors import Refusal
from tallystick.ports import DocumentWhere, Found, OrganizationRecords, Page, Transaction, Where
from tallystick.ports.handover import Vault
from tallystick.ports.outside import Outside
from tallystick.ports.webhook import DELIVERY, FAILING, WebhookSender, delivery_document, read_delivery

LONGEST_OVERLAP = timedelta(days=7)
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
# A header's value: visible ASCII.
ApiKey = Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[\x21-\x7e]*$(?!\n)")]


def _check_removal(write: Transaction, webhook: Entity[Webhook]) -> None:
    there = write.find(IntegrationConfig, Where(equal={"destination_id": (webhook.id,)}), Page(size=10)).rows
    if there:
        raise in_use("webhook", webhook.id, [("integrationconfig", each.id) for each in there])


WEBHOOKS = Noun(of=Webhook, check_removal=_check_removal)


@dataclass(frozen=True, slots=True)
class Means:
    """What it takes beside the records: where secrets are sealed, and who says which addresses may be reached."""

    vault: Vault
    outside: Outside


class WebhookDraft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A webhook as somebody writes it. Without a secret one is made, or the one that is there stays; the same with the
    API key, which "" takes away."""

    name: Name
    url: Url
    description: Description = ""
    active: bool = True
    code: EntityCode | None = None
    api_key: ApiKey | None = None
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class WithSecret:
    """A webhook, and its secret where that is to be shown: once, for it was made here."""

    webhook: Entity[Webhook]
    secret: str | None


def create_webhook(
    desk: Desk, means: Means, draft: WebhookDraft, event_names: Sequence[str] | None = None
) -> WithSecret:
    """Keep a new one, with the integration that sends these events to it, if any are named. Refusals:
    `address_refused`, `code_in_use`."""
    means.outside.check(draft.url)
    id_ = desk.new_id()
    made = None if draft.secret else _new_secret()
    value = Webhook(
        name=draft.name,
        description=draft.description,
        url=draft.url,
        active=draft.active,
        code=draft.code,
        sealed_api_key=means.vault.seal(draft.api_key, sealed_for(id_)) if draft.api_key else None,
        sealed_secret=means.vault.seal(draft.secret or made or "", sealed_for(id_)),
    )
    with desk.records.transaction() as write:
        kept = WEBHOOKS.create_within(desk, write, value, id_)
        if event_names is not None:
            _send_events(desk, write, kept, event_names)
        return WithSecret(kept, made)


def update_webhook(
    desk: Desk,
    means: Means,
    id: str,
    draft: WebhookDraft,
    version: int | None,
    event_names: Sequence[str] | None = None,
) -> Entity[Webhook]:
    """Replace it. Another secret than the one that is there holds at once, alone; `rotate` lets both hold a while. With
    names of events its one integration for those sends these from now on."""
    there = WEBHOOKS.retrieve(desk.records, id)
    if draft.url != there.value.url or (draft.active and not there.value.active):
        means.outside.check(draft.url)
    value = msgspec.structs.replace(
        there.value,
        name=draft.name,
        description=draft.description,
        url=draft.url,
        active=draft.active,
        code=draft.code,
        disabled=None if draft.active else there.value.disabled,
    )
    if draft.api_key is not None:
        value = msgspec.structs.replace(
            value, sealed_api_key=means.vault.seal(draft.api_key, sealed_for(id)) if draft.api_key else None
        )
    if draft.secret and not _is_secret(means.vault, there, draft.secret):
        sealed = means.vault.seal(draft.secret, sealed_for(id))
        value = msgspec.structs.replace(value, sealed_secret=sealed, sealed_former_secret=None, former_until=None)
    with desk.records.transaction() as write:
        if draft.active:
            write.remove_document(FAILING, id)
        kept = WEBHOOKS.update_within(desk, write, WEBHOOKS.retrieve(write, id), value, version)
        if event_names is not None:
            _send_events(desk, write, kept, event_names)
        return kept


def links_of(records: OrganizationRecords, id: str) -> list[Entity[IntegrationConfig]]:
    """The integrations that send to a webhook."""
    return list(records.every(IntegrationConfig, Where(equal={"destination_id": (id,)})))


def delete_with_links(desk: Desk, id: str) -> Entity[Webhook]:
    """Delete a webhook and the integrations that send to it. Refusal `in_use` where one of those is named elsewhere."""
    with desk.records.transaction() as write:
        webhook = WEBHOOKS.retrieve(write, id)
        for each in links_of(write, id):
            INTEGRATIONS.delete_within(desk, write, each)
        WEBHOOKS.delete_within(desk, write, webhook)
        return webhook


def set_active(desk: Desk, means: Means, id: str, active: bool) -> Entity[Webhook]:
    """Switch it on or off. On again, what made the server switch it off is forgotten."""
    there = WEBHOOKS.retrieve(desk.records, id)
    if there.value.active == active:
        return there
    if active:
        means.outside.check(there.value.url)
    with desk.records.transaction() as write:
        there = WEBHOOKS.retrieve(write, id)
        write.remove_document(FAILING, id)
        value = msgspec.structs.replace(there.value, active=active, disabled=None)
        return WEBHOOKS.update_within(desk, write, there, value, None)


def rotate(desk: Desk, means: Means, id: str, secret: str | None = None, hours: int = 24) -> WithSecret:
    """Give it another secret. For so many hours both sign, so that the receiver can take over the new one."""
    overlap = timedelta(hours=hours)
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise rule_broken(
            "overlapHours", f"must lie between 0 and {LONGEST_OVERLAP // timedelta(hours=1)}, got {hours}"
        )
    made = None if secret else _new_secret()
    sealed = means.vault.seal(secret or made or "", sealed_for(id))
    with desk.records.transaction() as write:
        there = WEBHOOKS.retrieve(write, id)
        value = msgspec.structs.replace(
            there.value,
            sealed_secret=sealed,
            sealed_former_secret=there.value.sealed_secret if hours else None,
            former_until=Instant.of(desk.now + overlap) if hours else None,
        )
        return WithSecret(WEBHOOKS.update_within(desk, write, there, value, None), made)


def deliveries(
    records: OrganizationRecords,
    id: str,
    page: Page,
    outcomes: tuple[DeliveryOutcome, ...] = (),
    run_id: str | None = None,
) -> Found[Delivery]:
    """A page of the attempts to deliver to a webhook, latest first. Refusal `not_found` where there is no webhook."""
    WEBHOOKS.retrieve(records, id)
    equal: dict[str, tuple[str, ...]] = {"webhook_id": (id,)}
    if outcomes:
        equal["outcome"] = tuple(each.value for each in outcomes)
    if run_id is not None:
        equal["run_id"] = (run_id,)
    found = records.documents(DELIVERY, DocumentWhere(equal=equal), page)
    return Found(tuple(map(read_delivery, found.rows)), found.next_token)


def delivery_of(records: OrganizationRecords, id: str, delivery_id: str) -> Delivery:
    """One attempt. Refusal `not_found`."""
    document = records.document(DELIVERY, delivery_id)
    delivery = None if document is None else read_delivery(document)
    if delivery is None or delivery.webhook_id != id:
        message = f"deliveryId: there is no delivery {delivery_id[:40]!r} to this webhook, or it is no longer kept"
        raise Refusal("not_found", message, field="deliveryId")
    return delivery


def ping(desk: Desk, sender: WebhookSender, id: str) -> Delivery:
    """Send a test event now, switched off or not, and keep how it went."""
    webhook = WEBHOOKS.retrieve(desk.records, id)
    event = Event(
        id=new_id(),
        event_name=PING,
        event_time=desk.now,
        m3ter_event={"eventName": PING, "webhookId": id, "name": webhook.value.name},
    )
    delivery = sender.send(webhook, event, event.id, attempt=1, now=desk.now)
    with desk.records.transaction() as write:
        write.put_documents(DELIVERY, [delivery_document(delivery)])
        write.note("PING", Webhook.kind, id, at=desk.now, by=desk.actor)
    return delivery


def _send_events(desk: Desk, write: Transaction, webhook: Entity[Webhook], names: Sequence[str]) -> None:
    """Have these events sent to a webhook by its integration, which is made where there is none."""
    links = [each for each in links_of(write, webhook.id) if each.value.entity_type == EVENT]
    data = {EVENT_NAMES: list(names)}
    if len(links) > 1:
        raise rule_broken("eventNames", f"{len(links)} integrations send to this webhook: change them one by one")
    if not links:
        value = IntegrationConfig(
            entity_type=EVENT,
            destination=Destination.WEBHOOK,
            destination_id=webhook.id,
            name=webhook.value.name,
            config_data=data,
        )
        INTEGRATIONS.create_within(desk, write, value, desk.new_id())
    elif list(links[0].value.config_data.get(EVENT_NAMES, ())) != list(names):
        changed = msgspec.structs.replace(links[0].value, config_data={**links[0].value.config_data, **data})
        INTEGRATIONS.update_within(desk, write, links[0], changed, None)


def _new_secret() -> str:
    return secret_of(secrets.token_bytes(SECRET_BYTES))


def _is_secret(vault: Vault, webhook: Entity[Webhook], secret: str) -> bool:
    try:
        return secrets.compare_digest(vault.open(webhook.value.sealed_secret, sealed_for(webhook.id)), secret)
    except Refusal:  # sealed with the key of another data directory: it is entered anew
        return False
