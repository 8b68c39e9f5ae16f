"""Seals of bills that were approved, and verifications of many bills."""

from __future__ import annotations

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.core.seal import KIND as SEAL
from tallystick.pipeline.seal import seal_pending
from tallystick.pipeline.verify_job import KIND as VERIFICATION
from tallystick.pipeline.verify_job import jobs_to_run, run_chunk


def seal(app: App, organization_id: str) -> Left:
    """Seal bills that were approved or locked."""
    records, usage = app.records.organization(organization_id), app.usage.organization(organization_id)
    waiting, done = seal_pending(records, usage, app.usage.mark, app.clock.now())
    if done:
        return Left.MORE
    return Left.LATER if waiting else Left.NOTHING


def verify(app: App, organization_id: str) -> Left:
    """Verify bills that somebody asked to have verified, a chunk of each job in turn."""
    records, usage = app.records.organization(organization_id), app.usage.organization(organization_id)
    left = Left.NOTHING
    for job in jobs_to_run(records):
        left = Left.LATER if left is Left.NOTHING else left
        if run_chunk(records, usage, job.id, mark=app.usage.mark, now=app.clock.now()).active:
            left = Left.MORE
    return left


SEALS = Chore(name="seals", seconds=1.0, do=seal, problem="sealing bills failed", documents=(SEAL,))
VERIFICATIONS = Chore(
    name="verifications", seconds=0.5, do=verify, problem="verifying bills failed", documents=(VERIFICATION,)
)
