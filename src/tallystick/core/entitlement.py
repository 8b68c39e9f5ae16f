"""Features, and what an account may use of each: whether at all, how much, how fast. An extension of ours.

What is counted is the aggregation that is billed; nothing is counted twice (docs/decisions/0541-entitlements.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

import msgspec

from tallystick.core.entity import Description, EntityCode, Id, Name, Value
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Instant, Period
from tallystick.core.quantity import ZERO, add, plain, subtract

EVENT_NAME = "entitlement.limit.reached"
EVENT_TYPE = "EntitlementLimitReached"


class ResetPeriod(StrEnum):
    """When what is used is counted from nothing again."""

    BILLING_PERIOD = "BILLING_PERIOD"  # of the plan that gives the entitlement; of the account where none does
    MONTH = "MONTH"  # of the calendar, in the organisation's time zone
    DAY = "DAY"


class BurstUnit(StrEnum):
    SECOND = "SECOND"
    MINUTE = "MINUTE"
    HOUR = "HOUR"


SECONDS = {BurstUnit.SECOND: 1, BurstUnit.MINUTE: 60, BurstUnit.HOUR: 3_600}


class LimitKind(StrEnum):
    SOFT = "SOFT"
    HARD = "HARD"


class Level(StrEnum):
    """Where an entitlement stands; the first of these that has one for the feature says it all."""

    ACCOUNT = "ACCOUNT"
    PLAN = "PLAN"
    PLAN_TEMPLATE = "PLAN_TEMPLATE"


class Feature(Value, frozen=True, kw_only=True):
    """Something that accounts may use or not. `aggregation_id` counts how much; without one it is access alone."""

    kind: ClassVar[str] = "feature"
    references: ClassVar[tuple[str, ...]] = ("aggregation_id",)

    name: Name
    code: EntityCode
    description: Description | None = None
    aggregation_id: Id | None = None


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """At most so much in each second, minute or hour of the clock."""

    per: BurstUnit
    limit: Decimal


class Entitlement(Value, frozen=True, kw_only=True):
    """What a plan template, a plan or an account may use of a feature.

    `soft_limit` tells, `hard_limit` refuses, once more than it and `grace` would be used between two resets. With
    `needs_credit` it is refused when nothing is left of the account's balances and commitments.
    """

    kind: ClassVar[str] = "entitlement"
    references: ClassVar[tuple[str, ...]] = ("feature_id", "plan_template_id", "plan_id", "account_id")

    feature_id: Id
    plan_template_id: Id | None = None
    plan_id: Id | None = None
    account_id: Id | None = None
    allowed: bool = True
    soft_limit: Decimal | None = None
    hard_limit: Decimal | None = None
    grace: Decimal | None = None
    reset_period: ResetPeriod = ResetPeriod.BILLING_PERIOD
    burst: tuple[Burst, ...] = ()
    needs_credit: bool = False

    def check(self) -> None:
        if sum(each is not None for each in (self.plan_template_id, self.plan_id, self.account_id)) != 1:
            raise ValueError("accountId: give exactly one of planTemplateId, planId and accountId")
        for name in ("soft_limit", "hard_limit", "grace"):
            number = getattr(self, name)
            if number is not None and number < 0:
                raise ValueError(f"{_WIRE[name]}: must not be below 0, got {number:f}")
        if self.soft_limit is not None and self.hard_limit is not None and self.soft_limit > self.hard_limit:
            raise ValueError(f"softLimit: must not be above hardLimit {self.hard_limit:f}, got {self.soft_limit:f}")
        if self.grace is not None and self.hard_limit is None:
            raise ValueError("grace: only with a hardLimit, which it goes beyond")
        if len({each.per for each in self.burst}) < len(self.burst):
            raise ValueError("burst: each of SECOND, MINUTE and HOUR once")
        for index, each in enumerate(self.burst):
            if not 0 <= each.limit < _MOST:
                raise ValueError(f"burst[{index}].limit: must be 0 to below 10^20, got {each.limit}")

    @property
    def level(self) -> Level:
        """Where it stands."""
        if self.account_id is not None:
            return Level.ACCOUNT
        return Level.PLAN if self.plan_id is not None else Level.PLAN_TEMPLATE

    @property
    def counts(self) -> bool:
        """Whether what is used matters."""
        return self.soft_limit is not None or self.hard_limit is not None


_EPOCH = Instant.midnight(date(1970, 1, 1))
_WIRE = {"soft_limit": "softLimit", "hard_limit": "hardLimit", "grace": "grace"}
_MOST = Decimal(10) ** 20


class CreditLeft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is left of a balance or a commitment now, with the usage that no bill has drawn yet."""

    id: str
    type: str
    currency: str
    left: Decimal


