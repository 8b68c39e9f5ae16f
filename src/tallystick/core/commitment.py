"""What a commitment costs: its fees, spread over the bills of a plan or agreed for single days.

Source: reference 2.6, 3.6; docs/decisions/0123-fees-of-commitments.md.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

import msgspec

from tallystick.core.credit_types import Commitment, CommitmentFee
from tallystick.core.period import Grid, Period
from tallystick.core.quantity import ZERO, divide, multiply, subtract
from tallystick.core.working import FeeAgreed, FeeShare, Steps

Rounded = Callable[[Decimal], Decimal]


class Fee(msgspec.Struct, frozen=True, kw_only=True):
    """An amount of a commitment's currency that is due on one bill, for a stretch of service.

    `number` counts the fees of the commitment from 1; `billed` is the billing period that the fee is for, None for one
    that is agreed for a day.
    """

    number: int
    exact: Decimal
    service: Period
    billed: Period | None
    working: tuple[Steps, ...]


def plan_fees(commitment: Commitment, term: Period, grid: Grid, money: Rounded) -> tuple[Fee, ...]:
    """The fees of a commitment over the bills of a plan, in order: with those that were paid beforehand they add up
    to its amount exactly.

    The bills are those that close within the term; of these, from `billing_offset` on, every `billing_interval`-th has
    a fee. The first takes `amount_first_bill` where that is given, the others the rest in equal parts, rounded from the
    start. `money` rounds to the commitment's currency.
    """
    outstanding = subtract(commitment.amount, commitment.amount_pre_paid or ZERO)
    periods = list(grid.between(term.start, term.end))
    closing = [period for period in periods if period.end <= term.end] or periods[:1]
    chosen = closing[commitment.billing_offset :: commitment.billing_interval] or closing[-1:]
    amounts = _spread(outstanding, len(chosen), commitment.amount_first_bill, money)
    fees = []
    for index, (period, amount) in enumerate(zip(chosen, amounts, strict=True)):
        end = chosen[index + 1].start if index + 1 < len(chosen) else term.end
        step = FeeShare(
            amount=commitment.amount,
            prepaid=commitment.amount_pre_paid or ZERO,
            number=index + 1,
            fees=len(chosen),
            first=commitment.amount_first_bill,
            fee=amount,
        )
        service = Period(max(period.start, term.start), end)
        fees.append(Fee(number=index + 1, exact=amount, service=service, billed=period, working=(step,)))
    return tuple(fee for fee in fees if fee.exact)


def _spread(outstanding: Decimal, bills: int, first: Decimal | None, money: Rounded) -> list[Decimal]:
    """An amount over bills: the first as agreed, the others alike. What is due so far is rounded, and never above the
    amount, so that no fee is negative and all of them add up to it."""
    if bills == 1:
        return [outstanding]
    head = [] if first is None else [first]
    rest, places = subtract(outstanding, first or ZERO), bills - len(head)
    shares = (divide(multiply(rest, Decimal(number)), Decimal(places)) for number in range(1, places))
    so_far = [ZERO, *(min(money(each), rest) for each in shares), rest]
    return [*head, *(subtract(after, before) for before, after in pairwise(so_far))]


def fees_on(fees: tuple[Fee, ...], period: Period, term: Period, grid: Grid, *, in_advance: bool) -> list[Fee]:
    """The fees that stand on the bill of a period of the plan's grid.

    In arrears a fee stands on the bill of its own period, in advance on the one before it, unless that was before the
    term of the commitment.
    """
    own = [fee for fee in fees if fee.billed == period]
    if not in_advance:
        return own
    following = grid.next(period)
    first = own if period.start <= term.start else []
    return first + [fee for fee in fees if fee.billed == following and following.start > term.start]


def agreed_fees(commitment: Commitment) -> tuple[tuple[CommitmentFee, Fee], ...]:
    """The fees that are agreed for single days, with the agreement."""
    return tuple(
        (
            agreed,
            Fee(
                number=number,
                exact=agreed.amount,
                service=Period(agreed.service_period_start_date, agreed.service_period_end_date),
                billed=None,
                working=(FeeAgreed(day=agreed.date, fee=agreed.amount),),
            ),
        )
        for number, agreed in enumerate(commitment.fee_dates, start=1)
    )
