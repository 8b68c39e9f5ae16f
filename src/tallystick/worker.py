"""The spine: projects the journal, runs bill jobs, and does the chores (`chores/`) round by round, until stopped.

Each has a thread of its own and resumes by itself: the projection from the usage store's mark, a job from what it has
stored, a chore from what it finds. What fails is logged and tried again after a pause; it never ends a thread.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty

from tallystick import failpoints
from tallystick.app import App, JobToRun
from tallystick.chores import every_chore
from tallystick.chores.by_clock import run_due_schedules, top_up_balances
from tallystick.chores.chore import Rounds
from tallystick.control.desk import Desk
from tallystick.errors import OWN_FAULTS, Refusal
from tallystick.foundry import Foundry
from tallystick.pipeline.bill_clock import SCHEDULER
from tallystick.pipeline.bill_job import fail_job, read_kept, unfinished_jobs
from tallystick.pipeline.bill_run import run_job
from tallystick.pipeline.mediate import project

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.2  # how often an idle thread looks whether it shall stop
PAUSE_SECONDS = 1.0  # before what failed is tried again
ATTEMPTS = 4  # of a bill job that fails by itself, with pauses of 1, 2 and 4 seconds between them
REASON_LENGTH = 500
# New measurements are gathered this long, so that the usage store gets fewer, larger inserts, which it need not merge
# again; longer while many come.
GATHER_SECONDS = 0.05
GATHER_MANY_SECONDS = 0.25
MANY = 2_000
PROCESSORS = os.cpu_count() or 1


class Worker:
    """Runs beside the API in the same process. `start` it once, `stop` it before the app is closed."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._stopping = threading.Event()
        self._projected = threading.Condition()
        self._attempts: dict[str, int] = {}  # failed ones, by bill job
        self._chores = every_chore()
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,), name=name, daemon=True)
            for name, step in (
                ("projector", self._project),
                ("bill jobs", self._run_next_job),
                *((chore.name, partial(self._go_round, Rounds(app, chore), chore.seconds)) for chore in self._chores),
            )
        ]

    def start(self) -> None:
        """Take up every bill job that a stop or a crash interrupted, then work."""
        for organization in self._app.records.organizations():
            for job_id in unfinished_jobs(self._app.records.organization(organization.id)):
                self._app.jobs.put(JobToRun(organization.id, job_id))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the step at hand and end; what is left is taken up at the next start."""
        self._stopping.set()
        self._app.outside.close()  # whoever waits for an answer waits no longer
        with self._projected:  # a job may wait for a projection that nobody goes on with
            self._projected.notify_all()
        for thread in self._threads:
            thread.join()
        for chore in self._chores:
            chore.stop()

    def _repeat(self, step: Callable[[], None]) -> None:
        failed = ""  # why the step failed last
        while not self._stopping.is_set():
            try:
                step()
                failed = ""
            except Exception as problem:
                # Told in full once: what fails every second, as with a full disk, must not fill the log.
                if str(problem) != failed:
                    log.exception("a step of the worker failed; it is tried again")
                failed = str(problem)
                self._stopping.wait(PAUSE_SECONDS)

    def _go_round(self, rounds: Rounds, seconds: float) -> None:
        """Do a chore in every organisation, then rest: longer where it took long, which leaves time for other work."""
        began = time.monotonic()
        if not rounds.go():
            self._stopping.wait(max(seconds, 2 * (time.monotonic() - began)))

    def _project(self) -> None:
        app = self._app
        if not app.claimer.wait_for_more(app.usage.mark, IDLE_SECONDS):
            return
        new = app.journal.last - app.usage.mark
        if new < app.settings.project_rows:
            self._stopping.wait(GATHER_SECONDS if new < MANY else GATHER_MANY_SECONDS)
        project(app.journal, app.usage, app.records, app.settings.project_rows, app.tail)
        with self._projected:
            self._projected.notify_all()

    def _run_next_job(self) -> None:
        app = self._app
        try:
            job = app.jobs.get(timeout=IDLE_SECONDS)
        except Empty:
            return
        try:
            self._run(job)
        except Exception as problem:
            self._try_again(job, problem)
            raise
        self._attempts.pop(job.job_id, None)
        top_up_balances(app, job.organization_id)

    def _try_again(self, job: JobToRun, problem: Exception) -> None:
        """Put a job back, each time after a longer pause; what fails by itself again and again is given up. A store
        that does not answer or has no room is waited for: that is no fault of the job."""
        app, id_ = self._app, job.job_id
        if isinstance(problem, OWN_FAULTS) and not (isinstance(problem, Refusal) and problem.code.retry):
            attempt = self._attempts[id_] = self._attempts.get(id_, 0) + 1
            if attempt >= ATTEMPTS:
                reason = f"given up after {ATTEMPTS} attempts: {type(problem).__name__}: {problem}"[:REASON_LENGTH]
                records = app.records.organization(job.organization_id)
                fail_job(records, id_, reason=reason, now=app.clock.now(), by=SCHEDULER.id)
                del self._attempts[id_]
                return
            self._stopping.wait(PAUSE_SECONDS * (2 ** (attempt - 1) - 1))
        app.jobs.put(job)

    def _run(self, job: JobToRun) -> None:
        app = self._app
        records = app.records.organization(job.organization_id)
        up_to = read_kept(records, job.job_id).job.up_to
        with self._projected:
            self._projected.wait_for(lambda: app.usage.mark >= up_to or self._stopping.is_set())
        if self._stopping.is_set():
            return  # the job is taken up at the next start
        # What schedules charge or add by now belongs on the bills.
        run_due_schedules(Desk(records=records, actor=SCHEDULER, now=app.clock.now()))
        usage = app.usage.organization(job.organization_id)
        with Foundry(app.settings.records, job.organization_id, usage, fewest=app.settings.foundry_bills) as foundry:
            done = run_job(
                records,
                usage,
                job.job_id,
                failpoint=lambda step: failpoints.reached(failpoints.BILLS + step),
                stopping=self._stopping.is_set,
                chunk_size=app.settings.bill_chunk,
                foundry=foundry if app.settings.foundry_bills and PROCESSORS > 1 else None,
            )
        log.info("bill job %s: %s, %d bills, %d failures", done.id, done.status, len(done.bill_ids), len(done.failures))
