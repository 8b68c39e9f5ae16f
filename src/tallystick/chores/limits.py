"""Limits: told of, once in a period, when usage reaches them."""

from __future__ import annotations

import logging

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control.desk import Desk
from tallystick.control.entitlements import tell_reached
from tallystick.pipeline.bill_clock import SCHEDULER
from tallystick.pipeline.entitled import entitled_accounts
from tallystick.pipeline.gate import Stamp, stamp_of

log = logging.getLogger(__name__)

AT_ONCE = 500  # accounts that are looked at in one round


class LimitWatch:
    """Goes through the accounts of each organisation in turns; remembers with what it began a turn that found
    everything as it was, and how far it has come in one that is not over."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, Stamp, str]] = {}
        self._turn: dict[str, tuple[tuple[int, Stamp, str], list[str]]] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Tell of the limits of some accounts that are reached."""
        records, now = app.records.organization(organization_id), app.clock.now()
        # A period begins at a full hour somewhere.
        as_it_is = (app.usage.arrived(organization_id), stamp_of(records), f"{now:%Y-%m-%dT%H}")
        seen, left = self._turn.pop(organization_id, (as_it_is, []))
        if not left:
            seen = as_it_is
            if self._seen.get(organization_id) == seen:
                return Left.LATER
            left = entitled_accounts(records)
            if not left:
                return Left.NOTHING
        desk = Desk(records=records, actor=SCHEDULER, now=now)
        usage = app.usage.organization(organization_id)
        stand = app.gate.look_ahead(lambda: (records, usage, app.usage.mark), left[:AT_ONCE])
        told = sum(tell_reached(desk, each, each.grants.values()) for each in stand.values())
        if told:
            log.info("%d limits of organization %s were reached", told, organization_id)
        if left[AT_ONCE:]:
            self._turn[organization_id] = (seen, left[AT_ONCE:])
        else:
            self._seen[organization_id] = seen
        return Left.LATER


def limits() -> Chore:
    """The chore, which remembers what it has seen."""
    return Chore(name="limits", seconds=2.0, do=LimitWatch().look, problem="looking at limits failed")
