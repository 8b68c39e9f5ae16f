"""What was paid in advance is put right where it turns out different, on the period's own bill, once.

A plan may end early, or be prolonged, after the bill that charged its next period in advance was closed. Then the
period's own bill has the difference between what is due and what was paid (docs/decisions/0144-paid-in-advance.md).
Source: reference 3.4; the rule is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tallystick.core.bill import BillBefore, LineItem, LineItemType
from tallystick.core.lines import Draft, finished
from tallystick.core.period import Instant, Period
from tallystick.core.quantity import subtract, tidy, total
from tallystick.core.terms import Terms
from tallystick.core.working_agreed import PutRight

IN_ADVANCE = frozenset(
    {LineItemType.STANDING_CHARGE, LineItemType.MINIMUM_SPEND, LineItemType.COUNTER_RUNNING_TOTAL_CHARGE}
)
_SHOWN = (
    "product_id",
    "product_name",
    "product_code",
    "accounting_product_id",
    "accounting_product_name",
    "accounting_product_code",
    "aggregation_id",
    "compound_aggregation_id",
    "counter_id",
    "meter_id",
    "plan_id",
    "plan_group_id",
    "pricing_id",
    "contract_id",
)


def paid_ahead(lines: Sequence[LineItem], end: Instant) -> tuple[LineItem, ...]:
    """The lines of a bill that charge the time after its end."""
    return tuple(
        line
        for line in lines
        if line.line_item_type in IN_ADVANCE
        and line.service_period_start_date is not None
        and line.service_period_start_date >= end
    )


def differences(terms: Terms, due: Sequence[Draft]) -> Iterator[Draft]:
    """Lines for what is due in advance for this period by now (`due`), less what the closed bills before it charged.

    A consolidated bill has periods that begin at different times, each with closed bills of its own before it.
    """
    for end in sorted({before.end for before in terms.agreements.before}):
        closed = [before for before in terms.agreements.before if before.end == end]
        owed = [finished(terms.bill_id, draft, 0).item for draft in due if _begins(draft) == end]
        owed = [line for line in owed if any(each.of is None or owner(line) in each.of for each in closed)]
        charged = [line for before in closed for line in before.lines]
        for key in sorted({_key(line) for line in (*owed, *charged)}):
            mine = [line for line in owed if _key(line) == key]
            yield from _difference(terms, closed[0], mine, [line for line in charged if _key(line) == key], key)


def owner(line: LineItem) -> str:
    """The plan, or the group of plans, that a line is charged by."""
    return line.plan_id or line.plan_group_id or ""


def _begins(draft: Draft) -> Instant:
    """Where the billing period of a charge that is due in advance begins."""
    return draft.account_plan.period.start if draft.account_plan else draft.service.start


def _difference(
    terms: Terms, before: BillBefore, owed: list[LineItem], paid: list[LineItem], key: str
) -> Iterator[Draft]:
    wanted, was = (total(line.subtotal for line in lines) for lines in (owed, paid))
    exact = tidy(subtract(wanted, was))
    if not exact:
        return
    like = (paid or owed)[0]
    yield Draft(
        conversion=terms.conversion(like.currency),
        type=like.line_item_type,
        description=like.description,
        service=_service(owed, paid),
        exact=exact,
        working=(PutRight(bill_id=before.bill_id, due=wanted, paid=was, amount=exact),),
        accounting_product=None,
        of=f"{before.bill_id}/{key}",
        fields={name: getattr(like, name) for name in _SHOWN},
    )


def _service(owed: list[LineItem], paid: list[LineItem]) -> Period:
    """The time that the difference is about: between the two ends where both begin together, else all of it."""
    starts = [each for line in (*owed, *paid) if (each := line.service_period_start_date)]
    ends = sorted(each for line in (*owed, *paid) if (each := line.service_period_end_date))
    if owed and paid and len(set(starts)) == 1 and ends[0] < ends[-1]:
        return Period(ends[0], ends[-1])
    return Period(min(starts), ends[-1])


def _key(line: LineItem) -> str:
    """What a charge is for, whichever bill it is on."""
    of = (line.plan_id, line.plan_group_id, line.pricing_id, line.counter_id, line.contract_id, line.currency)
    return "/".join((line.line_item_type, *(each or "" for each in of)))


def with_before(terms: Terms, before: tuple[BillBefore, ...]) -> Terms:
    """The terms of a bill that puts right what these closed bills charged in advance."""
    return msgspec.structs.replace(terms, agreements=msgspec.structs.replace(terms.agreements, before=before))
