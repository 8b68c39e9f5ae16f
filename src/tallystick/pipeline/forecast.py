"""What the open billing periods of an account will come to: the bill of the period, had it gone on at the same pace.

The method has a name, PACE: what adds up (SUM, COUNT) is taken to grow to the end of the period as it has grown so far;
a maximum, a number of users and all else stays what it is now. The result is rated by the very calculation of a bill
run. Of what begins later in the period (a price, a credit) it says what has been used by now, which is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

import msgspec

from tallystick.core.aggregation import Measured, Method, Question
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillFailure
from tallystick.core.period import Instant, Period, microseconds
from tallystick.core.quantity import EXACT_DIGITS, ONE, QUANTITY_DECIMALS, divide, multiply, tidy
from tallystick.core.running import Collected
from tallystick.pipeline.bill import Run, preview
from tallystick.pipeline.periods import account_periods, holding
from tallystick.ports import OrganizationRecords, OrganizationUsage
from tallystick.ports.passed_on import PassedOn

PACE = "PACE"
SHORTEST = timedelta(hours=6)  # of a period must be over: before that, a pace says nothing
NO_JOB = ""
_FINEST = Decimal(1).scaleb(-QUANTITY_DECIMALS)
_ROUNDING = Context(prec=EXACT_DIGITS, rounding=ROUND_HALF_EVEN)
_GROWING = frozenset({Method.SUM, Method.COUNT})


def forecast_bills(
    records: OrganizationRecords, usage: OrganizationUsage, account_id: str, *, now: Instant, up_to: int
) -> list[BillRecord | BillFailure]:
    """The bills of the periods that are open now, as they would be at their ends by the method PACE. Periods that have
    only begun are left out. Nothing is written."""
    return forecasts(records, usage, (account_id,), now=now, up_to=up_to)[account_id]


def forecasts(
    records: OrganizationRecords, usage: OrganizationUsage, account_ids: Sequence[str], *, now: Instant, up_to: int
) -> dict[str, list[BillRecord | BillFailure]]:
    """The same of many accounts, by account."""
    found: dict[str, list[BillRecord | BillFailure]] = {id_: [] for id_ in account_ids}
    periods = account_periods(records, holding(now), account_ids=account_ids) if account_ids else []
    begun = [of for of in periods if now - of.period.start >= SHORTEST]
    run = Run(job_id=NO_JOB, as_of=now, up_to=up_to, actor_id="")
    for of, each in zip(begun, preview(records, AtThisPace(usage, now), begun, run), strict=True):
        found[of.account_id].append(each)
    return found


class AtThisPace(PassedOn):
    """Usage in which every window that `now` lies in is over, and what adds up has gone on as before."""

    def __init__(self, usage: OrganizationUsage, now: Instant) -> None:
        super().__init__(usage)
        self._now = now

    def measure(self, question: Question) -> Iterable[Measured]:
        found = self._usage.measure(question)
        period = question.period
        if question.method not in _GROWING or question.event_bounds or not period.start < self._now < period.end:
            return found
        return [self._grown(each, question) for each in found]

    def _grown(self, measured: Measured, question: Question) -> Measured:
        whole = Decimal(microseconds(question.period))
        over = Decimal(microseconds(Period(question.period.start, self._now)))
        step = ONE if question.method is Method.COUNT else _FINEST
        grown = tidy(divide(multiply(measured.total, whole), over).quantize(step, context=_ROUNDING))
        return msgspec.structs.replace(measured, total=grown)

    def collect(self, question: Question, *, after: int, most: int) -> list[Collected] | None:
        return None  # what is forecast is not added to
