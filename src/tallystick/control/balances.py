"""Balances: money that an account has ahead, in any currency (source: reference 2.7, 3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tallystick.control.compound_inputs import measured_for
from tallystick.control.contracts import require_contract_of
from tallystick.control.credit_rules import require_same_money
from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, in_use, rule_broken
from tallystick.control.ledger import drawing_bills, entries_of
from tallystick.core.aggregation import Aggregation
from tallystick.core.compound import CompoundAggregation
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.ledger import value_of
from tallystick.core.scope import segmented_fields
from tallystick.ports import OrganizationRecords, Transaction


def amounts(read: OrganizationRecords, balances: Sequence[Entity[Balance]]) -> dict[str, Decimal]:
    """What each balance holds by its ledger, by id: the sum of all its transactions."""
    entries = entries_of(read, [balance.id for balance in balances])
    return {balance_id: value_of(of_balance) for balance_id, of_balance in entries.items()}


def _check(draft: Draft[Balance]) -> Balance:
    value = draft.value
    require_currency(draft.read, value.currency)
    require_contract_of(draft.read, value.contract_id, value.account_id)
    _require_segments(draft.read, value)
    if draft.before is not None:
        require_same_money(draft, value, draft.before.value)
    return value


def _require_segments(read: Transaction, balance: Balance) -> None:
    ids = balance.aggregation_ids if balance.segments else ()
    known = [set(each.value.segmented_fields or ()) for each in read.get_many(Aggregation, ids).values()]
    compounds = read.get_many(CompoundAggregation, ids).values()
    known += [set(segmented_fields(measured_for(read, each.value))) for each in compounds]
    for index, segment in enumerate(balance.segments):
        if not any(segment.keys() <= fields for fields in known):
            named = ", ".join(sorted(segment))
            message = f"none of the aggregations is segmented by {named}; name segmented fields of aggregationIds"
            raise rule_broken(f"segments[{index}]", message)


def _check_removal(read: Transaction, entity: Entity[Balance]) -> None:
    bills = drawing_bills(read, entity.id)
    if bills:
        raise in_use("balance", entity.id, bills)


BALANCES = Noun(of=Balance, check=_check, check_removal=_check_removal)
