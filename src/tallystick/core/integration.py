"""Integrations: what is handed over to which outside service, and how each hand-over went (source: reference 2.12).

A configuration says that what happens to a kind of entity goes to a destination. Each event that it wants makes one run
of it, whose id comes from both: the same for ever, so that a hand-over that is tried again after a crash is recognised
at the other end (docs/decisions/0470-handover.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, ClassVar

import msgspec

from tallystick.core.entity import Entity, Id, Name, Value
from tallystick.core.event import noun
from tallystick.core.ids import named_id
from tallystick.core.period import Instant

RUN = "integrationrun"  # the kind of document that runs are kept as
EVENT = "Event"  # the type of entity that stands for events by their names, an extension of ours
EVENT_NAMES = "eventNames"
_ANY = "*"
NOTIFICATION = "Notification"  # the type of entity that notifications are handed over as

# How long after each attempt the next one follows, in seconds: about three days in all, as Standard Webhooks advises.
_PAUSES = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
ATTEMPTS = len(_PAUSES) + 1


class Destination(StrEnum):
    """Where things can be handed over to. EMAIL is ours; the others are m3ter's names."""

    WEBHOOK = "WEBHOOK"
    STRIPE = "STRIPE"
    STRIPE_TEST = "STRIPE_TEST"
    EMAIL = "EMAIL"


class CredentialType(StrEnum):
    """What a destination is signed in to with (source: reference 2.12)."""

    HTTP_BASIC = "HTTP_BASIC"
    OAUTH_CLIENT_CREDENTIALS = "OAUTH_CLIENT_CREDENTIALS"
    M3TER_SIGNED_REQUEST = "M3TER_SIGNED_REQUEST"
    AWS_INTEGRATION = "AWS_INTEGRATION"
    PADDLE_AUTH = "PADDLE_AUTH"
    NETSUITE_AUTH = "NETSUITE_AUTH"
    CHARGEBEE_AUTH = "CHARGEBEE_AUTH"
    M3TER_APP_SIGNATURE = "M3TER_APP_SIGNATURE"
    M3TER_SERVICE_USER = "M3TER_SERVICE_USER"
    STRIPE_SIGNED_REQUEST = "STRIPE_SIGNED_REQUEST"
    HUBSPOT_ACCESS_TOKEN = "HUBSPOT_ACCESS_TOKEN"  # noqa: S105 - the name of a kind, no secret
    HUBSPOT_CLIENT_SECRET = "HUBSPOT_CLIENT_SECRET"  # noqa: S105 - the name of a kind, no secret
    OPSGENIE_KEY = "OPSGENIE_KEY"
    SAP_BYD = "SAP_BYD"
    SLACK_WEBHOOK = "SLACK_WEBHOOK"
    SAGE_INTACCT_CLIENT_CREDENTIALS = "SAGE_INTACCT_CLIENT_CREDENTIALS"
    SAGE_INTACCT_CLIENT_SECRET = "SAGE_INTACCT_CLIENT_SECRET"  # noqa: S105 - the name of a kind, no secret
    STATIC_API_KEY = "STATIC_API_KEY"


