"""The ledger of prepaid credit: every addition to a balance and every draw of a bill is one signed entry.

What a balance is worth and what of a commitment is spent are sums over entries (source: reference 2.6, 2.7, 3.7).
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

import msgspec

from tallystick.core.credit_types import Balance
from tallystick.core.entity import Id, Value
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, negate, subtract, total


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


class Opening(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What of a credit is there for a bill to draw, in the credit's currency.

    `rolled` is what other bills have drawn of a balance after its end, out of what was carried over.
    """

    credit_id: str
    value: Decimal
    rolled: Decimal = Decimal(0)


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


def place_of(entry: LedgerEntry) -> str:
    """Where an entry stands in lists: by when it happened."""
    return entry.transaction_date.wire()


def value_of(entries: Collection[LedgerEntry]) -> Decimal:
    """What entries come to: of a balance its value, of a commitment its draws as a negative number."""
    return total(entry.amount for entry in entries)


class Summary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What has become of a balance's money, all in its currency and none negative, but for `value`.

    `value` = `total_credit_amount` − `total_debit_amount` is what the ledger holds, `available` what of it can still
    be drawn: without `expired_balance_amount`.
    """

    total_credit_amount: Decimal
    total_debit_amount: Decimal
    initial_credit_amount: Decimal
    balance_consumed: Decimal
    rollover_consumed: Decimal
    expired_balance_amount: Decimal
    value: Decimal
    available: Decimal


def summary_of(balance: Balance, entries: Collection[LedgerEntry], now: Instant) -> Summary:
    """What has become of a balance's money up to a moment. The first credit is its initial one."""
    added = [entry for entry in entries if entry.amount > 0]
    credited = value_of(added)
    debited = negate(value_of([entry for entry in entries if entry.amount < 0]))
    first = min(added, key=lambda entry: (entry.applied_date, entry.created, entry.id), default=None)
    draws = [entry for entry in entries if entry.entity_type is LedgerCause.BILL]
    rolled = negate(value_of([entry for entry in draws if entry.from_rollover]))
    value = subtract(credited, debited)
    expired = expired_at(balance, value, rolled, now)
    return Summary(
        total_credit_amount=credited,
        total_debit_amount=debited,
        initial_credit_amount=ZERO if first is None else first.amount,
        balance_consumed=negate(value_of([entry for entry in draws if not entry.from_rollover])),
        rollover_consumed=rolled,
        expired_balance_amount=expired,
        value=value,
        available=subtract(value, expired),
    )


def expired_at(balance: Balance, value: Decimal, rolled: Decimal, now: Instant) -> Decimal:
    """What of a balance's value can never be drawn any more at a moment; `rolled` is what was drawn after its end.

    At the end all of it expires but for what rolls over; at the end of the rollover the rest does.
    """
    if now < balance.end_date or value <= 0:
        return ZERO
    if balance.rollover_end_date is None or now >= balance.rollover_end_date:
        return value
    if balance.rollover_amount is None:
        return ZERO
    return max(ZERO, subtract(add(value, rolled), max(balance.rollover_amount, rolled)))
