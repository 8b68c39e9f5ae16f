"""Notification rules: what happened, and a formula over it, make a notification (source: reference 2.12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import msgspec

from tallystick.core.entity import EntityCode, Name, Value
from tallystick.core.event import Event
from tallystick.core.expression import CalculationError, Expression, Scalar, evaluate, parse
from tallystick.core.ids import named_id

EVENT_NAME = "notification.fired"
EVENT_TYPE = "Notification"
FAILED = "notification.evaluation.error"
FAILED_TYPE = "NotificationFailure"
MAX_CALCULATION = 10_000


class NotificationConfiguration(Value, frozen=True, kw_only=True):
    """A rule: each event of a name for which the formula holds makes a notification; with `always_fire_event`, each."""

    kind: ClassVar[str] = "notificationconfiguration"
    filters: ClassVar[tuple[str, ...]] = ("active", "event_name")

    code: EntityCode
    name: Name
    description: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    event_name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    active: bool = True
    always_fire_event: bool = False
    calculation: Annotated[str, msgspec.Meta(max_length=MAX_CALCULATION)] | None = None

    def check(self) -> None:
        if self.always_fire_event:
            return
        if not (self.calculation or "").strip():
            raise ValueError("calculation: give a formula, such as new.amount > 100, or set alwaysFireEvent")


def notification(rule_id: str, rule: NotificationConfiguration, event: Event) -> Event:
    """The event that a rule made of an event. Its id follows from both."""
    told: dict[str, Any] = {name: event.m3ter_event[name] for name in ("new", "old") if name in event.m3ter_event}
    details: dict[str, Any] = {
        "eventName": event.event_name,
        "eventId": event.id,
        "notificationId": rule_id,
        "notificationCode": rule.code,
        "name": rule.name,
        "description": rule.description,
        **(told or {"new": sides(event.m3ter_event)["new"]}),
    }
    return Event(
        id=_told_id(rule_id, event.id), event_name=EVENT_NAME, event_time=event.event_time, m3ter_event=details
    )


def ids_of_what_came(rule_id: str, event_id: str) -> tuple[str, str]:
    """The ids that the events have which a rule made of an event: that it holds, and that it could not be computed."""
    return _told_id(rule_id, event_id), _failed_id(rule_id, event_id)


def _told_id(rule_id: str, event_id: str) -> str:
    return named_id(rule_id, event_id)


def _failed_id(rule_id: str, event_id: str) -> str:
    return named_id(rule_id, f"failed/{event_id}")


def sides(told: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What an event says is now and was before. One that says neither says what is: all of it is `new`."""
    if "new" in told or "old" in told:
        return {"new": told.get("new") or {}, "old": told.get("old") or {}}
    return {"new": {name: value for name, value in told.items() if name != "eventName"}, "old": {}}


def fires(rule: NotificationConfiguration, event: Event) -> bool:
    """Whether a rule makes a notification of an event of its name. CalculationError where its formula cannot be
    computed from this one."""
    return rule.always_fire_event or holds(rule.calculation or "", event)


def holds(calculation: str, event: Event) -> bool:
    """Whether a formula is true of an event; null is not. CalculationError, and ExpressionError for no formula."""
    values = dict(_values("", sides(event.m3ter_event)))
    result = evaluate(_parsed(calculation), values)
    if result is not None and not isinstance(result, bool):
        raise CalculationError("the formula", f"it gives {result!r}, which is neither true nor false")
    return bool(result)


def failure(rule_id: str, rule: NotificationConfiguration, event: Event, problem: Exception) -> Event:
    """The event that tells that a rule could not be computed from an event."""
    details = {
        "eventName": FAILED,
        "notificationId": rule_id,
        "notificationCode": rule.code,
        "eventId": event.id,
        "reason": f"the calculation of {rule.code} cannot be computed from {event.event_name}: {problem}",
    }
    id_ = _failed_id(rule_id, event.id)
    return Event(id=id_, event_name=FAILED, event_time=event.event_time, m3ter_event=details)


@lru_cache(maxsize=1_000)
def _parsed(calculation: str) -> Expression:
    return parse(calculation)


def _values(name: str, value: object) -> Iterator[tuple[str, Scalar]]:
    """What formulas may refer to, by its dotted name: texts, numbers and truth values, however deep."""
    match value:
        case Mapping():
            for inner, each in value.items():
                yield from _values(f"{name}.{inner}" if name else inner, each)
        case bool() | str() | Decimal():
            yield name, value
        case int():
            yield name, Decimal(value)
