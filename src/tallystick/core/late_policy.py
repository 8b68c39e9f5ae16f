"""Late usage: how long a bill waits for it, when it is late at all, and what becomes of it once the bill stays.

An extension of ours (docs/decisions/0423-late-data.md). What an approved bill does is said by the organisation's
`lateUsage`; here is what holds for one meter, or for all without a policy of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.bill import Bill
from tallystick.core.entity import Id, Value
from tallystick.core.period import Instant


class OnClosedBill(StrEnum):
    """What becomes of usage that comes after its bill became final."""

    ADJUST_NEXT_BILL = "ADJUST_NEXT_BILL"  # the next bill has a line for the difference
    REPORT = "REPORT"  # it is not billed, and the report of late usage names it


class LatePolicy(Value, frozen=True, kw_only=True):
    """What holds for late usage of one meter, or with no meter for the whole organisation.

    A bill that charges for the meter may be approved `grace_hours` after the end of its period. What arrives within
    `allowance_minutes` of that end is on time.
    """

    kind: ClassVar[str] = "latepolicy"
    references: ClassVar[tuple[str, ...]] = ("meter_id",)

    meter_id: Id | None = None
    grace_hours: Annotated[int, msgspec.Meta(ge=0, le=8_784)] = 0
    allowance_minutes: Annotated[int, msgspec.Meta(ge=0, le=44_640)] = 0
    on_closed_bill: OnClosedBill = OnClosedBill.ADJUST_NEXT_BILL


class LatePolicies(msgspec.Struct, frozen=True):
    """The policies of an organisation: its own, and those of meters by id."""

    own: LatePolicy
    meters: Mapping[str, LatePolicy]

    def of(self, meter_id: str | None) -> LatePolicy:
        """The meter's own, else the organisation's."""
        return self.meters.get(meter_id or "", self.own)

    def approvable_from(self, bill: Bill) -> Instant:
        """From when on a bill may be approved: after the longest wait of what it charges for."""
        meters = {line.meter_id for line in bill.line_items if line.meter_id is not None}
        hours = max((self.of(each).grace_hours for each in meters), default=self.own.grace_hours)
        return Instant.of(bill.end_date_time_utc + timedelta(hours=hours))

    def late_from(self, meter_id: str, end: Instant) -> Instant:
        """From when on what belongs to a period that ended is late."""
        return Instant.of(end + timedelta(minutes=self.of(meter_id).allowance_minutes))

    def reported(self, meter_ids: Iterable[str]) -> tuple[str, ...]:
        """Those of the meters whose late usage is reported rather than billed once a bill is final."""
        return tuple(sorted({each for each in meter_ids if self.of(each).on_closed_bill is OnClosedBill.REPORT}))

    @property
    def waits(self) -> bool:
        """Whether any of them lets bills wait."""
        return any(each.grace_hours for each in (self.own, *self.meters.values()))


def policies_of(every: Collection[LatePolicy]) -> LatePolicies:
    """The policies as they stand beside each other."""
    own = next((each for each in every if each.meter_id is None), LatePolicy())
    return LatePolicies(own=own, meters={each.meter_id: each for each in every if each.meter_id is not None})


class LateOutcome(StrEnum):
    """Where late usage was billed."""

    ON_THE_BILL = "ON_THE_BILL"  # it came before the bill was calculated last
    ADJUSTED = "ADJUSTED"  # a later bill has a line for the difference
    NEXT_CALCULATION = "NEXT_CALCULATION"  # the bill is not final: it has it when it is calculated again
    NEXT_BILL = "NEXT_BILL"  # the next bill of the account will have a line for it, if it makes a difference
    REPORTED = "REPORTED"  # it is not billed, by the policy of its meter


class AdjustedOn(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a bill has charged for late usage of an earlier one, in the currency of that."""

    bill_id: str
    amount: Decimal


class LateUsageEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Measurements of a meter that came after the period of a bill, and where they were billed.

    `late` of them came after the end and the allowance; `after_bill` after the bill was calculated last.
    """

    bill_id: str
    account_id: str
    account_code: str
    start_date: Instant
    end_date: Instant
    meter_id: str
    late: int
    after_bill: int
    last_received: Instant
    outcome: LateOutcome
    adjusted_on: tuple[AdjustedOn, ...] = ()
