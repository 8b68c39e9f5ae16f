"""Export jobs as they are asked for, kept and shown. `control.export_run` runs them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta

import msgspec

from tallystick.control.desk import Desk, rule_broken
from tallystick.control.usage_query import checked_query
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.export_clock import ScheduleType, covered, due_without_gap, latest_due
from tallystick.core.export_job import NAMESPACE, ExportJob, ExportJobStatus, ExportPart
from tallystick.core.export_types import (
    AdHocExport,
    ExportDestination,
    ExportSchedule,
    ExportSelection,
    ExportSource,
)
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import (
    Actor,
    Document,
    DocumentWhere,
    Found,
    OrganizationRecords,
    Page,
    Transaction,
)

KIND, PART = "exportjob", "exportpart"
EXPORTS = Actor(id="exports", kind="SCHEDULER")  # who makes what falls due by the clock
DOWNLOADED = timedelta(hours=24)  # how long after its end the files of a job may be fetched (source: reference 2.11)
LINK_SECONDS = 900  # how long a link to them is good for
LINK = timedelta(seconds=LINK_SECONDS)
KEPT = DOWNLOADED + 2 * LINK  # how long they are kept
AT_ONCE = 20  # jobs of an organisation that are run before others have their turn


def create_job(desk: Desk, asked: AdHocExport, *, up_to: int) -> ExportJob:
    """Ask for an export, now. `up_to` is the journal position whose usage it shall have. Refusals:
    `unknown_reference`, `rule_broken` for usage of days to come."""
    if asked.end_date is not None:
        tomorrow = Instant.midnight(desk.now.date() + timedelta(days=1))
        if asked.end_date > tomorrow:
            raise rule_broken("endDate", f"must not be later than the end of this day in UTC, {tomorrow.wire()}")
    selection = ExportSelection(**{name: getattr(asked, name) for name in ExportSelection.__struct_fields__})
    _require(desk.records, selection, asked.start_date, asked.end_date)
    with desk.records.transaction() as write:
        require_destinations(write, selection.destination_ids)
        job = _new(desk, desk.new_id(), selection, desk.now, up_to)
        job = msgspec.structs.replace(job, start=asked.start_date, end=asked.end_date)
        put_job(write, job)
    return job


def create_due(desk: Desk, *, up_to: int) -> bool:
    """Ask for the exports that schedules want by now; returns whether there are schedules at all. A schedule whose last
    export is still at work waits for it. What was missed is made up for by one export; of usage by as many as leave no
    gap, one after the other."""
    some = False
    for each in desk.records.every(ExportSchedule):
        some = True
        last = last_of(desk.records, each.id)
        due = None if last is not None and last.status.active else _due(each, last, desk.now)
        if due is None:
            continue
        id_, value = named_id(NAMESPACE, f"{each.id}/{due.wire()}"), each.value
        start, end = (None, None) if value.time_period is None else covered(value.time_period, due)
        selection = ExportSelection(**{name: getattr(value, name) for name in ExportSelection.__struct_fields__})
        job = _new(desk, id_, selection, due, up_to)
        job = msgspec.structs.replace(job, schedule_id=each.id, start=start, end=end)
        with desk.records.transaction() as write:
            if write.document(KIND, id_) is None:
                put_job(write, job)
    return some


def _due(schedule: Entity[ExportSchedule], last: ExportJob | None, now: Instant) -> Instant | None:
    """The moment that a schedule is due for now, after its last export and since it was changed; None if there is
    none."""
    value = schedule.value
    timing = (value.schedule_type or ScheduleType.DAY, value.period or 1, value.offset or 0, value.cron_expression)
    changed = Instant.of(schedule.modified)
    after = changed if last is None else max(changed, last.due)

    def due_by(moment: Instant) -> Instant | None:
        return latest_due(*timing, after=after, now=moment)

    latest = due_by(now)
    if latest is None or value.time_period is None or last is None or last.end is None:
        return latest
    return due_without_gap(value.time_period, last.end, due_by, after=after, latest=latest)


def read_job(records: OrganizationRecords, id: str) -> ExportJob:
    """One job; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no export job {id[:40]!r} in this organisation", field="id")
    return wire.decode(ExportJob, document.body)


