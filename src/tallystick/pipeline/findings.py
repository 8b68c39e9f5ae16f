"""What a reconciliation finds, gathered as it goes: sums for each account and measure, causes, and the findings, which
are written away chunk by chunk so that a run of any size fits into memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from fractions import Fraction

from tallystick.core.account import Account
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.reconciliation import ReconciledMeasure, Reconciliation, ReconciliationBasis
from tallystick.core.reconciliation_pairs import Fault
from tallystick.core.reconciliation_run import (
    MAX_FINDINGS,
    NAMED_PROBLEMS,
    Cause,
    ReconciledField,
    ReconciliationCause,
    ReconciliationFinding,
    ReconciliationGroup,
    ReconciliationRun,
    ReconciliationStatus,
)
from tallystick.core.reconciling import Tally, accuracy_of, level_of, overall, percent, worst
from tallystick.pipeline.reconciliation_runs import moved, put_found, put_run, read_run, tell
from tallystick.ports import OrganizationRecords, Page, Where

UNKNOWN = "?"  # before the name of an account that only the source knows
LOOKED_UP = 200
DETAILS = 20  # different details of a cause that are counted


class Accounts:
    """The accounts that a source names, by code or by id; each is looked up once."""

    def __init__(self, records: OrganizationRecords) -> None:
        self._records = records
        self._ids: dict[str, str] = {}
        self._codes: dict[str, str] = {}

    def ids(self, names: Collection[str]) -> dict[str, str]:
        """The id of each; of one that is not known here `UNKNOWN` and its name."""
        new = sorted({each for each in names if each not in self._ids})
        for first in range(0, len(new), LOOKED_UP):
            part = new[first : first + LOOKED_UP]
            found = self._records.find(Account, Where(equal={"code": part}), Page(size=LOOKED_UP)).rows
            self._ids |= {each.value.code: each.id for each in found if each.value.code is not None}
            self._codes |= {each.id: each.value.code for each in found if each.value.code is not None}
            left = [each for each in part if each not in self._ids]
            known = self._records.get_many(Account, left) if left else {}
            self._ids |= {each: each if each in known else UNKNOWN + each for each in left}
        return {each: self._ids[each] for each in names}

    def code(self, id: str) -> str:
        """What an account is called."""
        if id.startswith(UNKNOWN):
            return id.removeprefix(UNKNOWN)
        if id not in self._codes:
            self._codes |= {id: id} | self._records.codes(Account, [id])
        return self._codes[id]


class Findings:
    """What one run has found so far."""

    def __init__(self, records: OrganizationRecords, run: ReconciliationRun, asked: Reconciliation) -> None:
        self.run, self.asked = run, asked
        self.accounts = Accounts(records)
        self.tallies: dict[tuple[str, int], Tally] = {}
        self.rows = self.outside = self.repeated = self.unreadable = 0
        self.records = self.missing = self.extra = self.differing = 0
        self.problems: list[str] = []
        self._store = records
        self._causes: dict[Cause, int] = {}
        self._of: dict[Cause, set[str]] = {}
        self._details: dict[Cause, Counter[str]] = {}
        self._of_group: dict[tuple[str, int], Counter[tuple[Cause, str]]] = {}
        self._waiting: list[ReconciliationFinding] = []
        self.found = self.kept = 0

    def tally(self, account_id: str, measure: int) -> Tally:
        """The sums of an account and a measure."""
        return self.tallies.setdefault((account_id, measure), Tally())

    def unreadable_row(self, number: int, problem: str) -> None:
        """A row of the source that says nothing."""
        self.unreadable += 1
        if len(self.problems) < NAMED_PROBLEMS:
            self.problems.append(f"row {number:,} {problem}"[:300])

    def add(self, fault: Fault) -> None:
        """Count something that is amiss, and keep it while there is room."""
        measure = self.asked.measures[fault.measure]
        self.tally(fault.account_id, fault.measure).amiss(fault.kind, fault.quantity)
        causes = [(cause, fault.detail if cause is fault.cause else "") for cause, _ in fault.parts]
        for cause, detail in causes or [(fault.cause, fault.detail)]:
            self._causes[cause] = self._causes.get(cause, 0) + 1
            self._of.setdefault(cause, set()).add(fault.account_id)
            details = self._details.setdefault(cause, Counter())
            if detail and (detail in details or len(details) < DETAILS):
                details[detail] += 1
        self._of_group.setdefault((fault.account_id, fault.measure), Counter())[fault.cause, fault.detail] += 1
        self.found += 1
        if self.kept < MAX_FINDINGS:
            self.kept += 1
            self._waiting.append(self._finding(fault, measure))

    def _finding(self, fault: Fault, measure: ReconciledMeasure) -> ReconciliationFinding:
        name = f"{fault.kind}/{fault.account_id}/{fault.measure}/{fault.uid or ''}/{fault.day or ''}"
        known = not fault.account_id.startswith(UNKNOWN)
        other = fault.other_account_id
        return ReconciliationFinding(
            id=named_id(self.run.id, name),
            run_id=self.run.id,
            kind=fault.kind,
            cause=fault.cause,
            account_id=fault.account_id if known else "",
            account=self.accounts.code(fault.account_id),
            meter=measure.meter,
            field=measure.field,
            quantity=fault.quantity,
            detail=fault.detail,
            day=fault.day,
            uid=fault.uid,
            ts=fault.ts,
            source_ts=fault.source_ts,
            source=fault.source,
            product=fault.product,
            other_uid=fault.other_uid,
            other_account_id=None if other is None or other.startswith(UNKNOWN) else other,
            failed_id=fault.failed_id,
            values=fault.values,
            parts=fault.parts,
        )

    def save(self, now: Instant, phase: str) -> bool:
        """Write what was found since, and how far the run is. False when it was cancelled meanwhile."""
        with self._store.transaction() as write:
            standing = read_run(write, self.run.id)
            if not standing.status.active:
                return False
            put_found(write, self._waiting)
            self.run = moved(standing, now, status=ReconciliationStatus.RUNNING, phase=phase, **self._counts())
            put_run(write, self.run)
        self._waiting.clear()
        return True

    def finish(self, now: Instant) -> ReconciliationRun:
        """Write the result."""
        groups = [self._group(account_id, measure) for account_id, measure in self.tallies]
        fields = [self._field(place) for place in range(len(self.asked.measures))]
        accuracy = overall(self._of_measure(place) for place in range(len(self.asked.measures)))
        levels = [level_of(accuracy), level_of(accuracy_of(self.unreadable, self.rows))]
        by_record: Fraction | None = None
        if self.asked.comparison is ReconciliationBasis.RECORDS:
            by_record = accuracy_of(self.missing + self.extra + self.differing, self.records)
        with self._store.transaction() as write:
            standing = read_run(write, self.run.id)
            if not standing.status.active:
                return standing
            put_found(write, self._waiting, groups)
            self.run = moved(
                standing,
                now,
                status=ReconciliationStatus.COMPLETE,
                phase="",
                accuracy=percent(accuracy),
                record_accuracy=None if by_record is None else percent(by_record),
                level=worst(levels),
                fields=tuple(fields),
                groups=len(groups),
                **self._counts(),
            )
            put_run(write, self.run)
            tell(write, self.run)
        return self.run

    def _counts(self) -> dict[str, object]:
        return {
            "rows": self.rows,
            "rows_outside": self.outside,
            "rows_repeated": self.repeated,
            "rows_unreadable": self.unreadable,
            "problems": tuple(self.problems),
            "records": self.records,
            "missing": self.missing,
            "extra": self.extra,
            "differing": self.differing,
            "causes": tuple(self._cause_totals()),
            "findings": self.found,
            "findings_kept": self.kept,
        }

    def _cause_totals(self) -> list[ReconciliationCause]:
        """The most frequent cause first."""
        ranked = sorted(self._causes.items(), key=lambda each: (-each[1], each[0]))
        return [
            ReconciliationCause(cause=cause, findings=count, accounts=len(self._of[cause]), detail=self._most(cause))
            for cause, count in ranked
        ]

    def _most(self, cause: Cause) -> str:
        return next((detail for detail, _ in self._details[cause].most_common(1)), "")

    def _of_measure(self, place: int) -> Tally:
        whole = Tally()
        for (_, measure), tally in self.tallies.items():
            if measure == place:
                whole.with_(tally)
        return whole

    def _field(self, place: int) -> ReconciledField:
        measure, tally = self.asked.measures[place], self._of_measure(place)
        return ReconciledField(
            meter=measure.meter,
            field=measure.field,
            function=measure.function.value,
            source=tally.source,
            product=tally.product,
            missing=tally.missing,
            extra=tally.extra,
            differing=tally.differing,
            accuracy=percent(tally.accuracy),
            level=level_of(tally.accuracy),
        )

    def _group(self, account_id: str, place: int) -> ReconciliationGroup:
        measure, tally = self.asked.measures[place], self.tallies[account_id, place]
        causes = self._of_group.get((account_id, place), Counter())
        cause, detail = next((each for each, _ in causes.most_common(1)), (None, ""))
        return ReconciliationGroup(
            id=named_id(self.run.id, f"group/{account_id}/{place}"),
            run_id=self.run.id,
            account_id="" if account_id.startswith(UNKNOWN) else account_id,
            account=self.accounts.code(account_id),
            meter=measure.meter,
            field=measure.field,
            function=measure.function.value,
            source=tally.source,
            product=tally.product,
            missing=tally.missing,
            extra=tally.extra,
            differing=tally.differing,
            accuracy=percent(tally.accuracy),
            level=level_of(tally.accuracy),
            findings=sum(causes.values()),
            cause=cause,
            detail=detail,
        )
