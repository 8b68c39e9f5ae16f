"""What one account has agreed to for one billing period: everything configured that a bill depends on, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation
from tallystick.core.bill import BillParameters, bill_id, period_key
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, Product
from tallystick.core.entity import Entity, Used, Value
from tallystick.core.meter import Meter
from tallystick.core.money import Rounding, round_money, rounding_for
from tallystick.core.organization import Currency, CurrencyConversion, OrganizationConfig
from tallystick.core.period import Frequency, Grid, Period, intersect, stretch
from tallystick.core.quantity import ONE, multiply
from tallystick.core.scope import Pattern, Piece, pattern_of, pieces_of
from tallystick.errors import Refusal

V = TypeVar("V", bound=Value)


class PriceTerms(msgspec.Struct, frozen=True, kw_only=True):
    """One pricing, what it prices, and the pieces of time in which it holds among its rivals."""

    pricing: Entity[Pricing]
    aggregation: Entity[Aggregation]
    meter: Entity[Meter]
    accounting_product: Entity[Product]
    pattern: Pattern
    pieces: tuple[Piece, ...]


class PlanTerms(msgspec.Struct, frozen=True, kw_only=True):
    """One plan with its template: what is set on the plan overrides the template (source: reference 3.4)."""

    plan: Entity[Plan]
    template: Entity[PlanTemplate]
    product: Entity[Product]
    standing_charge_product: Entity[Product]
    minimum_spend_product: Entity[Product]
    prices: tuple[PriceTerms, ...]

    @property
    def standing_charge(self) -> Decimal:
        own = self.plan.value.standing_charge
        return self.template.value.standing_charge if own is None else own

    @property
    def standing_charge_description(self) -> str | None:
        return self.plan.value.standing_charge_description or self.template.value.standing_charge_description

    @property
    def minimum_spend(self) -> Decimal | None:
        own = self.plan.value.minimum_spend
        return self.template.value.minimum_spend if own is None else own

    @property
    def minimum_spend_description(self) -> str | None:
        return self.plan.value.minimum_spend_description or self.template.value.minimum_spend_description


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
    frequency: Frequency
    interval: int
    period: Period
    parameters: BillParameters

    @property
    def zone(self) -> str:
        """The time zone whose days count."""
        return self.parameters.timezone or self.config.value.timezone

    @property
    def key(self) -> str:
        return period_key(self.account.id, self.frequency, self.interval, self.period)

    @property
    def bill_id(self) -> str:
        return bill_id(self.organization_id, self.key)

    @property
    def currency(self) -> str:
        """The currency of the bill: the job's, the account's or the organisation's (source: reference 3.3)."""
        return self.parameters.target_currency or self.account.value.currency or self.config.value.currency

    def rounding(self, currency: str) -> Rounding:
        """How amounts of a currency are rounded; a currency without settings has two decimals."""
        found = self.currencies.get(currency)
        return rounding_for(found.value.max_decimal_places, found.value.rounding_mode) if found else Rounding()

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


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Configured things by id, from which plan terms are put together; how they were read does not matter."""

    products: Mapping[str, Entity[Product]]
    templates: Mapping[str, Entity[PlanTemplate]]
    plans: Mapping[str, Entity[Plan]]
    pricings: Mapping[str, Entity[Pricing]]
    aggregations: Mapping[str, Entity[Aggregation]]
    meters: Mapping[str, Entity[Meter]]


def plan_terms(catalogue: Catalogue) -> dict[str, PlanTerms]:
    """The terms of every plan of a catalogue, by plan id. Refusal `unknown_reference` where something is missing."""
    by_owner: dict[str, list[Entity[Pricing]]] = {}
    for pricing in sorted(catalogue.pricings.values(), key=lambda each: each.id):
        owner = pricing.value.plan_id or pricing.value.plan_template_id
        assert owner is not None
        by_owner.setdefault(owner, []).append(pricing)
    return {
        plan.id: _plan_terms(
            catalogue, plan, [*by_owner.get(plan.id, ()), *by_owner.get(plan.value.plan_template_id, ())]
        )
        for plan in catalogue.plans.values()
    }


def _plan_terms(catalogue: Catalogue, plan: Entity[Plan], pricings: list[Entity[Pricing]]) -> PlanTerms:
    template = _require(catalogue.templates, plan.value.plan_template_id, "plan template")
    product = _require(catalogue.products, template.value.product_id, "product")

    def accounting(*ids: str | None) -> Entity[Product]:
        chosen = next((each for each in ids if each is not None), product.id)
        return _require(catalogue.products, chosen, "accounting product")

    prices = []
    for pricing in pricings:
        aggregation = _require(catalogue.aggregations, pricing.value.aggregation_id, "aggregation")
        pieces = pieces_of(pricing, pricings, aggregation.value)
        prices.append(
            PriceTerms(
                pricing=pricing,
                aggregation=aggregation,
                meter=_require(catalogue.meters, aggregation.value.meter_id, "meter"),
                accounting_product=accounting(
                    pricing.value.accounting_product_id, aggregation.value.accounting_product_id
                ),
                pattern=pattern_of(pricing.value, aggregation.value),
                pieces=pieces,
            )
        )
    return PlanTerms(
        plan=plan,
        template=template,
        product=product,
        standing_charge_product=accounting(plan.value.standing_charge_accounting_product_id),
        minimum_spend_product=accounting(plan.value.minimum_spend_accounting_product_id),
        prices=tuple(sorted(prices, key=_price_order)),
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


def _price_order(price: PriceTerms) -> tuple[str, str, list[str], str, str]:
    pricing, aggregation = price.pricing.value, price.aggregation
    segment = ["" if want is None else want for want in price.pattern]
    return aggregation.value.name, aggregation.id, segment, pricing.start_date.wire(), price.pricing.id


def _require(found: Mapping[str, Entity[V]], id: str | None, what: str) -> Entity[V]:
    if id is None or id not in found:
        raise Refusal("unknown_reference", f"the {what} {id} does not exist and cannot be billed")
    return found[id]


def _money(exact: Decimal, rounding: Rounding, currency: str) -> Decimal:
    try:
        return round_money(exact, rounding)
    except ValueError as error:
        raise Refusal("rounding_forbidden", f"currency {currency}: {error}", field="roundingMode") from error
