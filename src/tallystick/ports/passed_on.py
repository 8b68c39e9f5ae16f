"""Usage that answers as other usage does: for what answers some questions in its own way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa

from tallystick.core.aggregation import Measured, Question
from tallystick.core.period import Instant
from tallystick.core.running import Collected
from tallystick.core.set_hash import SetHash
from tallystick.ports.usage import (
    Arrival,
    ArrivalQuery,
    Behind,
    OrganizationUsage,
    Undeclared,
    UsageAnswer,
    UsageQuery,
    UsageRow,
    UsageRun,
)


class PassedOn:
    """Every question is passed on to the usage behind; see ports.OrganizationUsage."""

    def __init__(self, usage: OrganizationUsage) -> None:
        self._usage = usage

    def measure(self, question: Question) -> Iterable[Measured]:
        return self._usage.measure(question)

    def measure_many(self, questions: Sequence[Question]) -> list[Iterable[Measured]]:
        return [self.measure(each) for each in questions]  # by itself: it may answer in its own way

    def measure_as_if(
        self, question: Question, *, without: Collection[int], added: Sequence[UsageRow]
    ) -> Iterable[Measured]:
        return self._usage.measure_as_if(question, without=without, added=added)

    def collect(self, question: Question, *, after: int, most: int) -> list[Collected] | None:
        return self._usage.collect(question, after=after, most=most)

    def by_stretch(self, behind: Behind, starts: Sequence[Instant]) -> dict[Instant, Measured]:
        return self._usage.by_stretch(behind, starts)

    def behind(self, behind: Behind, after: tuple[Instant, str] | None, limit: int) -> list[UsageRow]:
        return self._usage.behind(behind, after, limit)

    def set_of(self, behind: Behind) -> SetHash:
        return self._usage.set_of(behind)

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        return self._usage.late_accounts(accounts, before=before, after=after, up_to=up_to)

    def arrivals(self, query: ArrivalQuery) -> list[Arrival]:
        return self._usage.arrivals(query)

    def undeclared(self, meter_ids: Sequence[str], start: Instant, end: Instant, most: int) -> list[Undeclared]:
        return self._usage.undeclared(meter_ids, start, end, most)

    def query(self, query: UsageQuery) -> list[UsageAnswer]:
        return self._usage.query(query)

    def raw(self, query: UsageQuery) -> list[UsageRow]:
        return self._usage.raw(query)

    def count(self, query: UsageQuery) -> int:
        return self._usage.count(query)

    def meters(self) -> list[str]:
        return self._usage.meters()

    def columns(self, run: UsageRun) -> pa.Table:
        return self._usage.columns(run)
