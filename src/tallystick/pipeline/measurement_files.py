"""Files of measurements: asked for, sent, counted, taken in chunks (docs/decisions/0530-file-uploads.md).

Each chunk is taken with the note of how far the file was taken, so that a stop at any moment counts nothing twice:
measurements without a uid get one of the file and their row, which is the same whenever the row is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from tallystick import failpoints
from tallystick.core import wire
from tallystick.core.event import Event, sort_stamp
from tallystick.core.ids import named_id
from tallystick.core.measurement_file import KEPT_DAYS, FileStatus, MeasurementFile, MeasurementFileRequest
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.outbox import event_document, put_events
from tallystick.pipeline.ingest import Intake
from tallystick.pipeline.ingest.members import NoMeasurements, beginning, cut, with_uid
from tallystick.pipeline.ingest.verdicts import Reply
from tallystick.ports import Actor, Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction
from tallystick.ports.sources import Sources

KIND = "measurementfile"
EVENT_NAME, EVENT_TYPE = "measurements.file.failed", "MeasurementFileFailed"
COUNT_BYTES = 16_777_216  # read at once, to count
TAKE_BYTES = 1_048_576  # … and to take
AT_ONCE = 20  # files of an organisation that are looked at in one turn


def order(
    records: OrganizationRecords, asked: MeasurementFileRequest, *, id: str, actor: Actor, now: Instant
) -> MeasurementFile:
    """Keep a job that waits for its file."""
    job = MeasurementFile(
        id=id,
        version=1,
        file_name=asked.file_name,
        content_type=asked.content_type,
        content_length=asked.content_length,
        status=FileStatus.NOT_UPLOADED,
        dt_created=now,
        created_by=actor.id,
    )
    with records.transaction() as write:
        _put(write, job)
    return job


def begin(records: OrganizationRecords, id: str) -> tuple[MeasurementFile, str]:
    """Somebody begins to send the file; returns what to call it where it is kept. Refusal `not_found`."""
    with records.transaction() as write:
        job = read_file(write, id)
        job = _moved(write, job, sendings=job.sendings + 1)
    return job, job.named(job.sendings)


def complete(
    records: OrganizationRecords, id: str, stored: str, digest: str, size: int, now: Instant
) -> MeasurementFile:
    """The file has come whole, under this name: from now on it is taken. The same file again changes nothing.

    Refusals: `invalid_request` for a file of another length, `rule_broken` when another file came already.
    """
    with records.transaction() as write:
        job = read_file(write, id)
        if size != job.content_length:
            message = f"body: the file has {size:,} bytes, contentLength said {job.content_length:,}"
            raise Refusal("invalid_request", message, field="body")
        if job.stored is None:
            given = {"stored": stored, "digest": digest, "upload_date": now}
            return _moved(write, job, status=FileStatus.RUNNING, **given)
        if job.digest != digest:
            message = f"job: {job.file_name!r} has come already with other content; ask for another link"
            raise Refusal("rule_broken", message, field="job")
        return job


def read_file(records: OrganizationRecords, id: str) -> MeasurementFile:
    """One job; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no file upload job {id[:40]!r} in this organisation", field="id")
    return wire.decode(MeasurementFile, document.body)


def list_files(
    records: OrganizationRecords,
    page: Page,
    *,
    start: Instant | None = None,
    end: Instant | None = None,
    status: FileStatus | None = None,
) -> Found[MeasurementFile]:
    """A page of jobs, the latest first: of those created from `start` on, before `end`."""
    before = None if end is None else Instant.of(end - timedelta(microseconds=1))
    created = tuple(None if each is None else sort_stamp(each) for each in (start, before))
    where = DocumentWhere(
        equal={} if status is None else {"status": [status.value]},
        between={} if created == (None, None) else {"sort": (created[0], created[1])},
    )
    found = records.documents(KIND, where, page)
    return Found(tuple(wire.decode(MeasurementFile, each.body) for each in found.rows), found.next_token)


def files_to_take(records: OrganizationRecords) -> list[MeasurementFile]:
    """Some files that are not taken to their end, oldest first."""
    return list(list_files(records, Page(size=AT_ONCE), status=FileStatus.RUNNING).rows)[::-1]


