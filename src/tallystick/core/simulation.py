"""A simulation: what bills of a past period would be under a candidate, a catalogue that is not kept.

The candidate says what is other than it is; all else is as configured now. Each bill is compared with what a run would
make of the same period now, line by line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import zip_longest
from typing import Annotated

import msgspec

from tallystick.core.bill import LineItem
from tallystick.core.bill_job import FIRST_YEAR, LAST_YEAR
from tallystick.core.catalog import Plan, Pricing
from tallystick.core.entity import Id, Value, require_not_negative, wire_name
from tallystick.core.period import Frequency, Instant
from tallystick.core.quantity import ZERO, add, divide, multiply, subtract

MOST_CHANGES = 200
MOST_ACCOUNTS = 100  # that are named; a plan, or all, may have any number
_HUNDRED = Decimal(100)

# The upper ends (inclusive) of the classes of the distribution, in percent of the bill as it is; the last has none.
# A bill that stays as it is stands in a class of its own, and one that was nothing too: it has no percentage.
STEPS = tuple(Decimal(each) for each in (-50, -20, -10, -5, 0, 5, 10, 20, 50))
SAME, FROM_NOTHING = len(STEPS) + 1, len(STEPS) + 2
CLASSES = len(STEPS) + 3


class PlanCandidate(Value, frozen=True, kw_only=True):
    """A plan with other charges. What is left out stays as it is; null is what the template has."""

    id: Id
    standing_charge: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    minimum_spend: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    maximum_spend: Decimal | msgspec.UnsetType | None = msgspec.UNSET

    def check(self) -> None:
        for name in ("standing_charge", "minimum_spend", "maximum_spend"):
            value = getattr(self, name)
            if value is not msgspec.UNSET:
                require_not_negative(value, wire_name(PlanCandidate, name))

    def on(self, plan: Plan) -> Plan:
        """The plan with these charges."""
        names = ("standing_charge", "minimum_spend", "maximum_spend")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not msgspec.UNSET}
        return msgspec.structs.replace(plan, **given)


class PricingCandidate(Pricing, frozen=True, kw_only=True):
    """A whole pricing: in the place of the one with this id, or without an id a new one. With a `version`, that one
    must be at it."""

    id: Id | None = None
    version: int | None = None

    @property
    def pricing(self) -> Pricing:
        """The pricing that it would be."""
        return Pricing(**{name: getattr(self, name) for name in Pricing.__struct_fields__})


class Candidate(Value, frozen=True, kw_only=True):
    """What of the catalogue is other than it is. Nothing at all is allowed: the bills then come out as they are."""

    plans: Annotated[tuple[PlanCandidate, ...], msgspec.Meta(max_length=MOST_CHANGES)] = ()
    pricings: Annotated[tuple[PricingCandidate, ...], msgspec.Meta(max_length=MOST_CHANGES)] = ()
    removed_pricing_ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MOST_CHANGES)] = ()

    def check(self) -> None:
        named = [each.id for each in self.plans]
        named += [each.id for each in self.pricings if each.id is not None]
        named += self.removed_pricing_ids
        for id_ in named:
            if named.count(id_) > 1:
                raise ValueError(f"candidate: {id_} is named twice; say once what becomes of it")


class SimulationRequest(Value, frozen=True, kw_only=True):
    """Which bills: those of the billing periods that end with a day (inclusive), of some accounts, of all that have a
    plan, or of all there are."""

    candidate: Candidate
    last_date_in_billing_period: date
    account_ids: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=MOST_ACCOUNTS)] | None = None
    plan_id: Id | None = None
    billing_frequency: Frequency | None = None

    def check(self) -> None:
        if self.account_ids is not None and self.plan_id is not None:
            raise ValueError("planId: give accountIds or planId, not both")
        if self.billing_frequency is Frequency.MIXED:
            raise ValueError("billingFrequency: give DAILY, WEEKLY, MONTHLY, ANNUALLY or AD_HOC, or leave it out")
        if not FIRST_YEAR <= self.last_date_in_billing_period.year <= LAST_YEAR:
            years = f"{FIRST_YEAR} to {LAST_YEAR}"
            raise ValueError(f"lastDateInBillingPeriod: must be a day of the years {years}")


class ChangedPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A plan as the candidate has it, complete."""

    id: str
    value: Plan


class ChangedPricing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A pricing as the candidate has it, complete: with the ids of its bands."""

    id: str
    value: Pricing


class ChangedEntity(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the candidate has of any other kind, complete, as JSON; without a body it takes it away."""

    kind: str
    id: str
    body: msgspec.Raw | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A candidate that has passed the rules of the catalogue: what would be kept, were it kept."""

    plans: tuple[ChangedPlan, ...] = ()
    pricings: tuple[ChangedPricing, ...] = ()
    removed_pricing_ids: tuple[str, ...] = ()
    others: tuple[ChangedEntity, ...] = ()


# ------------------------------------------------------------------------------------------------------ bills


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
    pays its part. With the outcome FAILS there is a `failure`, and totals only of the side that can be made."""

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


# ------------------------------------------------------------------------------------------------------ effect


class Effect(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a candidate does to all bills of a currency. `distribution` counts bills by the class of their change, see
    STEPS."""

    currency: str
    bills: int
    old_total: Decimal
    new_total: Decimal
    difference: Decimal
    rises: int
    falls: int
    same: int
    distribution: tuple[int, ...]


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
        if bill.old_total is not None and bill.new_total is not None:
            before = by_currency.get(bill.currency) or no_effect(bill.currency)
            by_currency[bill.currency] = _counted(before, bill.outcome, bill.old_total, bill.new_total)
    return tuple(by_currency[each] for each in sorted(by_currency))


def _counted(effect: Effect, outcome: Outcome, old: Decimal, new: Decimal) -> Effect:
    place = class_of(old, new)
    spread = effect.distribution
    return Effect(
        currency=effect.currency,
        bills=effect.bills + 1,
        old_total=add(effect.old_total, old),
        new_total=add(effect.new_total, new),
        difference=add(effect.difference, subtract(new, old)),
        rises=effect.rises + (outcome is Outcome.RISES),
        falls=effect.falls + (outcome is Outcome.FALLS),
        same=effect.same + (outcome is Outcome.SAME),
        distribution=(*spread[:place], spread[place] + 1, *spread[place + 1 :]),
    )


# ------------------------------------------------------------------------------------------------------ job


class SimulationStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def active(self) -> bool:
        """Whether there is something left to do."""
        return self in {SimulationStatus.PENDING, SimulationStatus.RUNNING}


class Simulation(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A simulation as it is kept and answered. Of `total` bills, `done` are simulated and `failed` of those cannot be
    compared. Both sides of every bill are of the journal position `up_to`."""

    id: str
    version: int
    status: SimulationStatus
    request: SimulationRequest
    as_of: Instant
    up_to: int
    total: int
    done: int
    failed: int
    effects: tuple[Effect, ...]
    dt_created: Instant
    created_by: str
    dt_last_modified: Instant
    failure: str | None = None

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        return {"active": "true" if self.status.active else "false"}
