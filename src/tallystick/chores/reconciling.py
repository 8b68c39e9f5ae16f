"""Reconciliations: those that were asked for, step by step, and those that fall due by the clock."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control.desk import Desk
from tallystick.control.reconciliations import due_runs
from tallystick.control.source_uploads import forget_old_uploads
from tallystick.core import source_upload
from tallystick.core.period import Instant
from tallystick.core.reconciliation import Reconciliation
from tallystick.core.reconciliation_run import ReconciliationRun
from tallystick.errors import OWN_FAULTS, Refusal
from tallystick.pipeline import reconciliation_runs
from tallystick.pipeline.bill_clock import SCHEDULER
from tallystick.pipeline.reconcile import Bench, fail_run, reconcile
from tallystick.ports import Where

log = logging.getLogger(__name__)

SCHEDULED = Where(equal={"scheduled": ("true",)})
LOOK_EVERY = timedelta(minutes=1)  # at what falls due by the clock


class Reconciler:
    """Remembers how far each run has come: after a restart they begin anew."""

    def __init__(self) -> None:
        self._at_work: dict[str, Iterator[str]] = {}
        self._looked: dict[str, Instant] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Ask for what is due, and take each run a step further."""
        by_clock = self._by_clock(app, organization_id)
        records = app.records.organization(organization_id)
        left = Left.LATER if by_clock else Left.NOTHING
        for run in reconciliation_runs.runs_to_do(records):
            left = Left.LATER if left is Left.NOTHING else left
            if run.up_to <= app.usage.mark and self._go_on(app, run, organization_id):
                left = Left.MORE
        return left

    def _by_clock(self, app: App, organization_id: str) -> bool:
        """Ask for the runs that are due by now; whether more may fall due later."""
        records, now = app.records.organization(organization_id), app.clock.now()
        looked = self._looked.get(organization_id)
        if looked is None or now - looked >= LOOK_EVERY:
            desk = Desk(records=records, actor=SCHEDULER, now=now)
            for id_, request in due_runs(desk):
                reconciliation_runs.create_run(
                    records, request, id=id_, actor=SCHEDULER, now=now, up_to=app.journal.last
                )
            self._looked[organization_id] = now
            scheduled = next(iter(records.every(Reconciliation, SCHEDULED)), None)
            return forget_old_uploads(desk, app.sources) > 0 or scheduled is not None
        return True

    def _go_on(self, app: App, run: ReconciliationRun, organization_id: str) -> bool:
        """One step; whether there are more."""
        steps = self._at_work.get(run.id)
        if steps is None:
            steps = self._at_work[run.id] = reconcile(_bench(app, organization_id), run.id)
        try:
            next(steps)
        except StopIteration:
            del self._at_work[run.id]
            return False
        except OWN_FAULTS as problem:
            del self._at_work[run.id]
            if isinstance(problem, Refusal) and problem.code.retry:
                raise
            log.exception("reconciliation run %s cannot go on", run.id)
            records = app.records.organization(organization_id)
            fail_run(records, run.id, reason=f"{type(problem).__name__}: {problem}", now=app.clock.now())
            return False
        except Exception:
            del self._at_work[run.id]  # a store did not answer: the run begins anew in the next round
            raise
        return True


def _bench(app: App, organization_id: str) -> Bench:
    return Bench(
        records=app.records.organization(organization_id),
        usage=app.usage.organization(organization_id),
        uids=app.uids,
        sources=app.sources,
        counted=app.usage.mark,
        now=app.clock.now,
    )


def reconciliations() -> Chore:
    """The chore, which remembers how far it is."""
    return Chore(
        name="reconciliations",
        seconds=0.5,
        do=Reconciler().look,
        problem="reconciliations failed",
        documents=(reconciliation_runs.KIND, source_upload.KIND),
    )
