"""Read the relatives of accounts: children that may be pooled with them, and parents whose plans may bill them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tallystick.core.account import Account, AccountPlan, ChildBillingMode
from tallystick.core.agreements import Agreements, period_limits
from tallystick.core.bill import BillParameters
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.entity import Entity, used
from tallystick.core.family import Family, family_of, without
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Period, intersect, stretch
from tallystick.core.terms import grid_of
from tallystick.pipeline.agreements import many, read_agreements
from tallystick.pipeline.grids import Billed
from tallystick.ports import OrganizationRecords, Where


class Relatives:
    """The children of some accounts, and the account plans of these and of the accounts' parents."""

    def __init__(self, children: Iterable[Entity[Account]], account_plans: Iterable[Entity[AccountPlan]]) -> None:
        self.account_plans = tuple(account_plans)
        self._children: dict[str, list[Entity[Account]]] = {}
        self._plans: dict[str, list[Entity[AccountPlan]]] = {}
        for child in children:
            self._children.setdefault(child.value.parent_account_id or "", []).append(child)
        for plan in self.account_plans:
            self._plans.setdefault(plan.value.account_id, []).append(plan)

    def family(self, account: Entity[Account], account_plans: Sequence[Entity[AccountPlan]]) -> Family:
        """The family of one of the accounts, which has these plans of its own: only its relatives are looked at, so
        that a parent's children cost no more by being many."""
        children = self._children.get(account.id, [])
        ids = [account.id, account.value.parent_account_id or "", *(each.id for each in children)]
        return family_of(
            account, children, [*account_plans, *(plan for id_ in ids for plan in self._plans.get(id_, ()))]
        )


def read_relatives(records: OrganizationRecords, accounts: Collection[Entity[Account]]) -> Relatives:
    """The relatives of accounts, in two questions for many of them."""
    ids = sorted(each.id for each in accounts)
    children = tuple(records.every(Account, Where(equal={"parent_account_id": ids}))) if ids else ()
    wanted = {each.id for each in children} | {each.value.parent_account_id or "" for each in accounts} - {""}
    plans = records.every(AccountPlan, Where(equal={"account_id": sorted(wanted)})) if wanted else ()
    return Relatives(children, plans)


def inherited_plans(
    records: OrganizationRecords,
    account_ids: Collection[str] | None,
    account_plans: Sequence[Entity[AccountPlan]],
    config: OrganizationConfig,
    parameters: BillParameters,
) -> list[Billed]:
    """The plans of parents that bill children by themselves, for as long as those have none of their own: of the
    accounts named, or of all, whose account plans are given."""
    plans = list(account_plans if account_ids is None else _plans_of_families(records, account_ids))
    parents = [each for each in plans if each.value.child_billing_mode is ChildBillingMode.CHILD]
    if not parents:
        return []
    ids = sorted({each.value.account_id for each in parents})
    children = records.every(Account, Where(equal={"parent_account_id": ids}))
    wanted = [each for each in children if account_ids is None or each.id in account_ids]
    agreements = read_agreements(records, plans)
    templates = _templates(records, plans, agreements)
    own: dict[tuple[str, str], list[Period]] = {}
    zone = parameters.timezone or config.timezone
    for each in plans:
        limits = period_limits(agreements.contract(each.value.contract_id), zone)
        life = intersect(stretch(each.value.start_date, each.value.end_date), limits)
        if life is None:
            continue
        for plan_id in agreements.plan_ids(each.value):
            own.setdefault((each.value.account_id, templates[plan_id].product_id), []).append(life)
    found = []
    for parent in parents:
        contract = agreements.contract(parent.value.contract_id)
        for child in (each for each in wanted if each.value.parent_account_id == parent.value.account_id):
            for plan_id in agreements.plan_ids(parent.value):
                grid = grid_of(parent.value, child.value, templates[plan_id], config, parameters)
                life = stretch(parent.value.start_date, parent.value.end_date)
                life_within = intersect(life, period_limits(contract, grid.zone)) if grid else None
                if grid and life_within:
                    taken = own.get((child.id, templates[plan_id].product_id), [])
                    found += [
                        Billed(
                            account=child,
                            grid=grid,
                            life=part,
                            grouping=agreements.grouping(contract),
                            plan_id=plan_id,
                            plan_group_id=parent.value.plan_group_id,
                            uses=used(parent, contract),
                        )
                        for part in without(life_within, taken)
                    ]
    return found


def _plans_of_families(records: OrganizationRecords, account_ids: Collection[str]) -> list[Entity[AccountPlan]]:
    """The account plans of accounts and of their parents."""
    accounts = many(records, Account, account_ids)
    ids = {*account_ids, *(each.value.parent_account_id or "" for each in accounts)} - {""}
    return list(records.every(AccountPlan, Where(equal={"account_id": sorted(ids)}))) if ids else []


def _templates(
    records: OrganizationRecords, account_plans: Iterable[Entity[AccountPlan]], agreements: Agreements
) -> dict[str, PlanTemplate]:
    """The templates of all plans that these account plans name, by the ids of the plans."""
    plans = many(records, Plan, (id_ for each in account_plans for id_ in agreements.plan_ids(each.value)))
    found = {each.id: each.value for each in many(records, PlanTemplate, (one.value.plan_template_id for one in plans))}
    return {each.id: found[each.value.plan_template_id] for each in plans}
