"""Data exports: those that were asked for, step by step, and those that fall due by the clock."""

from __future__ import annotations

import logging
from datetime import timedelta

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control import export_jobs
from tallystick.control.desk import Desk
from tallystick.control.export_run import ExportBench, fail_job, forget_old_files, run_step
from tallystick.core.export_job import ExportJobStatus
from tallystick.core.period import Instant
from tallystick.errors import OWN_FAULTS

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=10)  # at what falls due, and at files that are kept long enough


def bench_of(app: App, organization_id: str) -> ExportBench:
    """What the exports of an organisation are made with."""
    return ExportBench(
        records=app.records.organization(organization_id),
        usage=app.usage.organization(organization_id),
        snapshots=app.snapshots,
        targets=app.targets,
        directory=app.settings.directory / "exports",
        now=app.clock.now,
    )


class Exporter:
    """Remembers when it looked last at what falls due, and with what it found no job to run."""

    def __init__(self) -> None:
        self._looked: dict[str, Instant] = {}
        self._idle: dict[str, int] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Ask for what is due, and take each export a step further."""
        bench = bench_of(app, organization_id)
        left = Left.LATER if self._by_clock(app, bench) else Left.NOTHING
        written = bench.records.documents_written(export_jobs.KIND)
        if self._idle.get(organization_id) == written:
            return left
        jobs = export_jobs.jobs_to_run(bench.records)
        if not jobs:
            self._idle[organization_id] = written
        for job in jobs:
            left = Left.LATER if left is Left.NOTHING else left
            if job.up_to <= app.usage.mark and self._go_on(bench, job.id, job.version):
                left = Left.MORE
        return left

    def _by_clock(self, app: App, bench: ExportBench) -> bool:
        """Ask for the exports that are due by now; whether more may fall due, or files have to go, later."""
        now, id_ = app.clock.now(), bench.organization_id
        looked = self._looked.get(id_)
        if looked is not None and abs(now - looked) < LOOK_EVERY:
            return True
        desk = Desk(records=bench.records, actor=export_jobs.EXPORTS, now=now)
        scheduled = export_jobs.create_due(desk, up_to=app.journal.last)
        self._looked[id_] = now
        return forget_old_files(bench) > 0 or scheduled

    def _go_on(self, bench: ExportBench, id: str, version: int) -> bool:
        """One step; whether there are more to be taken at once."""
        try:
            job = run_step(bench, id)
        except OWN_FAULTS as problem:
            if getattr(getattr(problem, "code", None), "retry", False):
                raise
            log.exception("export job %s cannot go on", id)
            job = fail_job(bench, id, f"{type(problem).__name__}: {problem}")
        if job.status is ExportJobStatus.FAILED:
            log.warning("export job %s failed: %s", id, job.failure)
        return job.status.active and job.version > version and job.not_before is None


def exports() -> Chore:
    """The chore, which remembers when it looked."""
    return Chore(
        name="exports",
        seconds=0.5,
        do=Exporter().look,
        problem="exports failed",
        documents=(export_jobs.KIND,),
    )
