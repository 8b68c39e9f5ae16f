"""Integration configurations as people keep them, with the credentials that are sealed and never shown again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from tallystick.control.desk import ID, Desk, Draft, Noun, require_reference, rule_broken
from tallystick.core import wire
from tallystick.core.aggregation import Aggregation
from tallystick.core.compound import CompoundAggregation
from tallystick.core.email import MessageKind, is_address, kind_of
from tallystick.core.entity import Entity
from tallystick.core.event import noun
from tallystick.core.integration import (
    EVENT,
    EVENT_NAMES,
    SYSTEMS,
    CredentialType,
    Destination,
    IntegrationConfig,
    event_names_of,
    why_no_pattern,
)
from tallystick.core.stripe_settings import UsageAs, read_terms
from tallystick.core.webhook import Webhook
from tallystick.ports import OrganizationRecords
from tallystick.ports.handover import Vault, credentials_about

BILL = "Bill"
MAX_PATTERNS = 50
MAX_CREDENTIALS = 20_000  # characters: keys, certificates and their like


def _rules(draft: Draft[IntegrationConfig]) -> IntegrationConfig:
    value = draft.value
    entities = SYSTEMS[value.destination].entities
    if entities is not None and value.entity_type not in entities:
        what = f"{value.destination} takes {' and '.join(entities)}, not {value.entity_type[:80]!r}"
        raise rule_broken("entityType", what)
    if noun(value.entity_type) == noun(EVENT):
        _require_patterns(value.config_data.get(EVENT_NAMES))
    target = value.destination_id
    if target is not None and value.destination is Destination.WEBHOOK:
        require_reference(draft.read, Webhook, target, "destinationId")
    if value.enabled:  # one that is switched off can be left half done, and switched off whatever it says
        _require_complete(draft)
    other = value.integration_credentials_id
    if other is not None:
        holder = draft.read.get(IntegrationConfig, other)
        if holder is None or (holder.value.sealed_credentials is None and other != draft.id):
            what = f"there is no integration configuration {other[:40]!r} with credentials of its own"
            raise rule_broken("integrationCredentialsId", what)
    return value


def _require_complete(draft: Draft[IntegrationConfig]) -> None:
    """Refuse what would fail at each run: one that hands over to nobody, or is set to what its destination has not."""
    value = draft.value
    if value.destination is Destination.WEBHOOK and value.destination_id is None:
        what = "must be the id of the webhook to send to; POST …/integrationdestinations/webhooks makes one"
        raise rule_broken("destinationId", what)
    if value.destination in {Destination.STRIPE, Destination.STRIPE_TEST}:
        _require_stripe(draft.read, value.config_data)
    if value.destination is Destination.EMAIL:
        _require_recipients(value)


def _require_stripe(read: OrganizationRecords, data: Mapping[str, Any]) -> None:
    try:
        terms = read_terms(data)
    except ValueError as problem:
        raise rule_broken("configData", str(problem)) from None
    if terms.usage_as is UsageAs.METER_EVENTS and not terms.meter_events:
        what = "name Stripe's meter event by aggregation id: with none, no usage would be reported"
        raise rule_broken("configData.meterEvents", what)
    for id_ in terms.meter_events:
        if not ID.fullmatch(id_) or not any(read.get(each, id_) for each in (Aggregation, CompoundAggregation)):
            raise rule_broken("configData.meterEvents", f"there is no aggregation {id_[:40]!r} in this organisation")


def _require_recipients(value: IntegrationConfig) -> None:
    """Messages that go to no customer by themselves need somebody who gets them; who is named must be an address."""
    field, to = "configData.to", value.config_data.get("to")
    for each in to if isinstance(to, list | tuple) else [part.strip() for part in str(to or "").split(",") if part]:
        if not isinstance(each, str) or not is_address(each):
            raise rule_broken(field, f"{str(each)[:80]!r} is no address such as ops@your.example")
    by_itself = [kind_of(each) is not MessageKind.EVENT for each in event_names_of(value)]
    if not to and noun(value.entity_type) != noun(BILL) and not (by_itself and all(by_itself)):
        raise rule_broken(field, 'names who gets the messages, such as ["ops@your.example"]')


def _require_patterns(named: object) -> None:
    """One that is told of events by their names says which."""
    field = f"configData.{EVENT_NAMES}"
    if not isinstance(named, list | tuple) or not 0 < len(named) <= MAX_PATTERNS:
        raise rule_broken(field, f'must be a list of 1 to {MAX_PATTERNS} names of events, such as ["billing.*"]')
    wrong = next((what for each in named if (what := why_no_pattern(each)) is not None), None)
    if wrong is not None:
        raise rule_broken(field, wrong)


INTEGRATIONS = Noun(of=IntegrationConfig, check=_rules)


def create_integration(
    desk: Desk, vault: Vault, value: IntegrationConfig, credentials: dict[str, Any] | None
) -> Entity[IntegrationConfig]:
    """Keep a new configuration, enabled, with its credentials sealed."""
    id_ = desk.new_id()
    with desk.records.transaction() as write:
        return INTEGRATIONS.create_within(desk, write, _sealed(vault, id_, value, credentials), id_)


def update_integration(
    desk: Desk,
    vault: Vault,
    id: str,
    value: IntegrationConfig,
    credentials: dict[str, Any] | None,
    *,
    enabled: bool | None,
    version: int | None,
) -> Entity[IntegrationConfig]:
    """Replace a configuration. Without credentials it keeps those that it has; without `enabled` it stays as it is."""
    with desk.records.transaction() as write:
        before = INTEGRATIONS.retrieve(write, id)
        kept = replace(
            value,
            sealed_credentials=before.value.sealed_credentials,
            enabled=before.value.enabled if enabled is None else enabled,
        )
        return INTEGRATIONS.update_within(desk, write, before, _sealed(vault, id, kept, credentials), version)


def switch(desk: Desk, id: str, *, enabled: bool) -> Entity[IntegrationConfig]:
    """Enable or disable a configuration; one that is so already stays at its version."""
    with desk.records.transaction() as write:
        before = INTEGRATIONS.retrieve(write, id)
        if before.value.enabled is enabled:
            return before
        return INTEGRATIONS.update_within(desk, write, before, replace(before.value, enabled=enabled), None)


def is_authorized(config: IntegrationConfig) -> bool:
    """Whether a configuration has what its destination is signed in to with."""
    needed = SYSTEMS[config.destination].credentials
    return not needed or config.sealed_credentials is not None or config.integration_credentials_id is not None


def _sealed(vault: Vault, id: str, value: IntegrationConfig, credentials: dict[str, Any] | None) -> IntegrationConfig:
    if credentials is None:
        return value
    if credentials.get("type") not in CredentialType.__members__:
        raise rule_broken("credentials.type", f"must be one of {', '.join(CredentialType)}")
    if credentials.get("empty") is True:
        return replace(value, sealed_credentials=None)
    text = wire.encode(credentials).decode()
    if len(text) > MAX_CREDENTIALS:
        raise rule_broken("credentials", f"at most {MAX_CREDENTIALS} characters")
    return replace(value, sealed_credentials=vault.seal(text, credentials_about(id)))
