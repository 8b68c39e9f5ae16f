"""What one account has agreed to for one billing period: everything configured that a bill depends on, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from tallystick.core.account import Account, AccountPlan, ChildBillingMode
from tallystick.core.agreements import Agreements, period_limits
from tallystick.core.bill import BillParameters, BillRecord, bill_id, period_key
from tallystick.core.catalog import PlanTemplate, Product
from tallystick.core.contract import Contract, UsageFilter
from tallystick.core.conversion import Conversion, money
from tallystick.core.credit import Credit
from tallystick.core.entity import Entity
from tallystick.core.family import Family, Stretch, own_plans, stretches, without
from tallystick.core.money import Rounding, rounding_for
from tallystick.core.organization import Currency, CurrencyConversion, OrganizationConfig
from tallystick.core.period import Frequency, Grid, Instant, Period, intersect, stretch
from tallystick.core.plan_group import PlanGroup
from tallystick.core.plan_terms import PlanTerms
from tallystick.core.quantity import ONE
from tallystick.errors import Refusal


class AccountPeriod(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """One bill to make: an account, a billing frequency, one of its periods, and what the job asks for besides."""

    account_id: str
    frequency: Frequency
    interval: int
    period: Period
    parameters: BillParameters = BillParameters()
    grouping: str = ""  # which of the account's bills of the period, by contract or grouping key

    @cached_property
    def key(self) -> str:
        """What makes the bill unique in its organisation."""
        return period_key(self.account_id, self.frequency, self.interval, self.period, self.grouping)


class AccountPlanTerms(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A plan in force for the account, and the billing periods it is counted in."""

    account: Entity[Account]  # that is billed
    account_plan: Entity[AccountPlan]
    plan: PlanTerms
    grid: Grid
    period: Period  # of the grid: the one that is billed
    life: Period  # from the start of the account plan to its end, within its contract's dates where they limit it
    contract: Entity[Contract] | None = None
    group: Entity[PlanGroup] | None = None
    siblings: tuple[PlanTerms, ...] = ()  # all plans of the group, whichever bills they are on
    inherited: bool = False  # it is the parent's, and bills this account by itself
    pool: tuple[Stretch, ...] = ()  # whose usage is counted as one with that of the account
    considered: tuple[Entity[Any], ...] = ()  # on what it depends who is pooled, or what is inherited

    @property
    def id(self) -> str:
        """What tells it from all others on the bill: that of the account plan, with the plan's where it is a group."""
        own = f"{self.account_plan.id}/{self.plan.plan.id}" if self.group else self.account_plan.id
        return f"{own}/{self.life.start.wire()}" if self.inherited else own

    def members_at(self, moment: Instant) -> tuple[Entity[Account], ...]:
        """The accounts that are pooled at a moment; none where the account stands alone."""
        found = next((each.members for each in self.pool if each.window.start <= moment < each.window.end), ())
        return found if len(found) > 1 else ()

    @property
    def usage_filters(self) -> tuple[UsageFilter, ...]:
        """What the contract says about which usage is charged."""
        return (self.contract.value.usage_filters or ()) if self.contract else ()


class CommitmentTerms(msgspec.Struct, frozen=True, kw_only=True):
    """A commitment whose fees may stand on the bill; without a billing plan it has no grid."""

    credit: Credit
    grid: Grid | None
    in_advance: bool


