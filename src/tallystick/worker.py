"""The spine: projects the journal, runs bill and statement jobs, and does what is due by the clock, until stopped.

Each has a thread of its own and resumes by itself: the projection from the usage store's mark, a job from what it has
stored, the clock from what it has started. What fails is logged and tried again after a pause; it never ends a thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty

from tallystick import failpoints
from tallystick.app import App, JobToRun
from tallystick.control.auto_approval import approve_due_bills
from tallystick.control.bills import last_approved
from tallystick.control.desk import Desk
from tallystick.control.ledger import entries_of
from tallystick.control.replay_jobs import REPLAYS, run_chunk
from tallystick.control.replay_jobs import jobs_to_run as replay_jobs_to_run
from tallystick.control.schedule_runs import balances_to_top_up, run_schedules, top_up
from tallystick.control.spend_alerts import active_alerts, look_at
from tallystick.control.statement_jobs import STATEMENTS, jobs_to_run
from tallystick.control.statement_jobs import run_job as run_statement_job
from tallystick.core.bill_job import BillFailure
from tallystick.errors import Refusal
from tallystick.pipeline.bill_clock import SCHEDULER, start_due_job
from tallystick.pipeline.bill_job import fail_job, read_kept, unfinished_jobs
from tallystick.pipeline.bill_run import run_job
from tallystick.pipeline.ingest import Verdict
from tallystick.pipeline.mediate import project
from tallystick.pipeline.simulation_job import fail_simulation, simulations_to_run
from tallystick.pipeline.simulation_job import run_chunk as run_chunk_of_simulation
from tallystick.pipeline.spend import standings
from tallystick.pipeline.watch import live_values

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.2  # how often an idle thread looks whether it shall stop
PAUSE_SECONDS = 1.0  # before what failed is tried again
ATTEMPTS = 4  # of a bill job that fails by itself, with pauses of 1, 2 and 4 seconds between them
REASON_LENGTH = 500
# What goes wrong in the calculation or in what is stored, unlike what a store or its disk answers.
OWN_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    Refusal,
    TypeError,
    ValueError,
)
CLOCK_SECONDS = 1.0  # how often the clock is looked at
REPLAY_SECONDS = 0.5  # how often it is looked for failed measurements that shall be sent again
SIMULATION_SECONDS = 0.5  # how often it is looked for simulations that were asked for
STATEMENT_SECONDS = 0.5  # how often it is looked for statements that were asked for
ALERT_SECONDS = 2.0  # how often it is looked whether a spend alert is due
ALERTS_AT_ONCE = 500  # accounts whose spend is computed together
TOP_UP_SECONDS = 3.0  # how often balances that fill themselves up are looked at
# New measurements are gathered this long, so that the usage store gets fewer, larger inserts, which it need not merge
# again; longer while many come.
GATHER_SECONDS = 0.05
GATHER_MANY_SECONDS = 0.25
MANY = 2_000


def taken(app: App, organization_id: str, members: Sequence[bytes]) -> Sequence[Verdict]:
    """Ingest of failed measurements that are sent again: what fails again is in the queue already."""
    return app.intake.take(organization_id, members, record=False).measurements


class Worker:
    """Runs beside the API in the same process. `start` it once, `stop` it before the app is closed."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._stopping = threading.Event()
        self._projected = threading.Condition()
        self._attempts: dict[str, int] = {}  # failed ones, by bill job
        self._looked: dict[str, tuple[int, int, str]] = {}  # what spend alerts were last looked at with
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,), name=name, daemon=True)
            for name, step in (
                ("projector", self._project),
                ("bill jobs", self._run_next_job),
                ("clock", self._do_what_is_due),
                ("top-ups", self._top_up),
                ("statements", self._make_statements),
                ("spend alerts", self._watch_spend),
                ("replays", self._replay),
                ("simulations", self._simulate),
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
        with self._projected:  # a job may wait for a projection that nobody goes on with
            self._projected.notify_all()
        for thread in self._threads:
            thread.join()

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

    def _rest(self, began: float, seconds: float) -> None:
        """Wait before all organisations are asked again: longer where asking took long, as there are many of them."""
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
        self._top_up_in(job.organization_id)

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

    def _do_what_is_due(self) -> None:
        """In every organisation: start scheduled bill jobs, run schedules of balances, approve bills after their grace
        period."""
        app = self._app
        for organization in app.records.organizations():
            try:
                self._do_what_is_due_in(organization.id)
            except Exception:
                log.exception("what is due by the clock failed in organization %s; it is tried again", organization.id)
        self._stopping.wait(CLOCK_SECONDS)

    def _do_what_is_due_in(self, organization_id: str) -> None:
        app = self._app
        records, now = app.records.organization(organization_id), app.clock.now()
        job_id = start_due_job(records, now=now, up_to=app.journal.last)
        if job_id is not None:
            app.jobs.put(JobToRun(organization_id, job_id))
        desk = Desk(records=records, actor=SCHEDULER, now=now)
        self._run_schedules(desk)
        approved = approve_due_bills(desk)
        if approved:
            log.info("%d bills of organization %s were approved after their grace period", approved, organization_id)

    def _run_schedules(self, desk: Desk) -> None:
        made, problems = run_schedules(desk)
        if made:
            log.info("schedules of organization %s: %d runs", desk.records.organization_id, made)
        for problem in problems:
            log.warning("organization %s: %s; it is tried again", desk.records.organization_id, problem)

    def _make_statements(self) -> None:
        """Make the statements that were asked for, organisation by organisation."""
        began = time.monotonic()
        app = self._app
        for organization in app.records.organizations():
            usage = app.usage.organization(organization.id)
            desk = Desk(records=app.records.organization(organization.id), actor=STATEMENTS, now=app.clock.now())
            for job_id in jobs_to_run(desk.records):
                try:
                    run_statement_job(desk, usage, job_id, app.usage.mark)
                except Exception:
                    log.exception("statement job %s failed; it is tried again", job_id)
        self._rest(began, STATEMENT_SECONDS)

    def _replay(self) -> None:
        """Send failed measurements again that people corrected together, a chunk of each job in turn."""
        began = time.monotonic()
        app, at_work = self._app, False
        for organization in app.records.organizations():
            desk = Desk(records=app.records.organization(organization.id), actor=REPLAYS, now=app.clock.now())
            for job_id in replay_jobs_to_run(desk.records):
                job = run_chunk(desk, job_id, partial(taken, app, organization.id))
                at_work = at_work or job.status.active
        if not at_work:
            self._rest(began, REPLAY_SECONDS)

    def _simulate(self) -> None:
        """Simulate bills that were asked for, a chunk of each simulation in turn."""
        began = time.monotonic()
        app, at_work = self._app, False
        for organization in app.records.organizations():
            records, usage = app.records.organization(organization.id), app.usage.organization(organization.id)
            for made in simulations_to_run(records):
                if made.up_to > app.usage.mark:  # after a start, usage may have to be counted again
                    continue
                now = app.clock.now()
                try:
                    found = run_chunk_of_simulation(records, usage, made.id, now=now)
                except OWN_FAULTS as problem:
                    log.exception("simulation %s cannot go on", made.id)
                    reason = f"{type(problem).__name__}: {problem}"[:REASON_LENGTH]
                    fail_simulation(records, made.id, reason=reason, now=now)
                else:
                    at_work = at_work or found.status.active
        if not at_work:
            self._rest(began, SIMULATION_SECONDS)

    def _top_up(self) -> None:
        """In every organisation: fill up the balances that have fallen below the threshold of their rule."""
        for organization in self._app.records.organizations():
            try:
                self._top_up_in(organization.id)
            except Exception:
                log.exception("top-ups of organization %s failed; they are tried again", organization.id)
        self._stopping.wait(TOP_UP_SECONDS)

    def _top_up_in(self, organization_id: str) -> None:
        app = self._app
        records, now = app.records.organization(organization_id), app.clock.now()
        balances = balances_to_top_up(records)
        if not balances:
            return
        desk = Desk(records=records, actor=SCHEDULER, now=now)
        entries = entries_of(records, [balance.id for balance in balances])  # read before what is found from them
        usage = app.usage.organization(organization_id)
        for balance, worth in zip(
            balances, live_values(records, usage, balances, now=now, up_to=app.usage.mark), strict=True
        ):
            if isinstance(worth, BillFailure):
                log.warning("balance %s is not topped up: %s; it is tried again", balance.id, worth.message)
            elif top_up(desk, balance.id, worth.value, entries[balance.id]):
                log.info("balance %s of organization %s was topped up", balance.id, organization_id)

    def _watch_spend(self) -> None:
        """In every organisation: fire the spend alerts that are due, where anything has changed since the last look."""
        began = time.monotonic()
        for organization in self._app.records.organizations():
            try:
                self._watch_spend_in(organization.id)
            except Exception:
                log.exception("spend alerts of organization %s failed; they are tried again", organization.id)
        self._rest(began, ALERT_SECONDS)

    def _watch_spend_in(self, organization_id: str) -> None:
        app = self._app
        records, now, up_to = app.records.organization(organization_id), app.clock.now(), app.usage.mark
        seen = (up_to, records.revision, f"{now:%Y-%m-%dT%H}")  # a billing period begins at a full hour somewhere
        if self._looked.get(organization_id) == seen:
            return
        desk = Desk(records=records, actor=SCHEDULER, now=now)
        alerts = active_alerts(records)
        watched = sorted(alerts)
        for start in range(0, len(watched), ALERTS_AT_ONCE):
            accounts = watched[start : start + ALERTS_AT_ONCE]
            last = {each: last_approved(records, each) for each in accounts}
            stand = standings(records, app.usage.organization(organization_id), last, now=now, up_to=up_to)
            fired = sum(look_at(desk, alerts[each], standing) for each, standing in stand.items())
            if fired:
                log.info("%d spend alerts of organization %s fired", fired, organization_id)
        self._looked[organization_id] = seen

    def _run(self, job: JobToRun) -> None:
        app = self._app
        records = app.records.organization(job.organization_id)
        up_to = read_kept(records, job.job_id).job.up_to
        with self._projected:
            self._projected.wait_for(lambda: app.usage.mark >= up_to or self._stopping.is_set())
        if self._stopping.is_set():
            return  # the job is taken up at the next start
        # What schedules charge or add by now belongs on the bills.
        self._run_schedules(Desk(records=records, actor=SCHEDULER, now=app.clock.now()))
        done = run_job(
            records,
            app.usage.organization(job.organization_id),
            job.job_id,
            failpoint=lambda step: failpoints.reached(failpoints.BILLS + step),
            stopping=self._stopping.is_set,
            chunk_size=app.settings.bill_chunk,
        )
        log.info("bill job %s: %s, %d bills, %d failures", done.id, done.status, len(done.bill_ids), len(done.failures))
