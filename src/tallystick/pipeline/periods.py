"""Which bills there are to make: the periods of the billing grids that accounts' plans have.

docs/decisions/0073-periods-of-a-bill-job.md, 0140-contracts-on-bills.md, 0144-consolidated-bills.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import cache

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.agreements import Agreements, period_limits
from tallystick.core.bill import BillParameters
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency, Grid, Instant, Period, intersect, stretch
from tallystick.core.terms import AccountPeriod, grid_of, period_ending_at
from tallystick.pipeline.agreements import many, read_agreements
from tallystick.ports import OrganizationRecords, Where

Choice = Callable[[Grid], Period | None]


def ending_on(last_day: date) -> Choice:
    """Of each billing grid the period that ends with a day, if one does."""
    return lambda grid: grid.period_ending_on(last_day)


def ended_by(moment: Instant) -> Choice:
    """Of each billing grid the latest period that has ended by a moment."""
    return lambda grid: grid.previous(grid.period_at(moment))


def holding(moment: Instant) -> Choice:
    """Of each billing grid the period that a moment is in: what a preview or a dashboard shows."""
    return lambda grid: grid.period_at(moment)


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """An account plan with one of its plans' billing grids, its life, and the bill grouping it belongs to."""

    account: Entity[Account]
    grid: Grid
    life: Period
    grouping: str


def account_periods(
    records: OrganizationRecords,
    choose: Choice,
    *,
    account_ids: Sequence[str] | None = None,
    frequency: Frequency | None = None,
    interval: int | None = None,
    parameters: BillParameters | None = None,
) -> list[AccountPeriod]:
    """The bills there are to make: for each account (all when not named) and each of its billing grids the period that
    `choose` takes, if a plan is in force in it. In order of account code, then frequency, interval and period."""
    parameters = parameters or BillParameters()
    config = _config(records)
    where = Where(equal={"account_id": account_ids}) if account_ids is not None else Where()
    plans = billed_plans(records, list(records.every(AccountPlan, where)), config, parameters)
    wanted = [
        each for each in plans if frequency in {None, each.grid.frequency} and interval in {None, each.grid.interval}
    ]
    chosen = cache(choose)
    found: dict[str, AccountPeriod] = {}
    codes: dict[str, str] = {}
    for each in wanted:
        period = chosen(each.grid)
        if period is None or not intersect(each.life, period):
            continue
        of = AccountPeriod(
            account_id=each.account.id,
            frequency=each.grid.frequency,
            interval=each.grid.interval,
            period=period,
            parameters=parameters,
            grouping=each.grouping,
        )
        if config.value.consolidate_bills:
            of = consolidated(of, plans)
        found[of.key] = of
        codes[each.account.id] = each.account.value.code
    return sorted(
        found.values(),
        key=lambda of: (codes[of.account_id], of.account_id, of.frequency, of.interval, of.period, of.grouping),
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


def billed_plans(
    records: OrganizationRecords,
    account_plans: Sequence[Entity[AccountPlan]],
    config: Entity[OrganizationConfig],
    parameters: BillParameters,
) -> list[Billed]:
    """Every account plan that has a billing grid, once per plan; what was deleted in between has nothing to bill."""
    agreements = read_agreements(records, account_plans)
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
                grid = grid_of(each.value, account.value, template, config.value, parameters)
                found += _billed(account, each.value, grid, agreements)
    return found


def _billed(
    account: Entity[Account], account_plan: AccountPlan, grid: Grid | None, agreements: Agreements
) -> list[Billed]:
    if grid is None:
        return []
    contract = agreements.contract(account_plan.contract_id)
    own = stretch(account_plan.start_date, account_plan.end_date)
    life = intersect(own, period_limits(contract, grid.zone))
    return [Billed(account=account, grid=grid, life=life, grouping=agreements.grouping(contract))] if life else []


def _config(records: OrganizationRecords) -> Entity[OrganizationConfig]:
    config = records.get(OrganizationConfig, records.organization_id)
    assert config is not None, f"the organisation {records.organization_id} was never initialised"
    return config
