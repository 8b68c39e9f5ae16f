"""How other prices reach customers: shadow plans beside the real ones, experiments that tell new accounts apart, and
migrations that move accounts when they renew. Extensions of ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import Description, EntityCode, Id, Name, Value
from tallystick.core.period import Instant
from tallystick.core.simulated_bill import SimulatedBill
from tallystick.core.simulation_effect import Effect

MOST_ACCOUNTS = 10_000  # that are named
MOST_VARIANTS = 20
MOST_WEIGHT = 1_000_000
AccountIds = Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=MOST_ACCOUNTS)]


# ------------------------------------------------------------------------------------------------------ shadow plans


class ShadowPlan(Value, frozen=True, kw_only=True):
    """A plan that is billed in the shadow of another: for each bill of the accounts that have the real plan, of periods
    that end after `start_date`, there is a shadow bill. On `switch_date` those accounts go over to it; without one
    nothing ever happens to them. `account_ids` names some of the accounts; without them it is all."""

    kind: ClassVar[str] = "shadowplan"
    references: ClassVar[tuple[str, ...]] = ("plan_id", "shadow_plan_id")

    code: EntityCode
    name: Name
    plan_id: Id
    shadow_plan_id: Id
    start_date: date
    switch_date: date | None = None
    account_ids: AccountIds | None = None
    description: Description | None = None

    def check(self) -> None:
        if self.plan_id == self.shadow_plan_id:
            raise ValueError("shadowPlanId: must be another plan than planId")
        if self.switch_date is not None and self.switch_date < self.start_date:
            raise ValueError("switchDate: must not be before startDate")


class ShadowBill(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The shadow of a real bill. `mark` says of which making of the real bill it is."""

    bill_id: str
    mark: str
    bill: SimulatedBill


class Moved(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of an account that was to be moved to another plan: from when, or why not."""

    account_id: str
    account_code: str
    account_plan_id: str
    moved_at: Instant | None = None
    new_account_plan_id: str | None = None
    failure: str | None = None


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the shadow bills come to beside the real ones, and whether the accounts went over."""

    shadow_plan_id: str
    bills: int
    failed: int
    effects: tuple[Effect, ...]
    switched: bool
    moved: int
    not_moved: int


# ------------------------------------------------------------------------------------------------------ experiments


class Variant(Value, frozen=True, kw_only=True):
    """One way that new accounts are charged, and how many of all weights get it."""

    code: EntityCode
    plan_id: Id
    weight: Annotated[int, msgspec.Meta(ge=1, le=MOST_WEIGHT)] = 1


class Experiment(Value, frozen=True, kw_only=True):
    """Accounts that are created from `start_date` on and before `end_date`, and have no plan, get that of a variant:
    which one follows from the experiment's code and the account's id alone (`variant_of`)."""

    kind: ClassVar[str] = "experiment"
    references: ClassVar[tuple[str, ...]] = ("plan_ids",)

    code: EntityCode
    name: Name
    start_date: date
    end_date: date | None = None
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(min_length=2, max_length=MOST_VARIANTS)]
    description: Description | None = None

    @property
    def plan_ids(self) -> tuple[str, ...]:
        """The plans of the variants."""
        return tuple(each.plan_id for each in self.variants)

    def check(self) -> None:
        if self.end_date is not None and self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate")
        for name in ("code", "plan_id"):
            named = [getattr(each, name) for each in self.variants]
            if len(set(named)) < len(named):
                raise ValueError("variants: each has a code and a plan of its own")


def variant_of(code: str, variants: Sequence[Variant], account_id: str) -> Variant:
    """The variant that an account gets, for ever the same: the first eight bytes of the SHA-256 of the experiment's
    code, a line feed and the account's id, as a share of all there are, meet the weights one after the other."""
    digest = sha256(f"{code}\n{account_id}".encode()).digest()
    place = int.from_bytes(digest[:8]) * sum(each.weight for each in variants) >> 64
    for each in variants:
        if place < each.weight:
            return each
        place -= each.weight
    raise AssertionError("a share of all weights lies within one of them")


class Assignment(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An account that an experiment gave a variant, or why it could not."""

    experiment_id: str
    account_id: str
    account_code: str
    variant: str
    at: Instant
    account_plan_id: str | None = None
    failure: str | None = None


class VariantRevenue(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the accounts of a variant were charged in a currency, before credit. The average is rounded to money."""

    currency: str
    bills: int
    revenue: Decimal
    average_bill: Decimal
    revenue_per_account: Decimal


class VariantUsage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Units of an aggregation on the bills of a variant's accounts."""

    aggregation_id: str
    name: str
    units: Decimal


class VariantOutcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of the accounts of a variant. Churned: its plan has ended, and none is in force in its place."""

    code: str
    plan_id: str
    weight: int
    accounts: int
    churned: int
    revenue: tuple[VariantRevenue, ...]
    usage: tuple[VariantUsage, ...]


class ExperimentReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The outcome of an experiment so far, by variant."""

    experiment_id: str
    variants: tuple[VariantOutcome, ...]
    failed: int


# ------------------------------------------------------------------------------------------------------ migrations


class Renewal(StrEnum):
    """When a migration moves an account."""

    CONTRACT = "CONTRACT"  # at the end of its contract, or of its billing period where it has none
    BILLING_PERIOD = "BILLING_PERIOD"  # at the end of its billing period


class PlanMigration(Value, frozen=True, kw_only=True):
    """Accounts of a plan that are moved to another when they renew, at or after `not_before`. `account_ids` names those
    that are moved; without them it is all that have the plan. Everybody else keeps it."""

    kind: ClassVar[str] = "planmigration"
    references: ClassVar[tuple[str, ...]] = ("from_plan_id", "to_plan_id")

    code: EntityCode
    name: Name
    from_plan_id: Id
    to_plan_id: Id
    renewal: Renewal = Renewal.CONTRACT
    not_before: date
    account_ids: AccountIds | None = None
    description: Description | None = None

    def check(self) -> None:
        if self.from_plan_id == self.to_plan_id:
            raise ValueError("toPlanId: must be another plan than fromPlanId")
