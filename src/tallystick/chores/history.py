"""What was handed over and exported is kept for about a year, and then forgotten (docs/decisions/0568-history.md)."""

from __future__ import annotations

from datetime import timedelta

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control.export_jobs import KIND
from tallystick.control.export_run import forget_jobs
from tallystick.core.integration import RUN
from tallystick.core.period import Instant
from tallystick.pipeline.old_events import forget_runs
from tallystick.ports import DocumentWhere, Page


def forget_history(app: App, organization_id: str) -> Left:
    """Remove some runs and export jobs that were over before the days of the setting, which 0 switches off."""
    records, days = app.records.organization(organization_id), app.settings.history_days
    if not days or not any(records.documents(kind, DocumentWhere(), Page(size=1)).rows for kind in (RUN, KIND)):
        return Left.NOTHING
    before = Instant.of(app.clock.now() - timedelta(days=days))
    forgotten = forget_runs(records, before) + forget_jobs(records, before)
    return Left.MORE if forgotten else Left.LATER


HISTORY = Chore(
    name="history",
    seconds=600.0,
    do=forget_history,
    problem="forgetting what was handed over and exported long ago failed",
    documents=(RUN, KIND),
)
