"""Contracts: what an account has agreed to for a time, and which charges belong to it (source: reference 2.5, 3.8)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import (
    CurrencyCode,
    CustomFields,
    Description,
    EntityCode,
    FieldCode,
    Id,
    Name,
    Value,
    require_custom_fields,
    require_not_negative,
)


class UsageFilterMode(StrEnum):
    INCLUDE = "INCLUDE"
    EXCLUDE = "EXCLUDE"


class UsageFilter(Value, frozen=True, kw_only=True):
    """Which usage a contract is about: that whose text field has the value, or that whose field has it not."""

    dimension_code: FieldCode
    mode: UsageFilterMode
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class PriceProtection(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A promise of ours to have: the charges of a billing period come to at most `maximum_increase_percent` above
    `baseline` (in `currency`, else that of the bill), from `start_date` to `end_date` (exclusive)."""

    baseline: Decimal
    maximum_increase_percent: Decimal
    start_date: date
    end_date: date
    currency: CurrencyCode | None = None
    description: Description | None = None

    def check(self) -> None:
        require_not_negative(self.baseline, "baseline")
        require_not_negative(self.maximum_increase_percent, "maximumIncreasePercent")
        if self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate; the end does not belong to the protection")


class Contract(Value, frozen=True, kw_only=True):
    """An agreement of one account, from `start_date` to `end_date` (exclusive), days of the organisation's time zone.

    Account plans, credits and charges name it. With `apply_contract_period_limits` only what lies inside its dates is
    charged; otherwise the dates of the account plans decide.
    """

    kind: ClassVar[str] = "contract"
    references: ClassVar[tuple[str, ...]] = ("account_id", "bill_grouping_key_id")

    account_id: Id
    name: Name
    start_date: date
    end_date: date
    code: EntityCode | None = None
    description: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    purchase_order_number: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    apply_contract_period_limits: bool = False
    bill_grouping_key_id: Id | None = None
    usage_filters: Annotated[tuple[UsageFilter, ...], msgspec.Meta(max_length=100)] | None = None
    price_protection: PriceProtection | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        if self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate; the end does not belong to the contract")
        require_custom_fields(self.custom_fields)