class BurstLeft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is left of a burst limit in the present second, minute or hour."""

    per: BurstUnit
    limit: Decimal
    remaining: Decimal
    resets_at: Instant


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has been given of a feature, and how it stands: `used` in `period`, and the credit that is left
    where that matters. `problem` says why that is not known."""

    feature_id: str
    feature: Feature
    unit: str = ""
    entitlement_id: str = ""
    entitlement: Entitlement | None = None
    used: Decimal | None = None
    period: Period | None = None
    credit: tuple[CreditLeft, ...] = ()
    problem: str = ""


class Allowance(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether an account may use a feature now, and why. `limit` is the hard limit, or else the soft one, `remaining`
    what is left until it, below 0 when it is passed. `reason` is NOT_ENTITLED, NOT_ALLOWED, HARD_LIMIT, BURST_LIMIT,
    NO_CREDIT or UNKNOWN, or for what is allowed UNLIMITED, WITHIN_LIMIT, SOFT_LIMIT or GRACE.

    It is what bills made at `as_of` from usage up to the journal position `up_to` say, and never older than
    `stale_seconds_at_most` seconds. `retry_after` is in whole seconds, of what is refused for a time.
    """

    feature: str
    name: str
    allowed: bool
    reason: str
    why: str
    as_of: Instant
    up_to: int
    stale_seconds_at_most: Decimal
    entitlement_id: str | None = None
    level: Level | None = None
    unit: str | None = None
    used: Decimal | None = None
    limit: Decimal | None = None
    soft_limit: Decimal | None = None
    hard_limit: Decimal | None = None
    grace: Decimal | None = None
    remaining: Decimal | None = None
    period_start: Instant | None = None
    resets_at: Instant | None = None
    burst: tuple[BurstLeft, ...] = ()
    credit: tuple[CreditLeft, ...] = ()
    retry_after: int | None = None


class Judged(msgspec.Struct, frozen=True):
    """A judgement: whether, by what reason, and that as a sentence."""

    allowed: bool
    reason: str
    why: str


def judge(grant: Grant, quantity: Decimal, reserved: Decimal, burst: Iterable[BurstLeft]) -> Judged:
    """Whether so much more of a feature may be used, of which `reserved` was let pass and is not counted yet."""
    name, given = grant.feature.name, grant.entitlement
    if given is None:
        return Judged(False, "NOT_ENTITLED", f"neither the account nor a plan of it has been given {name}")
    if not given.allowed:
        return Judged(False, "NOT_ALLOWED", f"{name} is shut off by the {_LEVELS[given.level]}")
    if grant.problem and (given.counts or given.needs_credit):
        return Judged(False, "UNKNOWN", f"what is used of {name} cannot be told: {grant.problem}")
    if given.needs_credit and all(each.left <= 0 for each in grant.credit):
        return Judged(False, "NO_CREDIT", f"{name} is paid for ahead, and nothing is left of balances and commitments")
    found = _judge_limits(grant, given, add(add(grant.used or ZERO, reserved), quantity), quantity)
    for each in burst if found.allowed else ():
        if quantity > each.remaining or (not quantity and each.remaining <= 0):
            said = f"{plain(quantity)} more would be above {plain(each.limit)} of {name} in a {each.per.lower()}"
            return Judged(False, "BURST_LIMIT", said)
    return found


def _judge_limits(grant: Grant, given: Entitlement, would: Decimal, quantity: Decimal) -> Judged:
    name, unit = grant.feature.name, f" {grant.unit}" if grant.unit else ""
    hard, soft = given.hard_limit, given.soft_limit
    if hard is not None:
        most = add(hard, given.grace or ZERO)
        if would > most or (not quantity and would >= most):
            with_grace = f" and {plain(given.grace)} of grace" if given.grace else ""
            come_to = f"with this it would be {plain(would)}" if quantity else f"{plain(would)} are used"
            said = f"{name} is limited to {plain(hard)}{unit}{with_grace}; {come_to}"
            return Judged(False, "HARD_LIMIT", said)
        if would > hard:
            return Judged(True, "GRACE", f"{plain(hard)}{unit} of {name} are used up; this is within the grace")
    if soft is not None and (would > soft or (not quantity and would >= soft)):
        return Judged(True, "SOFT_LIMIT", f"{name} is above {plain(soft)}{unit}, which tells and does not refuse")
    if hard is None and soft is None:
        return Judged(True, "UNLIMITED", f"{name} has no limit on how much is used")
    limit = soft if hard is None else hard
    assert limit is not None, "one of the two is there"
    counted = "with this" if quantity else "are used"
    return Judged(True, "WITHIN_LIMIT", f"{plain(would)} of {plain(limit)}{unit} of {name} {counted}")


_LEVELS = {Level.ACCOUNT: "account", Level.PLAN: "plan", Level.PLAN_TEMPLATE: "plan template"}


def remaining(grant: Grant, reserved: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """The limit that matters, the hard one where there is one, and what is left until it."""
    given = grant.entitlement
    limit = None if given is None else given.soft_limit if given.hard_limit is None else given.hard_limit
    if limit is None or grant.problem:
        return limit, None
    return limit, subtract(limit, add(grant.used or ZERO, reserved))


def chosen(found: Iterable[tuple[str, Entitlement]]) -> tuple[str, Entitlement] | None:
    """Of the entitlements (id, value) that an account has to one feature the one that holds: its own, else that of a
    plan, else that of a template; of several the most generous."""
    by_level: dict[Level, list[tuple[str, Entitlement]]] = {}
    for id_, each in found:
        by_level.setdefault(each.level, []).append((id_, each))
    for level in Level:
        if level in by_level:
            return max(by_level[level], key=_generosity)
    return None


def _generosity(found: tuple[str, Entitlement]) -> tuple[bool, bool, Decimal, bool, Decimal, bool, str]:
    id_, of = found
    hard, soft = of.hard_limit, of.soft_limit
    most = ZERO if hard is None else add(hard, of.grace or ZERO)
    return of.allowed, hard is None, most, soft is None, soft or ZERO, not of.needs_credit, id_


def reached(grant: Grant) -> list[tuple[LimitKind, Decimal]]:
    """The limits that are reached by what is used, each of which is told once in a period."""
    given, used = grant.entitlement, grant.used
    if given is None or used is None or grant.period is None or grant.problem:
        return []
    limits = ((LimitKind.SOFT, given.soft_limit), (LimitKind.HARD, given.hard_limit))
    return [(kind, limit) for kind, limit in limits if limit is not None and used >= limit]


def reached_event(
    grant: Grant, kind: LimitKind, limit: Decimal, account_id: str, account_code: str, now: Instant
) -> Event:
    """The event that a limit is reached; the same id in the same period, whoever makes it."""
    assert grant.period is not None, "only what is counted in a period reaches a limit"
    assert grant.used is not None, "only what is counted reaches a limit"
    name = f"{EVENT_NAME}/{grant.entitlement_id}/{kind}/{grant.period.start.wire()}"
    unit = f" {grant.unit}" if grant.unit else ""
    said = f"{account_code} has used {plain(grant.used)}{unit} of {grant.feature.name}, whose {kind.lower()} limit"
    return Event(
        id=named_id(account_id, name),
        event_name=EVENT_NAME,
        event_time=now,
        m3ter_event={
            "eventName": EVENT_NAME,
            "eventTime": now.wire(),
            "accountId": account_id,
            "accountCode": account_code,
            "feature": grant.feature.code,
            "entitlementId": grant.entitlement_id,
            "kind": kind.value,
            "limit": limit,
            "used": grant.used,
            "periodStart": grant.period.start.wire(),
            "resetsAt": grant.period.end.wire(),
            "reason": f"{said} is {plain(limit)}",
        },
    )


def window_of(per: BurstUnit, now: Instant) -> tuple[int, Instant]:
    """The present second, minute or hour: its number since 1970, and when it ends."""
    size = timedelta(seconds=SECONDS[per])
    number = (now - _EPOCH) // size
    return number, _EPOCH + (number + 1) * size


def whole_seconds(now: Instant, until: Instant) -> int:
    """Seconds until a moment, rounded up, one at least."""
    return max(1, -((now - until) // timedelta(seconds=1)))
