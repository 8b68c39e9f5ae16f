"""Totals of a second source against those counted here, by account, measure and day, some accounts at a time.

The source may come in any order: its rows become columns (some thirty bytes a row), which are put in order once. Then
the accounts are gone through block by block; only days that disagree are kept, and what is behind them is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

import numpy as np
import pyarrow as pa

from tallystick.core.entity import Entity
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, local_day
from tallystick.core.quantity import ONE, ZERO, add, subtract, tidy
from tallystick.core.reconciliation import ReconciledFunction
from tallystick.core.reconciliation_pairs import Fault
from tallystick.core.reconciliation_run import MAX_FINDINGS, Cause, ReconciliationRun
from tallystick.core.reconciliation_totals import Deviation, Evidence, Series, explain_rest, explain_series
from tallystick.core.source_rows import RowReader, SourceTotal
from tallystick.core.twins import Seen, Twins
from tallystick.pipeline.findings import Findings
from tallystick.pipeline.reconcile_records import MARGIN, content_of, measurements
from tallystick.pipeline.rows import Row
from tallystick.ports import OrganizationUsage, UsageColumn, UsageGroup, UsageQuery, UsageRow

CHUNK = 5_000  # rows of the source that become columns together
CELLS = 20_000  # days of accounts that are compared together
HOURS_OF_DAY = 24
HALF = 1800  # seconds: time zones are whole halves of an hour apart (but for three) …
SHIFTS = range(-26 * 3600, 26 * 3600 + 1, HALF)  # … and at most this far
HALF_AN_HOUR_OFF = "Asia/Kolkata"
MOST_ACCOUNTS = 1_000_000
_EXACT = pa.decimal128(38, 18)
_ACCOUNT, _DAY, _HOUR = (
    UsageGroup(by="ACCOUNT"),
    UsageGroup(by="TIME", frequency="DAY"),
    UsageGroup(by="TIME", frequency="HOUR"),
)

Cell = tuple[str, int, date]  # an account, a measure and a day


class Columns:
    """The totals of a source as columns."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._values: list[pa.Array] = []

    def add(self, totals: Sequence[tuple[str, SourceTotal]]) -> None:
        """Add totals, each with the id of its account."""
        for account_id, _ in totals:
            self._places.setdefault(account_id, len(self._places))
        self._parts.append(
            (
                np.fromiter((self._places[account_id] for account_id, _ in totals), np.int32, len(totals)),
                np.fromiter((each.measure for _, each in totals), np.int8, len(totals)),
                np.fromiter((each.day.toordinal() for _, each in totals), np.int32, len(totals)),
            )
        )
        self._values.append(pa.array([each.value for _, each in totals], _EXACT))

    def ordered(self) -> Ordered:
        """All of them, account by account."""
        if not self._parts:
            return Ordered(self._places, np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros(0, np.int32), None)
        accounts, measures, days = (np.concatenate([part[place] for part in self._parts]) for place in range(3))
        order = np.argsort(accounts, kind="stable")
        values = pa.chunked_array(self._values).take(pa.array(order))
        return Ordered(self._places, accounts[order], measures[order], days[order], values)


@dataclass(frozen=True, slots=True)
class Ordered:
    """The totals of a source, account by account."""

    places: Mapping[str, int]
    accounts: np.ndarray
    measures: np.ndarray
    days: np.ndarray
    values: pa.ChunkedArray | None

    def of(self, account_ids: Sequence[str]) -> dict[Cell, Decimal]:
        """What some accounts have. Of several rows of one cell, the sum."""
        cells: dict[Cell, Decimal] = {}
        for id_ in account_ids:
            place = self.places.get(id_)
            if place is None or self.values is None:
                continue
            first, end = np.searchsorted(self.accounts, place), np.searchsorted(self.accounts, place, side="right")
            values = self.values.slice(first, end - first).to_pylist()
            for at, value in enumerate(values, start=int(first)):
                cell = (id_, int(self.measures[at]), date.fromordinal(int(self.days[at])))
                cells[cell] = tidy(add(cells.get(cell, ZERO), value))
        return cells


