"""Read what accounts have agreed to beyond their plans, in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from tallystick.core.account import AccountPlan
from tallystick.core.agreements import Agreements, agreements_of
from tallystick.core.catalog import Product
from tallystick.core.contract import Contract
from tallystick.core.entity import Entity, Value
from tallystick.core.picklists import BillGroupingKey
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.ports import OrganizationRecords, Where

V = TypeVar("V", bound=Value)


def read_agreements(
    records: OrganizationRecords, account_plans: Sequence[Entity[AccountPlan]], contract_ids: Iterable[str | None] = ()
) -> Agreements:
    """The contracts, with their bill grouping keys, and the groups of plans that account plans (and more ids) name."""
    contracts = many(records, Contract, (*(each.value.contract_id for each in account_plans), *contract_ids))
    keys = many(records, BillGroupingKey, (each.value.bill_grouping_key_id for each in contracts))
    groups = many(records, PlanGroup, (each.value.plan_group_id for each in account_plans))
    where = Where(equal={"plan_group_id": [each.id for each in groups]})
    links = list(records.every(PlanGroupLink, where)) if groups else []
    accounting = (
        id_
        for each in groups
        for id_ in (each.value.standing_charge_accounting_product_id, each.value.minimum_spend_accounting_product_id)
    )
    products = many(records, Product, accounting)
    return agreements_of([*contracts, *keys, *groups, *links, *products])


def many(records: OrganizationRecords, of: type[V], ids: Iterable[str | None]) -> list[Entity[V]]:
    """The entities with these ids that exist; absent ids are passed over."""
    wanted = sorted({each for each in ids if each is not None})
    return list(records.get_many(of, wanted).values()) if wanted else []
