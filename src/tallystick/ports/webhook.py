"""Sending to webhooks, and what is kept of each attempt."""

from __future__ import annotations

from typing import Protocol

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.period import Instant
from tallystick.core.webhook import Delivery, Failing, Webhook
from tallystick.ports import Document, OrganizationRecords

DELIVERY = "webhookdelivery"  # the kind of document of each attempt
FAILING = "webhookfailing"  # of a webhook to which nothing can be delivered; none while all is well


class WebhookSender(Protocol):
    """Sends one event to one webhook, now."""

    def send(self, webhook: Entity[Webhook], event: Event, run_id: str, *, attempt: int, now: Instant) -> Delivery:
        """One attempt. It writes nothing here, and tells of what goes wrong in the delivery."""


def delivery_document(delivery: Delivery) -> Document:
    """An attempt as it is stored: found by webhook, hand-over, event and outcome, latest first."""
    keys = {
        "webhook_id": delivery.webhook_id,
        "run_id": delivery.run_id,
        "event_name": delivery.event_name,
        "outcome": delivery.outcome.value,
    }
    return Document(id=delivery.id, sort=delivery.at.stamp(), keys=keys, body=wire.encode(delivery))


def read_delivery(document: Document) -> Delivery:
    """The attempt in a stored document."""
    return wire.decode(Delivery, document.body)


def failing_of(records: OrganizationRecords, webhook_id: str) -> Failing | None:
    """Since when nothing could be delivered to a webhook."""
    document = records.document(FAILING, webhook_id)
    return None if document is None else wire.decode(Failing, document.body)
