"""Jobs that people asked for, other than bill jobs: statements, replays of failed measurements, simulations,
corrections of usage."""

from __future__ import annotations

import logging

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control import replay_jobs, statement_jobs
from tallystick.control.desk import Desk
from tallystick.core.usage_correction import CorrectionStatus
from tallystick.errors import OWN_FAULTS
from tallystick.pipeline import correction_run, corrections, simulation_job
from tallystick.pipeline.correction_entries import Reach

log = logging.getLogger(__name__)

REASON_LENGTH = 500


def make_statements(app: App, organization_id: str) -> Left:
    """Make the statements that were asked for."""
    usage = app.usage.organization(organization_id)
    desk = Desk(records=app.records.organization(organization_id), actor=statement_jobs.STATEMENTS, now=app.clock.now())
    left = Left.NOTHING
    for job_id in statement_jobs.jobs_to_run(desk.records):
        left = Left.LATER
        try:
            statement_jobs.run_job(desk, usage, job_id, app.usage.mark)
        except Exception:
            log.exception("statement job %s failed; it is tried again", job_id)
    return left


def replay(app: App, organization_id: str) -> Left:
    """Send failed measurements again that people corrected together, a chunk of each job in turn."""
    desk = Desk(records=app.records.organization(organization_id), actor=replay_jobs.REPLAYS, now=app.clock.now())
    left = Left.NOTHING
    for job_id in replay_jobs.jobs_to_run(desk.records):
        job = replay_jobs.run_chunk(desk, job_id, app.events.sender(organization_id))
        left = Left.MORE if job.status.active or left is Left.MORE else Left.LATER
    return left


def simulate(app: App, organization_id: str) -> Left:
    """Simulate bills that were asked for, a chunk of each simulation in turn."""
    records, usage = app.records.organization(organization_id), app.usage.organization(organization_id)
    left = Left.NOTHING
    for made in simulation_job.simulations_to_run(records):
        left = Left.LATER if left is Left.NOTHING else left
        if made.up_to > app.usage.mark:  # after a start, usage may have to be counted again
            continue
        now = app.clock.now()
        try:
            found = simulation_job.run_chunk(records, usage, made.id, now=now)
        except OWN_FAULTS as problem:
            log.exception("simulation %s cannot go on", made.id)
            reason = f"{type(problem).__name__}: {problem}"[:REASON_LENGTH]
            simulation_job.fail_simulation(records, made.id, reason=reason, now=now)
        else:
            left = Left.MORE if found.status.active else left
    return left


def correct(app: App, organization_id: str) -> Left:
    """Look at drafts of corrections that nobody waits for, and carry out those that were decided on."""
    reach, now, left = Reach(app, organization_id), app.clock.now(), Left.NOTHING
    for each in correction_run.corrections_waiting(reach.records):
        left = Left.LATER
        if each.status is CorrectionStatus.DRAFT:
            correction_run.preview_correction(reach, each.id, up_to=app.usage.mark, now=now)
        else:
            correction_run.carry_out(reach, each.id, now=now)
    return left


STATEMENTS = Chore(
    name="statements",
    seconds=0.5,
    do=make_statements,
    problem="statements failed",
    documents=(statement_jobs.KIND,),
)
CORRECTIONS = Chore(
    name="corrections",
    seconds=0.5,
    do=correct,
    problem="looking at corrections or applying them failed",
    documents=(corrections.KIND,),
)
REPLAYS = Chore(
    name="replays",
    seconds=0.5,
    do=replay,
    problem="sending failed measurements again failed",
    documents=(replay_jobs.KIND,),
)
SIMULATIONS = Chore(
    name="simulations", seconds=0.5, do=simulate, problem="simulations failed", documents=(simulation_job.KIND,)
)
