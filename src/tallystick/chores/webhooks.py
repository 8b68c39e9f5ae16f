"""Webhooks: what was delivered is kept for some weeks."""

from __future__ import annotations

from datetime import timedelta

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.core.period import Instant
from tallystick.ports import DocumentWhere, Page
from tallystick.ports.webhook import DELIVERY

AT_ONCE = 500


def forget_old_deliveries(app: App, organization_id: str) -> Left:
    """Delete the attempts that are older than the settings say, some at a time."""
    records = app.records.organization(organization_id)
    before = Instant.of(app.clock.now() - timedelta(days=app.settings.delivery_days)).stamp()
    old = DocumentWhere(between={"sort": (None, before)})
    ids = [each for (each,) in records.keys_of(DELIVERY, old, ("id",), AT_ONCE) if each is not None]
    if ids:
        with records.transaction() as write:
            write.remove_documents(DELIVERY, ids)
        return Left.MORE if len(ids) > AT_ONCE else Left.LATER
    return Left.LATER if records.documents(DELIVERY, DocumentWhere(), Page(size=1)).rows else Left.NOTHING


DELIVERIES = Chore(
    name="old deliveries",
    seconds=600.0,
    do=forget_old_deliveries,
    problem="deleting old deliveries failed",
    documents=(DELIVERY,),
)