class System(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of a destination before it is configured: what it is called, how it is signed in to, and
    which entities it takes (None: any that events tell of)."""

    name: str
    credentials: tuple[CredentialType, ...] = ()
    entities: tuple[str, ...] | None = None


SYSTEMS: dict[Destination, System] = {
    Destination.WEBHOOK: System(name="Webhook"),
    Destination.EMAIL: System(name="Email", entities=(EVENT, "Bill", NOTIFICATION)),
    Destination.STRIPE: System(name="Stripe", credentials=(CredentialType.STRIPE_SIGNED_REQUEST,), entities=("Bill",)),
    Destination.STRIPE_TEST: System(
        name="Stripe (test mode)", credentials=(CredentialType.STRIPE_SIGNED_REQUEST,), entities=("Bill",)
    ),
}


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
    may. `external_id` and `url` say what became of it at the other end. `subject` is what it waits its turn by."""

    id: str
    config_id: str
    destination: Destination
    entity_type: str
    entity_id: str
    event_id: str
    status: RunStatus
    created: Instant
    subject: str = ""
    destination_id: str | None = None
    account_id: str | None = None
    attempts: int = 0
    due: Instant | None = None
    external_id: str | None = None
    url: str | None = None
    error: str | None = None
    log: str | None = None
    dt_started: Instant | None = None
    dt_completed: Instant | None = None
    parent_integration_run_id: str | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An event that waits for its hand-over: who wanted it when it happened. Rules are named with their versions.

    `subject` is the entity that it is about: what happens to one is handed over in order.
    """

    event_id: str
    noun: str
    subject: str
    entity_id: str | None = None
    account_id: str | None = None
    configs: tuple[str, ...] = ()
    rules: tuple[tuple[str, int], ...] = ()


def wants(config: IntegrationConfig, event_name: str, about: str, entity_id: str | None) -> bool:
    """Whether a configuration wants what happens to an entity of a noun. One of entity type "Event" wants the events
    whose names fit `configData.eventNames`."""
    if not config.enabled or config.entity_id not in {None, entity_id}:
        return False
    if noun(config.entity_type) == noun(EVENT):
        return subscribes(event_names_of(config), event_name)
    return noun(config.entity_type) == about


def event_names_of(config: IntegrationConfig) -> tuple[str, ...]:
    """The names, or beginnings of names, of the events that a configuration of entity type "Event" wants."""
    named = config.config_data.get(EVENT_NAMES, ())
    return tuple(each for each in named if isinstance(each, str)) if isinstance(named, list | tuple) else ()


def subscribes(patterns: Iterable[str], event_name: str) -> bool:
    """Whether one of the patterns stands for an event: its name, `billing.*` for all that begin so, or `*`."""
    return any(
        pattern in {_ANY, event_name} or (pattern.endswith("." + _ANY) and event_name.startswith(pattern[:-1]))
        for pattern in patterns
    )


def why_no_pattern(pattern: object) -> str | None:
    """What is wrong with a pattern; None: nothing."""
    if not isinstance(pattern, str) or not pattern or len(pattern) > 200:
        return "must be the name of an event, or its beginning with .* behind it, such as billing.*"
    if pattern != _ANY and _ANY in pattern.removesuffix("." + _ANY):
        return f"{pattern!r} has * elsewhere than at the end, behind a dot"
    return None


def first_run(config: Entity[IntegrationConfig], waiting: Waiting, now: Instant) -> IntegrationRun:
    """The run of a configuration for an event that it wants, before its first attempt."""
    value = config.value
    return IntegrationRun(
        id=run_id(config.id, waiting.event_id),
        config_id=config.id,
        destination=value.destination,
        entity_type=value.entity_type,
        entity_id=waiting.entity_id or waiting.subject,
        event_id=waiting.event_id,
        status=RunStatus.WAITING,
        created=now,
        subject=waiting.subject,
        destination_id=value.destination_id,
        account_id=waiting.account_id,
        due=now,
    )


def lane_of(config_id: str, subject: str) -> str:
    """Where the runs of a configuration about one entity queue: one at a time, in the order of their events."""
    return f"{config_id}/{subject}"


def pause_after(run_id: str, attempts: int) -> timedelta:
    """How long to wait after so many attempts: longer each time, and up to a fifth longer for some runs than for
    others, so that those that failed together do not come back together. The same run waits the same, always."""
    pause = _PAUSES[min(attempts, len(_PAUSES)) - 1]
    part = int.from_bytes(sha256(f"{run_id}/{attempts}".encode()).digest()[:4]) % 200  # thousandths
    return timedelta(milliseconds=pause * (1000 + part))


def run_id(config_id: str, event_id: str) -> str:
    """The id of the hand-over of an event by a configuration: the same for ever."""
    return named_id(config_id, event_id)
