"""The ledger of prepaid credit: every addition to a balance and every draw of a bill is one signed entry.

What a balance is worth and what of a commitment is spent are sums over entries (source: reference 2.6, 2.7, 3.7).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

import msgspec

from tallystick.core.entity import Id, Value
from tallystick.core.period import Instant


class CreditKind(StrEnum):
    BALANCE = "BALANCE"
    COMMITMENT = "COMMITMENT"


class LedgerCause(StrEnum):
    """What made an entry: `entity_type` on the wire, and `entity_id` is its id."""

    BILL = "BILL"
    COMMITMENT = "COMMITMENT"
    USER = "USER"
    SERVICE_USER = "SERVICE_USER"
    SCHEDULER = "SCHEDULER"  # a transaction schedule, or (with the balance's id) its top-up rule


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One entry. `amount` is in `currency`, the credit's own; a draw is negative.

    `applied_date` is when it counts from; `transaction_date` when it happened. `paid` of `currency_paid` is what was
    paid for it in another currency. A bill's draw names the bill as `entity_id`, and says whether it came from what
    was carried over the balance's end (`from_rollover`).
    """

    id: str
    credit_kind: CreditKind
    credit_id: str
    account_id: str
    amount: Decimal
    currency: str
    applied_date: Instant
    transaction_date: Instant
    entity_type: LedgerCause
    entity_id: str
    created: Instant
    created_by: str
    description: str | None = None
    transaction_type_id: str | None = None
    paid: Decimal | None = None
    currency_paid: str | None = None
    line_item_id: str | None = None
    from_rollover: bool = False


class BalanceTransaction(Value, frozen=True, kw_only=True):
    """What people add to a balance, or with a negative amount take from it. In the balance's currency."""

    kind: ClassVar[str] = "balancetransaction"
    references: ClassVar[tuple[str, ...]] = ("transaction_type_id",)

    amount: Decimal
    transaction_type_id: Id | None = None
    description: str | None = None
    applied_date: Instant | None = None
    transaction_date: Instant | None = None
    paid: Decimal | None = None
    currency_paid: str | None = None

    def check(self) -> None:
        if not self.amount:
            raise ValueError("amount: must not be 0")
        require_payment(self.paid, self.currency_paid)


def require_payment(paid: Decimal | None, currency_paid: str | None) -> None:
    """What was paid in another currency comes with that currency."""
    if (paid is None) != (currency_paid is None):
        raise ValueError("paid: give it together with currencyPaid")


def document_keys(entry: LedgerEntry) -> dict[str, str]:
    """The texts a stored entry (document kind `ledgerentry`) can be looked up by."""
    keys = {
        "credit_id": entry.credit_id,
        "account_id": entry.account_id,
        "entity_type": entry.entity_type.value,
        "entity_id": entry.entity_id,
    }
    if entry.entity_type is LedgerCause.BILL:
        keys["bill_id"] = entry.entity_id
    if entry.transaction_type_id is not None:
        keys["transaction_type_id"] = entry.transaction_type_id
    return keys
