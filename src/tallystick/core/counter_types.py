"""Counters: units that are had rather than used, such as seats (source: reference 2.4, 2.8, 3.10)."""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.catalog import PricingBand, require_exactly_one, require_rising
from tallystick.core.entity import Description, EntityCode, Id, Name, Value
from tallystick.core.period import Instant


class Counter(Value, frozen=True, kw_only=True):
    """Something of which an account has a level that changes by the day. Without a product it prices any product."""

    kind: ClassVar[str] = "counter"
    references: ClassVar[tuple[str, ...]] = ("product_id",)

    name: Name
    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    code: EntityCode | None = None
    product_id: Id | None = None


class CounterPricing(Value, frozen=True, kw_only=True):
    """The bands that one counter is priced by, on a plan or a template, between two dates.

    The running total is what the level at the start of a period costs for the whole of it; adjustments are what
    changes within it cost (debit) or give back (credit). Each of the three is prorated by days unless switched off.
    """

    kind: ClassVar[str] = "counterpricing"
    references: ClassVar[tuple[str, ...]] = ("counter_id", "plan_id", "plan_template_id", "accounting_product_id")

    counter_id: Id
    plan_id: Id | None = None
    plan_template_id: Id | None = None
    pricing_bands: tuple[PricingBand, ...]
    start_date: Instant
    end_date: Instant | None = None
    cumulative: bool = False
    pro_rate_running_total: bool = True
    pro_rate_adjustment_debit: bool = True
    pro_rate_adjustment_credit: bool = True
    running_total_bill_in_advance: bool = True
    description: Description | None = None
    code: EntityCode | None = None
    accounting_product_id: Id | None = None

    def check(self) -> None:
        require_exactly_one(self.plan_id, self.plan_template_id, "planId", "planTemplateId")
        require_rising(self.pricing_bands, "pricingBands")
        if self.end_date is not None and self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate")


class CounterAdjustment(Value, frozen=True, kw_only=True):
    """The level that a counter of an account has from the start of a day on: absolute, not the change."""

    kind: ClassVar[str] = "counteradjustment"
    references: ClassVar[tuple[str, ...]] = ("account_id", "counter_id")

    account_id: Id
    counter_id: Id
    date: date
    value: Annotated[int, msgspec.Meta(ge=0, le=10**15)]
    purchase_order_number: Annotated[str, msgspec.Meta(max_length=100)] | None = None
