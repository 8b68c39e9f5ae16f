"""What is added to a balance, or charged for it, again and again: schedules as people write them.

Source: reference 2.7. When they are due is computed in `core/schedule.py`.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.catalog import Interval
from tallystick.core.entity import (
    CurrencyCode,
    CustomFields,
    EntityCode,
    Id,
    Name,
    Value,
    require_custom_fields,
    require_not_negative,
)
from tallystick.core.ledger import require_payment
from tallystick.core.period import Frequency, Instant

Text = Annotated[str, msgspec.Meta(min_length=1)]
LAST_YEAR = 9000  # the calendar ends in 9999, and an interval reaches up to 365 years beyond the end of a schedule
GRIDLESS = (Frequency.AD_HOC, Frequency.MIXED)


class TransactionSchedule(Value, frozen=True, kw_only=True):
    """Add `amount` to a balance at `start_date` and every so often after it, until before `end_date`."""

    kind: ClassVar[str] = "transactionschedule"
    references: ClassVar[tuple[str, ...]] = ("balance_id", "transaction_type_id")

    balance_id: Id
    name: Name
    code: EntityCode
    amount: Decimal
    transaction_type_id: Id
    transaction_description: Text
    frequency: Frequency
    frequency_interval: Interval
    start_date: Instant
    end_date: Instant
    paid: Decimal | None = None
    currency_paid: str | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_not_negative(self.amount, "amount")
        require_grid(self.frequency, "frequency")
        if self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate; it is exclusive")
        require_reachable(self.end_date, "endDate")
        require_payment(self.paid, self.currency_paid)
        require_custom_fields(self.custom_fields)


class ChargeSchedule(Value, frozen=True, kw_only=True):
    """Charge for a balance in every billing period that its service touches: `amount`, or `units` × `unit_price`.

    The charge is billed at the start of its period (in advance) or at its end (in arrears).
    """

    kind: ClassVar[str] = "chargeschedule"
    references: ClassVar[tuple[str, ...]] = ("balance_id",)
    filters: ClassVar[tuple[str, ...]] = ("currency",)

    balance_id: Id
    name: Name
    code: EntityCode
    currency: CurrencyCode
    charge_description: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    bill_frequency: Frequency
    bill_frequency_interval: Interval
    bill_in_advance: bool
    bill_epoch: date | None = None
    service_period_start_date: Instant
    service_period_end_date: Instant
    amount: Decimal | None = None
    units: Decimal | None = None
    unit_price: Decimal | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_amount(self.amount, self.units, self.unit_price)
        require_not_negative(self.amount, "amount")
        require_grid(self.bill_frequency, "billFrequency")
        if self.service_period_end_date <= self.service_period_start_date:
            raise ValueError("servicePeriodEndDate: must be after servicePeriodStartDate; it is exclusive")
        require_reachable(self.service_period_end_date, "servicePeriodEndDate")
        require_custom_fields(self.custom_fields)


def require_amount(amount: Decimal | None, units: Decimal | None, unit_price: Decimal | None) -> None:
    """Either an amount, or units with a unit price."""
    if (units is None) != (unit_price is None):
        raise ValueError("units: give it together with unitPrice")
    if (amount is None) == (units is None):
        raise ValueError("amount: give either amount, or units with unitPrice")


def require_grid(frequency: Frequency, field: str) -> None:
    """Only frequencies that repeat."""
    if frequency in GRIDLESS:
        raise ValueError(f"{field}: must be DAILY, WEEKLY, MONTHLY or ANNUALLY, got {frequency}")


def require_reachable(end: Instant, field: str) -> None:
    """A schedule ends while there still is a calendar."""
    if end.year >= LAST_YEAR:
        raise ValueError(f"{field}: must be before the year {LAST_YEAR}")