def list_jobs(
    records: OrganizationRecords,
    page: Page,
    *,
    ids: Collection[str] | None = None,
    schedule_id: str | None = None,
    status: ExportJobStatus | None = None,
    created: tuple[Instant | None, Instant | None] = (None, None),
) -> Found[ExportJob]:
    """A page of jobs, newest first; those that were asked for from the first instant of `created` until the second."""
    equal: dict[str, Collection[str]] = {}
    if ids is not None:
        equal["id"] = ids
    if schedule_id is not None:
        equal["schedule_id"] = (schedule_id,)
    if status is not None:
        equal["status"] = (status.value,)
    first, end = created
    until = None if end is None else Instant.of(end - timedelta(microseconds=1)).stamp()
    between = {"created": (None if first is None else first.stamp(), until)}
    found = records.documents(KIND, DocumentWhere(equal=equal, between=between if first or end else None), page)
    return Found(tuple(wire.decode(ExportJob, each.body) for each in found.rows), found.next_token)


def jobs_to_run(records: OrganizationRecords) -> list[ExportJob]:
    """Some jobs with something left to do, oldest first."""
    found = records.documents(KIND, DocumentWhere(equal={"active": ("true",)}), Page(size=AT_ONCE))
    return [wire.decode(ExportJob, each.body) for each in found.rows][::-1]


def parts_of(records: OrganizationRecords, job: ExportJob) -> tuple[ExportPart, ...]:
    """The files of a job, in order."""
    return tuple(sorted(_parts(records, job), key=lambda part: part.number))


def downloadable(records: OrganizationRecords, id: str, now: Instant, *, by_link: bool = False) -> ExportJob:
    """A job whose files may be fetched, or whose link that was given in time may still be used. Refusals `not_found`
    and `rule_broken`, which says why not."""
    job = read_job(records, id)
    if job.status is not ExportJobStatus.SUCCEEDED:
        raise rule_broken("jobId", f"the job is {job.status}: there is something to download once it has SUCCEEDED")
    assert job.finished_at is not None, "it has succeeded"
    if not job.kept or now >= job.finished_at + DOWNLOADED + (LINK if by_link else timedelta()):
        raise rule_broken("jobId", "the files of an export can be downloaded for 24 hours; ask for the export again")
    return job


def put_job(write: Transaction, job: ExportJob) -> None:
    """Keep a job."""
    keys = {"status": job.status.value, "created": job.date_created.stamp()}
    if job.schedule_id is not None:
        keys["schedule_id"] = job.schedule_id
    if job.status.active:
        keys["active"] = "true"
    if job.kept:
        keys["kept"] = "true"
    sort = job.date_created.stamp()
    write.put_documents(KIND, [Document(id=job.id, sort=sort, keys=keys, body=wire.encode(job))])


def put_parts(write: Transaction, job_id: str, parts: Collection[ExportPart]) -> None:
    """Keep files of a job."""
    documents = [
        Document(id=part.id, sort=f"{part.number:08}", keys={"job_id": job_id}, body=wire.encode(part))
        for part in parts
    ]
    if documents:
        write.put_documents(PART, documents)


def require_destinations(records: OrganizationRecords, ids: Collection[str]) -> None:
    """Refusal `unknown_reference` for a destination that there is not."""
    found = records.get_many(ExportDestination, ids)
    for id_ in ids:
        if id_ not in found:
            message = f"destinationIds: there is no export destination {id_[:40]!r}"
            raise Refusal("unknown_reference", message, field="destinationIds")


def check_selection(records: OrganizationRecords, selection: ExportSelection) -> None:
    """Refuse what could not be exported: Refusals as those of a usage query."""
    _require(records, selection, None, None)


def _require(
    records: OrganizationRecords, selection: ExportSelection, start: Instant | None, end: Instant | None
) -> None:
    if selection.source_type is ExportSource.USAGE:
        checked_query(records, selection.usage(start, end))


def _new(desk: Desk, id: str, selection: ExportSelection, due: Instant, up_to: int) -> ExportJob:
    return ExportJob(
        id=id,
        version=1,
        status=ExportJobStatus.PENDING,
        source_type=selection.source_type,
        selection=selection,
        date_created=desk.now,
        created_by=desk.actor.id,
        due=due,
        up_to=up_to,
    )


def last_of(records: OrganizationRecords, schedule_id: str) -> ExportJob | None:
    """The export that a schedule made last."""
    found = list_jobs(records, Page(size=1), schedule_id=schedule_id).rows
    return found[0] if found else None


def _parts(records: OrganizationRecords, job: ExportJob) -> Iterator[ExportPart]:
    page: Page | None = Page(size=500)
    while page is not None:
        found = records.documents(PART, DocumentWhere(equal={"job_id": (job.id,)}), page)
        for each in found.rows:
            yield wire.decode(ExportPart, each.body)
        page = Page(size=500, token=found.next_token) if found.next_token else None
