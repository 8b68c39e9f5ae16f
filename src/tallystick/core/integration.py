"""Integrations: what is handed over to which outside service, and how each hand-over went (source: reference 2.12).

A configuration says that what happens to a kind of entity goes to a destination. Each event that it wants makes one run
of it, whose id comes from both: the same for ever, so that a hand-over that is tried again after a crash is recognised
at the other end (docs/decisions/0470-handover.md).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from tallystick.core.entity import Id, Name, Value
from tallystick.core.ids import named_id
from tallystick.core.period import Instant

RUN = "integrationrun"  # the kind of document that runs are kept as


class Destination(StrEnum):
    """Where things can be handed over to. EMAIL is ours; the others are m3ter's names."""

    WEBHOOK = "WEBHOOK"
    STRIPE = "STRIPE"
    STRIPE_TEST = "STRIPE_TEST"
    EMAIL = "EMAIL"


class RunStatus(StrEnum):
    """How a run stands (source: reference 2.12)."""

    WAITING = "WAITING"
    STARTED = "STARTED"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"
    AWAITING_RETRY = "AWAITING_RETRY"
    RATE_LIMIT_RETRY = "RATE_LIMIT_RETRY"
    AUTH_FAILED = "AUTH_FAILED"
    ACCOUNTING_PERIOD_CLOSED = "ACCOUNTING_PERIOD_CLOSED"
    INVOICE_ALREADY_PAID = "INVOICE_ALREADY_PAID"
    DISABLED = "DISABLED"
    TIMEOUT_LIMIT_EXCEEDED = "TIMEOUT_LIMIT_EXCEEDED"


# A run that stands so is taken up again by itself.
UNFINISHED = frozenset({RunStatus.WAITING, RunStatus.STARTED, RunStatus.AWAITING_RETRY, RunStatus.RATE_LIMIT_RETRY})


class IntegrationConfig(Value, frozen=True, kw_only=True):
    """What happens to entities of a type, or to one of them, goes to a destination.

    `entity_type` is "Notification" (with the notification configuration as `entity_id`), "Bill", or another noun that
    events tell of. `destination_id` names a webhook where the destination is one. `config_data` is what the destination
    wants to know beside that; its secrets are sealed before they come here.
    """

    kind: ClassVar[str] = "integrationconfig"
    filters: ClassVar[tuple[str, ...]] = ("destination", "destination_id", "entity_type", "entity_id")

    entity_type: str
    destination: Destination
    entity_id: str | None = None
    destination_id: Id | None = None
    config_data: dict[str, Any] = msgspec.field(default_factory=dict)
    name: Name | None = None
    integration_credentials_id: str | None = None
    sealed_credentials: str | None = None
    enabled: bool = True


class IntegrationRun(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One hand-over: of one event, by one configuration. `attempts` counts those that began; `due` is when the next one
    may. `external_id` and `url` say what became of it at the other end."""

    id: str
    config_id: str
    destination: Destination
    entity_type: str
    entity_id: str
    event_id: str
    status: RunStatus
    created: Instant
    destination_id: str | None = None
    account_id: str | None = None
    attempts: int = 0
    due: Instant | None = None
    external_id: str | None = None
    url: str | None = None
    error: str | None = None
    dt_started: Instant | None = None
    dt_completed: Instant | None = None
    parent_integration_run_id: str | None = None


def run_id(config_id: str, event_id: str) -> str:
    """The id of the hand-over of an event by a configuration: the same for ever."""
    return named_id(config_id, event_id)
