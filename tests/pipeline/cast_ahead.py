"""A bill job of a whole server, the worker's thread and the second process included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from billing_desk import ADA, NOVEMBER, calls_world
from test_jobs_that_fail import ended

from billing_world import CREATED, at, id_of
from tallystick.app import App
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.cast import Cast
from tallystick.foundry import Foundry
from tallystick.pipeline.bill_job import JobChunk, create_job
from tallystick.ports import Organization
from tallystick.worker import Worker


def cast_ahead(app: App, accounts: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bill November for some accounts of a new organisation, then close the server: how many bills of each chunk the
    second process had made. It is waited for where it is first asked, so all chunks but the first may be its work."""
    world = calls_world(*accounts)
    app.records.add_organization(Organization(id=world.organization_id, name="Test", created=CREATED))
    records = app.records.organization(world.organization_id)
    world.store(records)
    given: list[int] = []
    take, order = Foundry.take, Foundry.order

    def noted(own: Foundry, chunk: JobChunk, edition: Callable[[], object]) -> Mapping[int, Cast]:
        found = take(own, chunk, edition)
        given.append(len(found))
        return found

    def waited(own: Foundry, *given: Any) -> None:
        order(own, *given)  # starts it
        own.ready.wait(60)
        order(own, *given)

    monkeypatch.setattr(Foundry, "take", noted)
    monkeypatch.setattr(Foundry, "order", waited)
    request = BillJobRequest(**NOVEMBER)
    job = create_job(records, request, id=id_of("job", "1"), actor=ADA, now=at("2023-12-01"), up_to=0)
    worker = Worker(app)
    worker.start()
    try:
        done = ended(app, world.organization_id, job.id)
    finally:
        worker.stop()
        app.close()
    assert len(done.bill_ids) == len(accounts)
    return given
