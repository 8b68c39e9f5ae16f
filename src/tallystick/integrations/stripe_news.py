"""What Stripe says became of the invoices of bills: by signed notifications, and by its own list of events.

Both tell the same things, which have the same ids here: told twice, or in another order, they count once
(docs/decisions/0491-stripe.md). The library verifies signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import stripe

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.integration import IntegrationConfig
from tallystick.core.paid_state import PaymentEntry, Told
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.integrations.stripe_account import FAILURES, connect, outside_failed, plain_of, secrets_of
from tallystick.integrations.stripe_books import SUPERSEDED
from tallystick.integrations.stripe_terms import Unexpressible, major_units
from tallystick.ports import OrganizationRecords
from tallystick.ports.handover import Vault
from tallystick.ports.payments import WRONG_SIGNATURE, Customer, News, NewsRead

STRIPE = "STRIPE"  # the system of what Stripe tells, and who tells it
TOLERANCE = 300  # seconds that a notification may be old: what is sent again later is refused
MOST_CUSTOMERS = 10
PAGE = 100
# What is listened to: every other event is of no concern here.
EVENTS = frozenset(
    {
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.payment_failed",
        "invoice.marked_uncollectible",
        "invoice.voided",
        "invoice.updated",
        "invoice.overpaid",
    }
)

_STATUSES = {"paid": Told.SETTLED, "void": Told.VOID, "uncollectible": Told.UNCOLLECTIBLE}
_TRANSITIONS = {
    Told.SETTLED: "paid_at",
    Told.VOID: "voided_at",
    Told.UNCOLLECTIBLE: "marked_uncollectible_at",
}


class _Notice(msgspec.Struct, frozen=True):
    """The part of a notification that is read."""

    id: str
    type: str
    created: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StripeService:
    """Fulfils `PaymentService`."""

    vault: Vault
    base_url: str
    seconds: float

    def check(self, records: OrganizationRecords, config: Entity[IntegrationConfig]) -> str:
        """Ask for something that every key may see."""
        try:
            client = connect(self.vault, records, config, self.base_url, self.seconds)
            client.v1.customers.list({"limit": 1})
        except FAILURES as problem:
            raise outside_failed(problem) from None
        return "the key works: customers of the account can be read"

    def customers(
        self, records: OrganizationRecords, config: Entity[IntegrationConfig], email: str
    ) -> tuple[Customer, ...]:
        """The customers with an address, compared as Stripe does: capitals matter."""
        try:
            client = connect(self.vault, records, config, self.base_url, self.seconds)
            found = client.v1.customers.list({"email": email, "limit": MOST_CUSTOMERS})
        except FAILURES as problem:
            raise outside_failed(problem) from None
        return tuple(Customer(id=each.id, name=each.name or "", email=each.email or "") for each in found.data)

    def told(
        self, records: OrganizationRecords, config: Entity[IntegrationConfig], body: bytes, signature: str, now: Instant
    ) -> tuple[News, ...]:
        """What a notification says, once its signature is right."""
        secret = secrets_of(self.vault, records, config).get("webhookSecret")
        if not secret:
            raise Refusal(
                "forbidden", "the integration has no secret of Stripe's webhook: enter the one it shows there"
            )
        try:
            stripe.WebhookSignature.verify_header(body.decode(), signature, secret, TOLERANCE)  # type: ignore[no-untyped-call, unused-ignore]  # its types come and go with the library
            notice = wire.decode(_Notice, body)
        except (stripe.SignatureVerificationError, UnicodeDecodeError, msgspec.MsgspecError):
            raise Refusal("forbidden", WRONG_SIGNATURE) from None
        if notice.type not in EVENTS:
            return ()
        return _news(records.organization_id, notice, now)

    def since(
        self, records: OrganizationRecords, config: Entity[IntegrationConfig], moment: Instant, now: Instant
    ) -> NewsRead:
        """What happened to invoices since a moment, as Stripe's list of events has it."""
        told: list[_Notice] = []
        until = int(moment.timestamp())
        try:
            client = connect(self.vault, records, config, self.base_url, self.seconds)
            found = client.v1.events.list({"type": "invoice.*", "created": {"gte": until}, "limit": PAGE})
            for each in found.auto_paging_iter():
                notice = wire.convert(_Notice, plain_of(each))
                until = max(until, notice.created)
                if notice.type in EVENTS:
                    told.append(notice)
        except FAILURES as problem:
            raise outside_failed(problem) from None
        # Stripe lists the latest first; what happened first is told first, as notifications are.
        news = [each for notice in reversed(told) for each in _news(records.organization_id, notice, now)]
        return NewsRead(news=tuple(news), until=_instant(until))


def _news(organization_id: str, notice: _Notice, now: Instant) -> tuple[News, ...]:
    """What a notice says of a bill of this organisation. Of an invoice that another has taken the place of only money
    is news: its customer may have paid it before it could be voided."""
    invoice = notice.data.get("object") or {}
    note = invoice.get("metadata") or {}
    bill_id = note.get("tallystick_bill")
    if not isinstance(bill_id, str) or note.get("tallystick_organization") != organization_id:
        return ()
    try:
        entry = _entry(bill_id, notice, invoice, now)
    except (Unexpressible, ValueError, TypeError):
        return ()  # nothing that was made here: a bill's id and currency are always readable
    if entry is None or (SUPERSEDED in note and entry.amount is None):
        return ()
    return (News(bill_id=bill_id, entry=entry),)


def _entry(bill_id: str, notice: _Notice, invoice: dict[str, Any], now: Instant) -> PaymentEntry | None:
    status, paid = invoice.get("status"), int(invoice.get("amount_paid") or 0)
    told = _STATUSES.get(str(status))
    if told is None and notice.type == "invoice.payment_failed":
        told = Told.FAILED
    elif told is None and paid:
        told = Told.PAID_SO_FAR
    if told is None:
        return None
    money = told in {Told.SETTLED, Told.PAID_SO_FAR}
    # The same thing has the same id however it is told: an attempt by its number, money by how much it is.
    mark = paid if money else invoice.get("attempt_count") if told is Told.FAILED else ""
    currency, total = str(invoice.get("currency")).upper(), invoice.get("total")
    return PaymentEntry(
        id=named_id(bill_id, f"stripe/{invoice['id']}/{told.value}/{mark}"),
        type=told,
        at=_instant(_moment(notice, invoice, told)),
        told=now,
        by=STRIPE,
        system=STRIPE,
        reference=str(invoice["id"]),
        amount=major_units(paid, currency) if money else None,
        currency=currency if money else None,
        settles=major_units(int(total), currency) if told is Told.SETTLED and total is not None else None,
    )


def _moment(notice: _Notice, invoice: dict[str, Any], told: Told) -> int:
    """When it happened: as the invoice says, which is the same whatever told of it first."""
    stated = (invoice.get("status_transitions") or {}).get(_TRANSITIONS.get(told))
    return notice.created if stated is None else int(stated)


def _instant(seconds: int) -> Instant:
    return Instant.of(datetime.fromtimestamp(seconds, UTC))