@dataclass(slots=True)
class TotalComparison:
    """One run of a comparison by totals. `meters` are those of the measures, by code; `counted` is the position up to
    which usage is counted by now, which may be behind that of the run."""

    usage: OrganizationUsage
    findings: Findings
    meters: dict[str, Entity[Meter]]
    counted: int

    @property
    def _run(self) -> ReconciliationRun:
        return self.findings.run

    def compare(self, rows: Iterable[Row], reader: RowReader) -> Iterator[str]:
        """Compare all; yields what it is at after each chunk."""
        columns = Columns()
        chunk: list[SourceTotal] = []
        for row in rows:
            self.findings.rows += 1
            chunk += self._read(row, reader)
            if len(chunk) >= CHUNK:
                self._keep(columns, chunk)
                chunk = []
                yield "reading the source"
        self._keep(columns, chunk)
        source = columns.ordered()
        deviations: list[Deviation] = []
        days_of: dict[Series, int] = {}
        accounts = sorted({*source.places, *self._accounts_here()})
        block = max(1, CELLS // self._days)
        for first in range(0, len(accounts), block):
            found = self._compare(source, accounts[first : first + block], days_of)
            if len(deviations) < MAX_FINDINGS:
                deviations += found
            else:  # however much is amiss, memory is not: what comes now is explained within its block
                self._explain(found, days_of)
                for each in found:
                    self.findings.add(self._fault(each))
            yield "comparing accounts"
        self._explain(deviations, days_of)
        for start in range(0, len(deviations), CHUNK):
            for each in deviations[start : start + CHUNK]:
                self.findings.add(self._fault(each))
            yield "writing what was found"

    def _explain(self, deviations: Sequence[Deviation], days_of: Mapping[Series, int]) -> None:
        """Find the causes of what the series by themselves do not tell."""
        explain_rest(deviations, days_of, self._run.last_day)

    def _read(self, row: Row, reader: RowReader) -> list[SourceTotal]:
        if row.problem is not None:
            self.findings.unreadable_row(row.number, row.problem)
            return []
        try:
            totals = list(reader.totals(row.cells))
        except ValueError as problem:
            self.findings.unreadable_row(row.number, str(problem))
            return []
        asked = self._run.request
        inside = [each for each in totals if asked.start_date <= each.day < asked.end_date]
        self.findings.outside += not inside
        return inside

    def _keep(self, columns: Columns, chunk: Sequence[SourceTotal]) -> None:
        if chunk:
            accounts = self.findings.accounts.ids({each.account for each in chunk})
            columns.add([(accounts[each.account], each) for each in chunk])

    # ------------------------------------------------------------------------------------------ what is counted here

    def _compare(self, source: Ordered, accounts: Sequence[str], days_of: dict[Series, int]) -> list[Deviation]:
        """Compare all days of some accounts, and look behind those that disagree; counts the days of the source."""
        theirs, ours = source.of(accounts), self._totals(accounts)
        found: dict[Series, list[Deviation]] = {}
        for cell in sorted(theirs.keys() | ours.keys()):
            account_id, measure, day = cell
            one, other = theirs.get(cell), ours.get(cell)
            self.findings.tally(account_id, measure).counted(one, other)
            if (one or ZERO) != (other or ZERO):
                found.setdefault((account_id, measure), []).append(Deviation(account_id, measure, day, one, other))
        if found and len(days_of) < MAX_FINDINGS:
            self._look_behind(found, theirs)
        for account_id, measure, _ in theirs:
            if (account_id, measure) in found:
                days_of[account_id, measure] = days_of.get((account_id, measure), 0) + 1
        return [each for days in found.values() for each in days]

    def _look_behind(self, found: Mapping[Series, Sequence[Deviation]], theirs: Mapping[Cell, Decimal]) -> None:
        """Find the causes of what disagrees, series by series."""
        accounts = sorted({account_id for account_id, _ in found})
        copies = self._copies(accounts)
        later = self._later(accounts)
        by_series: dict[Series, dict[date, Decimal]] = {series: {} for series in found}
        for (account_id, measure, day), value in theirs.items():
            if (account_id, measure) in by_series:
                by_series[account_id, measure][day] = value
        hours: dict[Series, dict[int, Decimal]] = {}
        halves: dict[Series, dict[int, Decimal]] = {}
        block = max(1, CELLS // (HOURS_OF_DAY * self._days))
        for place, account_id in enumerate(accounts):
            if place % block == 0:
                part = accounts[place : place + block]
                hours, halves = self._hours(part, self._run.timezone), self._hours(part, self._zone_between)
            for measure in range(len(self.findings.asked.measures)):
                series = (account_id, measure)
                if series in found:
                    evidence = Evidence(
                        source=by_series[series],
                        duplicates=copies.get(series, {}),
                        later=later.get(series, {}),
                        shifted=self._shifted(hours.get(series, {}), halves.get(series, {})),
                    )
                    explain_series(found[series], evidence)

    @property
    def _days(self) -> int:
        return (self._run.request.end_date - self._run.request.start_date).days

    def _accounts_here(self) -> list[str]:
        rows = self.usage.query(self._query((_ACCOUNT,), None, MOST_ACCOUNTS))
        return [str(each.groups[0]) for each in rows]

    def _totals(self, accounts: Sequence[str], up_to: int | None = None) -> dict[Cell, Decimal]:
        """What is counted of some accounts, by day."""
        query = self._query((_ACCOUNT, _DAY), accounts, len(accounts) * self._days)
        query = query if up_to is None else replace(query, up_to=up_to)
        cells: dict[Cell, Decimal] = {}
        for row in self.usage.query(query):
            account_id, start = row.groups
            assert isinstance(start, Instant), "a time group has a start"
            day = local_day(start, self._run.timezone)
            for measure, value in enumerate(row.values):
                if value is not None:
                    cells[str(account_id), measure, day] = value[0]
        return cells

    def _later(self, accounts: Sequence[str]) -> dict[Series, dict[date, Decimal]]:
        """What came of some accounts after the position that is compared."""
        if self.counted <= self._run.up_to:
            return {}
        before, later = self._totals(accounts), self._totals(accounts, self.counted)
        more: dict[Series, dict[date, Decimal]] = {}
        for (account_id, measure, day), value in later.items():
            by = subtract(value, before.get((account_id, measure, day), ZERO))
            if by:
                more.setdefault((account_id, measure), {})[day] = by
        return more

    def _copies(self, accounts: Sequence[str]) -> dict[Series, dict[date, tuple[Decimal, str]]]:
        """What measurements of the very same time and content come to beyond the first of each."""
        twins: Twins[UsageRow] = Twins(timedelta(0))
        meter_ids = tuple(sorted(each.id for each in self.meters.values()))
        copies: dict[Series, dict[date, tuple[Decimal, str]]] = {}
        for page in measurements(self.usage, self._run, meter_ids, tuple(accounts)):
            for row in page:
                for decided in twins.see(Seen(row, row.uid, content_of(row), row.ts, original=False)):
                    self._copy(decided, copies)
        for decided in twins.rest():
            self._copy(decided, copies)
        return copies

    def _copy(self, seen: Seen[UsageRow], copies: dict[Series, dict[date, tuple[Decimal, str]]]) -> None:
        if seen.twin is None:
            return
        row, day = seen.item, local_day(seen.item.ts, self._run.timezone)
        for place, measure in enumerate(self.findings.asked.measures):
            if self.meters[measure.meter].id == row.meter_id and (
                measure.field in row.numbers or measure.field in row.texts
            ):
                days = copies.setdefault((row.account_id, place), {})
                before = days.get(day, (ZERO, seen.uid))[0]
                value = ONE if measure.function is ReconciledFunction.COUNT else row.numbers[measure.field]
                days[day] = (add(before, value), seen.uid)

    def _hours(self, accounts: Sequence[str], zone: str) -> dict[Series, dict[int, Decimal]]:
        """What is counted of some accounts hour by hour of a time zone, with what another may have moved across the
        edges of the period. Hours are named by how many halves of one they begin after `_first_hour`."""
        limit = len(accounts) * (self._days + 5) * HOURS_OF_DAY
        query = self._query((_ACCOUNT, _HOUR), accounts, limit)
        query = replace(query, start=self._first_hour, end=Instant.of(self._run.end + MARGIN), zone=zone)
        found: dict[Series, dict[int, Decimal]] = {}
        for row in self.usage.query(query):
            account_id, start = row.groups
            assert isinstance(start, Instant), "a time group has a start"
            place = int((start - self._first_hour).total_seconds()) // HALF
            for measure, value in enumerate(row.values):
                if value is not None:
                    found.setdefault((str(account_id), measure), {})[place] = value[0]
        return found

    @property
    def _first_hour(self) -> Instant:
        return Instant.of(self._run.start - MARGIN)

    @property
    def _zone_between(self) -> str:
        """A time zone whose hours begin in the middle of those of the run's."""
        return HALF_AN_HOUR_OFF if self._run.start.minute == 0 else "UTC"

    def _shifted(self, hours: Mapping[int, Decimal], halves: Mapping[int, Decimal]) -> dict[int, dict[date, Decimal]]:
        """How the days of a series come out if all of it were so much earlier, by seconds."""
        days_of = _days_of_halves(self._first_hour, self._run.timezone, (self._days + 5) * 2 * HOURS_OF_DAY)
        asked = self._run.request
        shifted: dict[int, dict[date, Decimal]] = {}
        for shift in SHIFTS:
            days: dict[date, Decimal] = {}
            for start, value in (halves if shift % 3600 else hours).items():
                place = start - shift // HALF
                day = days_of[place] if 0 <= place < len(days_of) else None
                if day is not None and asked.start_date <= day < asked.end_date:
                    days[day] = add(days.get(day, ZERO), value)
            shifted[shift] = days
        return shifted

    def _query(self, groups: tuple[UsageGroup, ...], accounts: Sequence[str] | None, limit: int) -> UsageQuery:
        columns = tuple(
            UsageColumn(meter_id=self.meters[each.meter].id, field=each.field, function=each.function.value)
            for each in self.findings.asked.measures
        )
        return UsageQuery(
            start=self._run.start,
            end=self._run.end,
            meter_ids=tuple(sorted(each.id for each in self.meters.values())),
            account_ids=None if accounts is None else tuple(accounts),
            filters=(),
            columns=columns,
            groups=groups,
            limit=limit,
            zone=self._run.timezone,
            up_to=self._run.up_to,
        )

    def _fault(self, deviation: Deviation) -> Fault:
        cause, detail = deviation.cause if deviation.parts else (Cause.LOST, "")
        other = deviation.other_account_id
        if cause is Cause.OTHER_ACCOUNT and other is not None:
            pair = (deviation.account_id, other)
            lacks, has = pair if deviation.difference < 0 else pair[::-1]
            detail = f"{self.findings.accounts.code(lacks)} → {self.findings.accounts.code(has)}"
        return Fault(
            deviation.kind,
            cause,
            deviation.account_id,
            deviation.measure,
            deviation.quantity,
            deviation.source,
            deviation.product,
            detail,
            deviation.day,
            other_uid=deviation.example,
            other_account_id=other,
            parts=tuple((each, quantity) for each, quantity, _ in deviation.parts),
        )


@lru_cache(maxsize=8)
def _days_of_halves(first: Instant, zone: str, halves: int) -> list[date]:
    """The local day of each half of an hour from `first` on."""
    return [local_day(Instant.of(first + timedelta(seconds=HALF * each)), zone) for each in range(halves)]
