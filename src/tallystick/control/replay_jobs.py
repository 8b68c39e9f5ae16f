"""Replay jobs: many failed measurements corrected alike and sent again, or discarded, chunk by chunk.

Each goes under its own uid, so that a chunk that is done twice, after a crash, finds duplicates and counts nothing
twice. What is rejected again stays open in the queue, and the job says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tallystick.control.desk import Desk, new_id
from tallystick.control.failed_measurements import (
    COUNTED,
    FailedFilter,
    Resent,
    TakeAgain,
    close_many,
    get_group,
    list_failed,
    under_its_uid,
)
from tallystick.core import wire
from tallystick.core.correction import Correction, corrected
from tallystick.core.ingest_failure import FailedMeasurement, FailureStatus
from tallystick.core.replay_job import ReplayAction, ReplayJob, ReplayJobStatus, with_problem
from tallystick.errors import Refusal, Rejection
from tallystick.ports import Actor, Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction

KIND = "replayjob"
REPLAYS = Actor(id="replays", kind="SCHEDULER")  # at whose desk jobs run; what they close, their askers closed
CHUNK = 500
AT_ONCE = 20  # jobs of an organisation that are looked at in one turn


def create_job(
    desk: Desk, group_id: str, action: ReplayAction, *, correction: Correction | None = None, reason: str | None = None
) -> ReplayJob:
    """Keep a job on the open ones of a group, PENDING. Refusals: `not_found`; `rule_broken` when nothing is open, when
    another job is at work on the group, or when a discard has no reason."""
    if (action is ReplayAction.DISCARD) != bool(reason):
        raise Refusal("rule_broken", "reason: give it with DISCARD and with nothing else", field="reason")
    if action is ReplayAction.DISCARD and correction is not None:
        raise Refusal("rule_broken", "correction: what is discarded is not corrected", field="correction")
    with desk.records.transaction() as write:
        group = get_group(write, group_id)
        if not group.open:
            raise Refusal("rule_broken", "groupId: no failed measurement of this group is open", field="groupId")
        running = [each for each in list_jobs(write, Page(size=AT_ONCE), active=True).rows if each.group_id == group.id]
        if running:
            message = f"groupId: the job {running[0].id} is at work on this group; wait for it or cancel it"
            raise Refusal("rule_broken", message, field="groupId")
        job = ReplayJob(
            id=new_id(),
            version=1,
            group_id=group.id,
            action=action,
            status=ReplayJobStatus.PENDING,
            total=group.open,
            done=0,
            closed=0,
            kept=0,
            dt_created=desk.now,
            created_by=desk.actor.id,
            dt_last_modified=desk.now,
            correction=correction,
            reason=reason,
        )
        _put(write, job)
    return job


def read_job(records: OrganizationRecords, id: str) -> ReplayJob:
    """One job; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no replay job {id[:40]!r} in this organization", field="id")
    return wire.decode(ReplayJob, document.body)


def list_jobs(
    records: OrganizationRecords, page: Page, *, group_id: str | None = None, active: bool = False
) -> Found[ReplayJob]:
    """A page of jobs, newest first; with `active` only those that have something left to do."""
    equal = {"group_id": [group_id]} if group_id else {}
    equal |= {"active": ["true"]} if active else {}
    found = records.documents(KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(ReplayJob, each.body) for each in found.rows), found.next_token)


def cancel_job(desk: Desk, id: str) -> ReplayJob:
    """Stop a job; what it closed stays closed, and a finished one stays as it is."""
    with desk.records.transaction() as write:
        job = read_job(write, id)
        if job.status.active:
            job = _moved(desk, job, status=ReplayJobStatus.CANCELLED)
            _put(write, job)
    return job


def jobs_to_run(records: OrganizationRecords) -> list[str]:
    """The ids of some jobs that have something to do, oldest first."""
    return [job.id for job in list_jobs(records, Page(size=AT_ONCE), active=True).rows][::-1]


def run_chunk(desk: Desk, id: str, take: TakeAgain, size: int = CHUNK) -> ReplayJob:
    """Do the next part of a job and note how far it is, in one transaction with what it closed; `take` is ingest.

    The work is that of whoever asked for the job. A job that was cancelled meanwhile stays so.
    """
    job = read_job(desk.records, id)
    if not job.status.active:
        return job
    page = Page(size=size, token=job.next_token)
    found = list_failed(desk.records, FailedFilter(group_id=job.group_id, status=FailureStatus.OPEN), page)
    # What failed since the job was asked for is left alone: nobody has looked at it.
    mine = [each for each in found.rows if each.received <= job.dt_created]
    counted, problems = (mine, []) if job.action is ReplayAction.DISCARD else _sent_again(mine, job.correction, take)
    status = FailureStatus.DISCARDED if job.action is ReplayAction.DISCARD else FailureStatus.REPLAYED
    own = Desk(records=desk.records, actor=Actor(id=job.created_by, kind=desk.actor.kind), now=desk.now)
    with desk.records.transaction() as write:
        closed = close_many(own, write, [each.id for each in counted], status, job.reason) if counted else []
        job = read_job(write, id)
        named = job.problems
        for failed, why in problems:
            named = with_problem(named, why, failed.id)
        last = found.next_token is None
        job = _moved(
            desk,
            job,
            status=job.status if not job.status.active else DONE[last],
            done=job.done + len(mine),
            closed=job.closed + len(closed),
            kept=job.kept + len(problems),
            problems=named,
            next_token=found.next_token,
        )
        _put(write, job)
    return job


def _sent_again(
    failed: Sequence[FailedMeasurement], correction: Correction | None, take: TakeAgain
) -> tuple[list[FailedMeasurement], list[tuple[FailedMeasurement, str]]]:
    """Those that count now, and the others with the reason."""
    ready: list[tuple[FailedMeasurement, bytes]] = []
    problems: list[tuple[FailedMeasurement, str]] = []
    for each in failed:
        member = member_of(each, correction)
        if isinstance(member, Rejection):
            problems.append((each, member.reason))
        else:
            ready.append((each, member))
    verdicts = take([Resent(each.form, member) for each, member in ready]) if ready else ()
    counted = []
    for (each, _), verdict in zip(ready, verdicts, strict=True):
        if verdict.verdict in COUNTED:
            counted.append(each)
        else:
            problems.append((each, verdict.reason or f"{verdict.verdict} again"))
    return counted, problems


def member_of(failed: FailedMeasurement, correction: Correction | None) -> bytes | Rejection:
    """What is sent again of a failed measurement: corrected, under its own uid."""
    sent = failed.sent if correction is None else corrected(failed.sent, correction)
    if isinstance(sent, Rejection):
        return sent
    try:
        return under_its_uid(failed, sent)
    except Refusal as problem:
        return Rejection(problem.code.name, problem.message, problem.field)


DONE = {True: ReplayJobStatus.COMPLETE, False: ReplayJobStatus.RUNNING}


def _moved(desk: Desk, job: ReplayJob, **changes: object) -> ReplayJob:
    return msgspec.structs.replace(job, version=job.version + 1, dt_last_modified=desk.now, **changes)


def _put(write: Transaction, job: ReplayJob) -> None:
    write.put_documents(KIND, [Document(id=job.id, sort=job.sort, keys=job.keys, body=wire.encode(job))])
