"""Events by the clock: those that are scheduled are told, and those that are old are forgotten."""

from __future__ import annotations

from datetime import timedelta

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control.scheduled_events import BILL, tell_due
from tallystick.core.period import Instant
from tallystick.core.scheduled_event import ScheduledEventConfiguration
from tallystick.outbox import EVENT
from tallystick.pipeline.old_events import forget_events
from tallystick.ports import Page, Where

EVERY_MINUTES = 10  # dates come at midnight, or at any time that an entity says


class ScheduledWatch:
    """Remembers with what each organisation was looked at last: while that is the same, no date has come."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, int]] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Tell what is due in an organisation."""
        records, now = app.records.organization(organization_id), app.clock.now()
        if not records.find(ScheduledEventConfiguration, Where(), Page(size=1)).rows:
            return Left.NOTHING
        minutes = int(now.timestamp()) // 60
        seen = (records.revision, records.documents_written(BILL), minutes // EVERY_MINUTES)
        if self._seen.get(organization_id) != seen:
            tell_due(records, now)
            self._seen[organization_id] = seen
        return Left.LATER


def _forget(app: App, organization_id: str) -> Left:
    records = app.records.organization(organization_id)
    before = Instant.of(app.clock.now() - timedelta(days=app.settings.event_days))
    return Left.MORE if forget_events(records, before) else Left.LATER


def scheduled_events() -> Chore:
    """The chore that tells, which remembers what it has seen."""
    return Chore(
        name="scheduled events",
        seconds=5.0,
        do=ScheduledWatch().look,
        problem="scheduled events failed",
        documents=(BILL,),
    )


OLD_EVENTS = Chore(
    name="old events", seconds=600.0, do=_forget, problem="forgetting old events failed", documents=(EVENT,)
)
