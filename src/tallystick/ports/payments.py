"""Asking a payment service: whether a key works, which customers it has, and what it says became of invoices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tallystick.core.entity import Entity
from tallystick.core.integration import IntegrationConfig
from tallystick.core.paid_state import PaymentEntry
from tallystick.core.period import Instant
from tallystick.ports import OrganizationRecords

WRONG_SIGNATURE = "Stripe-Signature: it does not fit the body, or is too old"  # whatever is wrong with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer as the service knows it."""

    id: str
    name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What the service says of the payment of a bill."""

    bill_id: str
    entry: PaymentEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsRead:
    """What was read of the news since a moment: up to `until`, from which the next look goes on."""

    news: tuple[News, ...]
    until: Instant


class PaymentService(Protocol):
    """Every question names the integration that it is asked by, whose sealed key it is asked with. What does not work
    is Refusal `outside_failed` that says what to do, and no secret."""

    def check(self, records: OrganizationRecords, config: Entity[IntegrationConfig]) -> str:
        """Try the key; answers which account it opens."""

    def customers(
        self, records: OrganizationRecords, config: Entity[IntegrationConfig], email: str
    ) -> tuple[Customer, ...]:
        """The customers with an address, at most a few."""

    def told(
        self, records: OrganizationRecords, config: Entity[IntegrationConfig], body: bytes, signature: str, now: Instant
    ) -> tuple[News, ...]:
        """What a signed notification says; nothing for one of no concern. Refusal `forbidden` where the signature is
        wrong or too old."""

    def since(
        self, records: OrganizationRecords, config: Entity[IntegrationConfig], moment: Instant, now: Instant
    ) -> NewsRead:
        """What happened since a moment, for where no notification came through."""
