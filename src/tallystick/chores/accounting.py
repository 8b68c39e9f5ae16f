"""The books: what was ordered is posted, and credit that expires falls due by the clock."""

from __future__ import annotations

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.core.journal import SOURCES
from tallystick.pipeline.journal import order_due, post_waiting


def post(app: App, organization_id: str) -> Left:
    """Post journal entries of documents that changed."""
    _, more = post_waiting(app.records.organization(organization_id), app.clock.now())
    return Left.MORE if more else Left.NOTHING


def look_for_due(app: App, organization_id: str) -> Left:
    """Order what no change orders: credit that expired, and what was paid for commitments beforehand."""
    any_credit = order_due(app.records.organization(organization_id), app.clock.now())
    return Left.LATER if any_credit else Left.NOTHING


JOURNAL = Chore(name="journal", seconds=1.0, do=post, problem="posting journal entries failed", documents=(SOURCES,))
EXPIRED = Chore(name="expired credit", seconds=600.0, do=look_for_due, problem="looking for expired credit failed")
