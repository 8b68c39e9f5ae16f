"""A bill as Stripe will have it. Nothing is sent here.

Amounts become Stripe's minor units exactly. What cannot be expressed there is refused with a reason and never rounded
(docs/decisions/0491-stripe.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from tallystick.core.bill import Bill, LineItem, LineItemType
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, plain

SYSTEM = "Stripe"  # how external mappings call it
MOST_LINES = 250  # that an invoice of Stripe has at most
DESCRIPTION = 500  # characters of a line
# Stripe's own lists. UGX is in none: its documents name it with no decimals and with two, a factor of a hundred.
ZERO_DECIMALS = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
THREE_DECIMALS = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))  # of which the last must be 0
WHOLE_UNITS = frozenset({"ISK"})  # written with two decimals, which must be 0
UNCLEAR = frozenset({"UGX"})


class Unexpressible(Exception):
    """A bill, or a setting, that Stripe cannot have as it is; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeLine:
    """A line as Stripe will have it: `amount` in minor units, `period` in seconds, both ends within it."""

    id: str
    amount: int
    description: str
    period: tuple[int, int] | None
    metadata: dict[str, str]
    credit: bool = False  # a credit that somebody put on the bill: can become a credit note


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeInvoice:
    """A bill as Stripe will have it. The same revision is the same content."""

    bill_id: str
    revision: str
    currency: str
    total: int
    lines: tuple[StripeLine, ...]
    description: str
    due_date: date
    metadata: dict[str, str]


def minor_units(amount: Decimal, currency: str) -> int:
    """An amount in Stripe's smallest unit of the currency. Unexpressible for what would need rounding."""
    decimals, step = _units(currency)
    scaled = amount.scaleb(decimals)
    if scaled != scaled.to_integral_value() or int(scaled) % step:
        least = plain(Decimal(step).scaleb(-decimals))
        raise Unexpressible(
            f"{plain(amount)} {currency} cannot be charged by Stripe, which takes multiples of {least} {currency}: "
            "set the decimals of the currency accordingly and calculate the bill again"
        )
    return int(scaled)


def major_units(minor: int, currency: str) -> Decimal:
    """An amount of Stripe's as it is written here. Unexpressible for a currency that it has not."""
    return Decimal(minor).scaleb(-_units(currency)[0])


def _units(currency: str) -> tuple[int, int]:
    """How many decimals Stripe writes a currency with, and which multiples of the smallest unit it takes."""
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
        raise Unexpressible(f"{currency} is no currency that Stripe has: bill in one of ISO 4217, such as USD")
    code = currency.upper()
    if code in UNCLEAR:
        raise Unexpressible(f"what Stripe takes as the smallest unit of {code} is not clear; bill in another currency")
    if code in ZERO_DECIMALS:
        return 0, 1
    if code in THREE_DECIMALS:
        return 3, 10
    return 2, 100 if code in WHOLE_UNITS else 1


def invoice_of(bill: Bill, digest: str, organization_id: str) -> StripeInvoice:
    """A bill as Stripe will have it. Unexpressible where an amount is, or where the lines do not make up the total."""
    lines = tuple(_line(bill, line) for line in bill.line_items)
    total = minor_units(bill.bill_total, bill.currency)
    if sum(line.amount for line in lines) != total:
        lines_come_to = plain(_sum(bill.line_items))
        raise Unexpressible(f"the lines come to {lines_come_to} {bill.currency}, the bill to {plain(bill.bill_total)}")
    last = bill.end_date - timedelta(days=1)
    number = f"{bill.sequential_invoice_number}, " if bill.sequential_invoice_number else ""
    order = f", purchase order {bill.purchase_order_number}" if bill.purchase_order_number else ""
    return StripeInvoice(
        bill_id=bill.id,
        revision=digest[:32],
        currency=bill.currency.lower(),
        total=total,
        lines=fitting(lines),
        description=f"{number}{bill.start_date} to {last}{order}"[:DESCRIPTION],
        due_date=bill.due_date,
        metadata={
            "tallystick_organization": organization_id,
            "tallystick_bill": bill.id,
            "tallystick_revision": digest[:32],
            "tallystick_account": bill.account_id,
        },
    )


def fitting(lines: Sequence[StripeLine]) -> tuple[StripeLine, ...]:
    """At most as many lines as an invoice can have: the first as they are, and one for the rest, which loses none of
    the money. The bill here has them all."""
    if len(lines) <= MOST_LINES:
        return tuple(lines)
    kept, rest = tuple(lines[: MOST_LINES - 1]), lines[MOST_LINES - 1 :]
    periods = [each.period for each in rest if each.period is not None]
    together = StripeLine(
        id=f"rest-of-{len(lines)}",
        amount=sum(each.amount for each in rest),
        description=f"{len(rest)} further lines, see the bill",
        period=(min(start for start, _ in periods), max(end for _, end in periods)) if periods else None,
        metadata={"tallystick_line": f"rest-of-{len(lines)}", "tallystick_lines": str(len(rest))},
    )
    return (*kept, together)


def _line(bill: Bill, line: LineItem) -> StripeLine:
    start, end = line.service_period_start_date, line.service_period_end_date
    quantity = f" ({plain(line.units)} {line.unit})" if line.unit else ""
    metadata = {
        "tallystick_line": line.id,
        "tallystick_bill": bill.id,
        "tallystick_type": line.line_item_type.value,
        "tallystick_quantity": plain(line.quantity),
        "tallystick_product": line.product_code,
    }
    return StripeLine(
        id=line.id,
        amount=minor_units(line.converted_subtotal, bill.currency),
        description=f"{line.description[: DESCRIPTION - len(quantity)]}{quantity}",
        period=None if start is None or end is None else _seconds(start, end),
        metadata={name: text[:500] for name, text in metadata.items() if text},
        credit=line.line_item_type is LineItemType.CREDIT_MEMO and line.converted_subtotal < 0,
    )


def _seconds(start: Instant, end: Instant) -> tuple[int, int]:
    """A half-open period as Stripe has it, where the end belongs to it."""
    first = int(start.timestamp())
    return first, max(first, int(end.timestamp()) - 1)


def _sum(lines: Sequence[LineItem]) -> Decimal:
    total = ZERO
    for line in lines:
        total = add(total, line.converted_subtotal)
    return total
