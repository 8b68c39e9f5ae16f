"""Which bills there are to make: the periods of the billing grids that accounts have, and single days beside them.

docs/decisions/0073-periods-of-a-bill-job.md, 0140-contracts-on-bills.md, 0142-charges-on-bills.md,
0145-consolidated-bills.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from enum import Flag, auto
from functools import cache

from tallystick.core.account import Account, AccountPlan
from tallystick.core.bill import BillParameters, bill_id
from tallystick.core.charge import Charge
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency, Grid, Instant, Period, intersect
from tallystick.core.terms import AccountPeriod
from tallystick.pipeline.agreements import read_agreements
from tallystick.pipeline.before import periods_to_revisit
from tallystick.pipeline.family import inherited_plans
from tallystick.pipeline.grids import Billed, billed_plans, consolidated, fee_grids, period_on
from tallystick.pipeline.placing import ad_hoc, place, stored_bills
from tallystick.ports import OrganizationRecords, Where
from tallystick.ports.founded import config_of

Choice = Callable[[Grid], Period | None]


class Also(Flag):
    """What a run bills besides the periods that it is for."""

    EARLIER_DAYS = auto()  # days before the chosen one that have charges or fees and no bill yet
    ENDED_PLANS = auto()  # what ends of plans have made wrong, where they were charged in advance


NOTHING_ELSE = Also(0)


def ending_on(last_day: date) -> Choice:
    """Of each billing grid the period that ends with a day, if one does."""
    return lambda grid: grid.period_ending_on(last_day)


def ended_by(moment: Instant) -> Choice:
    """Of each billing grid the latest period that has ended by a moment."""
    return lambda grid: grid.previous(grid.period_at(moment))


def holding(moment: Instant) -> Choice:
    """Of each billing grid the period that a moment is in: what a preview or a dashboard shows."""
    return lambda grid: grid.period_at(moment)


def account_periods(
    records: OrganizationRecords,
    choose: Choice,
    *,
    account_ids: Sequence[str] | None = None,
    frequency: Frequency | None = None,
    interval: int | None = None,
    parameters: BillParameters | None = None,
    also: Also = NOTHING_ELSE,
) -> list[AccountPeriod]:
    """The bills there are to make, see `Billable.periods`: for some accounts (all when not named), of one frequency and
    interval (any when not named)."""
    return Billable(records, account_ids, parameters).periods(choose, frequency, interval, also)


class Billable:
    """What accounts can be billed by, read once: their billing grids, charges and fees."""

    def __init__(
        self,
        records: OrganizationRecords,
        account_ids: Sequence[str] | None = None,
        parameters: BillParameters | None = None,
    ) -> None:
        self._records, self._parameters = records, parameters or BillParameters()
        config = config_of(records)
        self._config = config
        where = Where(equal={"account_id": account_ids}) if account_ids is not None else Where()
        account_plans, self._charges = list(records.every(AccountPlan, where)), list(records.every(Charge, where))
        self._agreements = read_agreements(records, account_plans, self._charges)
        self._plans = billed_plans(records, account_plans, self._agreements, config.value, self._parameters)
        self._plans += inherited_plans(records, account_ids, account_plans, config.value, self._parameters)
        self._commitments = list(records.every(Commitment, where))
        self._grids = [*self._plans, *fee_grids(records, self._commitments, config.value, self._parameters)]

    def periods(
        self,
        choose: Choice,
        frequency: Frequency | None = None,
        interval: int | None = None,
        also: Also = NOTHING_ELSE,
    ) -> list[AccountPeriod]:
        """For each account and each of its billing grids the period that `choose` takes, if a plan is in force in it;
        and for single charges and fees that no grid takes, the day that it takes of a daily grid. In order of account
        code, then frequency, interval and period."""
        records, config, parameters = self._records, self._config, self._parameters
        wanted = [
            each
            for each in self._grids
            if frequency in {None, each.grid.frequency} and interval in {None, each.grid.interval}
        ]
        consolidate = config.value.consolidate_bills
        choose = cache(choose)
        found = list(_of_grids(wanted, self._grids, choose, parameters, consolidate=consolidate))
        if Also.ENDED_PLANS in also:
            chosen = [(each, period) for each in wanted if (period := choose(each.grid))]
            found += periods_to_revisit(records, chosen, self._grids, config.value, parameters)
        if frequency in {None, Frequency.AD_HOC} and interval in {None, 1}:
            placed = place(records, self._charges, self._plans, self._agreements, config.value, parameters)
            days = [each.of for each in placed if each.of.frequency is Frequency.AD_HOC]
            days += _fee_days(records, self._commitments, config, parameters)
            found += _of_days(records, days, choose, config.value, parameters, catch_up=Also.EARLIER_DAYS in also)
        accounts = {each.account.id: each.account for each in self._grids}
        accounts |= records.get_many(Account, sorted({each.account_id for each in found} - accounts.keys()))
        unique = {each.key: each for each in found if each.account_id in accounts}
        return sorted(unique.values(), key=lambda of: (accounts[of.account_id].value.code, *place_in_list(of)))


def place_in_list(of: AccountPeriod) -> tuple[str, Frequency, int, Period, str]:
    """The order of bills of accounts with the same code, which is one account."""
    return of.account_id, of.frequency, of.interval, of.period, of.grouping


def _of_grids(
    wanted: Sequence[Billed], plans: Sequence[Billed], choose: Choice, parameters: BillParameters, *, consolidate: bool
) -> Iterator[AccountPeriod]:
    by_account: dict[str, list[Billed]] = {}
    for each in plans:
        by_account.setdefault(each.account.id, []).append(each)
    for each in wanted:
        period = choose(each.grid)
        if period is not None and intersect(each.life, period) and each.bills(period):
            of = period_on(each, period, parameters)
            yield consolidated(of, by_account[each.account.id]) if consolidate else of


def _fee_days(
    records: OrganizationRecords,
    commitments: Sequence[Entity[Commitment]],
    config: Entity[OrganizationConfig],
    parameters: BillParameters,
) -> Iterator[AccountPeriod]:
    """The days for which fees of commitments were agreed."""
    agreements = read_agreements(records, (), held=commitments)
    zone = parameters.timezone or config.value.timezone
    for each in commitments:
        grouping = agreements.grouping(agreements.contract(each.value.contract_id))
        for fee in each.value.fee_dates:
            yield ad_hoc(each.value.account_id, fee.date, zone, grouping, parameters)


def _of_days(
    records: OrganizationRecords,
    days: Sequence[AccountPeriod],
    choose: Choice,
    config: OrganizationConfig,
    parameters: BillParameters,
    *,
    catch_up: bool,
) -> Iterator[AccountPeriod]:
    zone = parameters.timezone or config.timezone
    epoch = parameters.day_epoch or config.day_epoch
    chosen = choose(Grid(frequency=Frequency.DAILY, epoch=epoch, zone=zone)) if days else None
    if chosen is None:
        return
    ids = {bill_id(records.organization_id, each.key): each for each in days}
    stored = stored_bills(records, ids) if catch_up else {}
    for id_, each in ids.items():
        if each.period == chosen or (catch_up and each.period.end <= chosen.end and id_ not in stored):
            yield each
