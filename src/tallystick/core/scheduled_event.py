"""Scheduled events: so many days before or after a date of an entity (source: reference 2.12)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar

import msgspec

from tallystick.core.entity import Value
from tallystick.core.event import Event, noun
from tallystick.core.ids import named_id
from tallystick.core.period import Instant, day_start, require_zone

EVENT_TYPE = "Scheduled"
_MOST_DAYS = 36_500


class ScheduledEventConfiguration(Value, frozen=True, kw_only=True):
    """`offset` days after the date `field` of each entity of a kind there is an event `name`; before it where the
    offset is negative. The name is `scheduled.<entity>.<what>`."""

    kind: ClassVar[str] = "scheduledeventconfiguration"

    name: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^scheduled\.[A-Za-z]+\.[A-Za-z0-9_-]+$(?!\n)")]
    entity: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    field: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    offset: int

    def check(self) -> None:
        if abs(self.offset) > _MOST_DAYS:
            raise ValueError(f"offset: from -{_MOST_DAYS} to {_MOST_DAYS} days, got {self.offset}")
        said = self.name.split(".")[1]
        if noun(said) != noun(self.entity):
            raise ValueError(f"name: must be scheduled.{noun(self.entity)}.<what>, got {self.name}")


def due_of(value: object, offset: int, zone: str) -> Instant | None:
    """When the event of a date is due: a day at its midnight in the time zone, a moment at the same time of day there.
    None where there is no date, or the event would lie outside the calendar."""
    try:
        if isinstance(value, datetime):
            local = value.astimezone(require_zone(zone)) + timedelta(days=offset)  # on the clock: days are days
            return Instant.of(local)
        return day_start(value + timedelta(days=offset), zone) if isinstance(value, date) else None
    except (OverflowError, ValueError):
        return None


def mark_of(config_id: str, entity_id: str, value: object, offset: int) -> str:
    """What says that the event of an entity was told: another date is another event, another time zone is not."""
    due = due_of(value, offset, "UTC")
    return named_id(config_id, f"{entity_id}/{due.stamp() if due is not None else value}")


def scheduled_event(mark: str, config: ScheduledEventConfiguration, shown: dict[str, Any], due: Instant) -> Event:
    """The event, with the entity as it is now."""
    return Event(id=mark, event_name=config.name, event_time=due, m3ter_event={"eventName": config.name, "new": shown})
