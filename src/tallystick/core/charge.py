"""Charges: single amounts on an account, asked for by people or by a balance's schedule (source: reference 2.7)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

import msgspec

from tallystick.core.entity import CurrencyCode, Description, EntityCode, Id, Name, Value
from tallystick.core.period import Instant, require_billed_year
from tallystick.core.quantity import multiply
from tallystick.core.usage_correction import MemoMark


class ChargeEntityType(StrEnum):
    AD_HOC = "AD_HOC"
    BALANCE = "BALANCE"


class ChargeLineItemType(StrEnum):
    AD_HOC = "AD_HOC"
    BALANCE_FEE = "BALANCE_FEE"
    CREDIT_MEMO = "CREDIT_MEMO"  # these two are lines of the memo of a correction
    DEBIT_MEMO = "DEBIT_MEMO"


class Charge(Value, frozen=True, kw_only=True):
    """One amount, given or as units × unit price; negative gives money back. `notes` never reach a bill.

    `schedule_id` is set by the schedule that made the charge, `memo` by the memo that it is a line of; never by a
    request.
    """

    kind: ClassVar[str] = "charge"
    references: ClassVar[tuple[str, ...]] = ("account_id", "entity_id", "contract_id", "accounting_product_id")
    filters: ClassVar[tuple[str, ...]] = ("entity_type", "bill_date", "schedule_id", "currency")

    account_id: Id
    code: EntityCode
    name: Name
    currency: CurrencyCode
    entity_type: ChargeEntityType
    line_item_type: ChargeLineItemType
    service_period_start_date: Instant
    service_period_end_date: Instant
    bill_date: date | None = None
    amount: Decimal | None = None
    units: Decimal | None = None
    unit_price: Decimal | None = None
    entity_id: Id | None = None
    description: Description | None = None
    notes: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    contract_id: Id | None = None
    accounting_product_id: Id | None = None
    schedule_id: Id | None = None
    memo: MemoMark | None = None

    def check(self) -> None:
        if self.service_period_end_date < self.service_period_start_date:
            raise ValueError("servicePeriodEndDate: must not be before servicePeriodStartDate")
        if self.bill_date is None:
            require_billed_year("servicePeriodEndDate", self.service_period_end_date)
        else:
            require_billed_year("billDate", self.bill_date)
        if self.amount is None and (self.units is None or self.unit_price is None):
            raise ValueError("amount: give amount, or both units and unitPrice")
        if self.amount is not None and (self.units is not None or self.unit_price is not None):
            raise ValueError("amount: give amount, or units and unitPrice, not both")
        of_balance = self.entity_type is ChargeEntityType.BALANCE
        if of_balance != (self.line_item_type is ChargeLineItemType.BALANCE_FEE):
            raise ValueError("lineItemType: BALANCE_FEE goes with entityType BALANCE, AD_HOC with AD_HOC")
        if self.of_memo != (self.memo is not None):
            raise ValueError("lineItemType: CREDIT_MEMO and DEBIT_MEMO are lines of memos, which corrections make")
        if of_balance != (self.entity_id is not None):
            raise ValueError("entityId: the balance of a charge with entityType BALANCE; no other has one")

    @property
    def of_memo(self) -> bool:
        """Whether it is a line of a memo."""
        return self.line_item_type in {ChargeLineItemType.CREDIT_MEMO, ChargeLineItemType.DEBIT_MEMO}

    def billed_on(self, zone: str) -> date:
        """The day that decides which bill the charge is on: `bill_date`, else the last day of its service period.

        See docs/decisions/0100-charges-without-a-bill-date.md.
        """
        if self.bill_date is not None:
            return self.bill_date
        last = self.service_period_end_date
        if last > self.service_period_start_date:
            last = Instant.of(last - timedelta(microseconds=1))
        return last.astimezone(ZoneInfo(zone)).date()


def exact_amount(charge: Charge) -> Decimal:
    """What the charge comes to in its currency, before rounding."""
    if charge.amount is not None:
        return charge.amount
    assert charge.units is not None, "a charge without an amount has units"
    assert charge.unit_price is not None, "a charge with units has a unit price"
    return multiply(charge.units, charge.unit_price)
