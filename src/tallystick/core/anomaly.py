"""Anomalies: usage out of the ordinary, told before it is billed; and what an organisation wants done about them.

An extension of ours. `core.unusual` is the rule; here is what it is applied to and what is kept of what it finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from tallystick.core.entity import Id, Value
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.quantity import plain
from tallystick.core.unusual import LEAST, TIMES

KIND = "anomaly"
FOUND = "anomaly.found"
FOUND_TYPE = "AnomalyFound"
_LEAST_TIMES, _MOST_TIMES = Decimal("1.1"), Decimal(1_000_000)


class AnomalyKind(StrEnum):
    SPIKE = "SPIKE"  # an account's usage is many times the usual
    DROP_TO_ZERO = "DROP_TO_ZERO"  # an account that always has usage has none
    SILENT_METER = "SILENT_METER"  # a meter that always has measurements has none, of any account
    DUPLICATES = "DUPLICATES"  # far more measurements than usual were sent again
    FAILURES = "FAILURES"  # far more measurements than usual could not be accepted


EVERY_KIND = tuple(AnomalyKind)


class AnomalyPolicy(Value, frozen=True, kw_only=True):
    """What is out of the ordinary, and what follows: for one account, or with no account for the whole organisation.

    `times` the usual is a spike; a rise in the number of measurements is told from `least_measurements` a day on.
    `alert_for` are the kinds of which an event tells, `hold_for` those that hold bills besides.
    """

    kind: ClassVar[str] = "anomalypolicy"
    references: ClassVar[tuple[str, ...]] = ("account_id",)

    account_id: Id | None = None
    times: Decimal = TIMES
    least_measurements: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = LEAST
    alert_for: tuple[AnomalyKind, ...] = EVERY_KIND
    hold_for: tuple[AnomalyKind, ...] = ()

    @property
    def looks_for(self) -> frozenset[AnomalyKind]:
        """The kinds that are looked for at all."""
        return frozenset((*self.alert_for, *self.hold_for))

    def check(self) -> None:
        if not _LEAST_TIMES <= self.times <= _MOST_TIMES:
            raise ValueError(f"times: must be from {_LEAST_TIMES} to {_MOST_TIMES:f}, got {self.times:f}")
        for name, kinds in (("alertFor", self.alert_for), ("holdFor", self.hold_for)):
            if len(set(kinds)) < len(kinds):
                raise ValueError(f"{name}: each kind once")


DEFAULT = AnomalyPolicy()


class Policies(msgspec.Struct, frozen=True):
    """The policies of an organisation: its own, and those of accounts by id."""

    own: AnomalyPolicy
    accounts: Mapping[str, AnomalyPolicy]

    def of(self, account_id: str | None) -> AnomalyPolicy:
        """The account's own, else the organisation's."""
        return self.accounts.get(account_id or "", self.own)

    @property
    def hold(self) -> bool:
        """Whether any of them holds bills."""
        return any(each.hold_for for each in (self.own, *self.accounts.values()))

    @property
    def look(self) -> bool:
        """Whether any of them looks for anything."""
        return any(each.looks_for for each in (self.own, *self.accounts.values()))


class Anomaly(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something out of the ordinary on a day: of an account and an aggregation, or of a meter as a whole.

    `measured` and `usual` are of the day, by the aggregation's method over its field; of a meter, numbers of
    measurements. `meter_code` stands alone where no such meter exists.
    """

    id: str
    kind: AnomalyKind
    day: date
    measured: Decimal
    usual: Decimal
    found: Instant
    account_id: str | None = None
    aggregation_id: str | None = None
    meter_id: str | None = None
    meter_code: str | None = None
    field: str | None = None
    method: str | None = None

    @property
    def subject(self) -> str:
        """What it is about, whatever the day."""
        return "/".join(
            (
                self.kind,
                self.account_id or "",
                self.meter_id or self.meter_code or "",
                self.field or "",
                self.method or "",
            )
        )

    @property
    def keys(self) -> dict[str, str]:
        """What it can be looked up by."""
        texts = {
            "kind": self.kind.value,
            "day": self.day.isoformat(),
            "account_id": self.account_id,
            "meter_id": self.meter_id,
            "aggregation_id": self.aggregation_id,
        }
        return {name: text for name, text in texts.items() if text is not None}

    @property
    def sentence(self) -> str:
        """What is out of the ordinary, for people."""
        what = f"{self.method} of {self.field}" if self.field else "measurements"
        match self.kind:
            case AnomalyKind.SPIKE:
                return f"{what} was {plain(self.measured)} on {self.day}, usually {plain(self.usual)}"
            case AnomalyKind.DROP_TO_ZERO:
                return f"{what} dropped to nothing on {self.day}, usually {plain(self.usual)}"
            case AnomalyKind.SILENT_METER:
                return f"the meter was silent on {self.day}, usually {plain(self.usual)} measurements"
            case AnomalyKind.DUPLICATES:
                return f"{plain(self.measured)} measurements were sent again on {self.day}, usually {plain(self.usual)}"
            case AnomalyKind.FAILURES:
                return f"{plain(self.measured)} measurements failed on {self.day}, usually {plain(self.usual)}"


def anomaly_id(organization_id: str, kind: AnomalyKind, day: date, *parts: str | None) -> str:
    """The id of the anomaly that is about these, so that finding it again finds what is kept."""
    return named_id(organization_id, "/".join(("anomaly", kind, day.isoformat(), *(each or "" for each in parts))))


def found_event(anomaly: Anomaly) -> Event:
    """The event that tells of an anomaly, once, whoever finds it again."""
    details: dict[str, Any] = {
        "eventName": FOUND,
        "anomalyId": anomaly.id,
        "kind": anomaly.kind.value,
        "day": anomaly.day.isoformat(),
        "accountId": anomaly.account_id,
        "meterId": anomaly.meter_id,
        "meter": anomaly.meter_code,
        "aggregationId": anomaly.aggregation_id,
        "measured": anomaly.measured,
        "usual": anomaly.usual,
        "reason": anomaly.sentence,
    }
    known = {name: value for name, value in details.items() if value is not None}
    return Event(id=named_id(anomaly.id, "found"), event_name=FOUND, event_time=anomaly.found, m3ter_event=known)
