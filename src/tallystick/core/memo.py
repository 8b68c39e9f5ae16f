"""Memos: amounts that people credit or debit on one bill, each with a reason (source: reference 2.10, 3.12)."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from tallystick.core.entity import Description, Id, Value
from tallystick.core.period import Instant


class MemoType(StrEnum):
    """The types of the lines that memos become on their bill."""

    CREDIT_MEMO = "CREDIT_MEMO"
    DEBIT_MEMO = "DEBIT_MEMO"


class BillMemo(Value, frozen=True, kw_only=True):
    """A credit or debit line item of a bill, in the bill's currency. The amount is positive: the type gives the sign.

    `amount_to_apply_on_bill`, when given, is the part of `amount` that the bill shows.
    """

    kind: ClassVar[str] = "billmemo"
    references: ClassVar[tuple[str, ...]] = (
        "product_id",
        "accounting_product_id",
        "credit_reason_id",
        "debit_reason_id",
    )
    filters: ClassVar[tuple[str, ...]] = ("bill_id", "line_item_type")

    bill_id: Id
    line_item_type: MemoType
    product_id: Id
    accounting_product_id: Id
    amount: Decimal
    amount_to_apply_on_bill: Decimal | None = None
    description: Description
    referenced_bill_id: Id
    referenced_line_item_id: Id
    service_period_start_date: Instant
    service_period_end_date: Instant
    credit_reason_id: Id | None = None
    debit_reason_id: Id | None = None

    def check(self) -> None:
        require_memo(
            self.amount, self.amount_to_apply_on_bill, self.service_period_start_date, self.service_period_end_date
        )


def require_memo(amount: Decimal, applied: Decimal | None, start: Instant, end: Instant) -> None:
    """Refuse what is no credit or debit: amounts are positive, the bill shows at most all of it, time goes forward."""
    if amount <= 0:
        raise ValueError("amount: must be above 0; whether it is a credit or a debit says the kind of line item")
    if applied is not None and not 0 < applied <= amount:
        raise ValueError("amountToApplyOnBill: must be above 0 and at most amount")
    if end < start:
        raise ValueError("servicePeriodEndDate: must not be before servicePeriodStartDate")


def signed_amount(memo: BillMemo) -> Decimal:
    """What the memo adds to its bill, in the bill's currency: below 0 for a credit."""
    applied = memo.amount if memo.amount_to_apply_on_bill is None else memo.amount_to_apply_on_bill
    return -applied if memo.line_item_type is MemoType.CREDIT_MEMO else applied
