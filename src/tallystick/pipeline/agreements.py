"""Read what accounts have agreed to beyond their plans, in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

from tallystick.core.account import AccountPlan
from tallystick.core.agreements import Agreements, agreements_of
from tallystick.core.catalog import Product
from tallystick.core.charge import Charge
from tallystick.core.contract import Contract
from tallystick.core.credit_types import Balance
from tallystick.core.discount import Discount
from tallystick.core.entity import Entity, Value
from tallystick.core.memo import BillMemo
from tallystick.core.picklists import BillGroupingKey
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.ports import OrganizationRecords, Where

V = TypeVar("V", bound=Value)


def read_agreements(
    records: OrganizationRecords,
    account_plans: Sequence[Entity[AccountPlan]],
    charges: Sequence[Entity[Charge]] = (),
    memos: Sequence[Entity[BillMemo]] = (),
    held: Sequence[Entity[Any]] = (),
    discounts: Sequence[Entity[Discount]] = (),
) -> Agreements:
    """These discounts, and what account plans, charges, memos and credit name: contracts with their bill grouping keys,
    groups of plans with their links, balances, products. Charges and memos are those of single bills and left out."""
    named: list[Entity[Any]] = [*account_plans, *charges, *held]
    accounted: list[Entity[Any]] = [*charges, *memos, *discounts]
    contracts = many(records, Contract, (each.value.contract_id for each in named))
    keys = many(records, BillGroupingKey, (each.value.bill_grouping_key_id for each in contracts))
    groups = many(records, PlanGroup, (each.value.plan_group_id for each in account_plans))
    where = Where(equal={"plan_group_id": [each.id for each in groups]})
    links = list(records.every(PlanGroupLink, where)) if groups else []
    balances = many(records, Balance, (each.value.entity_id for each in charges))
    accounting = chain(
        (each.value.standing_charge_accounting_product_id for each in groups),
        (each.value.minimum_spend_accounting_product_id for each in groups),
        (each.value.accounting_product_id for each in accounted),
        (each.value.product_id for each in memos),
        (each.value.fees_accounting_product_id for each in balances),
    )
    products = many(records, Product, accounting)
    return agreements_of([*contracts, *keys, *groups, *links, *balances, *discounts, *products])


def many(records: OrganizationRecords, of: type[V], ids: Iterable[str | None]) -> list[Entity[V]]:
    """The entities with these ids that exist; absent ids are passed over."""
    wanted = sorted({each for each in ids if each is not None})
    return list(records.get_many(of, wanted).values()) if wanted else []
