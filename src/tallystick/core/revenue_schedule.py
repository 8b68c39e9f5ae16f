"""Which month an amount belongs to: lines of bills spread over the months that they are for, exactly.

Amounts go by calendar days of the bill's time zone, over half-open periods. What is due up to the end of each month is
rounded, once; the last month has what is left, so that the months add up to the line (docs/decisions/0501).
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import msgspec

from tallystick.core.accounting import Role
from tallystick.core.bill import Bill, LineItem, LineItemType
from tallystick.core.journal import ProductOf, month_of
from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.period import Period, local_day
from tallystick.core.quantity import ZERO, divide, multiply, subtract, tidy

# Fees of credit are no revenue: what is drawn of the credit is, by the lines that it pays for.
FEES = frozenset({LineItemType.COMMITMENT_FEE, LineItemType.BALANCE_FEE})
# What corrects an earlier period belongs to the period in which that was found, like any change of an estimate.
CORRECTIONS = frozenset({LineItemType.CREDIT_MEMO, LineItemType.DEBIT_MEMO, LineItemType.MANUAL_ADJUSTMENT})

_ROLES = {
    LineItemType.COMMITMENT_FEE: Role.PREPAID_CREDIT,
    LineItemType.COMMITMENT_CONSUMED: Role.PREPAID_CREDIT,
    LineItemType.BALANCE_CONSUMED: Role.PREPAID_CREDIT,
    LineItemType.BALANCE_FEE: Role.CREDIT_ISSUED,
    LineItemType.CREDIT_DEDUCTION: Role.DISCOUNTS,
    LineItemType.USAGE_CREDIT: Role.DISCOUNTS,
    LineItemType.CREDIT_MEMO: Role.CREDIT_MEMOS,
}


class MonthAmount(msgspec.Struct, frozen=True, kw_only=True):
    """What of an amount belongs to a month, such as 2024-03."""

    month: str
    amount: Decimal


class ScheduledLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A line of a bill and the months that it belongs to, in the currency of the bill. They add up to `amount`.

    `billed` is the month of the bill: what belongs to earlier months is unbilled until then, what belongs to later
    ones is deferred from then on. `role` says what it is booked as: REVENUE, and DISCOUNTS and CREDIT_MEMOS, which
    stand against it; lines of credit are no revenue.
    """

    bill_id: str
    line_item_id: str
    account_id: str
    account_code: str
    type: LineItemType
    role: Role
    description: str
    currency: str
    amount: Decimal
    billed: str
    months: tuple[MonthAmount, ...]
    product: ProductOf | None = None


def months_between(first: date, end: date) -> list[tuple[str, date]]:
    """The months with a day from `first` to before `end`, each with the first day that is not in it any more (at most
    `end`)."""
    found: list[tuple[str, date]] = []
    day = first
    while day < end:
        next_month = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        found.append((month_of(day), min(next_month, end)))
        day = next_month
    return found


def spread(amount: Decimal, first: date, end: date, decimals: int) -> tuple[MonthAmount, ...]:
    """An amount over the months from one day to before another, by days. A stretch without a day is its first day.

    What is due up to the end of a month is rounded half up to `decimals`; an amount that has more itself keeps them in
    the last month.
    """
    days = (end - first).days
    if days <= 0:
        return (MonthAmount(month=month_of(first), amount=tidy(amount)),)
    rounding = Rounding(decimals=decimals, mode=RoundingMode.HALF_UP)
    found: list[MonthAmount] = []
    before = ZERO
    for month, until in months_between(first, end):
        so_far = amount
        if until < end:
            so_far = round_money(divide(multiply(amount, Decimal((until - first).days)), Decimal(days)), rounding)
        found.append(MonthAmount(month=month, amount=tidy(subtract(so_far, before))))
        before = so_far
    return tuple(each for each in found if each.amount)


def served(bill: Bill, line: LineItem) -> tuple[date, date]:
    """The days that a line is for: from the first to before the second."""
    last = bill.end_date - timedelta(days=1)
    if line.line_item_type in FEES:
        return bill.bill_date, bill.bill_date
    start, end = line.service_period_start_date, line.service_period_end_date
    if line.line_item_type in CORRECTIONS or start is None or end is None:
        return last, bill.end_date
    period = Period(start, max(start, end))
    return local_day(period.start, bill.timezone), local_day(period.end, bill.timezone)


def role_of(type: LineItemType) -> Role:
    """What lines of a type are booked as: revenue, what stands against it, or credit, which is no revenue."""
    return _ROLES.get(type, Role.REVENUE)


def product_of(line: LineItem) -> ProductOf | None:
    """The product that a line is booked on: its accounting product, else its product."""
    if line.accounting_product_id is not None:
        return ProductOf(
            id=line.accounting_product_id,
            code=line.accounting_product_code or "",
            name=line.accounting_product_name or "",
        )
    if line.product_id is not None:
        return ProductOf(id=line.product_id, code=line.product_code or "", name=line.product_name or "")
    return None


def schedule_of(bill: Bill, decimals: int) -> tuple[ScheduledLine, ...]:
    """The lines of a bill and the months that they belong to, those without an amount left out."""
    return tuple(
        ScheduledLine(
            bill_id=bill.id,
            line_item_id=line.id,
            account_id=bill.account_id,
            account_code=bill.account_code,
            type=line.line_item_type,
            role=role_of(line.line_item_type),
            description=line.description,
            currency=bill.currency,
            amount=line.converted_subtotal,
            billed=month_of(bill.bill_date),
            months=spread(line.converted_subtotal, *served(bill, line), decimals),
            product=product_of(line),
        )
        for line in bill.line_items
        if line.converted_subtotal
    )
