"""Late usage of a bill that stays as it is: lines for the difference on the next bill.

The difference is that of two results of the same `rate`, line by line: with the usage that is known now, and with what
the bill measured. What other bills have adjusted already is taken off, so that everything counts once
(docs/decisions/0152-late-usage.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core.bill import EarlierBill, LineItem, LineItemType
from tallystick.core.ids import named_id
from tallystick.core.lines import Draft, RatedLine, finished
from tallystick.core.period import Period, local_day
from tallystick.core.quantity import ZERO, add, subtract, tidy
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.core.working import Adjusted

KIND = "billadjustment"
NAMED = (
    *("product_id", "product_name", "product_code"),
    *("accounting_product_id", "accounting_product_name", "accounting_product_code"),
    *("aggregation_id", "compound_aggregation_id", "meter_id", "plan_id", "plan_group_id", "pricing_id"),
    *("contract_id", "counter_id", "segment", "child_account_id", "child_account_code"),
)


class Adjustment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one bill adjusts of an earlier one, by line of that, in its currency: document kind `billadjustment`."""

    id: str
    account_id: str
    bill_id: str
    adjusted_bill_id: str
    amounts: dict[str, Decimal]
    memo: bool = False  # of a correction: `bill_id` is the memo's


def period_of_earlier(account_id: str, earlier: EarlierBill) -> AccountPeriod:
    """What an earlier bill is the bill of."""
    return AccountPeriod(
        account_id=account_id,
        frequency=earlier.billing_frequency,
        interval=earlier.bill_frequency_interval,
        period=earlier.period,
        parameters=earlier.parameters,
        grouping=earlier.grouping,
    )


def adjustment_lines(
    terms: Terms, earlier: EarlierBill, then: Iterable[RatedLine], now: Iterable[RatedLine], first_number: int
) -> tuple[RatedLine, ...]:
    """The lines on the bill of `terms` for an earlier bill; none where nothing differs.

    `then` and `now` are that bill's lines as rated from what it measured and from what is measured now. Refusals:
    `missing_conversion_rate` when the two bills have different currencies, `rounding_forbidden`.
    """
    billed = {each.item.id: each.item for each in then}
    present = {each.item.id: each.item for each in now}
    drafts = [
        draft
        for id_ in dict.fromkeys((*present, *billed, *sorted(earlier.elsewhere)))
        if (draft := _draft(terms, earlier, id_, billed.get(id_), present.get(id_)))
    ]
    return tuple(finished(terms.bill_id, draft, number) for number, draft in enumerate(drafts, start=first_number))


def _draft(
    terms: Terms, earlier: EarlierBill, line_id: str, billed: LineItem | None, present: LineItem | None
) -> Draft | None:
    was = billed.converted_subtotal if billed else ZERO
    is_ = present.converted_subtotal if present else ZERO
    elsewhere = earlier.elsewhere.get(line_id, ZERO)
    amount = tidy(subtract(subtract(is_, was), elsewhere))
    if not amount:
        return None
    line = present or billed
    step = Adjusted(
        start=earlier.period.start,
        end=earlier.period.end,
        bill_id=earlier.bill_id,
        now=is_,
        billed=was,
        elsewhere=elsewhere,
        amount=amount,
    )
    fields: dict[str, Any] = {name: getattr(line, name) for name in NAMED} if line else {}
    fields |= {"referenced_bill_id": earlier.bill_id, "referenced_line_item_id": line_id}
    return Draft(
        conversion=terms.conversion(earlier.currency),
        type=LineItemType.MANUAL_ADJUSTMENT,
        description=f"{line.description if line else 'Usage'}, {_days(earlier.period, terms.zone)}",
        service=earlier.period,
        exact=amount,
        working=(step,),
        accounting_product=None,
        of=f"{earlier.bill_id}/{line_id}",
        fields={name: value for name, value in fields.items() if value is not None},
        counts_as=line.line_item_type if line else None,
    )


def _days(period: Period, zone: str) -> str:
    last = local_day(period.end, zone) - timedelta(days=1)
    return f"adjustment for {local_day(period.start, zone)} to {last}"


def adjustments_of(account_id: str, bill_id: str, lines: Iterable[LineItem]) -> list[Adjustment]:
    """What the lines of a bill adjust of earlier ones, as it is kept."""
    amounts: dict[str, dict[str, Decimal]] = {}
    for line in lines:
        if line.line_item_type is LineItemType.MANUAL_ADJUSTMENT and line.referenced_bill_id:
            assert line.referenced_line_item_id is not None, "an adjustment names the line that it adjusts"
            amounts.setdefault(line.referenced_bill_id, {})[line.referenced_line_item_id] = line.subtotal
    return [
        Adjustment(
            id=named_id(bill_id, f"adjustment/{of}"),
            account_id=account_id,
            bill_id=bill_id,
            adjusted_bill_id=of,
            amounts=by_line,
        )
        for of, by_line in amounts.items()
    ]


def elsewhere(adjustments: Sequence[Adjustment], of_bill: str, by_bill: str) -> dict[str, Decimal]:
    """What bills other than `by_bill` have adjusted of one, by line; what comes to nothing is left out."""
    found: dict[str, Decimal] = {}
    for each in adjustments:
        if each.adjusted_bill_id == of_bill and each.bill_id != by_bill:
            for line_id, amount in each.amounts.items():
                found[line_id] = add(found.get(line_id, ZERO), amount)
    return {line_id: tidy(amount) for line_id, amount in sorted(found.items()) if amount}
