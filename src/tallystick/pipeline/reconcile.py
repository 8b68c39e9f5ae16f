"""A reconciliation from its source to its result, in steps: whoever runs it may stop between any two.

What a run has found is written as it goes. One that was cut short, as by a restart, begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.meter import Meter
from tallystick.core.period import Instant
from tallystick.core.reconciliation import Reconciliation, ReconciliationBasis, SourceType
from tallystick.core.reconciliation_run import ReconciliationRun, ReconciliationStatus
from tallystick.core.source_rows import RowReader
from tallystick.core.source_upload import KIND as UPLOAD_KIND
from tallystick.core.source_upload import SourceUpload
from tallystick.errors import Refusal
from tallystick.pipeline.findings import Findings
from tallystick.pipeline.reconcile_records import RecordComparison
from tallystick.pipeline.reconcile_totals import TotalComparison
from tallystick.pipeline.reconciliation_runs import (
    definition_of,
    forget_found,
    forget_old_findings,
    moved,
    put_run,
    read_run,
    tell,
)
from tallystick.pipeline.rows import Row, Unreadable, format_of, open_rows
from tallystick.ports import OrganizationRecords, OrganizationUsage, UidIndex
from tallystick.ports.sources import Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a reconciliation works with. `counted` is the journal position up to which usage is counted."""

    records: OrganizationRecords
    usage: OrganizationUsage
    uids: UidIndex
    sources: Sources
    counted: int
    now: Callable[[], Instant]


def reconcile(bench: Bench, id: str) -> Iterator[str]:
    """Compare what a run asks for, step by step; yields what it is at. Whatever the source answers, the run ends: as
    COMPLETE, or as FAILED with the reason."""
    run = read_run(bench.records, id)
    asked = definition_of(bench.records, run)
    forget_found(bench.records, id)
    findings = Findings(bench.records, run, asked)
    try:
        meters = _meters(bench.records, asked)
        with _rows(bench.sources, bench.records, run, asked) as rows:
            reader = RowReader(asked, run.timezone)
            if asked.comparison is ReconciliationBasis.RECORDS:
                by_uid = RecordComparison(bench.records, bench.usage, bench.uids, findings, meters)
                steps = by_uid.compare(rows, reader)
            else:
                by_day = TotalComparison(bench.usage, findings, meters, bench.counted)
                steps = by_day.compare(rows, reader)
            for phase in steps:
                if not findings.save(bench.now(), phase):
                    return
                yield phase
    except (Unreadable, Refusal) as problem:
        if isinstance(problem, Refusal) and problem.code.retry:
            raise
        fail_run(bench.records, id, reason=str(problem), now=bench.now())
        return
    findings.finish(bench.now())
    forget_old_findings(bench.records, run.reconciliation_id, bench.now())


def fail_run(records: OrganizationRecords, id: str, *, reason: str, now: Instant) -> ReconciliationRun:
    """Give a run up, and say why; what it found so far stays."""
    with records.transaction() as write:
        run = read_run(write, id)
        if run.status.active:
            run = moved(run, now, status=ReconciliationStatus.FAILED, phase="", failure=reason[:1_000])
            put_run(write, run)
            tell(write, run)
    return run


def _meters(records: OrganizationRecords, asked: Reconciliation) -> dict[str, Entity[Meter]]:
    """The meters of the measures, by code."""
    found: dict[str, Entity[Meter]] = {}
    for place, each in enumerate(asked.measures):
        meter = records.by_code(Meter, each.meter)
        if meter is None:
            message = f"measures[{place}].meter: there is no meter {each.meter!r} any more; change the reconciliation"
            raise Refusal("unknown_reference", message, field="measures")
        found[each.meter] = meter
    return found


@contextmanager
def _rows(
    sources: Sources, records: OrganizationRecords, run: ReconciliationRun, asked: Reconciliation
) -> Iterator[Iterator[Row]]:
    """The rows of the source, as they come."""
    organization_id = records.organization_id
    source, days = asked.source, {"start": run.request.start_date.isoformat(), "end": run.request.end_date.isoformat()}
    if source.type is SourceType.SQL:
        assert source.connection is not None, "an SQL source has a connection"
        assert source.query is not None, "an SQL source has a query"
        with sources.rows(organization_id, source.connection, source.query, days) as rows:
            yield _numbered(rows)
        return
    if source.type is SourceType.UPLOAD:
        assert run.request.upload_id is not None, "the run of an upload names it"
        path = sources.upload(organization_id, _stored(records, run.request.upload_id))
    else:
        assert source.path is not None, "a file has a path"
        path = sources.file(
            organization_id, source.path.replace("{start}", days["start"]).replace("{end}", days["end"])
        )
    form = source.format.value if source.format else format_of(path)
    # The rows are closed before the file is: a run may stop amid them.
    with open_rows(path, form, local=True) as reader, closing(reader.rows()) as rows_of_file:
        yield rows_of_file


def _stored(records: OrganizationRecords, upload_id: str) -> str:
    document = records.document(UPLOAD_KIND, upload_id)
    if document is None:
        raise Refusal("not_found", "uploadId: the file is no longer here; send it again", field="uploadId")
    return wire.decode(SourceUpload, document.body).stored


def _numbered(rows: Iterator[Mapping[str, object]]) -> Iterator[Row]:
    for number, cells in enumerate(rows, start=1):
        yield Row(number, cells)
