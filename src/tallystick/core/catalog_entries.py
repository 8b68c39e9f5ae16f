"""The catalogue as files have it: what is sold, how it is counted and what it costs, everything named by its code.

Each entry says what its entity says, with codes where that has ids. What is left out is as the product has it by
default; a whole section that is left out is not spoken of at all.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

from tallystick.core.aggregation import MAX_WINDOW_SECONDS, Method, TimeUnit, UnitRounding
from tallystick.core.anomaly import DEFAULT as ANOMALY_DEFAULT
from tallystick.core.anomaly import AnomalyKind
from tallystick.core.catalog import Interval, Offset, PlanCurrency, PricingType, Product
from tallystick.core.entity import CustomFields, Description, EntityCode, FieldCode, Name, Value, require_not_negative
from tallystick.core.late_policy import OnClosedBill
from tallystick.core.lookup_types import LookupTable
from tallystick.core.meter import MAX_FIELDS, DataField, DerivedField
from tallystick.core.organization import Currency, OrganizationConfig, OrganizationCustomFields
from tallystick.core.period import Frequency, Instant
from tallystick.core.price_forms import MOST_RATES, Package, Rate
from tallystick.core.quantity import ZERO

Formula = Annotated[str, msgspec.Meta(min_length=1, max_length=5000)]
Unit = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
Ordinal = Annotated[int, msgspec.Meta(ge=0)]
Segment = dict[str, str]


class BandEntry(Value, frozen=True, kw_only=True):
    """One band of a price list: it starts above `lower_limit` and reaches to the next band's, inclusive."""

    lower_limit: Decimal
    unit_price: Decimal = ZERO
    fixed_price: Decimal = ZERO

    def check(self) -> None:
        require_not_negative(self.lower_limit, "lowerLimit")


class MeterEntry(Value, frozen=True, kw_only=True):
    """A meter. Without a product it is global."""

    code: EntityCode
    name: Name
    product: EntityCode | None = None
    data_fields: Annotated[tuple[DataField, ...], msgspec.Meta(min_length=1, max_length=MAX_FIELDS)]
    derived_fields: Annotated[tuple[DerivedField, ...], msgspec.Meta(max_length=MAX_FIELDS)] = ()
    exclude_filter: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)] | None = None
    custom_fields: CustomFields | None = None


class LatePolicyEntry(Value, frozen=True, kw_only=True):
    """What holds for late usage of a meter; without a meter for the whole organisation."""

    meter: EntityCode | None = None
    grace_hours: Annotated[int, msgspec.Meta(ge=0, le=8_784)] = 0
    allowance_minutes: Annotated[int, msgspec.Meta(ge=0, le=44_640)] = 0
    on_closed_bill: OnClosedBill = OnClosedBill.ADJUST_NEXT_BILL


class AnomalyPolicyEntry(Value, frozen=True, kw_only=True):
    """Which usage is out of the ordinary, and what follows; for an account, or without one for the organisation."""

    account: EntityCode | None = None
    times: Decimal = ANOMALY_DEFAULT.times
    least_measurements: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = ANOMALY_DEFAULT.least_measurements
    alert_for: tuple[AnomalyKind, ...] = ANOMALY_DEFAULT.alert_for
    hold_for: tuple[AnomalyKind, ...] = ()


class AggregationEntry(Value, frozen=True, kw_only=True):
    """An aggregation: a method over a field of a meter, turned into units."""

    code: FieldCode
    name: Name
    meter: EntityCode
    target_field: FieldCode
    aggregation: Method
    unit: Unit
    quantity_per_unit: Decimal = Decimal(1)
    rounding: UnitRounding = UnitRounding.NONE
    default_value: Decimal | None = None
    segmented_fields: Annotated[tuple[FieldCode, ...], msgspec.Meta(max_length=5)] | None = None
    segments: Annotated[tuple[Segment, ...], msgspec.Meta(max_length=1000)] | None = None
    accounting_product: EntityCode | None = None
    percentile: Decimal | None = None
    filter: Formula | None = None
    time_unit: TimeUnit | None = None
    carry_forward: bool = False
    gauge_field: FieldCode | None = None
    correlation_field: FieldCode | None = None
    success_filter: Formula | None = None
    window_seconds: Annotated[int, msgspec.Meta(ge=1, le=MAX_WINDOW_SECONDS)] | None = None
    custom_fields: CustomFields | None = None


class CompoundAggregationEntry(Value, frozen=True, kw_only=True):
    """A compound aggregation: a number that a calculation makes of aggregations, named `aggregation.<code>`."""

    code: FieldCode
    name: Name
    product: EntityCode | None = None
    calculation: Formula
    unit: Unit
    quantity_per_unit: Decimal = Decimal(1)
    rounding: UnitRounding = UnitRounding.NONE
    evaluate_null_aggregations: bool = False
    accounting_product: EntityCode | None = None
    custom_fields: CustomFields | None = None


class CounterEntry(Value, frozen=True, kw_only=True):
    """A counter, such as seats. Without a product it prices any product."""

    code: EntityCode
    name: Name
    product: EntityCode | None = None
    unit: Unit


