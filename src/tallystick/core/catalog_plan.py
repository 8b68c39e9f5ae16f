"""Plans of the catalogue as code: what would change, who asked for it, who approved it, and what was applied."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from tallystick.core.catalog_change import CatalogChange
from tallystick.core.entity import Value
from tallystick.core.period import Frequency, Instant, require_billed_year
from tallystick.core.simulation_effect import Effect

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class CatalogSettings(Value, frozen=True, kw_only=True):
    """With `require_approval` a change of the catalogue from files is applied only once another user approved it."""

    kind: ClassVar[str] = "catalogsettings"

    require_approval: bool = False


class CatalogPlanRequest(Value, frozen=True, kw_only=True):
    """What the catalogue is to be: a catalogue as files have it, or a version of the history to go back to. With
    `effective_from`, which must be in the future, prices change at that moment. Its effect in money is simulated on
    bills of the periods that end with a day, of the last month where that is not said."""

    catalog: dict[str, Any] | None = None
    to_version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    effective_from: Instant | None = None
    reason: Reason | None = None
    last_date_in_billing_period: date | None = None
    billing_frequency: Frequency | None = None
    simulate: bool = True

    def check(self) -> None:
        if (self.catalog is None) == (self.to_version is None):
            raise ValueError("catalog: give a catalog or toVersion, and not both")
        if self.last_date_in_billing_period is not None:
            require_billed_year("lastDateInBillingPeriod", self.last_date_in_billing_period)
        if self.billing_frequency is Frequency.MIXED:
            raise ValueError("billingFrequency: give DAILY, WEEKLY, MONTHLY, ANNUALLY or AD_HOC, or leave it out")


class CatalogPlanStatus(StrEnum):
    NO_CHANGE = "NO_CHANGE"
    PLANNED = "PLANNED"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    APPLIED = "APPLIED"

    @property
    def is_open(self) -> bool:
        """Whether it can still be applied."""
        return self in {self.PLANNED, self.AWAITING_APPROVAL, self.APPROVED}


class CatalogPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A plan as it is kept and answered, of the catalogue with the digest `base_digest`: once that has changed, it
    cannot be applied any more. `unnamed` have no code of their own and are called by one made of their names;
    `not_simulated` are sections that change and that the simulation cannot show."""

    id: str
    status: CatalogPlanStatus
    base_digest: str
    target_digest: str
    changes: tuple[CatalogChange, ...]
    dt_created: Instant
    created_by: str
    effective_from: Instant | None = None
    to_version: int | None = None
    reason: str | None = None
    unnamed: tuple[str, ...] = ()
    simulation_id: str | None = None
    simulation_problem: str | None = None
    not_simulated: tuple[str, ...] = ()
    approved_by: str | None = None
    dt_approved: Instant | None = None
    rejected_by: str | None = None
    dt_rejected: Instant | None = None
    applied_as: int | None = None

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        return {"status": self.status.value}

    @property
    def at_once(self) -> tuple[CatalogChange, ...]:
        """What changes as soon as it is applied, although prices wait for their day."""
        return tuple(each for each in self.changes if each.at_once is not None)


class CatalogVersion(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The catalogue as it was after a plan was applied, or, with `found`, as a plan found it: changed otherwise since
    the version before. Who asked for it, who approved it and who applied it are users or keys by their ids."""

    id: str
    number: int
    digest: str
    dt_applied: Instant
    applied_by: str
    changes: tuple[CatalogChange, ...]
    found: bool = False
    plan_id: str | None = None
    planned_by: str | None = None
    approved_by: str | None = None
    effective_from: Instant | None = None
    to_version: int | None = None
    reason: str | None = None
    effects: tuple[Effect, ...] = ()
