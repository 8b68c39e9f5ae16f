"""Credit that customers hold: commitments (prepayments) and balances (wallets), as people write them.

Source: reference 2.6, 2.7. What they are worth at a moment is in the ledger (`core/ledger.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.account import ChildBillingMode
from tallystick.core.catalog import Interval, Offset
from tallystick.core.entity import (
    CurrencyCode,
    CustomFields,
    Description,
    EntityCode,
    Id,
    Name,
    Value,
    require_custom_fields,
    require_not_negative,
)
from tallystick.core.period import Instant

MAX_PRODUCTS = 100
LOWEST_PERCENT = Decimal(-100)


class CreditLine(StrEnum):
    """The types of bill line that credit can pay for."""

    STANDING_CHARGE = "STANDING_CHARGE"
    USAGE = "USAGE"
    MINIMUM_SPEND = "MINIMUM_SPEND"
    COUNTER_RUNNING_TOTAL_CHARGE = "COUNTER_RUNNING_TOTAL_CHARGE"
    COUNTER_ADJUSTMENT_DEBIT = "COUNTER_ADJUSTMENT_DEBIT"
    AD_HOC = "AD_HOC"  # balances only


class CommitmentFee(Value, frozen=True, kw_only=True):
    """A fee that is billed on `date`, for a stretch of service; start and end of it may be the same."""

    date: date
    amount: Decimal
    service_period_start_date: Instant
    service_period_end_date: Instant

    def check(self) -> None:
        if self.amount <= 0:
            raise ValueError(f"amount: must be above 0, got {self.amount:f}")
        if self.service_period_end_date < self.service_period_start_date:
            raise ValueError("servicePeriodEndDate: must not be before servicePeriodStartDate")


class Commitment(Value, frozen=True, kw_only=True):
    """An amount that a customer has agreed to spend from `start_date` until before `end_date`, in `currency`.

    It is billed by fees: with the bills of `billing_plan_id`, or on `fee_dates`. What is charged meanwhile draws it
    down. Days are those of the organisation's time zone. Percentages are of 100.
    """

    kind: ClassVar[str] = "commitment"
    references: ClassVar[tuple[str, ...]] = (
        "account_id",
        "billing_plan_id",
        "contract_id",
        "product_ids",
        "accounting_product_id",
        "fees_accounting_product_id",
        "drawdowns_accounting_product_id",
    )
    filters: ClassVar[tuple[str, ...]] = ("currency",)

    account_id: Id
    amount: Decimal
    currency: CurrencyCode
    start_date: date
    end_date: date
    amount_pre_paid: Decimal | None = None
    amount_first_bill: Decimal | None = None
    billing_plan_id: Id | None = None
    billing_interval: Interval = 1
    billing_offset: Offset = 0
    bill_epoch: date | None = None
    commitment_fee_bill_in_advance: bool | None = None
    fee_dates: tuple[CommitmentFee, ...] = ()
    line_item_types: tuple[CreditLine, ...] = ()
    product_ids: tuple[Id, ...] = ()
    contract_id: Id | None = None
    overage_surcharge_percent: Decimal | None = None
    separate_overage_usage: bool = False
    child_billing_mode: ChildBillingMode | None = None
    commitment_fee_description: Description | None = None
    commitment_usage_description: Description | None = None
    overage_description: Description | None = None
    accounting_product_id: Id | None = None
    fees_accounting_product_id: Id | None = None
    drawdowns_accounting_product_id: Id | None = None

    def check(self) -> None:
        if self.amount <= 0:
            raise ValueError(f"amount: must be above 0, got {self.amount:f}")
        if self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate; it is exclusive")
        require_not_negative(self.amount_pre_paid, "amountPrePaid")
        require_not_negative(self.amount_first_bill, "amountFirstBill")
        self._check_fees()
        if CreditLine.AD_HOC in self.line_item_types:
            raise ValueError("lineItemTypes: a commitment cannot pay for AD_HOC lines; use a balance")
        require_distinct(self.line_item_types, "lineItemTypes")
        require_products(self.product_ids)
        require_surcharge(self.overage_surcharge_percent)
        if self.separate_overage_usage and self.overage_surcharge_percent:
            raise ValueError("separateOverageUsage: only without an overageSurchargePercent (or with 0)")

    def _check_fees(self) -> None:
        prepaid, first = self.amount_pre_paid or Decimal(0), self.amount_first_bill or Decimal(0)
        if prepaid > self.amount:
            raise ValueError(f"amountPrePaid: must not be above the amount, {self.amount:f}")
        if first > self.amount - prepaid:
            raise ValueError("amountFirstBill: must not be above what is left to pay, amount less amountPrePaid")
        if self.fee_dates and self.billing_plan_id is not None:
            raise ValueError("feeDates: give billingPlanId or feeDates, not both")
        if self.billing_plan_id is None:
            self._check_no_plan()

    def _check_no_plan(self) -> None:
        """What spreads fees over the bills of a plan says nothing without one. The defaults are let pass, as clients
        send them along."""
        given = {
            "amountFirstBill": self.amount_first_bill,
            "billingInterval": self.billing_interval - 1,
            "billingOffset": self.billing_offset,
            "billEpoch": self.bill_epoch,
        }
        for name, value in given.items():
            if value:
                raise ValueError(
                    f"{name}: only with a billingPlanId, whose bills carry the fees; give one, or leave it out"
                )


class TopUp(Value, frozen=True, kw_only=True):
    """When a balance falls below `threshold`, add `amount` and charge for it, at most `monthly_maximum` in one
    calendar month of the organisation's time zone. All in the balance's currency. (Our extension.)"""

    threshold: Decimal
    amount: Decimal
    monthly_maximum: Decimal | None = None
    transaction_type_id: Id | None = None
    charge_description: Description | None = None

    def check(self) -> None:
        require_not_negative(self.threshold, "threshold")
        if self.amount <= 0:
            raise ValueError(f"amount: must be above 0, got {self.amount:f}")
        if self.monthly_maximum is not None and self.monthly_maximum < self.amount:
            raise ValueError("monthlyMaximum: must not be below the amount: no top-up could ever be made")


class Balance(Value, frozen=True, kw_only=True):
    """A wallet in `currency`: it pays for what falls from `start_date` until before `end_date`.

    What is left then is usable until before `rollover_end_date`, at most `rollover_amount` of it. Extensions of ours:
    `priority` (lower draws first, absent last), `aggregation_ids` and `segments` (it pays for usage of these only: of
    the aggregations, compound ones too, and with all the fields of one of the segments), `top_up`.
    """

    kind: ClassVar[str] = "balance"
    references: ClassVar[tuple[str, ...]] = (
        "account_id",
        "contract_id",
        "product_ids",
        "aggregation_ids",
        "top_up_transaction_type_id",
        "consumptions_accounting_product_id",
        "fees_accounting_product_id",
    )
    filters: ClassVar[tuple[str, ...]] = ("currency", "tops_up")

    account_id: Id
    code: EntityCode
    name: Name
    currency: CurrencyCode
    start_date: Instant
    end_date: Instant
    description: str | None = None
    line_item_types: tuple[CreditLine, ...] = ()
    product_ids: tuple[Id, ...] = ()
    contract_id: Id | None = None
    rollover_end_date: Instant | None = None
    rollover_amount: Decimal | None = None
    overage_surcharge_percent: Decimal | None = None
    overage_description: Description | None = None
    balance_draw_down_description: Description | None = None
    consumptions_accounting_product_id: Id | None = None
    fees_accounting_product_id: Id | None = None
    allow_overdraft: bool = False
    priority: Annotated[int, msgspec.Meta(ge=0)] | None = None
    aggregation_ids: tuple[Id, ...] = ()
    segments: tuple[dict[str, str], ...] = ()
    top_up: TopUp | None = None
    custom_fields: CustomFields | None = None

    @property
    def last_end(self) -> Instant:
        """When nothing of it can be used any more: the end of the rollover where there is one."""
        return self.rollover_end_date or self.end_date

    @property
    def tops_up(self) -> bool:
        """Whether it has a top-up rule."""
        return self.top_up is not None

    @property
    def top_up_transaction_type_id(self) -> str | None:
        """The type of the transactions that its top-up rule makes."""
        return None if self.top_up is None else self.top_up.transaction_type_id

    def check(self) -> None:
        if self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate; it is exclusive")
        if self.rollover_end_date is None and self.rollover_amount is not None:
            raise ValueError("rolloverAmount: only with a rolloverEndDate")
        if self.rollover_end_date is not None and self.rollover_end_date <= self.end_date:
            raise ValueError("rolloverEndDate: must be after endDate")
        require_not_negative(self.rollover_amount, "rolloverAmount")
        require_distinct(self.line_item_types, "lineItemTypes")
        require_products(self.product_ids)
        require_distinct(self.aggregation_ids, "aggregationIds")
        if any(not segment for segment in self.segments):
            raise ValueError("segments: each names at least one field")
        if self.segments and not self.aggregation_ids:
            raise ValueError("segments: only with aggregationIds, whose segments they are")
        require_surcharge(self.overage_surcharge_percent)
        require_custom_fields(self.custom_fields)


def require_products(ids: Sequence[str]) -> None:
    """At most 100 products, each once."""
    if len(ids) > MAX_PRODUCTS:
        raise ValueError(f"productIds: at most {MAX_PRODUCTS}, got {len(ids)}")
    require_distinct(ids, "productIds")


def require_distinct(values: Sequence[str], field: str) -> None:
    """Refuse a list that names something twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"{field}: each only once")


def require_surcharge(percent: Decimal | None) -> None:
    """A surcharge may be negative: a discount, of 100% at most."""
    if percent is not None and percent < LOWEST_PERCENT:
        raise ValueError(f"overageSurchargePercent: must be -100 or more, got {percent:f}")
