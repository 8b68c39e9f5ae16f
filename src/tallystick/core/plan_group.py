"""Plan groups: several plans under one standing charge and one minimum spend (source: reference 2.3, 3.4)."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from tallystick.core.catalog import PlanCurrency
from tallystick.core.entity import (
    CustomFields,
    Description,
    EntityCode,
    Id,
    Name,
    Value,
    require_custom_fields,
    require_not_negative,
)


class PlanGroup(Value, frozen=True, kw_only=True):
    """A bundle of plans that is attached to accounts as one. With `account_id` it is made for that account only."""

    kind: ClassVar[str] = "plangroup"
    references: ClassVar[tuple[str, ...]] = (
        "account_id",
        "standing_charge_accounting_product_id",
        "minimum_spend_accounting_product_id",
    )
    filters: ClassVar[tuple[str, ...]] = ("currency",)

    name: Name
    currency: PlanCurrency
    code: EntityCode | None = None
    account_id: Id | None = None
    standing_charge: Decimal | None = None
    standing_charge_bill_in_advance: bool | None = None
    standing_charge_description: Description | None = None
    standing_charge_accounting_product_id: Id | None = None
    minimum_spend: Decimal | None = None
    minimum_spend_bill_in_advance: bool | None = None
    minimum_spend_description: Description | None = None
    minimum_spend_accounting_product_id: Id | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_not_negative(self.standing_charge, "standingCharge")
        require_not_negative(self.minimum_spend, "minimumSpend")
        require_custom_fields(self.custom_fields)


class PlanGroupLink(Value, frozen=True, kw_only=True):
    """One plan of one group."""

    kind: ClassVar[str] = "plangrouplink"
    references: ClassVar[tuple[str, ...]] = ("plan_group_id", "plan_id")

    plan_group_id: Id
    plan_id: Id
