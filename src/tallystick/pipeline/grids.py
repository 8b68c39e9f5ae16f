"""The billing grids that accounts have by their plans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.agreements import Agreements, period_limits
from tallystick.core.bill import BillParameters
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency, Grid, Period, intersect, stretch
from tallystick.core.terms import AccountPeriod, grid_of, period_ending_at
from tallystick.pipeline.agreements import many
from tallystick.ports import OrganizationRecords


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """An account plan with one of its plans' billing grids, its life, and the bill grouping it belongs to."""

    account: Entity[Account]
    grid: Grid
    life: Period
    grouping: str


def billed_plans(
    records: OrganizationRecords,
    account_plans: Sequence[Entity[AccountPlan]],
    agreements: Agreements,
    config: OrganizationConfig,
    parameters: BillParameters,
) -> list[Billed]:
    """Every account plan that has a billing grid, once per plan; what was deleted in between has nothing to bill."""
    accounts = records.get_many(Account, sorted({each.value.account_id for each in account_plans}))
    ids = (plan_id for each in account_plans for plan_id in agreements.plan_ids(each.value))
    plans = {plan.id: plan for plan in many(records, Plan, ids)}
    template_ids = (plan.value.plan_template_id for plan in plans.values())
    templates = {each.id: each.value for each in many(records, PlanTemplate, template_ids)}
    found = []
    for each in account_plans:
        account = accounts.get(each.value.account_id)
        for plan_id in agreements.plan_ids(each.value) if account else ():
            template = templates.get(plans[plan_id].value.plan_template_id) if plan_id in plans else None
            if account and template:
                grid = grid_of(each.value, account.value, template, config, parameters)
                found += _billed(account, each.value, grid, agreements)
    return found


def period_on(plan: Billed, period: Period, parameters: BillParameters) -> AccountPeriod:
    """The bill of a period of a plan's grid."""
    return AccountPeriod(
        account_id=plan.account.id,
        frequency=plan.grid.frequency,
        interval=plan.grid.interval,
        period=period,
        parameters=parameters,
        grouping=plan.grouping,
    )


def consolidated(of: AccountPeriod, plans: Iterable[Billed]) -> AccountPeriod:
    """The bill of all the account's billing periods that end together: as long as the longest of them."""
    starts = [
        period.start
        for each in plans
        if each.account.id == of.account_id and each.grouping == of.grouping
        if (period := period_ending_at(each.grid, of.period.end)) and intersect(each.life, period)
    ]
    period = Period(min(starts), of.period.end)
    return msgspec.structs.replace(of, frequency=Frequency.MIXED, interval=1, period=period)


def _billed(
    account: Entity[Account], account_plan: AccountPlan, grid: Grid | None, agreements: Agreements
) -> list[Billed]:
    if grid is None:
        return []
    contract = agreements.contract(account_plan.contract_id)
    own = stretch(account_plan.start_date, account_plan.end_date)
    life = intersect(own, period_limits(contract, grid.zone))
    return [Billed(account=account, grid=grid, life=life, grouping=agreements.grouping(contract))] if life else []
