"""Setting up Stripe: its secrets, and which customer each account is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tallystick.control.desk import Desk, rule_broken
from tallystick.control.external_mappings import EXTERNAL_MAPPINGS
from tallystick.control.integrations import INTEGRATIONS, create_integration, update_integration
from tallystick.control.payment_news import stripe_config
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.event import noun
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.integration import CredentialType, Destination, IntegrationConfig
from tallystick.ports import Found, OrganizationRecords, Page, Where
from tallystick.ports.handover import Vault, credentials_of
from tallystick.ports.payments import Customer, PaymentService

SYSTEM, TABLE = "Stripe", "customer"
PREFIXES = {Destination.STRIPE: ("sk_live_", "rk_live_"), Destination.STRIPE_TEST: ("sk_test_", "rk_test_")}
WEBHOOK = "/stripe/webhook"  # the path that Stripe sends its notifications to
MOST_ASKED = 20  # accounts of a page that Stripe is asked about


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountAtStripe:
    """An account with the customer that it is mapped to, or those that have its address."""

    account: Entity[Account]
    customer_id: str | None
    suggested: tuple[Customer, ...]


def connect_stripe(
    desk: Desk,
    vault: Vault,
    destination: Destination,
    config_data: dict[str, Any],
    *,
    api_key: str | None,
    webhook_secret: str | None,
) -> Entity[IntegrationConfig]:
    """Make an integration with Stripe. Refusal `rule_broken` for a key of the other mode."""
    secrets = _checked(destination, {}, api_key, webhook_secret)
    value = IntegrationConfig(
        entity_type="Bill", destination=destination, config_data=config_data, name=f"Stripe ({_mode(destination)})"
    )
    return create_integration(desk, vault, value, secrets)


def enter_secrets(
    desk: Desk, vault: Vault, id: str, *, api_key: str | None, webhook_secret: str | None
) -> Entity[IntegrationConfig]:
    """Enter a new key, or the webhook's secret; what is not given stays. Refusals `not_found`, `rule_broken`."""
    before = stripe_config(desk.records, id)
    known = credentials_of(vault, desk.records, before) or {}
    secrets = _checked(before.value.destination, known, api_key, webhook_secret)
    return update_integration(desk, vault, id, before.value, secrets, enabled=None, version=before.version)


def set_up(desk: Desk, id: str, config_data: dict[str, Any]) -> Entity[IntegrationConfig]:
    """Change what an integration with Stripe is set to."""
    before = stripe_config(desk.records, id)
    return INTEGRATIONS.update(desk, id, msgspec.structs.replace(before.value, config_data=config_data), before.version)


def accounts_at_stripe(
    service: PaymentService,
    records: OrganizationRecords,
    config: Entity[IntegrationConfig],
    page: Page,
    *,
    suggest: bool,
) -> Found[AccountAtStripe]:
    """A page of accounts, newest first, each with its customer; where suggestions are wanted, of those without one whom
    Stripe knows by the same e-mail address. Refusal `outside_failed`."""
    found = records.find(Account, Where(), Page(size=min(page.size, MOST_ASKED), token=page.token))
    mapped = _customers_of(records, config, [each.id for each in found.rows])
    rows = [
        AccountAtStripe(
            account=each,
            customer_id=mapped.get(each.id),
            suggested=()
            if not suggest or each.id in mapped or not each.value.email_address
            else service.customers(records, config, each.value.email_address),
        )
        for each in found.rows
    ]
    return Found(tuple(rows), found.next_token)


def map_customer(desk: Desk, config_id: str, account_id: str, customer_id: str) -> Entity[ExternalMapping]:
    """Say which customer an account is, for one integration. Refusals: those of every external mapping."""
    config = stripe_config(desk.records, config_id)
    if not customer_id.startswith("cus_"):
        raise rule_broken("customerId", f"a customer of Stripe begins with cus_, got {customer_id[:40]!r}")
    if account_id in _customers_of(desk.records, config, [account_id]):
        raise rule_broken("accountId", "the account is mapped already; delete its external mapping first")
    mapping = ExternalMapping(
        m3ter_entity="Account",
        m3ter_id=account_id,
        external_system=SYSTEM,
        external_table=TABLE,
        external_id=customer_id,
        integration_config_id=config.id,
    )
    return EXTERNAL_MAPPINGS.create(desk, mapping)


def _customers_of(
    records: OrganizationRecords, config: Entity[IntegrationConfig], account_ids: list[str]
) -> dict[str, str]:
    if not account_ids:
        return {}
    every = [each.value for each in records.every(ExternalMapping, Where(equal={"m3ter_id": account_ids}))]
    return {
        each.m3ter_id: each.external_id
        for each in every
        if noun(each.m3ter_entity) == "account"
        and each.external_system.casefold() == SYSTEM.casefold()
        and each.external_table.casefold() == TABLE
        and each.integration_config_id in {None, config.id}
    }


def _checked(
    destination: Destination, known: dict[str, Any], api_key: str | None, webhook_secret: str | None
) -> dict[str, Any]:
    """The credentials with what is new in them."""
    if api_key is not None and not api_key.startswith(PREFIXES[destination]):
        which = " or ".join(f"{each}…" for each in PREFIXES[destination])
        raise rule_broken("apiKey", f"{destination} needs a secret key that begins with {which}")
    if webhook_secret is not None and not webhook_secret.startswith("whsec_"):
        raise rule_broken("webhookSecret", "the secret of a webhook of Stripe begins with whsec_")
    given = {"apiKey": api_key, "webhookSecret": webhook_secret}
    new = {name: text for name, text in given.items() if text is not None}
    return {"type": CredentialType.STRIPE_SIGNED_REQUEST.value, **known, **new}


def _mode(destination: Destination) -> str:
    return "test" if destination is Destination.STRIPE_TEST else "live"


def webhook_address(base_url: str, organization_id: str, config_id: str) -> str:
    """Where Stripe shall send the notifications of an integration."""
    return f"{base_url}{WEBHOOK}?organization={organization_id}&integration={config_id}"
