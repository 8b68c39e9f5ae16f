"""What is sold and at what price: products, plan templates, plans and pricings (source: reference 2.1, 2.3, 2.4)."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import (
    CustomFields,
    Description,
    EntityCode,
    Id,
    Name,
    Value,
    require_custom_fields,
    require_not_negative,
)
from tallystick.core.period import Frequency, Instant
from tallystick.core.price_forms import MOST_RATES, Package, Rate, require_one_form, require_percent, require_rates

Interval = Annotated[int, msgspec.Meta(ge=1, le=365)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=364)]
PlanCurrency = Annotated[str, msgspec.Meta(min_length=3, max_length=3)]


class Product(Value, frozen=True, kw_only=True):
    """Something sellable: the container of meters, aggregations, templates and plans."""

    kind: ClassVar[str] = "product"

    name: Name
    code: EntityCode
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_custom_fields(self.custom_fields)


class PlanTemplate(Value, frozen=True, kw_only=True):
    """Billing defaults that plans share. Its currency is the one its plans are priced in."""

    kind: ClassVar[str] = "plantemplate"
    references: ClassVar[tuple[str, ...]] = ("product_id",)
    filters: ClassVar[tuple[str, ...]] = ("currency",)

    product_id: Id
    name: Name
    code: EntityCode | None = None
    currency: PlanCurrency
    bill_frequency: Frequency
    bill_frequency_interval: Interval = 1
    standing_charge: Decimal
    standing_charge_interval: Interval = 1
    standing_charge_offset: Offset = 0
    standing_charge_bill_in_advance: bool | None = None
    standing_charge_description: Description | None = None
    minimum_spend: Decimal | None = None
    minimum_spend_bill_in_advance: bool | None = None
    minimum_spend_description: Description | None = None
    maximum_spend: Decimal | None = None
    maximum_spend_description: Description | None = None
    ordinal: Annotated[int, msgspec.Meta(ge=0)] | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_not_negative(self.standing_charge, "standingCharge")
        require_not_negative(self.minimum_spend, "minimumSpend")
        require_maximum(self.maximum_spend, self.minimum_spend)
        require_custom_fields(self.custom_fields)


class Plan(Value, frozen=True, kw_only=True):
    """A priced offer made from a template; what is set here overrides the template."""

    kind: ClassVar[str] = "plan"
    references: ClassVar[tuple[str, ...]] = (
        "plan_template_id",
        "account_id",
        "standing_charge_accounting_product_id",
        "minimum_spend_accounting_product_id",
    )

    plan_template_id: Id
    name: Name
    code: EntityCode
    standing_charge: Decimal | None = None
    standing_charge_bill_in_advance: bool | None = None
    standing_charge_description: Description | None = None
    standing_charge_accounting_product_id: Id | None = None
    minimum_spend: Decimal | None = None
    minimum_spend_bill_in_advance: bool | None = None
    minimum_spend_description: Description | None = None
    minimum_spend_accounting_product_id: Id | None = None
    maximum_spend: Decimal | None = None
    maximum_spend_description: Description | None = None
    bespoke: bool = False
    account_id: Id | None = None
    ordinal: Annotated[int, msgspec.Meta(ge=0)] | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_not_negative(self.standing_charge, "standingCharge")
        require_not_negative(self.minimum_spend, "minimumSpend")
        require_maximum(self.maximum_spend, self.minimum_spend)
        require_custom_fields(self.custom_fields)


class PricingBand(Value, frozen=True, kw_only=True):
    """One band of a price list: it starts above `lower_limit` and reaches to the next band's, inclusive."""

    lower_limit: Decimal
    fixed_price: Decimal
    unit_price: Decimal
    id: str | None = None
    credit_type_id: str | None = None

    def check(self) -> None:
        require_not_negative(self.lower_limit, "lowerLimit")


class PricingType(StrEnum):
    DEBIT = "DEBIT"
    PRODUCT_CREDIT = "PRODUCT_CREDIT"
    GLOBAL_CREDIT = "GLOBAL_CREDIT"


