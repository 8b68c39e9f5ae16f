"""What holds for the whole organisation: its settings and its currencies (source: reference 2.9)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.account import CreditType, StatementMode
from tallystick.core.entity import (
    CurrencyCode,
    CustomFields,
    DueDays,
    FieldCode,
    Name,
    Value,
    require_custom_fields,
    wire_name,
)
from tallystick.core.money import RoundingMode
from tallystick.core.period import LAST_YEAR, require_zone
from tallystick.core.reconciliation import ReconciliationGate

DAY_HOURS = 24
# Hours between scheduled bill runs; 0 is never (source: reference 2.9).
BILL_INTERVALS = tuple(Decimal(hours) for hours in ("0", "0.25", "0.5", "1", "2", "3", "4", "6", "8", "12", "24"))


class CurrencyConversion(Value, frozen=True, kw_only=True):
    """One unit of `from_` is worth `multiplier` units of `to`."""

    from_: CurrencyCode = msgspec.field(name="from")
    to: CurrencyCode
    multiplier: Decimal

    def check(self) -> None:
        if self.multiplier <= 0:
            raise ValueError("multiplier: must be above 0")
        if self.from_ == self.to:
            raise ValueError("to: must be another currency than from")


class ExternalInvoiceDate(StrEnum):
    FIRST_DAY_OF_NEXT_PERIOD = "FIRST_DAY_OF_NEXT_PERIOD"
    LAST_DAY_OF_ARREARS = "LAST_DAY_OF_ARREARS"


class GracePeriodUnit(StrEnum):
    MINUTES = "MINUTES"
    HOURS = "HOURS"
    DAYS = "DAYS"


class LateUsage(StrEnum):
    """What a late measurement does to a bill that is approved and not locked (our extension)."""

    RECALCULATE = "RECALCULATE"  # the next calculation includes it, and the bill is PENDING again, as in m3ter
    ADJUST_NEXT_BILL = "ADJUST_NEXT_BILL"  # the bill stays, and the next one has a line for the difference


class UnknownAccounts(StrEnum):
    """What happens to a measurement whose account code is unknown (our extension)."""

    CREATE = "CREATE"  # a skeleton account is created, as m3ter does
    QUEUE = "QUEUE"  # the measurement waits in the failed-measurement queue


class OrganizationConfig(Value, frozen=True, kw_only=True):
    """Settings of one organisation. The last five fields are extensions of ours."""

    kind: ClassVar[str] = "organizationconfig"
    references: ClassVar[tuple[str, ...]] = ("required_reconciliation_id",)

    currency: CurrencyCode = "USD"
    timezone: str = "UTC"
    day_epoch: date = date(2022, 1, 1)
    week_epoch: date = date(2022, 1, 4)
    month_epoch: date = date(2022, 1, 1)
    year_epoch: date = date(2022, 1, 1)
    days_before_bill_due: DueDays = 30
    currency_conversions: tuple[CurrencyConversion, ...] = ()
    standing_charge_bill_in_advance: bool = False
    minimum_spend_bill_in_advance: bool = False
    commitment_fee_bill_in_advance: bool = False
    credit_application_order: tuple[CreditType, ...] = (CreditType.PREPAYMENT, CreditType.BALANCE)
    consolidate_bills: bool = False
    suppressed_empty_bills: bool = False
    scheduled_bill_interval: Decimal | None = None
    scheduled_bill_offset: Annotated[int, msgspec.Meta(ge=0, le=23)] | None = None
    auto_approve_bills_grace_period: Annotated[int, msgspec.Meta(gt=0)] | None = None
    auto_approve_bills_grace_period_unit: GracePeriodUnit | None = None
    external_invoice_date: ExternalInvoiceDate = ExternalInvoiceDate.FIRST_DAY_OF_NEXT_PERIOD
    bill_prefix: str | None = None
    sequence_start_number: Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)] | None = None
    default_statement_definition_id: str | None = None
    auto_generate_statement_mode: StatementMode | None = None
    allow_negative_balances: bool = False
    allow_overlapping_plans: bool = False
    unknown_accounts: UnknownAccounts = UnknownAccounts.CREATE
    require_measurement_uid: bool = False
    future_tolerance_seconds: Annotated[int, msgspec.Meta(ge=0, le=31_536_000)] = 300
    late_usage: LateUsage | None = None
    bill_requires: ReconciliationGate | None = None

    @property
    def required_reconciliation_id(self) -> str | None:
        """The reconciliation that bills wait for."""
        return None if self.bill_requires is None else self.bill_requires.reconciliation_id

    @property
    def adjusts_next_bill(self) -> bool:
        """Whether an approved bill stays as it is when usage comes late: by default where bills are approved
        automatically, so that an automatic approval never undoes itself."""
        if self.late_usage is not None:
            return self.late_usage is LateUsage.ADJUST_NEXT_BILL
        return self.auto_approve_bills_grace_period is not None

    def check(self) -> None:
        require_zone(self.timezone)
        self._check_bill_schedule()
        if (self.auto_approve_bills_grace_period is None) != (self.auto_approve_bills_grace_period_unit is None):
            raise ValueError("autoApproveBillsGracePeriod: give it together with autoApproveBillsGracePeriodUnit")
        if len(set(self.credit_application_order)) < len(self.credit_application_order):
            raise ValueError("creditApplicationOrder: each kind of credit once")
        seen: set[tuple[str, str]] = set()
        for index, rate in enumerate(self.currency_conversions):
            if (rate.from_, rate.to) in seen:
                raise ValueError(f"currencyConversions[{index}]: {rate.from_} to {rate.to} is given twice")
            seen.add((rate.from_, rate.to))

    def _check_bill_schedule(self) -> None:
        interval, offset = self.scheduled_bill_interval, self.scheduled_bill_offset
        if interval is not None and interval not in BILL_INTERVALS:
            hours = ", ".join(str(each) for each in BILL_INTERVALS)
            raise ValueError(f"scheduledBillInterval: must be one of {hours} hours, got {interval:f}")
        if offset is not None and interval != DAY_HOURS:
            raise ValueError("scheduledBillOffset: only with a scheduledBillInterval of 24")


MAX_DEFAULTS = 25


class OrganizationCustomFields(Value, frozen=True, kw_only=True):
    """Custom fields with their default values, per kind of entity; at most 25 for each kind (source: reference 1.4)."""

    kind: ClassVar[str] = "customfields"

    organization: CustomFields | None = None
    account: CustomFields | None = None
    account_plan: CustomFields | None = None
    aggregation: CustomFields | None = None
    compound_aggregation: CustomFields | None = None
    contract: CustomFields | None = None
    meter: CustomFields | None = None
    plan: CustomFields | None = None
    plan_template: CustomFields | None = None
    product: CustomFields | None = None

    def check(self) -> None:
        for name in OrganizationCustomFields.__struct_fields__:  # without what a request adds
            fields: CustomFields | None = getattr(self, name)
            require_custom_fields(fields, wire_name(type(self), name), MAX_DEFAULTS)


class Currency(Value, frozen=True, kw_only=True):
    """A unit of money (or of credit), with the decimals it is rounded to."""

    kind: ClassVar[str] = "currency"
    filters: ClassVar[tuple[str, ...]] = ("archived",)

    name: Name
    code: FieldCode
    archived: bool = False
    max_decimal_places: Annotated[int, msgspec.Meta(ge=0, le=5)] | None = None
    rounding_mode: RoundingMode | None = None


class BillConfig(Value, frozen=True, kw_only=True):
    """Every bill that ends on or before `bill_lock_date` is locked."""

    kind: ClassVar[str] = "billconfig"

    bill_lock_date: date | None = None

    def check(self) -> None:
        if self.bill_lock_date is not None and self.bill_lock_date.year > LAST_YEAR:
            raise ValueError(f"billLockDate: must be a day of the years up to {LAST_YEAR}")
