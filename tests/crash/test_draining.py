"""SIGTERM: what was begun is finished, what was acknowledged counts, and the server is gone in moments."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from subprocess import Popen

from crash_campaign import begin
from crash_sender import Pace

from tallystick.app import build
from tallystick.cli.launch import HOST
from tallystick.control.desk import new_id
from tallystick.control.organizations import create_organization
from tallystick.core.bill_job import BillJobRequest
from tallystick.pipeline.bill_job import create_job
from tallystick.ports import Actor
from tallystick.settings import Settings
from tallystick.worker import Worker

STOP_SECONDS = 20


def test_a_server_that_is_stopped_again_and_again_under_load_loses_nothing(tmp_path: Path, starter: Popen[str]) -> None:
    campaign = begin(tmp_path, starter, seed=1, accounts=5, pace=Pace(pause=0))
    stage = campaign.stage
    try:
        for _ in range(3):
            campaign.live("bills: rated", until=0.3)
            assert stage.stop(STOP_SECONDS) < STOP_SECONDS
            stage.start()
            assert stage.wait_until_ready()
        assert campaign.check() == []
    finally:
        stage.kill()


def test_a_client_that_stalls_does_not_hold_up_the_stop_and_one_that_goes_on_is_answered(
    tmp_path: Path, starter: Popen[str]
) -> None:
    campaign = begin(tmp_path, starter, seed=2, accounts=1)
    stage = campaign.stage
    body = b'{"measurements":[{"uid":"late","meter":"llm","account":"account-000","ts":"2025-05-01T00:00:00Z"}]}'
    head = (
        f"POST {campaign.shop.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {campaign.shop.token}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    try:
        with (
            socket.create_connection((HOST, stage.port)) as goes_on,
            socket.create_connection((HOST, stage.port)) as stalls,
        ):
            stalls.sendall(head[:20])
            goes_on.sendall(head + body[:30])
            campaign.wait_for(50)
            threading.Timer(1, goes_on.sendall, (body[30:],)).start()
            assert stage.stop(STOP_SECONDS) < STOP_SECONDS
            assert goes_on.recv(100).startswith(b"HTTP/1.1 200")
        assert "did not come to its end" in stage.log.read_text()
        stage.start()
        assert stage.wait_until_ready()
        assert campaign.check() == []
    finally:
        stage.kill()


def test_a_bill_job_that_waits_for_measurements_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """Its measurements may never come: where the projection stopped first, nobody wakes the job."""
    app = build(Settings(data=str(tmp_path)))
    organization_id = create_organization(app.records, "North", "USD", app.clock.now()).organization.id
    actor = Actor("ada", "SERVICE_USER")
    never = app.journal.last + 1
    create_job(
        app.records.organization(organization_id),
        BillJobRequest(),
        id=new_id(),
        actor=actor,
        now=app.clock.now(),
        up_to=never,
    )
    worker = Worker(app)
    worker.start()  # takes the job up
    while not app.jobs.empty():
        threading.Event().wait(0.01)
    stopping = threading.Thread(target=worker.stop, daemon=True)
    stopping.start()
    stopping.join(STOP_SECONDS)
    assert not stopping.is_alive()
    app.close()