class Pricing(Value, frozen=True, kw_only=True):
    """What one aggregation costs, on a plan or a template, between two dates.

    Beside m3ter's bands there are three forms of our own, each instead of bands: `percent` of what is counted, a
    `package` price for each that was started, `rates` by segmented fields with an optional `default_unit_price`. A
    percentage may be taken of each measurement by itself: `fixed_per_event` is added to it, and it is at least
    `minimum_per_event` and at most `maximum_per_event`.
    `free_units` are not charged; `maximum_spend` is the most that all its lines of a billing period come to. With a
    `condition` (a formula over aggregations) it holds in billing periods for which that is true; of several that are
    true the first by `condition_order` charges, before those without a condition.
    """

    kind: ClassVar[str] = "pricing"
    references: ClassVar[tuple[str, ...]] = (
        "plan_id",
        "plan_template_id",
        "aggregation_id",
        "compound_aggregation_id",
        "accounting_product_id",
    )

    plan_id: Id | None = None
    plan_template_id: Id | None = None
    aggregation_id: Id | None = None
    compound_aggregation_id: Id | None = None
    pricing_bands: tuple[PricingBand, ...]
    overage_pricing_bands: tuple[PricingBand, ...] | None = None
    start_date: Instant
    end_date: Instant | None = None
    cumulative: bool = False
    tiers_span_plan: bool = False
    segment: dict[str, str] | None = None
    type: PricingType = PricingType.DEBIT
    minimum_spend: Decimal | None = None
    minimum_spend_bill_in_advance: bool = False
    minimum_spend_description: Description | None = None
    free_units: Decimal | None = None
    maximum_spend: Decimal | None = None
    percent: Decimal | None = None
    fixed_per_event: Decimal | None = None
    minimum_per_event: Decimal | None = None
    maximum_per_event: Decimal | None = None
    package: Package | None = None
    rates: Annotated[tuple[Rate, ...], msgspec.Meta(max_length=MOST_RATES)] | None = None
    default_unit_price: Decimal | None = None
    condition: Annotated[str, msgspec.Meta(min_length=1, max_length=5000)] | None = None
    condition_order: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    description: Description | None = None
    code: EntityCode | None = None
    accounting_product_id: Id | None = None
    custom_fields: CustomFields | None = None

    @property
    def per_event(self) -> bool:
        """Whether the percentage is of each measurement by itself."""
        of_events = (self.fixed_per_event, self.minimum_per_event, self.maximum_per_event)
        return any(each is not None for each in of_events)

    def check(self) -> None:
        require_exactly_one(self.plan_id, self.plan_template_id, "planId", "planTemplateId")
        require_exactly_one(self.aggregation_id, self.compound_aggregation_id, "aggregationId", "compoundAggregationId")
        self._check_form()
        if self.overage_pricing_bands is not None:
            require_rising(self.overage_pricing_bands, "overagePricingBands")
            if not self.cumulative or self.tiers_span_plan:
                raise ValueError("overagePricingBands: only with cumulative true and tiersSpanPlan false")
        if self.end_date is not None and self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate")
        require_not_negative(self.minimum_spend, "minimumSpend")
        self._check_terms()
        require_custom_fields(self.custom_fields)

    def _check_form(self) -> None:
        require_one_form(self.pricing_bands, {"percent": self.percent, "package": self.package, "rates": self.rates})
        if self.pricing_bands:
            require_rising(self.pricing_bands, "pricingBands")
        elif self.cumulative or self.tiers_span_plan:
            name = "cumulative" if self.cumulative else "tiersSpanPlan"
            raise ValueError(f"{name}: only with pricingBands")
        require_percent(self.percent)
        if self.per_event:
            self._check_events()
        if self.rates is not None:
            require_rates(self.rates)
            if self.segment is not None:
                raise ValueError("segment: leave it out beside rates, which are for every segment")
        elif self.default_unit_price is not None:
            raise ValueError("defaultUnitPrice: only with rates, for what they do not name")

    def _check_events(self) -> None:
        amounts = {
            "fixedPerEvent": self.fixed_per_event,
            "minimumPerEvent": self.minimum_per_event,
            "maximumPerEvent": self.maximum_per_event,
        }
        first = next(name for name, value in amounts.items() if value is not None)
        if not self.percent:
            raise ValueError(f"{first}: only with a percent above 0; price events alone by a COUNT")
        for name, value in amounts.items():
            require_not_negative(value, name)
        for name, value in list(amounts.items())[:2]:
            if value is not None and self.maximum_per_event is not None and value > self.maximum_per_event:
                raise ValueError(f"maximumPerEvent: must not be below {name}, {value:f}")
        if self.free_units:
            raise ValueError(f"freeUnits: not with {first}, as no one can say of which events they are")

    def _check_terms(self) -> None:
        if self.condition is None and self.condition_order:
            raise ValueError("conditionOrder: only with a condition")
        if self.condition is not None and (self.tiers_span_plan or self.minimum_spend is not None):
            name = "tiersSpanPlan" if self.tiers_span_plan else "minimumSpend"
            raise ValueError(f"{name}: not with a condition, which may hold in one billing period and not in the next")
        require_not_negative(self.free_units, "freeUnits")
        require_maximum(self.maximum_spend, self.minimum_spend)
        if self.overage_pricing_bands is not None and (self.free_units or self.maximum_spend is not None):
            name = "freeUnits" if self.free_units else "maximumSpend"
            raise ValueError(f"{name}: not with overagePricingBands, which price the units that credit did not cover")
        if self.maximum_spend is not None and self.type is not PricingType.DEBIT:
            raise ValueError("maximumSpend: only with type DEBIT; a credit gives back at most what is charged")


def require_maximum(maximum: Decimal | None, minimum: Decimal | None) -> None:
    """A maximum spend is 0 or more, and not below the minimum spend beside it."""
    require_not_negative(maximum, "maximumSpend")
    if maximum is not None and minimum is not None and maximum < minimum:
        raise ValueError(f"maximumSpend: must not be below minimumSpend, {minimum:f}")


def require_exactly_one(first: object, second: object, first_name: str, second_name: str) -> None:
    """Refuse both and neither of two alternatives."""
    if (first is None) == (second is None):
        raise ValueError(f"{first_name}: give exactly one of {first_name} and {second_name}")


def require_rising(bands: tuple[PricingBand, ...], field: str) -> None:
    """Bands come in the order of their lower limits, each limit once, and there is at least one."""
    if not bands:
        raise ValueError(f"{field}: at least one band")
    for index in range(1, len(bands)):
        if bands[index].lower_limit <= bands[index - 1].lower_limit:
            raise ValueError(
                f"{field}[{index}].lowerLimit: must be above {bands[index - 1].lower_limit:f}, the band before it"
            )
