"""Events: something that happened that somebody may want to know of or follow up, as the wire shows it (source:
reference 2.12)."""

from __future__ import annotations

from collections.abc import Mapping
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


# The events whose name does not say what they are about: the noun of the entity that `resource_id` names.
_ABOUT: Mapping[str, str] = {
    "billing.bill.failed": "billjob",
    "dataexport.job.failure": "exportjob",
    "ingest.validation.failure": "measurement",
    "notification.evaluation.error": "notificationfailure",
    "measurements.file.failed": "measurementfile",
    "reconciliation.differs": "reconciliationrun",
}


def noun_of(event_name: str) -> str:
    """The kind of entity that an event is about: `configuration.account.updated` is about an account."""
    parts = event_name.split(".")
    return _ABOUT.get(event_name) or noun(parts[1] if len(parts) > 2 else parts[0])


def noun(text: str) -> str:
    """A noun in one spelling: AccountPlan, account_plan and accountplan are the same."""
    return "".join(each for each in text.lower() if each.isalnum())
