"""The billing grids that accounts have by their plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.agreements import Agreements, period_limits
from tallystick.core.bill import BillParameters
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.commitment import fees_on, plan_fees
from tallystick.core.credit import commitment_credit
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity, Used, used
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency, Grid, Period, intersect, stretch
from tallystick.core.quantity import tidy
from tallystick.core.terms import AccountPeriod, grid_of, period_ending_at, template_grid
from tallystick.pipeline.agreements import many, read_agreements
from tallystick.ports import OrganizationRecords


def always(_: Period) -> bool:
    """Every period of the grid."""
    return True


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """An account plan with one of its plans' billing grids, its life, and the bill grouping it belongs to."""

    account: Entity[Account]
    grid: Grid
    life: Period
    grouping: str
    plan_id: str = ""  # none where fees are billed by it
    plan_group_id: str | None = None
    bills: Callable[[Period], bool] = always  # whether there is anything to bill in a period of the grid
    uses: frozenset[Used] = frozenset()  # the entities that give it its life, as they are now


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
                found += _billed(account, each, plan_id, grid, agreements)
    return found


def fee_grids(
    records: OrganizationRecords,
    commitments: Sequence[Entity[Commitment]],
    config: OrganizationConfig,
    parameters: BillParameters,
) -> list[Billed]:
    """The grids of the plans that bill the fees of commitments, for the term of each: an account need not have such a
    plan itself."""
    agreements = read_agreements(records, (), held=commitments)
    accounts = records.get_many(Account, sorted({each.value.account_id for each in commitments}))
    plans = {plan.id: plan for plan in many(records, Plan, (each.value.billing_plan_id for each in commitments))}
    template_ids = (plan.value.plan_template_id for plan in plans.values())
    templates = {each.id: each.value for each in many(records, PlanTemplate, template_ids)}
    found = []
    for each in commitments:
        account, plan = accounts.get(each.value.account_id), plans.get(each.value.billing_plan_id or "")
        if account and plan:
            epoch = each.value.bill_epoch or account.value.bill_epoch
            grid = template_grid(templates[plan.value.plan_template_id], epoch, config, parameters)
            life = commitment_credit(each, parameters.timezone or config.timezone).window
            grouping = agreements.grouping(agreements.contract(each.value.contract_id))
            if grid:
                bills = partial(_has_fee, each.value, life, grid, config)
                uses = used(each)
                found.append(Billed(account=account, grid=grid, life=life, grouping=grouping, bills=bills, uses=uses))
    return found


def _has_fee(commitment: Commitment, term: Period, grid: Grid, config: OrganizationConfig, period: Period) -> bool:
    advance = commitment.commitment_fee_bill_in_advance
    in_advance = config.commitment_fee_bill_in_advance if advance is None else advance
    fees = plan_fees(commitment, term, grid, tidy)
    return bool(fees_on(fees, period, term, grid, in_advance=in_advance))


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
    period = Period(min(starts, default=of.period.start), of.period.end)
    return msgspec.structs.replace(of, frequency=Frequency.MIXED, interval=1, period=period)


def _billed(
    account: Entity[Account], account_plan: Entity[AccountPlan], plan_id: str, grid: Grid | None, agreements: Agreements
) -> list[Billed]:
    if grid is None:
        return []
    value = account_plan.value
    contract = agreements.contract(value.contract_id)
    own = stretch(value.start_date, value.end_date)
    life = intersect(own, period_limits(contract, grid.zone))
    if life is None:
        return []
    return [
        Billed(
            account=account,
            grid=grid,
            life=life,
            grouping=agreements.grouping(contract),
            plan_id=plan_id,
            plan_group_id=value.plan_group_id,
            uses=used(account_plan, contract),
        )
    ]
