"""Spend alerts: fired from the estimate that a preview of the bill answers."""

from __future__ import annotations

import logging

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control.bills import last_approved
from tallystick.control.desk import Desk
from tallystick.control.spend_alerts import active_alerts, look_at
from tallystick.pipeline.bill_clock import SCHEDULER
from tallystick.pipeline.spend import standings

log = logging.getLogger(__name__)

AT_ONCE = 500  # accounts whose spend is computed together


class SpendWatch:
    """Remembers with what each organisation was looked at last: while that is the same, no spend has changed."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, str]] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Fire the alerts of an organisation that are due."""
        records, now, up_to = app.records.organization(organization_id), app.clock.now(), app.usage.mark
        seen = (up_to, records.revision, f"{now:%Y-%m-%dT%H}")  # a billing period begins at a full hour somewhere
        if self._seen.get(organization_id) == seen:
            return Left.LATER
        alerts = active_alerts(records)
        if not alerts:
            return Left.NOTHING
        desk = Desk(records=records, actor=SCHEDULER, now=now)
        watched = sorted(alerts)
        for start in range(0, len(watched), AT_ONCE):
            accounts = watched[start : start + AT_ONCE]
            last = {each: last_approved(records, each) for each in accounts}
            stand = standings(records, app.usage.organization(organization_id), last, now=now, up_to=up_to)
            fired = sum(look_at(desk, alerts[each], standing) for each, standing in stand.items())
            if fired:
                log.info("%d spend alerts of organization %s fired", fired, organization_id)
        self._seen[organization_id] = seen
        return Left.LATER


def spend_alerts() -> Chore:
    """The chore, which remembers what it has seen."""
    return Chore(name="spend alerts", seconds=2.0, do=SpendWatch().look, problem="spend alerts failed")
