"""Top-ups: a balance that falls below a threshold is filled up, and what was added is charged for. Pure.

An extension of ours (docs/decisions/0112-top-ups.md). Ids are made from the balance, the month and the number of the
top-up in it, so that looking twice tops up once.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid5

import msgspec

from tallystick.core.charge import Charge, ChargeEntityType, ChargeLineItemType
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.ledger import CreditKind, LedgerCause, LedgerEntry, value_of
from tallystick.core.period import Instant, local_day
from tallystick.core.quantity import add


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """One top-up: what is added to the balance, and the charge for it with its id."""

    entry: LedgerEntry
    charge_id: str
    charge: Charge


def is_top_up(entry: LedgerEntry) -> bool:
    """Whether a balance's own rule made the entry: its cause is the balance itself."""
    return entry.entity_type is LedgerCause.SCHEDULER and entry.entity_id == entry.credit_id


def top_ups_due(
    balance: Entity[Balance], left: Decimal, entries: Collection[LedgerEntry], now: Instant, zone: str
) -> list[Filled]:
    """What the balance's rule adds at a moment: its amount, as often as it takes to bring `left` (what can still be
    drawn) up to the threshold, as far as the month's maximum goes. Nothing before the balance starts or once it ends.

    `entries` are the balance's; months are those of the zone.
    """
    rule, value = balance.value.top_up, balance.value
    if rule is None or not value.start_date <= now < value.end_date:
        return []
    day = local_day(now, zone)
    made = [each for each in entries if is_top_up(each) and _month(local_day(each.applied_date, zone)) == _month(day)]
    spent, due = value_of(made), list[Filled]()
    while left < rule.threshold and _allowed(rule.monthly_maximum, add(spent, rule.amount)):
        due.append(_filled(balance, day, len(made) + len(due), now))
        left, spent = add(left, rule.amount), add(spent, rule.amount)
    return due


def _allowed(maximum: Decimal | None, spent: Decimal) -> bool:
    return maximum is None or spent <= maximum


def _month(day: date) -> str:
    return f"{day:%Y%m}"


def _filled(balance: Entity[Balance], day: date, number: int, now: Instant) -> Filled:
    rule, value = balance.value.top_up, balance.value
    assert rule is not None, "only a balance with a rule is topped up"
    entry_id = uuid5(UUID(balance.id), f"top-up/{_month(day)}/{number}")
    description = rule.charge_description or f"{value.name}: top-up"
    entry = LedgerEntry(
        id=str(entry_id),
        credit_kind=CreditKind.BALANCE,
        credit_id=balance.id,
        account_id=value.account_id,
        amount=rule.amount,
        currency=value.currency,
        applied_date=now,
        transaction_date=now,
        entity_type=LedgerCause.SCHEDULER,
        entity_id=balance.id,
        created=now,
        created_by=balance.id,
        description=description[:200],
        transaction_type_id=rule.transaction_type_id,
    )
    charge = Charge(
        account_id=value.account_id,
        code=f"{value.code[:50]}-top-up-{_month(day)}-{number + 1}-{str(entry_id)[:8]}",
        name=description[:200],
        currency=value.currency,
        entity_type=ChargeEntityType.BALANCE,
        line_item_type=ChargeLineItemType.BALANCE_FEE,
        entity_id=balance.id,
        service_period_start_date=now,
        service_period_end_date=now,
        bill_date=day,
        amount=rule.amount,
        description=description[:200],
        contract_id=value.contract_id,
        accounting_product_id=value.fees_accounting_product_id,
    )
    return Filled(entry=entry, charge_id=str(uuid5(entry_id, "charge")), charge=charge)
