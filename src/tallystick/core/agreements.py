"""What an account has agreed to beyond its plans: contracts, groups of plans, charges, counted levels, memos.

Source: reference 2.3, 2.5, 2.7, 2.8, 3.8. Loading a bill and replaying one make this value of the same entities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tallystick.core.account import AccountPlan
from tallystick.core.bill import BillBefore
from tallystick.core.catalog import Product
from tallystick.core.charge import Charge
from tallystick.core.contract import Contract
from tallystick.core.counter_types import CounterAdjustment
from tallystick.core.credit_types import Balance
from tallystick.core.discount import Discount
from tallystick.core.entity import Entity
from tallystick.core.memo import BillMemo
from tallystick.core.period import BEGINNING, FOREVER, Period, day_start, intersect, stretch
from tallystick.core.picklists import BillGroupingKey
from tallystick.core.plan_group import PlanGroup, PlanGroupLink


class Agreements(msgspec.Struct, frozen=True, kw_only=True):
    """Contracts and groups of plans by id, the links of a group by its id in order of theirs."""

    contracts: Mapping[str, Entity[Contract]] = {}
    grouping_keys: Mapping[str, Entity[BillGroupingKey]] = {}
    plan_groups: Mapping[str, Entity[PlanGroup]] = {}
    links: Mapping[str, tuple[Entity[PlanGroupLink], ...]] = {}
    discounts: Mapping[str, tuple[Entity[Discount], ...]] = {}  # by account id
    products: dict[str, Entity[Product]] = {}  # for the accounting of what no plan charges
    balances: Mapping[str, Entity[Balance]] = {}  # that charges are for
    levels: Mapping[str, tuple[Entity[CounterAdjustment], ...]] = {}  # the account's, by counter, in order of day
    charges: tuple[Entity[Charge], ...] = ()  # those on the bill
    memos: tuple[Entity[BillMemo], ...] = ()  # those on the bill
    before: tuple[BillBefore, ...] = ()  # closed bills that charged this one's period in advance

    def plan_ids(self, account_plan: AccountPlan) -> tuple[str, ...]:
        """The plans that an account plan puts in force: its own, or those of its group."""
        if account_plan.plan_group_id is not None:
            return tuple(sorted({each.value.plan_id for each in self.links.get(account_plan.plan_group_id, ())}))
        return () if account_plan.plan_id is None else (account_plan.plan_id,)

    def discounts_on(self, account_id: str, period: Period) -> list[Entity[Discount]]:
        """The discounts of an account that are in force at some time of a period."""
        of_account = self.discounts.get(account_id, ())
        return [each for each in of_account if intersect(stretch(each.value.start_date, each.value.end_date), period)]

    def currencies(self, account_id: str, period: Period, contracts: Iterable[Entity[Contract] | None]) -> set[str]:
        """The currencies of an account's charges, discounts and price protections on a bill."""
        promises = (each.value.price_protection for each in contracts if each)
        found = {each.value.currency for each in self.charges} | {each.currency for each in promises if each}
        found |= {each.value.currency for each in self.discounts_on(account_id, period)}
        return {each for each in found if each is not None}

    def contract(self, id: str | None) -> Entity[Contract] | None:
        """The contract that an account plan or a charge names, if it still exists."""
        return self.contracts.get(id) if id else None

    def grouping_key(self, contract: Entity[Contract] | None) -> Entity[BillGroupingKey] | None:
        """The key that says on which bill the charges of a contract stand."""
        return self.grouping_keys.get(contract.value.bill_grouping_key_id or "") if contract else None

    def grouping(self, contract: Entity[Contract] | None) -> str:
        """Which of an account's bills of one period the charges of a contract stand on: the one of the contract for an
        exclusive key, the one of the key for a shared one, else (empty) the one of the account."""
        key = self.grouping_key(contract)
        if contract is None or key is None:
            return ""
        return contract.id if key.value.exclusive else key.id


def agreements_of(entities: Iterable[Entity[Any]]) -> Agreements:
    """What these entities agree on; those of other kinds are left aside."""
    found: dict[str, dict[str, Entity[Any]]] = {}
    for entity in sorted(entities, key=lambda each: each.id):
        found.setdefault(entity.value.kind, {})[entity.id] = entity
    links: dict[str, tuple[Entity[PlanGroupLink], ...]] = {}
    for link in found.get(PlanGroupLink.kind, {}).values():
        links[link.value.plan_group_id] = (*links.get(link.value.plan_group_id, ()), link)
    discounts: dict[str, tuple[Entity[Discount], ...]] = {}
    for discount in found.get(Discount.kind, {}).values():
        discounts[discount.value.account_id] = (*discounts.get(discount.value.account_id, ()), discount)
    return Agreements(
        discounts=discounts,
        contracts=found.get(Contract.kind, {}),
        grouping_keys=found.get(BillGroupingKey.kind, {}),
        plan_groups=found.get(PlanGroup.kind, {}),
        links=links,
        products=found.get(Product.kind, {}),
        balances=found.get(Balance.kind, {}),
        charges=tuple(found.get(Charge.kind, {}).values()),
        levels=levels_of(found.get(CounterAdjustment.kind, {}).values()),
        memos=tuple(found.get(BillMemo.kind, {}).values()),
    )


def levels_of(adjustments: Iterable[Entity[CounterAdjustment]]) -> dict[str, tuple[Entity[CounterAdjustment], ...]]:
    """The adjustments of one account by counter, in order of day."""
    found: dict[str, tuple[Entity[CounterAdjustment], ...]] = {}
    for each in sorted(adjustments, key=lambda one: (one.value.date, one.id)):
        found[each.value.counter_id] = (*found.get(each.value.counter_id, ()), each)
    return found


def period_limits(contract: Entity[Contract] | None, zone: str) -> Period:
    """The time outside which a contract lets nothing be charged: its days, where it limits at all."""
    if contract is None or not contract.value.apply_contract_period_limits:
        return Period(BEGINNING, FOREVER)
    return Period(day_start(contract.value.start_date, zone), day_start(contract.value.end_date, zone))