def take_chunk(
    records: OrganizationRecords, intake: Intake, sources: Sources, job: MeasurementFile, now: Instant
) -> MeasurementFile:
    """Count some more of a file, or take some more of it; what is wrong with the file itself ends it FAILED before any
    measurement of it counts. Refusal `busy`: nothing was taken, try again."""
    assert job.stored is not None, "a file that runs has come"
    try:
        with sources.upload(records.organization_id, job.stored).open("rb") as file:
            if not job.counted:
                at = job.counted_to or beginning(file)
                found = cut(file, at, COUNT_BYTES)
                with records.transaction() as write:
                    rows = job.total_rows + len(found.members)
                    return _moved(write, job, total_rows=rows, counted_to=found.next, counted=found.ended)
            found = cut(file, job.taken_to or beginning(file), TAKE_BYTES)
    except NoMeasurements as problem:
        return _fail(records, job, str(problem), now)
    except Refusal:
        return _fail(records, job, "the file is no longer here; send it again", now)
    return _take(records, intake, job, found.members, found.next, ended=found.ended)


def _take(
    records: OrganizationRecords,
    intake: Intake,
    job: MeasurementFile,
    members: Sequence[bytes],
    next: int,
    *,
    ended: bool,
) -> MeasurementFile:
    rows = enumerate(members, job.processed_rows + 1)
    kept: list[MeasurementFile] = []

    def keep(write: Transaction, reply: Reply) -> None:
        failpoints.reached("feed.taken")
        verdicts = Counter(each.verdict for each in reply.measurements)
        moved = _moved(
            write,
            job,
            taken_to=next,
            processed_rows=job.processed_rows + len(members),
            accepted_rows=job.accepted_rows + verdicts["accepted"],
            duplicate_rows=job.duplicate_rows + verdicts["duplicate"],
            failed_rows=job.failed_rows + verdicts.total() - verdicts["accepted"] - verdicts["duplicate"],
            status=FileStatus.SUCCEEDED if ended else FileStatus.RUNNING,
        )
        kept.append(moved)

    named = [with_uid(each, named_id(job.id, f"row {row}")) for row, each in rows]
    if named:
        intake.take_along(records.organization_id, named, keep)
    else:
        with records.transaction() as write:
            keep(write, Reply(measurements=[]))
    failpoints.reached("feed.kept")
    return kept[-1]


def _fail(records: OrganizationRecords, job: MeasurementFile, reason: str, now: Instant) -> MeasurementFile:
    with records.transaction() as write:
        failed = _moved(write, job, status=FileStatus.FAILED, failure_reason=reason)
        said = {"eventName": EVENT_NAME, "jobId": job.id, "fileName": job.file_name, "reason": reason}
        event = Event(id=named_id(job.id, "event"), event_name=EVENT_NAME, event_time=now, m3ter_event=said)
        put_events(write, [event_document(event, event_type=EVENT_TYPE, resource_id=job.id)])
    return failed


def forget_old_files(records: OrganizationRecords, sources: Sources, now: Instant) -> int:
    """Drop files whose time is over, and those of sendings that came to nothing; returns how many are left."""
    left, token = 0, None
    while True:
        found = list_files(records, Page(size=100, token=token))
        for job in found.rows:
            if job.sendings and job.status is not FileStatus.RUNNING and job.dt_created + _KEPT <= now:
                for sending in range(1, job.sendings + 1):
                    sources.drop(records.organization_id, job.named(sending))
                with records.transaction() as write:
                    _moved(write, read_file(write, job.id), sendings=0)
            left += job.sendings > 0
        token = found.next_token
        if token is None:
            return left


def _moved(write: Transaction, job: MeasurementFile, **changes: object) -> MeasurementFile:
    moved = msgspec.structs.replace(job, version=job.version + 1, **changes)
    _put(write, moved)
    return moved


def _put(write: Transaction, job: MeasurementFile) -> None:
    keys = {"status": job.status.value}
    write.put_documents(KIND, [Document(id=job.id, sort=job.sort, keys=keys, body=wire.encode(job))])


_KEPT = timedelta(days=KEPT_DAYS)