class Terms(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that the bill of one account for one period depends on, apart from usage."""

    organization_id: str
    config: Entity[OrganizationConfig]
    currencies: Mapping[str, Entity[Currency]]  # by code
    account: Entity[Account]
    account_plans: tuple[AccountPlanTerms, ...]  # in the order of the bill's lines
    of: AccountPeriod
    agreements: Agreements
    credits: tuple[Credit, ...] = ()  # in the order in which they are drawn
    commitments: tuple[CommitmentTerms, ...] = ()

    @property
    def period(self) -> Period:
        """The billing period, in UTC."""
        return self.of.period

    @property
    def parameters(self) -> BillParameters:
        """What the bill job asked for."""
        return self.of.parameters

    @property
    def measured_accounts(self) -> set[str]:
        """The ids of the accounts whose usage may stand on the bill."""
        pools = (stretch_ for each in self.account_plans for stretch_ in each.pool)
        return {self.account.id, *(member.id for each in pools for member in each.members)}

    @property
    def zone(self) -> str:
        """The time zone whose days count."""
        return self.parameters.timezone or self.config.value.timezone

    @cached_property
    def bill_id(self) -> str:
        """The id that the bill has, whenever it is made."""
        return bill_id(self.organization_id, self.of.key)

    @cached_property
    def currency(self) -> str:
        """The currency of the bill: the job's, the account's or the organisation's (source: reference 3.3)."""
        return self.parameters.target_currency or self.account.value.currency or self.config.value.currency

    @property
    def purchase_order_number(self) -> str | None:
        """That of the contract when all of the bill is of one contract which has a number, else the account's."""
        named = [each.contract for each in self.account_plans]
        named += [self.agreements.contract(each.value.contract_id) for each in self.agreements.charges]
        contracts = {each.id if each else "": each for each in named}
        contract = next(iter(contracts.values())) if len(contracts) == 1 else None
        own = contract.value.purchase_order_number if contract else None
        return own or self.account.value.purchase_order_number

    def rounding(self, currency: str) -> Rounding:
        """How amounts of a currency are rounded; a currency without settings has two decimals."""
        found = self.currencies.get(currency)
        return rounding_for(found.value.max_decimal_places, found.value.rounding_mode) if found else Rounding()

    def billed(self, amount: Decimal) -> Decimal:
        """An amount of the bill with the decimals of its currency."""
        return money(amount, self.rounding(self.currency), self.currency)

    def conversion(self, pricing_currency: str) -> Conversion:
        """From the currency of a plan to that of the bill. Refusal `missing_conversion_rate`."""
        return self.exchange(pricing_currency, self.currency)

    def exchange(self, from_: str, to: str) -> Conversion:
        """From one currency to another; codes are compared exactly.

        Refusal `missing_conversion_rate` when neither the job nor the organisation has the rate.
        """
        if (from_, to) not in self._exchanges:
            self._exchanges[from_, to] = Conversion(
                from_currency=from_,
                to_currency=to,
                rate=ONE if from_ == to else self._rate(from_, to),
                from_rounding=self.rounding(from_),
                to_rounding=self.rounding(to),
            )
        return self._exchanges[from_, to]

    @cached_property
    def _exchanges(self) -> dict[tuple[str, str], Conversion]:
        """The conversions that were asked for already, by both currencies."""
        return {}

    def _conversions(self) -> tuple[CurrencyConversion, ...]:
        return *(self.parameters.currency_conversions or ()), *self.config.value.currency_conversions

    def _rate(self, from_: str, to: str) -> Decimal:
        for each in self._conversions():
            if each.from_ == from_ and each.to == to:
                return each.multiplier
        raise Refusal(
            "missing_conversion_rate",
            f"account {self.account.value.code!r} is billed in {to} and has a plan or credit in {from_}, "
            f"but there is no conversion rate from {from_!r} to {to!r}",
            field="currencyConversions",
        )

    def conversions_used(self) -> tuple[CurrencyConversion, ...]:
        """The rates between the currencies of the plans and that of the bill."""
        known = {each.from_ for each in self._conversions() if each.to == self.currency}
        held = {each.currency for each in self.credits} & known  # one without a rate that is needed fails when drawn
        return tuple(
            CurrencyConversion(from_=code, to=self.currency, multiplier=self._rate(code, self.currency))
            for code in sorted((self._priced_in() | held) - {self.currency})
        )

    def _priced_in(self) -> set[str]:
        """The currencies of plans, groups of plans and charges."""
        groups = {each.group.value.currency for each in self.account_plans if each.group}
        return (
            groups
            | self.agreements.currencies(self.account.id, self.period, [each.contract for each in self.account_plans])
            | {each.plan.template.value.currency for each in self.account_plans}
        )

    @property
    def all_currencies(self) -> set[str]:
        """The codes of every currency that amounts of the bill are in."""
        held = {each.currency for each in (*self.credits, *(each.credit for each in self.commitments))}
        return {self.currency} | self._priced_in() | held


NO_AGREEMENTS = Agreements()
NO_FAMILY = Family()


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What all accounts of an organisation share: its settings, its currencies, and its plans by id."""

    organization_id: str
    config: Entity[OrganizationConfig]
    currencies: Mapping[str, Entity[Currency]]  # by code
    plan: Callable[[str], PlanTerms]
    products: Mapping[str, Entity[Product]] = {}  # by id


def terms_of(
    setting: Setting,
    account: Entity[Account],
    account_plans: Iterable[Entity[AccountPlan]],
    of: AccountPeriod,
    agreements: Agreements = NO_AGREEMENTS,
    family: Family = NO_FAMILY,
) -> Terms:
    """The terms of one account period: the account plans that are in force in it and are billed in this very period.

    Refusals: `unknown_reference` when an account plan names a plan that cannot be read, `rule_broken` when a group has
    charges of its own and plans of several billing frequencies.
    """
    chosen = [
        each
        for entity in (*account_plans, *family.inherited(account))
        if intersect(stretch(entity.value.start_date, entity.value.end_date), of.period)
        for each in _plans_in_force(setting, account, entity, of, agreements, family)
    ]
    return Terms(
        organization_id=setting.organization_id,
        config=setting.config,
        currencies=setting.currencies,
        account=account,
        account_plans=line_order(chosen),
        of=of,
        agreements=agreements,
    )


def _plans_in_force(
    setting: Setting,
    account: Entity[Account],
    account_plan: Entity[AccountPlan],
    of: AccountPeriod,
    agreements: Agreements,
    family: Family,
) -> Iterator[AccountPlanTerms]:
    """The plan of an account plan, or each of its group, that this bill is about."""
    value = account_plan.value
    contract, group = agreements.contract(value.contract_id), agreements.plan_groups.get(value.plan_group_id or "")
    if agreements.grouping(contract) != of.grouping:
        return
    plans = [setting.plan(plan_id) for plan_id in agreements.plan_ids(value)]
    if group is not None:
        _require_one_frequency(group, [plan.template.value for plan in plans])
    for plan in plans:
        grid = grid_of(value, account.value, plan.template.value, setting.config.value, of.parameters)
        if grid is None:
            continue
        life = intersect(stretch(value.start_date, value.end_date), period_limits(contract, grid.zone))
        period = billed_in(grid, of)
        if life is None or period is None:
            continue
        inherited = value.account_id != account.id
        shared = value.child_billing_mode is not ChildBillingMode.CHILD
        relatives = (account,) if inherited else family.children if shared else ()
        own = own_plans(family, relatives, plan.product.id, setting.plan, agreements, grid.zone)
        lives = without(life, own.lives.get(account.id, ())) if inherited else (life,)
        for part in (each for each in lives if intersect(each, period)):
            yield AccountPlanTerms(
                account=account,
                account_plan=account_plan,
                plan=plan,
                grid=grid,
                period=period,
                life=part,
                contract=contract,
                group=group,
                siblings=tuple(plans) if group else (),
                inherited=inherited,
                pool=stretches(account, family, own, life) if relatives and not inherited else (),
                considered=(*own.considered, *(relatives if not inherited else ())),
            )


def _require_one_frequency(group: Entity[PlanGroup], templates: Sequence[PlanTemplate]) -> None:
    """A charge of the group belongs to a billing period: there must be one, whichever plan is asked."""
    found = {(each.bill_frequency, each.bill_frequency_interval) for each in templates}
    if len(found) > 1 and (group.value.standing_charge or group.value.minimum_spend):
        raise Refusal(
            "rule_broken",
            f"the plan group {group.value.name!r} has a standing charge or a minimum spend, so that its plans must "
            "have one billing frequency and interval; take the others out, or its charges",
        )


def billed_in(grid: Grid, of: AccountPeriod) -> Period | None:
    """The period of a billing grid that this bill is for: this very one, at this frequency and interval; on a bill
    that consolidates several frequencies the one that ends with it. None when there is none."""
    if of.frequency is Frequency.MIXED:
        return period_ending_at(grid, of.period.end)
    if (grid.frequency, grid.interval) == (of.frequency, of.interval) and grid.period_at(of.period.start) == of.period:
        return of.period
    return None


def period_ending_at(grid: Grid, end: Instant) -> Period | None:
    """The period of a billing grid that ends at an instant, if one does."""
    period = grid.previous(grid.period_at(end))
    return period if period.end == end else None


def period_of(record: BillRecord) -> AccountPeriod:
    """What a stored bill is the bill of: to make it again."""
    bill = record.bill
    return AccountPeriod(
        account_id=bill.account_id,
        frequency=bill.billing_frequency,
        interval=bill.bill_frequency_interval,
        period=Period(bill.start_date_time_utc, bill.end_date_time_utc),
        parameters=record.evidence.parameters,
        grouping=record.evidence.grouping,
    )


def grid_of(
    account_plan: AccountPlan,
    account: Account,
    template: PlanTemplate,
    config: OrganizationConfig,
    parameters: BillParameters,
) -> Grid | None:
    """The billing periods of an account plan: laid from its own epoch, else the account's, else the job's or the
    organisation's for that frequency (source: reference 3.5). None for a frequency without a grid (AD_HOC, MIXED)."""
    return template_grid(template, account_plan.bill_epoch or account.bill_epoch, config, parameters)


def template_grid(
    template: PlanTemplate, epoch: date | None, config: OrganizationConfig, parameters: BillParameters
) -> Grid | None:
    """The billing periods of a plan template, laid from an epoch, else the job's or the organisation's."""
    defaults = {
        Frequency.DAILY: parameters.day_epoch or config.day_epoch,
        Frequency.WEEKLY: parameters.week_epoch or config.week_epoch,
        Frequency.MONTHLY: parameters.month_epoch or config.month_epoch,
        Frequency.ANNUALLY: parameters.year_epoch or config.year_epoch,
    }
    if template.bill_frequency not in defaults:
        return None
    return _grid(
        template.bill_frequency,
        template.bill_frequency_interval,
        epoch or defaults[template.bill_frequency],
        parameters.timezone or config.timezone,
    )


@lru_cache(maxsize=4096)
def _grid(frequency: Frequency, interval: int, epoch: date, zone: str) -> Grid:
    """Kept, because accounts share billing grids."""
    return Grid(frequency=frequency, interval=interval, epoch=epoch, zone=zone)


def line_order(account_plans: Iterable[AccountPlanTerms]) -> tuple[AccountPlanTerms, ...]:
    """Account plans in the order of their lines on a bill: by product, then plan, then start."""

    def order(each: AccountPlanTerms) -> tuple[str, str, str, str, str, str]:
        product, plan = each.plan.product.value, each.plan.plan.value
        start = each.account_plan.value.start_date.wire()
        return product.name, product.code, plan.name, plan.code, start, each.account_plan.id

    return tuple(sorted(account_plans, key=order))
