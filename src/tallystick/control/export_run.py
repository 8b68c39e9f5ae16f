"""An export is run: its files are made here, brought to their destinations, and last of all comes the manifest.

Each step is kept before the next begins, and a step that is done again does the same again: a file has the name and the
rows that it had, for the journal up to a position never changes, nor do records that are held still. So a stop at any
moment costs a step, and no row is there twice or missing (docs/decisions/0510-exports.md).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path

import msgspec
import pyarrow as pa

from tallystick.control.export_files import ROWS_AT_ONCE, Row, TooWide, table_of, written
from tallystick.control.export_jobs import KEPT, KIND, PART, last_of, parts_of, put_job, put_parts, read_job
from tallystick.control.export_rows import ROWS
from tallystick.control.export_usage import plan, step
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.export_job import (
    EVENT_TYPE,
    MANIFEST,
    TYPE_NAMES,
    USAGE_TYPE,
    ExportColumn,
    ExportJob,
    ExportJobStatus,
    ExportPart,
    ExportPlace,
    failure_event,
    file_name,
    manifest,
    manifest_path,
    part_id,
    path_of,
)
from tallystick.core.export_types import ExportDestination, ExportSource, OperationalType, PartitionOrder
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.failpoints import reached
from tallystick.outbox import event_document, put_events
from tallystick.ports import (
    DocumentWhere,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    Transaction,
)
from tallystick.ports.exports import NotDelivered, Snapshots, Targets

ROWS_OF_A_FILE = 250_000
# Before a destination that did not take a file is asked again.
PAUSES = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10))
REASON_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportBench:
    """What an export is made with. `directory` is where files are made and kept for download."""

    records: OrganizationRecords
    usage: OrganizationUsage
    snapshots: Snapshots
    targets: Targets
    directory: Path
    now: Callable[[], Instant]
    rows_of_a_file: int = ROWS_OF_A_FILE

    @property
    def organization_id(self) -> str:
        return self.records.organization_id

    def folder(self, job_id: str) -> Path:
        """Where the files of a job lie."""
        return self.directory / self.organization_id / job_id


def run_step(bench: ExportBench, id: str) -> ExportJob:
    """Take a job a step further; returns it as it then is. What cannot be exported leaves it FAILED with the reason and
    an event; what a store or a destination may do later is tried again."""
    job = read_job(bench.records, id)
    if not job.status.active:
        return job
    try:
        if job.status is ExportJobStatus.PENDING:
            return _start(bench, job)
        if not job.made:
            return _make_usage(bench, job) if job.source_type is ExportSource.USAGE else _make_records(bench, job)
        return _deliver(bench, job)
    except TooWide as wide:
        return _begin_again(bench, job, wide)
    except NotDelivered as problem:
        return _try_later(bench, job, problem)
    except Refusal as refusal:
        if refusal.code.retry:
            raise
        return fail_job(bench, job.id, refusal.message)


def fail_job(bench: ExportBench, id: str, reason: str) -> ExportJob:
    """Give a job up, and tell of it by an event."""
    now = bench.now()
    with bench.records.transaction() as write:
        job = read_job(write, id)
        if not job.status.active:
            return job
        job = _moved(write, job, status=ExportJobStatus.FAILED, failure=reason[:REASON_LENGTH], finished_at=now)
        event = failure_event(job, reason[:REASON_LENGTH], now)
        put_events(write, [event_document(event, event_type=EVENT_TYPE, resource_id=job.id)])
        _forget_parts(write, job)
    shutil.rmtree(bench.folder(id), ignore_errors=True)
    return job


def forget_old_files(bench: ExportBench) -> int:
    """Remove the files that nobody can download any more; returns how many exports still have some."""
    left = 0
    found = bench.records.documents(KIND, DocumentWhere(equal={"kept": ("true",)}), Page(size=500))
    for each in found.rows:
        job = wire.decode(ExportJob, each.body)
        if job.finished_at is not None and bench.now() < job.finished_at + KEPT:
            left += 1
            continue
        shutil.rmtree(bench.folder(job.id), ignore_errors=True)
        with bench.records.transaction() as write:
            _moved(write, read_job(write, job.id), kept=False)
    return left


def forget_jobs(records: OrganizationRecords, before: Instant) -> int:
    """Remove some exports that were over before a moment, with what is known of their files. Returns how many. The
    latest of each schedule stays: by it the schedule knows that it was made."""
    where, page = DocumentWhere(between={"created": (None, before.stamp())}), Page(size=500, oldest_first=True)
    while True:
        found = records.documents(KIND, where, page)
        jobs = [wire.decode(ExportJob, each.body) for each in found.rows]
        over = [each for each in jobs if each.finished_at is not None and each.finished_at < before and not each.kept]
        gone = [each for each in over if each.schedule_id is None or last_of(records, each.schedule_id) != each]
        if gone:
            with records.transaction() as write:
                for each in gone:
                    _forget_parts(write, each)
                write.remove_documents(KIND, [each.id for each in gone])
            return len(gone)
        if found.next_token is None:
            return 0
        page = Page(size=500, token=found.next_token, oldest_first=True)


# ------------------------------------------------------------------------------------------------- making files


def _start(bench: ExportBench, job: ExportJob) -> ExportJob:
    now = bench.now()
    job = msgspec.structs.replace(job, started_at=now, as_of=now)
    settled = plan(bench.records, bench.usage, job) if job.source_type is ExportSource.USAGE else None
    with bench.records.transaction() as write:
        return _moved(write, job, status=ExportJobStatus.RUNNING, plan=settled)


def _make_usage(bench: ExportBench, job: ExportJob) -> ExportJob:
    """The next file of usage. An export without any rows has a file too, which says so."""
    assert job.plan is not None, "it was settled when the job started"
    table, place = step(bench.records, bench.usage, job, bench.rows_of_a_file)
    parts: list[ExportPart] = []
    if table is not None or (place is None and job.parts == 0):
        tables = iter(() if table is None else (table,))
        parts.append(_write(bench, job, job.parts, USAGE_TYPE, job.plan.columns, tables))
    with bench.records.transaction() as write:
        put_parts(write, job.id, parts)
        job = _with(write, job, parts, place=place or ExportPlace(), made=place is None)
    reached("exports.part kept")
    return job


def _make_records(bench: ExportBench, job: ExportJob) -> ExportJob:
    """All files of what is configured, billed and booked, of the same moment. Each is kept as soon as it is made: after
    a stop those stay that were made, if nothing was changed since; else all are made anew, of the moment of then, for
    none of them has left the house yet."""
    with bench.snapshots.still(bench.organization_id) as held:
        if not _still_so(bench, job, held):
            job = _anew(bench, job, held)
        kinds = tuple(dict.fromkeys(job.selection.operational_data_types or ()))
        while not job.made:
            job = _files_of_records(bench, job, kinds, held)
    return job


def _still_so(bench: ExportBench, job: ExportJob, held: OrganizationRecords) -> bool:
    """Whether the files so far are there, and say what the records say. Every change of what they are made of has its
    entry in the audit, but for what schedules add to balances."""
    if OperationalType.BALANCE_TRANSACTIONS in (job.selection.operational_data_types or ()):
        return False
    files = [bench.folder(job.id) / file_name(part, job.form) for part in parts_of(bench.records, job)]
    return job.held_at == held.audit_written() and len(files) == job.parts and all(each.exists() for each in files)


def _anew(bench: ExportBench, job: ExportJob, held: OrganizationRecords) -> ExportJob:
    shutil.rmtree(bench.folder(job.id), ignore_errors=True)
    with bench.records.transaction() as write:
        _forget_parts(write, job)
        begun: dict[str, object] = {"as_of": bench.now(), "held_at": held.audit_written()}
        return _moved(write, job, place=ExportPlace(), parts=0, rows=0, bytes=0, **begun)


def _files_of_records(
    bench: ExportBench, job: ExportJob, kinds: tuple[OperationalType, ...], held: OrganizationRecords
) -> ExportJob:
    """The files of one type, or those that are left to be made; a type without any rows has a file too."""
    place, here = job.place, job.place.stretch
    kind, source = kinds[here], ROWS[kinds[here]]
    rows = islice(source.read(held), place.within * bench.rows_of_a_file, None)
    ahead: list[Row] = []
    while place.stretch == here:
        taken = _counted(chain(ahead, rows), bench.rows_of_a_file)
        tables = (table_of(source.columns, some, job.form, wide=job.wide) for some in taken)
        part = _write(bench, job, job.parts, TYPE_NAMES[kind], source.columns, tables)
        ahead = list(islice(rows, 1))
        place = ExportPlace(stretch=here if ahead else here + 1, within=place.within + 1 if ahead else 0)
        with bench.records.transaction() as write:
            put_parts(write, job.id, [part])
            job = _with(write, job, [part], place=place, made=place.stretch == len(kinds))
        reached("exports.part kept")
    return job


def _counted(rows: Iterator[Row], most: int) -> Iterator[list[Row]]:
    """At most so many rows, some at a time."""
    taken = 0
    while some := list(islice(rows, min(ROWS_AT_ONCE, most - taken))):
        taken += len(some)
        yield some


def _write(
    bench: ExportBench,
    job: ExportJob,
    number: int,
    kind: str,
    columns: tuple[ExportColumn, ...],
    tables: Iterator[pa.Table],
) -> ExportPart:
    part = ExportPart(id=part_id(job.id, number), number=number, type=kind, rows=0, bytes=0, sha256="", columns=columns)
    path = bench.folder(job.id) / file_name(part, job.form)
    rows, size, digest = written(path, columns, job.form, tables, wide=job.wide)
    reached("exports.part written")
    return msgspec.structs.replace(part, rows=rows, bytes=size, sha256=digest)


def _begin_again(bench: ExportBench, job: ExportJob, wide: TooWide) -> ExportJob:
    """With columns for numbers of more digits, as if nothing had been made: all files have the same columns."""
    if job.wide:
        return fail_job(bench, job.id, f"{wide}: a number has more than 76 digits; export it as CSV or JSONL")
    with bench.records.transaction() as write:
        _forget_parts(write, job)
        return _moved(write, job, wide=True, place=ExportPlace(), parts=0, rows=0, bytes=0)


# ------------------------------------------------------------------------------------------------- delivering


def _deliver(bench: ExportBench, job: ExportJob) -> ExportJob:
    """Bring the next file to where it goes; once all destinations have all files the manifests; then it is done."""
    ids = job.selection.destination_ids
    files = len(ids) * job.parts
    if job.delivered >= files + len(ids):
        with bench.records.transaction() as write:
            done = ExportJobStatus.SUCCEEDED
            return _moved(write, job, status=done, finished_at=bench.now(), kept=True, plan=None)
    if job.not_before is not None and bench.now() < job.not_before:
        return job
    place, number = divmod(job.delivered, job.parts) if job.delivered < files else (job.delivered - files, job.parts)
    destination = bench.records.get(ExportDestination, ids[place])
    if destination is None:
        raise NotDelivered(f"the destination {ids[place]} was deleted", lasting=True)
    target = bench.targets.open(bench.organization_id, destination)
    parts = parts_of(bench.records, job)
    if number < job.parts:
        order = destination.value.partition_order or PartitionOrder.TIME_FIRST
        path = path_of(bench.organization_id, job, parts[number], order, destination.value.prefix)
        target.put(path, bench.folder(job.id) / file_name(parts[number], job.form))
        reached("exports.part delivered")
    else:
        path = manifest_path(bench.organization_id, job, destination.value.prefix)
        target.put(path, write_manifest(bench, job, parts, destination))
        reached("exports.manifest delivered")
    with bench.records.transaction() as write:
        return _moved(write, job, delivered=job.delivered + 1, attempts=0, not_before=None)


def write_manifest(
    bench: ExportBench, job: ExportJob, parts: tuple[ExportPart, ...], of: Entity[ExportDestination]
) -> Path:
    """The manifest of a job at a destination, as a file."""
    order = of.value.partition_order or PartitionOrder.TIME_FIRST
    content = wire.encode(manifest(bench.organization_id, job, parts, order, of.value.prefix))
    path = bench.folder(job.id) / f"{of.id}_{MANIFEST}"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(content)
    return path


def _try_later(bench: ExportBench, job: ExportJob, problem: NotDelivered) -> ExportJob:
    if problem.lasting or job.attempts >= len(PAUSES):
        return fail_job(bench, job.id, str(problem))
    with bench.records.transaction() as write:
        not_before = Instant.of(bench.now() + PAUSES[job.attempts])
        return _moved(write, job, attempts=job.attempts + 1, not_before=not_before)


# ------------------------------------------------------------------------------------------------- keeping


def _with(write: Transaction, job: ExportJob, parts: list[ExportPart], **changes: object) -> ExportJob:
    return _moved(
        write,
        job,
        parts=job.parts + len(parts),
        rows=job.rows + sum(part.rows for part in parts),
        bytes=job.bytes + sum(part.bytes for part in parts),
        **changes,
    )


def _moved(write: Transaction, job: ExportJob, **changes: object) -> ExportJob:
    job = msgspec.structs.replace(job, version=job.version + 1, **changes)
    put_job(write, job)
    return job


def _forget_parts(write: Transaction, job: ExportJob) -> None:
    ids = [part.id for part in parts_of(write, job)]
    if ids:
        write.remove_documents(PART, ids)
