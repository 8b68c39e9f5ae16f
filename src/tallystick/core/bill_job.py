"""A bill job: which bills to make or make again, and how far it has come (source: reference 2.10, 3.11)."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

import msgspec

from tallystick.core.bill import BillParameters
from tallystick.core.entity import Id, Value, wire_name
from tallystick.core.organization import CurrencyConversion
from tallystick.core.period import Frequency, Instant, require_billed_year, require_zone


class BillJobStatus(StrEnum):
    """An account that cannot be billed is named in the job's `failures`, and the job goes on. FAILED, which is ours, is
    a job that cannot go on at all."""

    PENDING = "PENDING"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def active(self) -> bool:
        """Whether there is still something to do."""
        return self not in {BillJobStatus.COMPLETE, BillJobStatus.CANCELLED, BillJobStatus.FAILED}


class BillJobType(StrEnum):
    CREATE = "CREATE"
    RECALCULATE = "RECALCULATE"


class BillJobRequest(Value, frozen=True, kw_only=True):
    """What to bill; everything is optional. See `pipeline.bill` for the meaning of what is left out."""

    account_ids: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=100)] | None = None
    billing_frequency: Frequency | None = None
    bill_frequency_interval: Annotated[int, msgspec.Meta(ge=1, le=365)] | None = None
    last_date_in_billing_period: date | None = None
    bill_date: date | None = None
    due_date: date | None = None
    external_invoice_date: date | None = None
    target_currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)] | None = None
    currency_conversions: Annotated[tuple[CurrencyConversion, ...], msgspec.Meta(max_length=250)] | None = None
    timezone: str | None = None
    day_epoch: date | None = None
    week_epoch: date | None = None
    month_epoch: date | None = None
    year_epoch: date | None = None

    def check(self) -> None:
        if self.billing_frequency is Frequency.MIXED:
            raise ValueError("billingFrequency: give DAILY, WEEKLY, MONTHLY, ANNUALLY or AD_HOC, or leave it out")
        if self.timezone is not None:
            require_zone(self.timezone)
        for name in self.__struct_fields__:
            day = getattr(self, name)
            if isinstance(day, date):
                require_billed_year(wire_name(type(self), name), day)

    @property
    def parameters(self) -> BillParameters:
        """The part that changes what stands on the bills."""
        names = BillParameters.__struct_fields__
        return BillParameters(**{name: getattr(self, name) for name in names})


class BillRecalculateRequest(Value, frozen=True, kw_only=True):
    """Bills to calculate again with the present prices and usage."""

    bill_ids: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=100)]


class BillFailure(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An account period that could not be billed, and why (our extension)."""

    account_id: str
    code: str  # of errors.CODES
    message: str
    period_key: str


class BillJob(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A bill job as it is stored (document kind `billjob`) and answered.

    `total` counts the bills to look at and `pending` those not looked at yet; both are 0 until the job has been
    initialised. `as_of` and `up_to` fix the moment and the journal position that every bill of the job is made at.
    """

    id: str
    version: int
    type: BillJobType
    status: BillJobStatus
    total: int
    pending: int
    bill_ids: tuple[str, ...]
    failures: tuple[BillFailure, ...]
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    as_of: Instant
    up_to: int
    account_ids: tuple[str, ...] | None = None
    billing_frequency: Frequency | None = None
    bill_frequency_interval: int | None = None
    last_date_in_billing_period: date | None = None
    bill_date: date | None = None
    due_date: date | None = None
    external_invoice_date: date | None = None
    target_currency: str | None = None
    currency_conversions: tuple[CurrencyConversion, ...] | None = None
    timezone: str | None = None
    day_epoch: date | None = None
    week_epoch: date | None = None
    month_epoch: date | None = None
    year_epoch: date | None = None
