"""Measurements of a second source against those counted here, uid by uid, in chunks.

Each row of the source is looked up by its uid, wherever it is counted; then all that is counted in the period is gone
through for what the source does not have. In between, eight bytes of each uid of the source are all that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import xxhash

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.ingest_failure import FailedMeasurement, FailureStatus
from tallystick.core.measurement import uid_keys
from tallystick.core.meter import Meter
from tallystick.core.period import local_day
from tallystick.core.reconciliation_pairs import Fault, Known, faults_of_pair
from tallystick.core.reconciliation_run import Cause, FindingKind, ReconciliationRun
from tallystick.core.source_rows import RowReader, SourceRecord
from tallystick.core.twins import Seen, Twins
from tallystick.pipeline.findings import UNKNOWN, Findings
from tallystick.pipeline.reconciliation_drafts import replacements_of
from tallystick.pipeline.rows import Row
from tallystick.ports import (
    DocumentWhere,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    UidIndex,
    UsagePlace,
    UsageQuery,
    UsageRow,
)

CHUNK = 2_000  # rows of the source that are looked up together
PAGE = 10_000  # measurements that are read together
MARGIN = timedelta(days=2)  # of the period: what a time zone may have moved across its edges
COPIED_WITHIN = timedelta(seconds=60)
FAILED = "failedmeasurement"


class Uids:
    """The uids of a source as sorted runs of hashes: eight bytes each, and few runs."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def add(self, uids: Sequence[str]) -> np.ndarray:
        """Add uids; says of each whether it is new, the first of equal ones being so."""
        hashes = _hashes(uids)
        _, firsts = np.unique(hashes, return_index=True)
        new = np.zeros(len(hashes), dtype=bool)
        new[firsts] = True
        new &= ~self._have(hashes)
        if new.any():
            self._runs.append(np.sort(hashes[new]))
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]))
        return new

    def have(self, uids: Sequence[str]) -> np.ndarray:
        """Says of each whether it was added."""
        return self._have(_hashes(uids))

    def _have(self, hashes: np.ndarray) -> np.ndarray:
        found = np.zeros(len(hashes), dtype=bool)
        for run in self._runs:
            at = np.searchsorted(run, hashes)
            found |= run[np.minimum(at, len(run) - 1)] == hashes
        return found


def _hashes(uids: Sequence[str]) -> np.ndarray:
    return np.fromiter((xxhash.xxh3_64_intdigest(each.encode()) for each in uids), dtype=np.uint64, count=len(uids))


