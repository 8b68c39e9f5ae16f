"""What a candidate does to many bills: sums, winners and losers, how changes are spread, and the same by segments of
customers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from tallystick.core.quantity import ZERO, add, divide, multiply, subtract
from tallystick.core.simulated_bill import Outcome, SimulatedBill

_HUNDRED = Decimal(100)
MOST_SEGMENTS = 200  # values of one thing that customers are told apart by; all further ones count as one
OTHERS = "(others)"

# The upper ends (inclusive) of the classes of the distribution, in percent of the bill as it is; the last has none.
# A bill that stays as it is stands in a class of its own, and one that was nothing too: it has no percentage.
STEPS = tuple(Decimal(each) for each in (-50, -20, -10, -5, 0, 5, 10, 20, 50))
SAME, FROM_NOTHING = len(STEPS) + 1, len(STEPS) + 2
CLASSES = len(STEPS) + 3


class Effect(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a candidate does to all bills of a currency. `distribution` counts bills by the class of their change, see
    STEPS. Charges are before credit: what is earned. Of `cap_bills` a cap holds down the rise, which forgoes
    `cap_cost`. `income` and `cost` are of the `measured` bills, whose usage says so, and charges of those stand beside
    them: their margin is what they charge less what they cost."""

    currency: str
    bills: int
    old_total: Decimal
    new_total: Decimal
    difference: Decimal
    rises: int
    falls: int
    same: int
    distribution: tuple[int, ...]
    old_charges: Decimal
    new_charges: Decimal
    cap_bills: int
    cap_cost: Decimal
    measured: int
    income: Decimal
    cost: Decimal
    old_measured_charges: Decimal
    new_measured_charges: Decimal

    @property
    def margins(self) -> tuple[Decimal, Decimal] | None:
        """What is left of the charges after cost, as they are and as they would be, of bills whose cost is known."""
        if not self.measured:
            return None
        return subtract(self.old_measured_charges, self.cost), subtract(self.new_measured_charges, self.cost)


class SegmentEffect(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a candidate does to the bills of some customers: those with a `value` of what they are told apart by."""

    by: str
    value: str
    effect: Effect


def no_effect(currency: str) -> Effect:
    """That of a candidate on no bills."""
    return Effect(
        currency=currency,
        bills=0,
        old_total=ZERO,
        new_total=ZERO,
        difference=ZERO,
        rises=0,
        falls=0,
        same=0,
        distribution=(0,) * CLASSES,
        old_charges=ZERO,
        new_charges=ZERO,
        cap_bills=0,
        cap_cost=ZERO,
        measured=0,
        income=ZERO,
        cost=ZERO,
        old_measured_charges=ZERO,
        new_measured_charges=ZERO,
    )


def class_of(old: Decimal, new: Decimal) -> int:
    """The place in the distribution of a bill that changes so."""
    if new == old:
        return SAME
    if not old:
        return FROM_NOTHING
    percent = divide(multiply(subtract(new, old), _HUNDRED), old.copy_abs())
    return next((place for place, end in enumerate(STEPS) if percent <= end), len(STEPS))


def with_bills(effects: Sequence[Effect], bills: Iterable[SimulatedBill]) -> tuple[Effect, ...]:
    """The effects by currency with more bills counted; those that cannot be compared are left out."""
    by_currency = {each.currency: each for each in effects}
    for bill in bills:
        if _comparable(bill):
            before = by_currency.get(bill.currency) or no_effect(bill.currency)
            by_currency[bill.currency] = _counted(before, bill)
    return tuple(by_currency[each] for each in sorted(by_currency))


def with_segments(segments: Sequence[SegmentEffect], bills: Iterable[SimulatedBill]) -> tuple[SegmentEffect, ...]:
    """The effects by segment and currency with more bills counted, in order of what tells them apart."""
    found = {(each.by, each.value, each.effect.currency): each.effect for each in segments}
    values: dict[str, set[str]] = {}
    for by, value, _ in found:
        values.setdefault(by, set()).add(value)
    for bill in filter(_comparable, bills):
        for by, own in (bill.segments or {}).items():
            known = values.setdefault(by, set())
            value = own if own in known or len(known) < MOST_SEGMENTS else OTHERS
            known.add(value)
            key = by, value, bill.currency
            found[key] = _counted(found.get(key) or no_effect(bill.currency), bill)
    return tuple(SegmentEffect(by=by, value=value, effect=found[by, value, of]) for by, value, of in sorted(found))


def _comparable(bill: SimulatedBill) -> bool:
    return bill.old_total is not None and bill.new_total is not None and bill.outcome is not Outcome.FAILS


def _counted(effect: Effect, bill: SimulatedBill) -> Effect:
    old, new = _given(bill.old_total), _given(bill.new_total)
    old_charges, new_charges = _given(bill.old_charges), _given(bill.new_charges)
    place, spread = class_of(old, new), effect.distribution
    measured = bill.cost is not None or bill.income is not None
    return Effect(
        currency=effect.currency,
        bills=effect.bills + 1,
        old_total=add(effect.old_total, old),
        new_total=add(effect.new_total, new),
        difference=add(effect.difference, subtract(new, old)),
        rises=effect.rises + (bill.outcome is Outcome.RISES),
        falls=effect.falls + (bill.outcome is Outcome.FALLS),
        same=effect.same + (bill.outcome is Outcome.SAME),
        distribution=(*spread[:place], spread[place] + 1, *spread[place + 1 :]),
        old_charges=add(effect.old_charges, old_charges),
        new_charges=add(effect.new_charges, new_charges),
        cap_bills=effect.cap_bills + (bill.cap_cost is not None),
        cap_cost=add(effect.cap_cost, _given(bill.cap_cost)),
        measured=effect.measured + measured,
        income=add(effect.income, _given(bill.income)),
        cost=add(effect.cost, _given(bill.cost)),
        old_measured_charges=add(effect.old_measured_charges, old_charges if measured else ZERO),
        new_measured_charges=add(effect.new_measured_charges, new_charges if measured else ZERO),
    )


def _given(amount: Decimal | None) -> Decimal:
    return ZERO if amount is None else amount
