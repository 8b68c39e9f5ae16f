"""Anomalies: every hour the usage of all accounts is held against what is usual, before any bill is made of it."""

from __future__ import annotations

import logging
from datetime import timedelta

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.core.account import Account
from tallystick.core.anomaly import Anomaly, Policies
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, local_day
from tallystick.pipeline.anomalies import (
    Column,
    Look,
    changes,
    keep,
    of_accounts,
    of_meters,
    read_policies,
    watched,
)
from tallystick.ports.founded import config_of

log = logging.getLogger(__name__)

AT_ONCE = 1_000  # accounts that are looked at together
SETTLING = timedelta(hours=6)  # after the end of a day, before it is said that nothing came
BACK = 3  # days behind today that are looked at again: for what came late, and for hours without a server


class AnomalyWatch:
    """Remembers in which hour each organisation was looked at last, for what and by which policies."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, tuple[Column, ...], Policies]] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Look over an organisation, once an hour and whenever what is watched or a policy has changed."""
        records, now = app.records.organization(organization_id), app.clock.now()
        policies, columns = read_policies(records), watched(records)
        if not policies.look or not columns:
            return Left.NOTHING
        seen = (f"{now:%Y-%m-%dT%H}", columns, policies)
        if self._seen.get(organization_id) == seen:
            return Left.LATER
        config = config_of(records)
        zone = config.value.timezone
        today = local_day(now, zone)
        look = Look(
            organization_id=organization_id,
            first=today - timedelta(days=BACK),
            last=today,
            over=local_day(Instant.of(now - SETTLING), zone),
            zone=zone,
            at=now,
            up_to=app.usage.mark,
            policies=policies,
        )
        usage = app.usage.organization(organization_id)
        found: list[Anomaly] = []
        account_ids = [each.id for each in records.every(Account)]
        for start in range(0, len(account_ids), AT_ONCE):
            found += of_accounts(usage, columns, account_ids[start : start + AT_ONCE], look)
        found += of_meters(records, usage, {each.id: each for each in records.every(Meter)}, look)
        if changes(records, found):
            with records.transaction() as write:
                new = keep(write, found, policies)
            log.info("%d anomalies of organization %s were found", new, organization_id)
        self._seen[organization_id] = seen
        return Left.LATER


def anomalies() -> Chore:
    """The chore, which remembers what it has looked at."""
    return Chore(name="anomalies", seconds=5.0, do=AnomalyWatch().look, problem="the look for anomalies failed")