@dataclass(slots=True)
class RecordComparison:
    """One run of a comparison by uid. `meters` are those of the measures, by code."""

    records: OrganizationRecords
    usage: OrganizationUsage
    uids: UidIndex
    findings: Findings
    meters: dict[str, Entity[Meter]]

    @property
    def _run(self) -> ReconciliationRun:
        return self.findings.run

    def compare(self, rows: Iterable[Row], reader: RowReader) -> Iterator[str]:
        """Compare all; yields what it is at after each chunk."""
        seen = Uids()
        chunk: list[SourceRecord] = []
        for row in rows:
            self.findings.rows += 1
            record = self._read(row, reader)
            if record is not None:
                chunk.append(record)
            if len(chunk) == CHUNK:
                self._look_up(chunk, seen)
                chunk = []
                yield "reading the source"
        self._look_up(chunk, seen)
        yield "reading the source"
        yield from self._what_is_here(seen)

    def _read(self, row: Row, reader: RowReader) -> SourceRecord | None:
        """The measurement of a row, if it is one that may be of the period."""
        if row.problem is not None:
            self.findings.unreadable_row(row.number, row.problem)
            return None
        try:
            record = reader.record(row.cells)
        except ValueError as problem:
            self.findings.unreadable_row(row.number, str(problem))
            return None
        run = self._run
        if record is None or (record.ts is not None and not run.start - MARGIN <= record.ts < run.end + MARGIN):
            self.findings.outside += 1
            return None
        return record

    # ------------------------------------------------------------------------------------------ source to product

    def _look_up(self, chunk: Sequence[SourceRecord], seen: Uids) -> None:
        """Hold rows of the source against what is counted under their uids."""
        if not chunk:
            return
        new = seen.add([each.uid for each in chunk])
        self.findings.repeated += int((~new).sum())
        records = [each for each, first in zip(chunk, new, strict=True) if first]
        accounts = self.findings.accounts.ids({each.account for each in records})
        keys = uid_keys(self.records.organization_id, [each.uid for each in records])
        claims = self.uids.look_up(keys)
        positions = sorted(claim.position for claim in claims.values() if claim.position <= self._run.up_to)
        by_uid = {row.uid: row for row in self._at(positions)}
        if len(by_uid) < len(positions):
            by_uid |= self._replaced([each.uid for each in records if each.uid not in by_uid], seen)
        absent: list[tuple[SourceRecord, Known, Cause | None]] = []
        for record, key in zip(records, keys, strict=True):
            theirs = self._theirs(record, accounts[record.account])
            if not self._inside(theirs.day) and theirs.day is not None:
                self.findings.outside += 1
            else:
                self._count(record, theirs)
            row, claim = by_uid.get(record.uid), claims.get(key)
            if row is not None and row.meter_id == self.meters[record.meter].id:
                self._pair(record, theirs, row)
            elif theirs.day is None or self._inside(theirs.day):
                absent.append((record, theirs, self._why(claim is not None, row)))
        self._absent(absent)

    def _replaced(self, uids: Sequence[str], seen: Uids) -> dict[str, UsageRow]:
        """What corrections put in the place of measurements, by the uid that the source knows them by."""
        found: dict[str, UsageRow] = {}
        now = {uid: uid for uid in uids}  # by the uid it has now: a replacement may have been replaced in turn
        while now:
            now = {
                new: now[old] for old, several in replacements_of(self.records, list(now)).items() for new in several
            }
            claims = self.uids.look_up(uid_keys(self.records.organization_id, list(now)))
            positions = sorted(claim.position for claim in claims.values() if claim.position <= self._run.up_to)
            for row in self._at(positions):
                if row.uid in now:
                    found[now.pop(row.uid)] = row
                    seen.add([row.uid])
        return found

    def _why(self, claimed: bool, row: UsageRow | None) -> Cause | None:
        """Why a uid is not counted as it should, where the uid itself tells."""
        if row is not None:
            return Cause.OTHER_METER
        return Cause.LATE if claimed else None

    def _count(self, record: SourceRecord, theirs: Known) -> None:
        self.findings.records += 1
        for place, value in enumerate(record.values):
            if value is not None:
                self.findings.tally(theirs.account_id, place).counted(value, None)

    def _theirs(self, record: SourceRecord, account_id: str) -> Known:
        day = None if record.ts is None else local_day(record.ts, self._run.timezone)
        return Known(account_id, record.ts, day, record.values)

    def _ours(self, row: UsageRow) -> Known:
        values = tuple(
            row.numbers.get(each.field) if self.meters[each.meter].id == row.meter_id else None
            for each in self.findings.asked.measures
        )
        return Known(row.account_id, row.ts, local_day(row.ts, self._run.timezone), values)

    def _inside(self, day: date | None) -> bool:
        asked = self._run.request
        return day is not None and asked.start_date <= day < asked.end_date

    def _pair(self, record: SourceRecord, theirs: Known, row: UsageRow) -> None:
        findings = self.findings
        amiss = False
        for fault in faults_of_pair(
            record.uid,
            theirs,
            self._ours(row),
            tolerance=findings.asked.time_tolerance_seconds,
            inside=self._inside,
            code_of=findings.accounts.code,
        ):
            amiss = True
            findings.add(fault._replace(values=self._values(record)))
        findings.differing += amiss

    def _absent(self, absent: Sequence[tuple[SourceRecord, Known, Cause | None]]) -> None:
        """Rows of the source that are not counted here."""
        waiting = self._failed([record.uid for record, _, cause in absent if cause is None])
        claimed = self._withdrawn([record for record, _, cause in absent if cause is Cause.LATE])
        for record, theirs, known in absent:
            failed_id = waiting.get(record.uid)
            cause = known or Cause.LOST
            if failed_id is not None:
                cause = Cause.FAILED
            elif known is None and theirs.account_id.startswith(UNKNOWN):
                cause = Cause.UNKNOWN_ACCOUNT
            elif record.uid in claimed:
                cause = Cause.WITHDRAWN
            self.findings.missing += 1
            for place, value in enumerate(record.values):
                if value is not None:
                    fault = Fault(FindingKind.MISSING, cause, theirs.account_id, place, value.copy_abs(), value)
                    self.findings.add(
                        fault._replace(
                            day=theirs.day,
                            uid=record.uid,
                            source_ts=record.ts,
                            failed_id=failed_id,
                            detail="came after what is compared" if cause is Cause.LATE else "",
                            values=self._values(record),
                        )
                    )

    def _withdrawn(self, records: Sequence[SourceRecord]) -> set[str]:
        """Those that came in time, and are not among what counts."""
        keys = uid_keys(self.records.organization_id, [each.uid for each in records])
        claims = self.uids.look_up(keys)
        early = {key for key, claim in claims.items() if claim.position <= self._run.up_to}
        return {record.uid for record, key in zip(records, keys, strict=True) if key in early}

    def _failed(self, uids: Sequence[str]) -> dict[str, str]:
        """The ids of those that wait in the queue of failed measurements."""
        if not uids:
            return {}
        where = DocumentWhere(equal={"uid": uids, "status": [FailureStatus.OPEN.value]})
        found = self.records.documents(FAILED, where, Page(size=len(uids))).rows
        failed = (wire.decode(FailedMeasurement, each.body) for each in found)
        return {each.uid: each.id for each in failed if each.uid is not None}

    def _values(self, record: SourceRecord) -> dict[str, Decimal]:
        measures = self.findings.asked.measures
        pairs = zip(measures, record.values, strict=True)
        return {measure.field: value for measure, value in pairs if value is not None}

    def _at(self, positions: Sequence[int]) -> list[UsageRow]:
        if not positions:
            return []
        return self.usage.raw(self._query(positions=tuple(positions), limit=len(positions)))

    def _query(self, *, limit: int, positions: tuple[int, ...] | None = None) -> UsageQuery:
        return UsageQuery(
            start=None,
            end=None,
            meter_ids=None,
            account_ids=None,
            filters=(),
            columns=(),
            groups=(),
            limit=limit,
            zone=self._run.timezone,
            positions=positions,
            up_to=self._run.up_to,
        )

    # ------------------------------------------------------------------------------------------ product to source

    def _what_is_here(self, seen: Uids) -> Iterator[str]:
        """Go through all that is counted in the period, latest first, for what the source does not have."""
        twins: Twins[UsageRow] = Twins(COPIED_WITHIN)
        meter_ids = tuple(sorted(each.id for each in self.meters.values()))
        for page in measurements(self.usage, self._run, meter_ids):
            for row, known in zip(page, seen.have([each.uid for each in page]), strict=True):
                ours = self._ours(row)
                for place, value in enumerate(ours.values):
                    if value is not None:
                        self.findings.tally(ours.account_id, place).counted(None, value)
                for decided in twins.see(Seen(row, row.uid, content_of(row), row.ts, bool(known))):
                    self._extra(decided)
            yield "reading what is counted here"
        for decided in twins.rest():
            self._extra(decided)

    def _extra(self, seen: Seen[UsageRow]) -> None:
        if seen.original:
            return
        self.findings.extra += 1
        ours = self._ours(seen.item)
        cause = Cause.ONLY_HERE if seen.twin is None else Cause.DUPLICATE
        for place, value in enumerate(ours.values):
            if value is not None:
                fault = Fault(FindingKind.EXTRA, cause, ours.account_id, place, value.copy_abs(), None, value)
                self.findings.add(
                    fault._replace(
                        day=ours.day,
                        uid=seen.uid,
                        ts=seen.ts,  # type: ignore[arg-type]  # the time of its row, an Instant
                        other_uid=seen.twin,
                    )
                )


def content_of(row: UsageRow) -> tuple[object, ...]:
    """What copies have in common, apart from their time."""
    numbers, texts = tuple(sorted(row.numbers.items())), tuple(sorted(row.texts.items()))
    return (row.account_id, row.meter_id, numbers, texts, row.extra)


def measurements(
    usage: OrganizationUsage,
    run: ReconciliationRun,
    meter_ids: tuple[str, ...],
    account_ids: tuple[str, ...] | None = None,
) -> Iterator[list[UsageRow]]:
    """The measurements of a run's period up to its position, latest first, page by page."""
    end = run.end
    while end > run.start:
        start = max(run.start, end - timedelta(days=1))
        before: UsagePlace | None = None
        while True:
            query = UsageQuery(
                start=start,
                end=end,
                meter_ids=meter_ids,
                account_ids=account_ids,
                filters=(),
                columns=(),
                groups=(),
                limit=PAGE,
                zone=run.timezone,
                up_to=run.up_to,
                before=before,
            )
            rows = usage.raw(query)
            if rows:
                yield rows[:PAGE]
            if len(rows) <= PAGE:
                break
            before = UsagePlace(ts=rows[PAGE - 1].ts, position=rows[PAGE - 1].position)
        end = start
