"""What one account has agreed to for one billing period: everything configured that a bill depends on, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.bill import BillParameters, bill_id, period_key
from tallystick.core.catalog import PlanTemplate
from tallystick.core.entity import Entity, Used
from tallystick.core.money import Rounding, round_money, rounding_for
from tallystick.core.organization import Currency, CurrencyConversion, OrganizationConfig
from tallystick.core.period import Frequency, Grid, Period, intersect, stretch
from tallystick.core.plan_terms import PlanTerms
from tallystick.core.quantity import ONE, multiply
from tallystick.errors import Refusal


class AccountPeriod(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One bill to make: an account, a billing frequency, one of its periods, and what the job asks for besides."""

    account_id: str
    frequency: Frequency
    interval: int
    period: Period
    parameters: BillParameters = BillParameters()

    @property
    def key(self) -> str:
        """What makes the bill unique in its organisation."""
        return period_key(self.account_id, self.frequency, self.interval, self.period)


class AccountPlanTerms(msgspec.Struct, frozen=True, kw_only=True):
    """A plan in force for the account, and the billing periods it is counted in."""

    account_plan: Entity[AccountPlan]
    plan: PlanTerms
    grid: Grid

    @property
    def life(self) -> Period:
        """From the start of the account plan to its end."""
        return stretch(self.account_plan.value.start_date, self.account_plan.value.end_date)


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """How amounts of a plan become amounts of the bill."""

    from_currency: str
    to_currency: str
    rate: Decimal
    from_rounding: Rounding
    to_rounding: Rounding

    def money(self, exact: Decimal) -> Decimal:
        """An exact amount as money in the currency of the plan. Refusal `rounding_forbidden`."""
        return _money(exact, self.from_rounding, self.from_currency)

    def converted(self, exact: Decimal) -> Decimal:
        """An exact amount of the plan's currency as money in the currency of the bill. Refusal `rounding_forbidden`."""
        return _money(multiply(exact, self.rate), self.to_rounding, self.to_currency)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the bill of one account for one period depends on, apart from usage."""

    organization_id: str
    config: Entity[OrganizationConfig]
    currencies: Mapping[str, Entity[Currency]]  # by code
    account: Entity[Account]
    account_plans: tuple[AccountPlanTerms, ...]  # in the order of the bill's lines
    of: AccountPeriod

    @property
    def period(self) -> Period:
        """The billing period, in UTC."""
        return self.of.period

    @property
    def parameters(self) -> BillParameters:
        """What the bill job asked for."""
        return self.of.parameters

    @property
    def zone(self) -> str:
        """The time zone whose days count."""
        return self.parameters.timezone or self.config.value.timezone

    @property
    def bill_id(self) -> str:
        """The id that the bill has, whenever it is made."""
        return bill_id(self.organization_id, self.of.key)

    @property
    def currency(self) -> str:
        """The currency of the bill: the job's, the account's or the organisation's (source: reference 3.3)."""
        return self.parameters.target_currency or self.account.value.currency or self.config.value.currency

    def rounding(self, currency: str) -> Rounding:
        """How amounts of a currency are rounded; a currency without settings has two decimals."""
        found = self.currencies.get(currency)
        return rounding_for(found.value.max_decimal_places, found.value.rounding_mode) if found else Rounding()

    def billed(self, amount: Decimal) -> Decimal:
        """An amount of the bill with the decimals of its currency."""
        return _money(amount, self.rounding(self.currency), self.currency)

    def conversion(self, pricing_currency: str) -> Conversion:
        """From the currency of a plan to that of the bill; codes are compared exactly.

        Refusal `missing_conversion_rate` when neither the job nor the organisation has the rate.
        """
        rate = ONE
        if pricing_currency != self.currency:
            rate = self._rate(pricing_currency, self.currency)
        return Conversion(
            from_currency=pricing_currency,
            to_currency=self.currency,
            rate=rate,
            from_rounding=self.rounding(pricing_currency),
            to_rounding=self.rounding(self.currency),
        )

    def _rate(self, from_: str, to: str) -> Decimal:
        for each in (*(self.parameters.currency_conversions or ()), *self.config.value.currency_conversions):
            if each.from_ == from_ and each.to == to:
                return each.multiplier
        raise Refusal(
            "missing_conversion_rate",
            f"account {self.account.value.code!r} is billed in {to} and has a plan priced in {from_}, "
            f"but there is no conversion rate from {from_!r} to {to!r}",
            field="currencyConversions",
        )

    def conversions_used(self) -> tuple[CurrencyConversion, ...]:
        """The rates between the currencies of the plans and that of the bill."""
        others = sorted({each.plan.template.value.currency for each in self.account_plans} - {self.currency})
        return tuple(
            CurrencyConversion(from_=code, to=self.currency, multiplier=self._rate(code, self.currency))
            for code in others
        )

    def uses(self) -> tuple[Used, ...]:
        """Every entity version that the bill depends on, each once, in a fixed order."""
        found: set[Used] = set()

        def note(*entities: Entity[Any]) -> None:
            found.update(Used(each.value.kind, each.id, each.version) for each in entities)

        note(self.config, self.account)
        codes = {self.currency} | {each.plan.template.value.currency for each in self.account_plans}
        note(*(self.currencies[code] for code in codes if code in self.currencies))
        for each in self.account_plans:
            plan = each.plan
            note(each.account_plan, plan.plan, plan.template, plan.product)
            note(plan.standing_charge_product, plan.minimum_spend_product)
            horizon = stretch(each.life.start, each.grid.next(self.period).end)
            for price in plan.prices:
                if intersect(stretch(price.pricing.value.start_date, price.pricing.value.end_date), horizon):
                    note(price.pricing, price.aggregation, price.meter, price.accounting_product)
        return tuple(sorted(found, key=lambda used: (used.kind, used.id, used.version)))


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What all accounts of an organisation share: its settings, its currencies, and its plans by id."""

    organization_id: str
    config: Entity[OrganizationConfig]
    currencies: Mapping[str, Entity[Currency]]  # by code
    plan: Callable[[str], PlanTerms]


def terms_of(
    setting: Setting, account: Entity[Account], account_plans: Iterable[Entity[AccountPlan]], of: AccountPeriod
) -> Terms:
    """The terms of one account period: the account plans that are in force in it and are billed in this very period.

    Refusals: `unknown_reference` when an account plan names a plan that cannot be read, `no_billing_period` when the
    billing periods have moved since the period was chosen, so that none of the account plans is billed in it.
    """
    chosen, moved = [], False
    for entity in account_plans:
        life = stretch(entity.value.start_date, entity.value.end_date)
        if intersect(life, of.period) is None:
            continue
        if entity.value.plan_id is None:
            raise Refusal(
                "unknown_reference", f"the account plan {entity.id} is of a plan group, which cannot be billed"
            )
        plan = setting.plan(entity.value.plan_id)
        grid = grid_of(entity.value, account.value, plan.template.value, setting.config.value, of.parameters)
        if grid is not None and bills_in(grid, of):
            chosen.append(AccountPlanTerms(account_plan=entity, plan=plan, grid=grid))
        elif grid is not None and grid.frequency is of.frequency:
            moved = True
    if moved and not chosen:
        raise Refusal(
            "no_billing_period",
            f"account {account.value.code!r} has no {of.frequency} billing period from {of.period.start.wire()} to "
            f"{of.period.end.wire()} any more: the time zone, an epoch or the interval was changed; "
            "delete its bill, or change back",
        )
    return Terms(
        organization_id=setting.organization_id,
        config=setting.config,
        currencies=setting.currencies,
        account=account,
        account_plans=line_order(chosen),
        of=of,
    )


def bills_in(grid: Grid, of: AccountPeriod) -> bool:
    """Whether a billing grid has this very period, at this frequency and interval."""
    return (grid.frequency, grid.interval) == (of.frequency, of.interval) and grid.period_at(
        of.period.start
    ) == of.period


def grid_of(
    account_plan: AccountPlan,
    account: Account,
    template: PlanTemplate,
    config: OrganizationConfig,
    parameters: BillParameters,
) -> Grid | None:
    """The billing periods of an account plan: laid from its own epoch, else the account's, else the job's or the
    organisation's for that frequency (source: reference 3.5). None for a frequency without a grid (AD_HOC, MIXED)."""
    defaults = {
        Frequency.DAILY: parameters.day_epoch or config.day_epoch,
        Frequency.WEEKLY: parameters.week_epoch or config.week_epoch,
        Frequency.MONTHLY: parameters.month_epoch or config.month_epoch,
        Frequency.ANNUALLY: parameters.year_epoch or config.year_epoch,
    }
    if template.bill_frequency not in defaults:
        return None
    return Grid(
        frequency=template.bill_frequency,
        interval=template.bill_frequency_interval,
        epoch=account_plan.bill_epoch or account.bill_epoch or defaults[template.bill_frequency],
        zone=parameters.timezone or config.timezone,
    )


def line_order(account_plans: Iterable[AccountPlanTerms]) -> tuple[AccountPlanTerms, ...]:
    """Account plans in the order of their lines on a bill: by product, then plan, then start."""

    def order(each: AccountPlanTerms) -> tuple[str, str, str, str, str, str]:
        product, plan = each.plan.product.value, each.plan.plan.value
        start = each.account_plan.value.start_date.wire()
        return product.name, product.code, plan.name, plan.code, start, each.account_plan.id

    return tuple(sorted(account_plans, key=order))


def _money(exact: Decimal, rounding: Rounding, currency: str) -> Decimal:
    try:
        return round_money(exact, rounding)
    except ValueError as error:
        raise Refusal("rounding_forbidden", f"currency {currency}: {error}", field="roundingMode") from error
