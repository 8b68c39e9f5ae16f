"""A simulation: what bills of a past period would be under a candidate, a catalogue that is not kept.

The candidate says what is other than it is; all else is as configured now. Each bill is compared with what a run would
make of the same period now, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from tallystick.core import wire
from tallystick.core.account import AccountPlan
from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, Product
from tallystick.core.compound import CompoundAggregation
from tallystick.core.counter_types import Counter, CounterPricing
from tallystick.core.entity import Id, Value, require_not_negative, wire_name
from tallystick.core.organization import Currency
from tallystick.core.period import Frequency, Instant, require_billed_year
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.core.simulated_bill import Cap
from tallystick.core.simulation_effect import Effect, SegmentEffect

MOST_CHANGES = 200
MOST_SEGMENTED_BY = 3
SEGMENT_BY = re.compile(r"(plan|product|billingFrequency|customFields\..{1,80})")
SegmentBy = Annotated[str, msgspec.Meta(pattern=f"^{SEGMENT_BY.pattern}$")]
MOST_ACCOUNTS = 100  # that are named; a plan, or all, may have any number


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
    plan, or of all there are. `segment_by` tells customers apart: by "plan", "product", "billingFrequency", or by
    "customFields.NAME", a custom field of the account. `cap` says how much a bill may rise at most."""

    candidate: Candidate
    last_date_in_billing_period: date
    account_ids: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=MOST_ACCOUNTS)] | None = None
    plan_id: Id | None = None
    billing_frequency: Frequency | None = None
    segment_by: Annotated[tuple[SegmentBy, ...], msgspec.Meta(max_length=MOST_SEGMENTED_BY)] = ()
    cap: Cap | None = None

    def check(self) -> None:
        if self.account_ids is not None and self.plan_id is not None:
            raise ValueError("planId: give accountIds or planId, not both")
        if self.billing_frequency is Frequency.MIXED:
            raise ValueError("billingFrequency: give DAILY, WEEKLY, MONTHLY, ANNUALLY or AD_HOC, or leave it out")
        require_billed_year("lastDateInBillingPeriod", self.last_date_in_billing_period)


class ChangedPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A plan as the candidate has it, complete."""

    id: str
    value: Plan


class ChangedPricing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A pricing as the candidate has it, complete: with the ids of its bands."""

    id: str
    value: Pricing


# What can be other in a candidate: what bills are rated from, without what says which periods there are (the settings)
# and what usage is stored (meters).
SUPPOSABLE: Mapping[str, type[Value]] = {
    of.kind: of
    for of in (
        Currency,
        Product,
        Aggregation,
        CompoundAggregation,
        Counter,
        PlanTemplate,
        Plan,
        PlanGroup,
        PlanGroupLink,
        Pricing,
        CounterPricing,
        AccountPlan,
    )
}


class ChangedEntity(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the candidate has of any other kind, complete, as on the wire; without a body it takes it away."""

    kind: str
    id: str
    body: dict[str, Any] | None = None

    @classmethod
    def of(cls, kind: str, id: str, value: Value | None) -> ChangedEntity:
        """With this value, or without any."""
        return cls(kind=kind, id=id, body=None if value is None else wire.decode(dict[str, Any], wire.encode(value)))

    @property
    def value(self) -> Value | None:
        """What it would be."""
        return None if self.body is None else wire.decode(SUPPOSABLE[self.kind], wire.encode(self.body))


class Changes(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A candidate that has passed the rules of the catalogue: what would be kept, were it kept."""

    plans: tuple[ChangedPlan, ...] = ()
    pricings: tuple[ChangedPricing, ...] = ()
    removed_pricing_ids: tuple[str, ...] = ()
    others: tuple[ChangedEntity, ...] = ()


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
    segments: tuple[SegmentEffect, ...] = ()
    dt_created: Instant
    created_by: str
    dt_last_modified: Instant
    failure: str | None = None

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        return {"active": "true" if self.status.active else "false"}
