"""What falls due by the clock: scheduled bill jobs, schedules of balances, the end of a grace period, top-ups."""

from __future__ import annotations

import logging

from tallystick.app import App, JobToRun
from tallystick.chores.chore import Chore, Left
from tallystick.control.auto_approval import approve_due_bills
from tallystick.control.desk import Desk
from tallystick.control.ledger import entries_of
from tallystick.control.schedule_runs import balances_to_top_up, has_schedules, run_schedules, top_up
from tallystick.core.bill_job import BillFailure
from tallystick.core.organization import OrganizationConfig
from tallystick.pipeline.bill_clock import SCHEDULER, start_due_job
from tallystick.pipeline.watch import live_values
from tallystick.ports import OrganizationRecords

log = logging.getLogger(__name__)


def do_what_is_due(app: App, organization_id: str) -> Left:
    """Start scheduled bill jobs, run schedules of balances, approve bills after their grace period."""
    records, now = app.records.organization(organization_id), app.clock.now()
    if not _can_fall_due(records):
        return Left.NOTHING
    job_id = start_due_job(records, now=now, up_to=app.journal.last)
    if job_id is not None:
        app.jobs.put(JobToRun(organization_id, job_id))
    desk = Desk(records=records, actor=SCHEDULER, now=now)
    run_due_schedules(desk)
    approved = approve_due_bills(desk)
    if approved:
        log.info("%d bills of organization %s were approved after their grace period", approved, organization_id)
    return Left.LATER


def _can_fall_due(records: OrganizationRecords) -> bool:
    config = records.get(OrganizationConfig, records.organization_id)
    by_config = config is not None and (
        config.value.scheduled_bill_interval or config.value.auto_approve_bills_grace_period is not None
    )
    return bool(by_config) or has_schedules(records)


def run_due_schedules(desk: Desk) -> None:
    """Make what the schedules of an organisation make by now; what cannot be made is logged."""
    made, problems = run_schedules(desk)
    if made:
        log.info("schedules of organization %s: %d runs", desk.records.organization_id, made)
    for problem in problems:
        log.warning("organization %s: %s; it is tried again", desk.records.organization_id, problem)


def top_up_balances(app: App, organization_id: str) -> Left:
    """Fill up the balances that have fallen below the threshold of their rule."""
    records, now = app.records.organization(organization_id), app.clock.now()
    balances = balances_to_top_up(records)
    if not balances:
        return Left.NOTHING
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
    return Left.LATER


CLOCK = Chore(name="clock", seconds=1.0, do=do_what_is_due, problem="what is due by the clock failed")
TOP_UPS = Chore(name="top-ups", seconds=3.0, do=top_up_balances, problem="top-ups failed")
