"""Which bills there are to make in a run over many accounts: the plain ones in groups, all others one by one.

What comes out is that of `pipeline.periods.Billable`, in the same order. A plain account (`core.plain_account`) has one
plan, so that there is one period to bill at most, and all that agreed to the same have the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from typing import NamedTuple

from tallystick.core.account import Account, AccountPlan
from tallystick.core.bill import BillParameters, period_key
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.counter_types import CounterAdjustment
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.discount import Discount
from tallystick.core.entity import Value
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency, Grid, Instant, Period, intersect, stretch
from tallystick.core.plain_account import Agreed, PlainAccount, read_accounts, with_fees
from tallystick.core.terms import AccountPeriod, template_grid
from tallystick.pipeline.agreements import many
from tallystick.pipeline.changed_plans import Before, changed_plans
from tallystick.pipeline.last_bills import BILL
from tallystick.pipeline.periods import NOTHING_ELSE, Also, Billable, Choice, place_in_list
from tallystick.pipeline.plain import NO_MATTER
from tallystick.pipeline.suppressed import KIND as EMPTY
from tallystick.ports import DocumentWhere, OrganizationRecords, Page
from tallystick.ports.founded import config_of

# What has no say in which periods are billed: for commitments, those without fees.
NOT_LISTED: tuple[type[Value], ...] = (*NO_MATTER, Balance, Commitment, CounterAdjustment, Discount)


class _Chosen(NamedTuple):
    """A billing period of a plan, whether that is in force in it, and the bill before where it was in force before."""

    frequency: Frequency
    interval: int
    period: Period
    in_force: bool
    before: Before | None


class ManyBillable:
    """What accounts can be billed by (all when not named), read once: of plain ones as little as can be."""

    def __init__(
        self,
        records: OrganizationRecords,
        account_ids: Sequence[str] | None = None,
        parameters: BillParameters | None = None,
    ) -> None:
        self._records, self._parameters = records, parameters or BillParameters()
        self._plain: list[PlainAccount] = []
        self._codes: dict[str, str] = {}  # of the other accounts
        self._grids: dict[Agreed, Grid | None] = {}
        config = config_of(records)
        self._config = config.value
        if account_ids is None and not config.value.consolidate_bills and not _were_consolidated(records):
            account_ids = self._read_plain(config.value)
        self._others = Billable(records, account_ids, parameters)

    def _read_plain(self, config: OrganizationConfig) -> list[str]:
        """Read the plain accounts; gives the ids of the others."""
        records = self._records
        matters = records.referred_to(NOT_LISTED) | with_fees(records.texts(Commitment))
        for id_, code, plain in read_accounts(records.texts(Account), records.texts(AccountPlan)):
            if plain is None or id_ in matters:
                self._codes[id_] = code
            else:
                self._plain.append(plain)
        agreed = {each.agreed for each in self._plain}
        plans = {plan.id: plan.value for plan in many(records, Plan, (each.plan_id for each in agreed))}
        named = many(records, PlanTemplate, (plan.plan_template_id for plan in plans.values()))
        templates = {each.id: each.value for each in named}
        for each in agreed:
            template = templates.get(plans[each.plan_id].plan_template_id) if each.plan_id in plans else None
            epoch = date.fromisoformat(each.bill_epoch) if each.bill_epoch else None
            self._grids[each] = template_grid(template, epoch, config, self._parameters) if template else None
        return list(self._codes)

    def periods(
        self,
        choose: Choice,
        frequency: Frequency | None = None,
        interval: int | None = None,
        also: Also = NOTHING_ELSE,
    ) -> list[AccountPeriod]:
        """See `Billable.periods`."""
        choose = cache(choose)

        @cache
        def chosen(agreed: Agreed, start: str, end: str) -> _Chosen | None:
            """What there is to bill of those that agreed to the same for as long, if anything is."""
            grid = self._grids[agreed]
            if grid is None or frequency not in {None, grid.frequency} or interval not in {None, grid.interval}:
                return None
            life = stretch(Instant.parse(start), Instant.parse(end) if end else None)
            return _chosen(grid, choose(grid), life)

        billed = [(each, of) for each in self._plain if (of := chosen(each.agreed, each.start, each.end))]
        changed = set(self._changed(billed)) if Also.ENDED_PLANS in also else set[str]()
        found = [
            (
                each.code,
                AccountPeriod(
                    account_id=each.id,
                    frequency=of.frequency,
                    interval=of.interval,
                    period=of.period,
                    parameters=self._parameters,
                ),
            )
            for each, of in billed
            if of.in_force and each.id not in changed
        ]
        others = self._others.periods(choose, frequency, interval, also)
        if not found and not changed:
            return others
        found += [(self._codes[each.account_id], each) for each in others]
        if changed:
            codes = {each.id: each.code for each, _ in billed if each.id in changed}
            revisited = Billable(self._records, sorted(changed), self._parameters)
            found += [(codes[of.account_id], of) for of in revisited.periods(choose, frequency, interval, also)]
        found.sort(key=lambda one: (one[0], *place_in_list(one[1])))
        return [of for _, of in found]

    def _changed(self, billed: Iterable[tuple[PlainAccount, _Chosen]]) -> Iterator[str]:
        """Those of the accounts (ids) that ends of plans have to do with."""
        accounts: dict[Before, list[PlainAccount]] = {}
        for each, of in billed:
            if of.before is not None:
                accounts.setdefault(of.before, []).append(each)
        for before, some in accounts.items():
            yield from changed_plans(self._records, self._config, before, some)


def _chosen(grid: Grid, period: Period | None, life: Period) -> _Chosen | None:
    """What there is to bill of a plan that is in force so long."""
    if period is None:
        return None
    before = None
    if life.start < period.start:
        key = period_key("", grid.frequency, grid.interval, grid.previous(period))
        before = Before(key, period.start, life.end <= period.end)
    return _Chosen(grid.frequency, grid.interval, period, intersect(life, period) is not None, before)


def _were_consolidated(records: OrganizationRecords) -> bool:
    """Whether there are consolidated bills: what one says of a plan is not told by its period."""
    where = DocumentWhere(equal={"billing_frequency": (Frequency.MIXED.value,)})
    return any(records.documents(kind, where, Page(size=1)).rows for kind in (BILL, EMPTY))
