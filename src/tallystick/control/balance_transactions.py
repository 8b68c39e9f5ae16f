"""Transactions: what is added to a balance, or taken from it, by people. They are never changed (source: 2.7, 3.7)."""

from __future__ import annotations

from tallystick.control.balances import BALANCES
from tallystick.control.desk import Desk, require_references, rule_broken
from tallystick.control.ledger import entries_of, keep
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.ledger import (
    BalanceTransaction,
    CreditKind,
    LedgerCause,
    LedgerEntry,
    Summary,
    summary_of,
    value_of,
)
from tallystick.core.period import Instant
from tallystick.core.quantity import add, plain
from tallystick.ports import OrganizationRecords, Transaction
from tallystick.ports.founded import config_of


def transact(desk: Desk, balance_id: str, transaction: BalanceTransaction) -> LedgerEntry:
    """Add to a balance, or take from it with a negative amount.

    Refusals: `not_found`, `unknown_reference`, and `rule_broken` when more is taken than there is (unless the balance
    may be overdrawn).
    """
    with desk.records.transaction() as write:
        balance = BALANCES.retrieve(write, balance_id)
        require_references(write, transaction)
        entry = _entry(desk, balance, transaction)
        _require_covered(write, balance, entry)
        keep(write, (entry,))
        return entry


def summary(records: OrganizationRecords, balance_id: str, now: Instant) -> Summary:
    """What has become of a balance's money; Refusal `not_found`."""
    balance = BALANCES.retrieve(records, balance_id)
    return summary_of(balance.value, entries_of(records, (balance.id,))[balance.id], now)


def _entry(desk: Desk, balance: Entity[Balance], transaction: BalanceTransaction) -> LedgerEntry:
    """Without a date it counts from the balance's start (docs/decisions/0110-when-a-transaction-counts.md)."""
    by_service = desk.actor.kind == "SERVICE_USER"
    return LedgerEntry(
        id=desk.new_id(),
        credit_kind=CreditKind.BALANCE,
        credit_id=balance.id,
        account_id=balance.value.account_id,
        amount=transaction.amount,
        currency=balance.value.currency,
        applied_date=transaction.applied_date or balance.value.start_date,
        transaction_date=transaction.transaction_date or desk.now,
        entity_type=LedgerCause.SERVICE_USER if by_service else LedgerCause.USER,
        entity_id=desk.actor.id,
        created=desk.now,
        created_by=desk.actor.id,
        description=transaction.description,
        transaction_type_id=transaction.transaction_type_id,
        paid=transaction.paid,
        currency_paid=transaction.currency_paid,
    )


def _require_covered(write: Transaction, balance: Entity[Balance], entry: LedgerEntry) -> None:
    if entry.amount > 0 or balance.value.allow_overdraft or config_of(write).value.allow_negative_balances:
        return
    held = value_of(entries_of(write, (balance.id,))[balance.id])
    if add(held, entry.amount) < 0:
        message = f"the balance holds {plain(held)} {balance.value.currency}, {plain(entry.amount)} would overdraw it"
        raise rule_broken("amount", f"{message}; allowOverdraft on the balance would permit it")
