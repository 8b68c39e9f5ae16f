"""Spend alerts: fired from the estimate that a preview of the bill answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control.bills import last_approved
from tallystick.control.desk import Desk
from tallystick.control.spend_alerts import active_alerts, look_at
from tallystick.core.bill import BillRecord
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.quantity import divide, multiply
from tallystick.core.spend_alert import SpendAlert, SpendAlertType, Standing
from tallystick.pipeline.bill_clock import SCHEDULER
from tallystick.pipeline.commitment_watch import live_commitment
from tallystick.pipeline.forecast import forecasts
from tallystick.pipeline.gate import Stamp, stamp_of
from tallystick.pipeline.spend import spend_of, standings
from tallystick.ports import OrganizationRecords, OrganizationUsage, Where
from tallystick.ports.founded import config_of

log = logging.getLogger(__name__)

AT_ONCE = 500  # accounts whose spend is computed together


class SpendWatch:
    """Remembers with what each organisation was looked at last: while that is the same, no spend has changed."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, Stamp, str]] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Fire the alerts of an organisation that are due."""
        records, now = app.records.organization(organization_id), app.clock.now()
        # A billing period begins at a full hour somewhere.
        seen = (app.usage.arrived(organization_id), stamp_of(records), f"{now:%Y-%m-%dT%H}")
        if self._seen.get(organization_id) == seen:
            return Left.LATER
        alerts = active_alerts(records)
        if not alerts:
            return Left.NOTHING
        desk, up_to = Desk(records=records, actor=SCHEDULER, now=now), app.usage.mark
        watched = sorted(alerts)
        for start in range(0, len(watched), AT_ONCE):
            accounts = watched[start : start + AT_ONCE]
            last = {each: last_approved(records, each) for each in accounts}
            usage = app.usage.organization(organization_id)
            stand = standings(records, usage, last, now=now, up_to=up_to)
            stand = _ahead(records, usage, alerts, stand, now=now, up_to=up_to)
            fired = sum(look_at(desk, alerts[each], standing) for each, standing in stand.items())
            if fired:
                log.info("%d spend alerts of organization %s fired", fired, organization_id)
        self._seen[organization_id] = seen
        return Left.LATER


def _ahead(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    alerts: Mapping[str, Sequence[Entity[SpendAlert]]],
    stand: Mapping[str, Standing],
    *,
    now: Instant,
    up_to: int,
) -> dict[str, Standing]:
    """What only some alerts ask for, of the accounts that have such: what the periods will come to at this pace, and
    how much of each commitment is drawn."""
    forecast = [id_ for id_ in stand if _asks(alerts[id_], SpendAlertType.FORECAST_ABOVE)]
    bills = forecasts(records, usage, forecast, now=now, up_to=up_to)
    found = dict(stand)
    for id_, made in bills.items():
        whole = [each.bill for each in made if isinstance(each, BillRecord)]
        if len(whole) == len(made):
            found[id_] = msgspec.structs.replace(found[id_], forecast=spend_of(whole))
    zone = config_of(records).value.timezone
    for id_, standing in found.items():
        if _asks(alerts[id_], SpendAlertType.COMMITMENT_ABOVE):
            drawn = {}
            for each in records.every(Commitment, Where(equal={"account_id": (id_,)}, active_on=now)):
                live = live_commitment(records, usage, each, now=now, up_to=up_to, zone=zone, days=(0, 0))
                if not live.problem and each.value.amount > 0:
                    drawn[each.id] = divide(multiply(live.drawn, Decimal(100)), each.value.amount)
            found[id_] = msgspec.structs.replace(standing, commitments=drawn)
    return found


def _asks(alerts: Sequence[Entity[SpendAlert]], of: SpendAlertType) -> bool:
    return any(each.value.type is of for each in alerts)


def spend_alerts() -> Chore:
    """The chore, which remembers what it has seen."""
    return Chore(name="spend alerts", seconds=2.0, do=SpendWatch().look, problem="spend alerts failed")
