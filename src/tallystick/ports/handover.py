"""Handing over to outside services: what a performer is given, what it answers, and where secrets are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.integration import IntegrationConfig, IntegrationRun, RunStatus
from tallystick.core.period import Instant
from tallystick.ports import OrganizationRecords, Transaction


class Vault(Protocol):
    """Secrets that must be read again, such as keys to other services. What is stored of them is useless without the
    key of the data directory, and for anything but what it was sealed for."""

    def seal(self, secret: str, about: str) -> str:
        """The secret as it may be stored. `about` says whose it is: it opens for the same only."""

    def open(self, sealed: str, about: str) -> str:
        """The secret. Refusal `sealed_elsewhere` where the key is another, or it is about something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """One thing to hand over, now. `run.id` is the same at each attempt: whoever receives it can tell a repetition."""

    run: IntegrationRun
    event: Event
    config: Entity[IntegrationConfig]
    records: OrganizationRecords
    now: Instant


class Problem(StrEnum):
    """What a hand-over that ended in ERROR failed for: which event tells of it (source: reference 2.12)."""

    PERFORM = "integration.perform.error"
    VALIDATION = "integration.validation.error"
    MISSING_ACCOUNT_MAPPING = "integration.missingaccountmapping.error"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """How it went. COMPLETE, or what else the run shall say; AWAITING_RETRY and RATE_LIMIT_RETRY are tried again by
    themselves, not before `not_before` where that is given. `error` is told to people: it names what to do, and no
    secret. `mappings` are kept in the transaction that keeps the outcome; `also` writes there what else is to be kept.
    `log` is what was said on the way, for people who look into it: no secret either."""

    status: RunStatus
    problem: Problem = Problem.PERFORM
    log: str | None = None
    external_id: str | None = None
    url: str | None = None
    error: str | None = None
    not_before: Instant | None = None
    mappings: tuple[ExternalMapping, ...] = ()
    also: Callable[[Transaction, Instant], None] | None = None


class Performer(Protocol):
    """Hands over to one kind of destination. It may be asked again for what it did already, when the server ended
    before the outcome was kept: doing it twice must be doing it once, by the id of the run. It writes nothing here, and
    raises nothing that it can answer."""

    def perform(self, what: HandOver) -> HandedOver:
        """Do it; returns within the time limit of the settings."""


def credentials_about(config_id: str) -> str:
    """What the credentials of an integration configuration are sealed for."""
    return f"integrationconfig/{config_id}"


def credentials_of(
    vault: Vault, records: OrganizationRecords, config: Entity[IntegrationConfig]
) -> dict[str, Any] | None:
    """The credentials that a configuration hands over with: its own, or those of the configuration that it names; None
    where there are none. Refusal `sealed_elsewhere`."""
    holder: Entity[IntegrationConfig] | None = config
    if config.value.sealed_credentials is None and config.value.integration_credentials_id is not None:
        holder = records.get(IntegrationConfig, config.value.integration_credentials_id)
    if holder is None or holder.value.sealed_credentials is None:
        return None
    opened = vault.open(holder.value.sealed_credentials, credentials_about(holder.id))
    return wire.decode(dict[str, Any], opened)
