"""Events: something that happened that somebody may want to know of or follow up, as the wire shows it (source:
reference 2.12)."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.core.period import Instant


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that happened, as the wire shows it. `m3ter_event` says what; `dt_actioned` when somebody dealt
    with it, None while nobody has."""

    id: str
    event_name: str
    event_time: Instant
    m3ter_event: dict[str, Any] = msgspec.field(name="m3terEvent")
    dt_actioned: Instant | None = None

    @property
    def sort(self) -> str:
        """Its place in lists."""
        return sort_stamp(self.event_time)


def sort_stamp(moment: Instant) -> str:
    """An instant as text of fixed width, which sorts as time does."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
