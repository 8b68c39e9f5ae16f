"""Commitments: what an account has agreed to spend, paid for by fees, drawn by charges (source: reference 2.6, 3.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from tallystick.control.contracts import require_contract_of
from tallystick.control.credit_rules import require_same_money
from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, in_use, rule_broken
from tallystick.control.ledger import drawing_bills, entries_of
from tallystick.control.search import Field, Search, searched
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity
from tallystick.core.ledger import value_of
from tallystick.core.period import Instant
from tallystick.core.quantity import negate, plain
from tallystick.ports import Found, OrganizationRecords, Transaction, Where

# The keys of a search. `ids` and `productIds` take a comma-joined list.
SEARCH_KEYS = (
    "startDate",
    "endDate",
    "contractId",
    "accountId",
    "productId",
    "productIds",
    "id",
    "ids",
    "createdBy",
    "dtCreated",
    "lastModifiedBy",
)
SEARCH_DATES = ("startDate", "endDate", "dtCreated")
SORT_KEYS = (
    "startDate",
    "endDate",
    "contractId",
    "accountId",
    "amount",
    "currency",
    "id",
    "createdBy",
    "lastModifiedBy",
    "dtCreated",
    "dtLastModified",
)


def amounts_spent(read: OrganizationRecords, commitments: Sequence[Entity[Commitment]]) -> dict[str, Decimal]:
    """What bills have drawn from each commitment, by id, in its currency."""
    entries = entries_of(read, [commitment.id for commitment in commitments])
    return {credit_id: negate(value_of(draws)) for credit_id, draws in entries.items()}


def search(records: OrganizationRecords, wanted: Search) -> Found[Entity[Commitment]]:
    """One page of a search, newest first unless it is sorted; the token is the offset of the next page."""
    return searched(records.every(Commitment, _narrowed(wanted)), _fields, wanted)


def _narrowed(wanted: Search) -> Where:
    """What the store can filter by itself; the rest is looked at here."""
    stored = {"id": "id", "accountId": "account_id", "contractId": "contract_id", "productId": "product_ids"}
    equal = {stored[key]: (value,) for key in stored if (value := wanted.equal_to(key)) is not None}
    return Where(equal=equal)


def _fields(entity: Entity[Commitment]) -> Callable[[str], Field]:
    value = entity.value
    fields: dict[str, Field] = {
        "startDate": Instant.midnight(value.start_date),
        "endDate": Instant.midnight(value.end_date),
        "contractId": value.contract_id,
        "accountId": value.account_id,
        "productId": value.product_ids,
        "amount": value.amount,
        "currency": value.currency,
        "id": entity.id,
        "createdBy": entity.created_by,
        "lastModifiedBy": entity.modified_by,
        "dtCreated": entity.created,
        "dtLastModified": entity.modified,
    }
    return fields.__getitem__


def _check(draft: Draft[Commitment]) -> Commitment:
    value = draft.value
    require_currency(draft.read, value.currency)
    require_contract_of(draft.read, value.contract_id, value.account_id)
    if draft.before is not None:
        require_same_money(draft, value, draft.before.value)
        _require_not_below_spent(draft, draft.before)
    return value


def _require_not_below_spent(draft: Draft[Commitment], before: Entity[Commitment]) -> None:
    if draft.value.amount >= before.value.amount:
        return
    spent = amounts_spent(draft.read, (before,))[before.id]
    if draft.value.amount < spent:
        message = f"bills have drawn {plain(spent)}; the amount cannot be below that, recalculate or delete them first"
        raise rule_broken("amount", message)


def _check_removal(read: Transaction, entity: Entity[Commitment]) -> None:
    bills = drawing_bills(read, entity.id)
    if bills:
        raise in_use("commitment", entity.id, bills)


COMMITMENTS = Noun(of=Commitment, check=_check, check_removal=_check_removal)
