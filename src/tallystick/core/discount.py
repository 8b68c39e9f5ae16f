"""Discounts: a percentage or an amount off an account's bills, between two moments. An extension of ours."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from tallystick.core.entity import (
    CurrencyCode,
    CustomFields,
    Description,
    EntityCode,
    Id,
    Name,
    Value,
    require_custom_fields,
)
from tallystick.core.period import Instant


class DiscountType(StrEnum):
    PERCENT = "PERCENT"
    AMOUNT = "AMOUNT"


class Discount(Value, frozen=True, kw_only=True):
    """A percentage of the charges, or an amount of a currency in each billing period, that the account is spared.

    It is off the whole bill, or off what a product or a plan charges. `end_date` does not belong to it.
    """

    kind: ClassVar[str] = "discount"
    references: ClassVar[tuple[str, ...]] = ("account_id", "product_id", "plan_id", "accounting_product_id")

    account_id: Id
    name: Name
    type: DiscountType
    start_date: Instant
    end_date: Instant | None = None
    code: EntityCode | None = None
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: CurrencyCode | None = None
    product_id: Id | None = None
    plan_id: Id | None = None
    description: Description | None = None
    accounting_product_id: Id | None = None
    custom_fields: CustomFields | None = None

    @property
    def cuts(self) -> tuple[Instant, ...]:
        """The moments that tell charges apart: before them it is another share of a line that is taken off."""
        if self.type is DiscountType.AMOUNT:
            return ()  # its own days decide
        return (self.start_date,) if self.end_date is None else (self.start_date, self.end_date)

    def check(self) -> None:
        if self.type is DiscountType.PERCENT:
            self._check_percent()
        else:
            self._check_amount()
        if self.product_id is not None and self.plan_id is not None:
            raise ValueError("planId: give productId or planId, not both; a plan is of one product")
        if self.end_date is not None and self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate")
        require_custom_fields(self.custom_fields)

    def _check_percent(self) -> None:
        if self.percent is None or not 0 < self.percent <= 100:
            raise ValueError("percent: a discount of type PERCENT has one, above 0 and at most 100")
        if self.amount is not None or self.currency is not None:
            raise ValueError("amount: only with type AMOUNT, and a currency with it")

    def _check_amount(self) -> None:
        if self.amount is None or self.amount <= 0:
            raise ValueError("amount: a discount of type AMOUNT has one, above 0")
        if self.currency is None:
            raise ValueError("currency: a discount of type AMOUNT says of which currency it is")
        if self.percent is not None:
            raise ValueError("percent: only with type PERCENT")
