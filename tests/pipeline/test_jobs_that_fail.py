"""A bill job that fails by itself is tried again a few times, then given up with its cause; the next one is run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick import worker as module
from tallystick.app import App, JobToRun, build
from tallystick.control.desk import new_id
from tallystick.control.organizations import create_organization
from tallystick.core.bill_job import BillJob, BillJobRequest, BillJobStatus
from tallystick.pipeline.bill_job import create_job, read_job
from tallystick.ports import Actor
from tallystick.settings import Settings
from tallystick.worker import ATTEMPTS, Worker

SOON = 20.0


def ended(app: App, organization_id: str, id: str) -> BillJob:
    """The job once it has nothing left to do."""
    deadline = time.monotonic() + SOON
    records = app.records.organization(organization_id)
    while (job := read_job(records, id)).status.active:
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
    return job


@pytest.mark.parametrize(
    ("problem", "fails", "status"),
    [
        (ValueError("no such thing"), 1000, BillJobStatus.FAILED),
        (ValueError("no such thing"), ATTEMPTS - 1, BillJobStatus.COMPLETE),
        (OSError("no space left on device"), ATTEMPTS + 3, BillJobStatus.COMPLETE),
    ],
)
def test_a_job_that_fails_by_itself_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, fails: int, status: BillJobStatus
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.005)
    app = build(Settings(data=str(tmp_path)))
    organization_id = create_organization(app.records, "North", "USD", app.clock.now()).organization.id
    records = app.records.organization(organization_id)

    def asked() -> str:
        id_ = new_id()
        create_job(records, BillJobRequest(), id=id_, actor=Actor("ada", "SERVICE_USER"), now=app.clock.now(), up_to=0)
        app.jobs.put(JobToRun(organization_id, id_))
        return id_

    first, runs = asked(), []
    run: Callable[..., BillJob] = module.run_job

    def failing(*arguments: object, **options: object) -> BillJob:
        if arguments[2] == first:
            runs.append(1)
            if len(runs) <= fails:
                raise problem
        return run(*arguments, **options)

    monkeypatch.setattr(module, "run_job", failing)
    working = Worker(app)
    for thread in working._threads:
        thread.start()  # without taking up what is stored: the job is in the queue
    try:
        job = ended(app, organization_id, first)
        assert job.status is status
        if status is BillJobStatus.FAILED:
            (failure,) = job.failures
            assert failure.code == "job_failed"
            assert failure.message == f"given up after {ATTEMPTS} attempts: ValueError: no such thing"
            assert len(runs) == ATTEMPTS
        assert ended(app, organization_id, asked()).status is BillJobStatus.COMPLETE
    finally:
        working.stop()
        app.close()
