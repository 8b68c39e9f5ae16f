"""Who is billed: accounts and the plans attached to them (source: reference 2.5)."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.catalog import require_exactly_one
from tallystick.core.entity import (
    CurrencyCode,
    CustomFields,
    DueDays,
    EntityCode,
    Id,
    Name,
    Value,
    require_custom_fields,
)
from tallystick.core.period import Instant

AddressLine = Annotated[str, msgspec.Meta(max_length=50)]


class CreditType(StrEnum):
    PREPAYMENT = "PREPAYMENT"
    BALANCE = "BALANCE"


class StatementMode(StrEnum):
    NONE = "NONE"
    JSON = "JSON"
    JSON_AND_CSV = "JSON_AND_CSV"


class ChildBillingMode(StrEnum):
    PARENT_BREAKDOWN = "PARENT_BREAKDOWN"
    PARENT_SUMMARY = "PARENT_SUMMARY"
    CHILD = "CHILD"


class ChildCreditOrder(StrEnum):
    """Whose credit is drawn first on the bill of a child that is billed by itself (our extension)."""

    CHILD_FIRST = "CHILD_FIRST"
    PARENT_FIRST = "PARENT_FIRST"


class Address(Value, frozen=True, kw_only=True):
    """A postal address."""

    address_line_1: AddressLine | None = msgspec.field(default=None, name="addressLine1")
    address_line_2: AddressLine | None = msgspec.field(default=None, name="addressLine2")
    address_line_3: AddressLine | None = msgspec.field(default=None, name="addressLine3")
    address_line_4: AddressLine | None = msgspec.field(default=None, name="addressLine4")
    locality: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    region: Annotated[str, msgspec.Meta(max_length=50)] | None = None
    post_code: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    country: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class Account(Value, frozen=True, kw_only=True):
    """An end customer. Name, address and e-mail are the only places for personal data."""

    kind: ClassVar[str] = "account"
    references: ClassVar[tuple[str, ...]] = ("parent_account_id", "statement_definition_id")
    filters: ClassVar[tuple[str, ...]] = ("currency",)

    name: Name
    code: EntityCode
    email_address: str
    address: Address | None = None
    parent_account_id: Id | None = None
    bill_epoch: date | None = None
    currency: CurrencyCode | None = None
    days_before_bill_due: DueDays | None = None
    purchase_order_number: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    credit_application_order: tuple[CreditType, ...] | None = None
    statement_definition_id: Id | None = None
    auto_generate_statement_mode: StatementMode | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        order = self.credit_application_order or ()
        if len(set(order)) < len(order):
            raise ValueError("creditApplicationOrder: each kind of credit once")
        require_custom_fields(self.custom_fields)


class AccountPlan(Value, frozen=True, kw_only=True):
    """A plan in force for an account, from `start_date` to `end_date` (open when absent)."""

    kind: ClassVar[str] = "accountplan"
    references: ClassVar[tuple[str, ...]] = ("account_id", "plan_id", "plan_group_id", "contract_id")

    account_id: Id
    plan_id: Id | None = None
    plan_group_id: Id | None = None
    start_date: Instant
    end_date: Instant | None = None
    bill_epoch: date | None = None
    contract_id: Id | None = None
    code: EntityCode | None = None
    child_billing_mode: ChildBillingMode | None = None
    child_credit_order: ChildCreditOrder | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        if self.child_credit_order is not None and self.child_billing_mode is not ChildBillingMode.CHILD:
            raise ValueError("childCreditOrder: only with childBillingMode CHILD")
        require_exactly_one(self.plan_id, self.plan_group_id, "planId", "planGroupId")
        if self.end_date is not None and self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate")
        require_custom_fields(self.custom_fields)
