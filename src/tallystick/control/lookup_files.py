"""Rows of lookup tables by file: uploads, downloads and what is archived (docs/decisions/0171-lookup-jobs.md).

Each job is done in one transaction, with its outcome: there is nothing that a crash could leave half done.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tallystick.control import lookup_jobs as jobs
from tallystick.control.desk import Desk, rule_broken
from tallystick.control.lookup_tables import archive, data_of, draft_of, revision_of, write_rows
from tallystick.core.entity import Entity
from tallystick.core.lookup_files import FileType, read_file, write_file
from tallystick.core.lookup_job import UPLOAD_SECONDS, JobStatus, JobType, LookupJob, reason_of
from tallystick.core.lookup_types import LookupData, LookupTable, LookupTableRevision, RevisionStatus, Row
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Actor, OrganizationRecords, Page


def order_upload(desk: Desk, table_id: str, revision_id: str, **file: object) -> LookupJob:
    """Keep a job that waits for a file. `file` has name, form, length and version of the rows, as in LookupJob.

    Refusals: `not_found`, `rule_broken` for a revision that is no draft.
    """
    with desk.records.transaction() as write:
        revision = draft_of(write, table_id, revision_id)
        expires = Instant.of(desk.now + timedelta(seconds=UPLOAD_SECONDS))
        job = jobs.new_job(desk, revision, JobType.UPLOAD, JobStatus.PENDING, expires=expires, **file)
        return jobs.keep(write, job)


def take_upload(desk: Desk, job_id: str, body: bytes) -> LookupJob:
    """Do an upload with its file, all or nothing; what is wrong with the file leaves the job FAILED with each row.

    Done again it changes nothing. Refusals: `not_found`, and `invalid_request` for a file of another length, which
    leaves the job waiting.
    """
    job = jobs.read_job(desk.records, job_id)
    if job.type is not JobType.UPLOAD:
        raise Refusal("not_found", f"job: {job_id[:40]!r} is no upload", field="job")
    if job.status is not JobStatus.PENDING:
        return job
    if len(body) != job.content_length:
        message = f"body: the file has {len(body):,} bytes, contentLength said {job.content_length:,}"
        raise Refusal("invalid_request", message, field="body")
    assert job.content_type is not None, "every upload says what it is"
    try:
        read = revision_of(desk.records, job.lookup_table_id, job.lookup_table_revision_id)
        rows, failures = read_file(read.value, job.content_type, body)
        if failures:
            return _fail(desk, job.id, failure_reason=reason_of(failures), failures=failures)
        with desk.records.transaction() as write:
            job = jobs.read_job(write, job.id)
            if job.status is not JobStatus.PENDING:
                return job
            revision = draft_of(write, job.lookup_table_id, job.lookup_table_revision_id)
            if (revision.value.fields, revision.value.keys) != (read.value.fields, read.value.keys):
                raise rule_broken("fields", "the fields or keys of the revision were changed meanwhile: upload again")
            asked_by = replace(desk, actor=Actor(id=job.created_by, kind=desk.actor.kind))
            write_rows(asked_by, write, revision, rows, job.data_version)
            return jobs.move_on(write, job, status=JobStatus.SUCCEEDED)
    except Refusal as problem:
        return _fail(desk, job_id, failure_reason=f"nothing was changed: {problem.message}")


def _fail(desk: Desk, job_id: str, **why: object) -> LookupJob:
    with desk.records.transaction() as write:
        job = jobs.read_job(write, job_id)
        if job.status is not JobStatus.PENDING:
            return job
        return jobs.move_on(write, job, status=JobStatus.FAILED, **why)


def order_download(desk: Desk, table_id: str, revision_id: str, form: FileType) -> LookupJob:
    """Keep a job whose file has the rows as they stand now, whatever becomes of them until it is fetched."""
    with desk.records.transaction() as write:
        revision = revision_of(write, table_id, revision_id)
        job = jobs.new_job(
            desk,
            revision,
            JobType.DOWNLOAD,
            JobStatus.SUCCEEDED,
            snapshot=jobs.snapshot(revision, data_of(write, revision.id)),
            content_type=form,
            file_name=_name(write, revision, form),
        )
        return jobs.keep(write, job)


def archive_of(desk: Desk, table_id: str, revision_id: str) -> LookupJob:
    """The job that stands for the rows of an archived revision. Refusals: `not_found`, `rule_broken`."""
    with desk.records.transaction() as write:
        revision = revision_of(write, table_id, revision_id)
        if revision.value.status is not RevisionStatus.ARCHIVED:
            message = f"the revision is {revision.value.status}, not archived: POST …/data/jobs/download instead"
            raise rule_broken("status", message)
        found = jobs.list_jobs(write, revision.id, Page(size=1), JobType.ARCHIVE).rows
        return found[0] if found else archive(desk, write, revision)


def file_of(records: OrganizationRecords, job: LookupJob, form: FileType) -> tuple[bytes, str]:
    """The file of a download or of an archive, and its name. Refusal `not_found`."""
    if job.snapshot is None:
        raise Refusal("not_found", f"job: {job.id} has no file", field="job")
    revision = records.at_version(LookupTableRevision, job.lookup_table_revision_id, job.snapshot.revision_version)
    assert revision is not None, "no version is forgotten"
    rows: tuple[Row, ...] = ()
    if job.snapshot.data_id is not None and job.snapshot.data_version is not None:
        data = records.at_version(LookupData, job.snapshot.data_id, job.snapshot.data_version)
        assert data is not None, "no version is forgotten"
        rows = data.value.rows
    return write_file(revision.value, form, rows), job.file_name or _name(records, revision, form)


def _name(records: OrganizationRecords, revision: Entity[LookupTableRevision], form: FileType) -> str:
    """A name for a file of rows that every system takes."""
    table = records.get(LookupTable, revision.value.lookup_table_id)
    text = f"{table.value.code if table else 'rows'}-{revision.value.name}"
    plain = "".join(each if each.isascii() and each.isalnum() else "_" for each in text)
    return f"{plain[:80]}.{form.ending}"