class PricingEntry(Value, frozen=True, kw_only=True):
    """What one aggregation, or compound aggregation, costs on the plan or the template that it stands in."""

    aggregation: FieldCode | None = None
    compound_aggregation: FieldCode | None = None
    segment: Segment | None = None
    type: PricingType = PricingType.DEBIT
    start_date: Instant
    end_date: Instant | None = None
    code: EntityCode | None = None
    description: Description | None = None
    pricing_bands: tuple[BandEntry, ...] = ()
    overage_pricing_bands: tuple[BandEntry, ...] | None = None
    cumulative: bool = False
    tiers_span_plan: bool = False
    percent: Decimal | None = None
    fixed_per_event: Decimal | None = None
    minimum_per_event: Decimal | None = None
    maximum_per_event: Decimal | None = None
    package: Package | None = None
    rates: Annotated[tuple[Rate, ...], msgspec.Meta(max_length=MOST_RATES)] | None = None
    default_unit_price: Decimal | None = None
    free_units: Decimal | None = None
    minimum_spend: Decimal | None = None
    minimum_spend_bill_in_advance: bool = False
    minimum_spend_description: Description | None = None
    maximum_spend: Decimal | None = None
    condition: Formula | None = None
    condition_order: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    accounting_product: EntityCode | None = None
    custom_fields: CustomFields | None = None


class CounterPricingEntry(Value, frozen=True, kw_only=True):
    """What the level of a counter costs on the plan or the template that it stands in."""

    counter: EntityCode
    start_date: Instant
    end_date: Instant | None = None
    code: EntityCode | None = None
    description: Description | None = None
    pricing_bands: tuple[BandEntry, ...]
    cumulative: bool = False
    pro_rate_running_total: bool = True
    pro_rate_adjustment_debit: bool = True
    pro_rate_adjustment_credit: bool = True
    running_total_bill_in_advance: bool = True
    accounting_product: EntityCode | None = None


class PlanTemplateEntry(Value, frozen=True, kw_only=True):
    """A plan template, with the prices that its plans share."""

    code: EntityCode
    name: Name
    product: EntityCode
    currency: PlanCurrency
    bill_frequency: Frequency
    bill_frequency_interval: Interval = 1
    standing_charge: Decimal = ZERO
    standing_charge_interval: Interval = 1
    standing_charge_offset: Offset = 0
    standing_charge_bill_in_advance: bool | None = None
    standing_charge_description: Description | None = None
    minimum_spend: Decimal | None = None
    minimum_spend_bill_in_advance: bool | None = None
    minimum_spend_description: Description | None = None
    maximum_spend: Decimal | None = None
    maximum_spend_description: Description | None = None
    ordinal: Ordinal | None = None
    custom_fields: CustomFields | None = None
    pricings: tuple[PricingEntry, ...] = ()
    counter_pricings: tuple[CounterPricingEntry, ...] = ()


class PlanEntry(Value, frozen=True, kw_only=True):
    """A plan with its prices; what it says of charges overrides the template. A bespoke plan names its account."""

    code: EntityCode
    name: Name
    plan_template: EntityCode
    standing_charge: Decimal | None = None
    standing_charge_bill_in_advance: bool | None = None
    standing_charge_description: Description | None = None
    standing_charge_accounting_product: EntityCode | None = None
    minimum_spend: Decimal | None = None
    minimum_spend_bill_in_advance: bool | None = None
    minimum_spend_description: Description | None = None
    minimum_spend_accounting_product: EntityCode | None = None
    maximum_spend: Decimal | None = None
    maximum_spend_description: Description | None = None
    bespoke: bool = False
    account: EntityCode | None = None
    ordinal: Ordinal | None = None
    custom_fields: CustomFields | None = None
    pricings: tuple[PricingEntry, ...] = ()
    counter_pricings: tuple[CounterPricingEntry, ...] = ()


class PlanGroupEntry(Value, frozen=True, kw_only=True):
    """A plan group with its plans. One that is made for an account names it."""

    code: EntityCode
    name: Name
    currency: PlanCurrency
    account: EntityCode | None = None
    standing_charge: Decimal | None = None
    standing_charge_bill_in_advance: bool | None = None
    standing_charge_description: Description | None = None
    standing_charge_accounting_product: EntityCode | None = None
    minimum_spend: Decimal | None = None
    minimum_spend_bill_in_advance: bool | None = None
    minimum_spend_description: Description | None = None
    minimum_spend_accounting_product: EntityCode | None = None
    custom_fields: CustomFields | None = None
    plans: tuple[EntityCode, ...] = ()


class PlanGroupLinkEntry(Value, frozen=True, kw_only=True):
    """A plan of a group, taken by itself."""

    plan_group: EntityCode
    plan: EntityCode


class CatalogEntries(Value, frozen=True, kw_only=True):
    """A whole catalogue, or the sections of it that are spoken of: null is not spoken of, empty is none at all."""

    settings: OrganizationConfig | None = None
    custom_fields: OrganizationCustomFields | None = None
    currencies: tuple[Currency, ...] | None = None
    lookup_tables: tuple[LookupTable, ...] | None = None
    products: tuple[Product, ...] | None = None
    meters: tuple[MeterEntry, ...] | None = None
    aggregations: tuple[AggregationEntry, ...] | None = None
    compound_aggregations: tuple[CompoundAggregationEntry, ...] | None = None
    counters: tuple[CounterEntry, ...] | None = None
    plan_templates: tuple[PlanTemplateEntry, ...] | None = None
    plans: tuple[PlanEntry, ...] | None = None
    plan_groups: tuple[PlanGroupEntry, ...] | None = None
    late_policies: tuple[LatePolicyEntry, ...] | None = None
    anomaly_policies: tuple[AnomalyPolicyEntry, ...] | None = None
