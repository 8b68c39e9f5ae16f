"""Webhooks: addresses of one's own systems that events are sent to, signed, and how each delivery went
(source: reference 2.12; the form of signatures is that of Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core import wire
from tallystick.core.entity import Description, EntityCode, Name, Value
from tallystick.core.event import Event
from tallystick.core.period import Instant

PREFIX = "whsec_"
SECRET_BYTES = 32  # of those made here; Standard Webhooks wants 24 to 64
DISABLED_EVENT = "webhook.disabled"
DISABLED_EVENT_TYPE = "WebhookDisabled"
PING = "webhook.ping"
API_KEY_HEADER = "X-Api-Key"
EXCERPT_BYTES = 1_024


class Webhook(Value, frozen=True, kw_only=True):
    """An address of one's own system, as it is kept. Its secrets are sealed and never shown again.

    After a rotation the former secret signs too, up to `former_until`. `disabled` says why the server switched it off;
    whoever switches it on again takes that away.
    """

    kind: ClassVar[str] = "webhook"

    name: Name
    description: Description
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    active: bool = True
    code: EntityCode | None = None
    sealed_api_key: str | None = None
    sealed_secret: str = ""
    sealed_former_secret: str | None = None
    former_until: Instant | None = None
    disabled: str | None = None


class DeliveryOutcome(StrEnum):
    """How one attempt went."""

    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    NOT_SENT = "NOT_SENT"  # the webhook was switched off, or its address is none that may be reached


class Delivery(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One attempt to deliver an event. `id` is that of the attempt; `run_id` that of the hand-over, which is sent as
    `webhook-id` and is the same at each attempt. `answer` is how the receiver's answer begins."""

    id: str
    webhook_id: str
    run_id: str
    event_id: str
    event_name: str
    at: Instant
    outcome: DeliveryOutcome
    attempt: int = 1
    milliseconds: int = 0
    status_code: int | None = None
    answer: str | None = None
    error: str | None = None


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """Since when nothing was delivered to a webhook, and how many attempts that were."""

    since: Instant
    attempts: int


def standard_secret(secret: str) -> str:
    """A secret as Standard Webhooks writes it. One in that form stays; of any other the UTF-8 bytes are the key, and
    the receiver's library is given `whsec_` and their Base64."""
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if key:
            return secret
    return PREFIX + base64.b64encode(secret.encode()).decode()


def sealed_for(webhook_id: str) -> str:
    """What the secrets of a webhook are sealed for."""
    return f"webhook {webhook_id}"


def secret_of(key: bytes) -> str:
    """The secret that is made of random bytes."""
    return PREFIX + base64.b64encode(key).decode()


def payload_of(event: Event) -> bytes:
    """What is sent of an event: what happened, which never changes, so that each attempt sends the same bytes."""
    return wire.encode(
        {
            "id": event.id,
            "eventName": event.event_name,
            "eventTime": event.event_time,
            "m3terEvent": event.m3ter_event,
        }
    )
