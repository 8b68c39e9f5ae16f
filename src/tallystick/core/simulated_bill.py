"""A simulated bill: as it is, as it would be under a candidate, and as a cap would have it; line by line.

What a simulation counts of its bills (`Effect`) is in `simulation_effect`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from itertools import zip_longest

import msgspec

from tallystick.core.bill import LineItem
from tallystick.core.entity import Value, require_not_negative
from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.period import Frequency, Instant
from tallystick.core.quantity import ZERO, add, divide, multiply, subtract

_HUNDRED = Decimal(100)


class Outcome(StrEnum):
    """How a bill under the candidate stands to the bill as it is."""

    RISES = "RISES"
    FALLS = "FALLS"
    SAME = "SAME"
    FAILS = "FAILS"  # one of the two cannot be made


class LinePair(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """A line of a bill as it is and as it would be, in the currency of the bill; a side without it has none."""

    line_item_type: str
    description: str
    unit: str
    difference: Decimal
    old_units: Decimal | None = None
    new_units: Decimal | None = None
    old_amount: Decimal | None = None
    new_amount: Decimal | None = None
    aggregation_id: str | None = None
    compound_aggregation_id: str | None = None
    segment: dict[str, str] | None = None


class SimulatedBill(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """A bill as it is and as it would be. Totals are what the customer pays, after credit; charges are before credit
    pays its part. With the outcome FAILS there is a `failure`, and totals only of the side that can be made.

    Where a cap is asked for and holds this bill down, `capped_total` is what it comes to then, and `cap_cost` what is
    forgone by it. `income` and `cost` are what measurements say of their own, where a meter has such fields.
    `segments` says which customers it belongs to, by what was asked for."""

    account_id: str
    account_code: str
    billing_frequency: Frequency
    start_date_time_utc: Instant = msgspec.field(name="startDateTimeUTC")
    end_date_time_utc: Instant = msgspec.field(name="endDateTimeUTC")
    currency: str
    outcome: Outcome
    difference: Decimal
    old_total: Decimal | None = None
    new_total: Decimal | None = None
    old_charges: Decimal | None = None
    new_charges: Decimal | None = None
    lines: tuple[LinePair, ...] | None = None
    failure: str | None = None
    capped_total: Decimal | None = None
    cap_cost: Decimal | None = None
    income: Decimal | None = None
    cost: Decimal | None = None
    segments: dict[str, str] | None = None


class Cap(Value, frozen=True, kw_only=True):
    """A rule by which no bill rises by more than a percentage of what it is. A bill that was nothing has no percentage
    and is left alone."""

    percent: Decimal

    def check(self) -> None:
        require_not_negative(self.percent, "percent")

    def on(self, old: Decimal, new: Decimal, rounding: Rounding) -> Decimal:
        """What a bill comes to under the cap: rounded down, so that it never rises by more."""
        if not old or new <= old:
            return new
        most = add(old, divide(multiply(old.copy_abs(), self.percent), _HUNDRED))
        floor = Rounding(decimals=rounding.decimals, mode=RoundingMode.FLOOR)
        return min(new, round_money(most, floor))


class Besides(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about each bill besides its totals; see `SimulationRequest`."""

    with_lines: bool = True
    segment_by: tuple[str, ...] = ()
    cap: Cap | None = None


NOTHING_BESIDES = Besides()


def outcome_of(old: Decimal, new: Decimal) -> Outcome:
    """Whether a bill rises, falls or stays."""
    return Outcome.SAME if new == old else Outcome.RISES if new > old else Outcome.FALLS


def pairs_of(old: Sequence[LineItem], new: Sequence[LineItem]) -> tuple[LinePair, ...]:
    """The lines of two bills side by side: lines for the same thing in their order, then those that only the second
    bill has."""
    groups: dict[tuple[object, ...], tuple[list[LineItem], list[LineItem]]] = {}
    for side, lines in enumerate((old, new)):
        for line in lines:
            groups.setdefault(_what(line), ([], []))[side].append(line)
    return tuple(_pair(a, b) for first, second in groups.values() for a, b in zip_longest(first, second))


def _what(line: LineItem) -> tuple[object, ...]:
    """What a line is for, whatever it is priced by."""
    return (
        line.line_item_type,
        line.plan_id,
        line.plan_group_id,
        line.aggregation_id,
        line.compound_aggregation_id,
        line.counter_id,
        line.commitment_id,
        line.balance_id,
        line.charge_id,
        line.child_account_id,
        line.referenced_bill_id,
        tuple((line.segment or {}).items()),
        tuple((line.group or {}).items()),
    )


def _pair(old: LineItem | None, new: LineItem | None) -> LinePair:
    line = new or old
    assert line is not None, "a pair has at least one line"
    return LinePair(
        line_item_type=str(line.line_item_type),
        description=line.description,
        unit=line.unit,
        difference=subtract(new.converted_subtotal if new else ZERO, old.converted_subtotal if old else ZERO),
        old_units=old.units if old else None,
        new_units=new.units if new else None,
        old_amount=old.converted_subtotal if old else None,
        new_amount=new.converted_subtotal if new else None,
        aggregation_id=line.aggregation_id,
        compound_aggregation_id=line.compound_aggregation_id,
        segment=line.segment,
    )
