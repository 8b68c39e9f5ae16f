"""A usage store whose answers run on: one that is asked for again takes in what was added since (0237).

The slow reference is the store behind it: every answer is what that store would say to the same question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.core.period import Instant
from tallystick.core.running import Collected, can_run
from tallystick.core.set_hash import SetHash
from tallystick.ports import (
    Behind,
    OrganizationUsage,
    UsageAnswer,
    UsageBlock,
    UsageQuery,
    UsageRow,
    UsageStore,
    Withdrawn,
)
from tallystick.ports.usage import Arrival, ArrivalQuery, Undeclared
from tallystick.stores.running_usage.kept import Kept
from tallystick.stores.running_usage.recent import Recent

FEW = 8  # accounts that a question is about whose answers run on one by one
POOLED = 1_000  # accounts of a pool whose answer runs on


class RunningUsage:
    """A UsageStore in front of another."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store
        self._recent = Recent(store.mark)
        self._kept = Kept(self._recent)

    def organization(self, id: str) -> RunningOrganizationUsage:
        """The view bound to one organisation."""
        return RunningOrganizationUsage(self._store, self._store.organization(id), self._kept, id)

    def add(
        self,
        rows: Sequence[UsageRow],
        mark: int,
        blocks: Sequence[UsageBlock] = (),
        withdrawn: Sequence[Withdrawn] = (),
    ) -> None:
        """See ports.UsageStore. The answers of organisations of which something is withdrawn are forgotten before the
        mark rises."""
        after = self._store.mark
        self._kept.forget({each.organization_id for each in withdrawn}, mark)
        if mark > after:
            self._recent.add(rows, blocks, after, mark)
        try:
            self._store.add(rows, mark, blocks, withdrawn)
        except BaseException:
            self._recent.take_back(after)
            raise

    def position_by(self, moment: Instant) -> int:
        """See ports.UsageStore."""
        return self._store.position_by(moment)

    @property
    def mark(self) -> int:
        """The journal position up to which the store is complete."""
        return self._store.mark

    def close(self) -> None:
        """Close the store behind."""
        self._store.close()


class RunningOrganizationUsage:
    """Measurements of one organisation. Any thread may ask."""

    def __init__(self, store: UsageStore, usage: OrganizationUsage, kept: Kept, organization_id: str) -> None:
        self._store = store
        self._usage = usage
        self._kept = kept
        self._organization_id = organization_id

    def measure(self, question: Question) -> Iterable[Measured]:
        """See ports.OrganizationUsage."""
        parts = list(_parts(question))
        if not parts or question.up_to > self._store.mark:
            return self._usage.measure(question)
        return [found for part in parts for found in self._kept.answer(self._usage, self._organization_id, part)]

    def measure_as_if(
        self, question: Question, *, without: Collection[int], added: Sequence[UsageRow]
    ) -> Iterable[Measured]:
        """See ports.OrganizationUsage."""
        return self._usage.measure_as_if(question, without=without, added=added)

    def collect(self, question: Question, *, after: int, most: int) -> list[Collected] | None:
        """See ports.OrganizationUsage."""
        return self._usage.collect(question, after=after, most=most)

    def by_stretch(self, behind: Behind, starts: Sequence[Instant]) -> dict[Instant, Measured]:
        """See ports.OrganizationUsage."""
        return self._usage.by_stretch(behind, starts)

    def behind(self, behind: Behind, after: tuple[Instant, str] | None, limit: int) -> list[UsageRow]:
        """See ports.OrganizationUsage."""
        return self._usage.behind(behind, after, limit)

    def set_of(self, behind: Behind) -> SetHash:
        """See ports.OrganizationUsage."""
        return self._usage.set_of(behind)

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        """See ports.OrganizationUsage."""
        return self._usage.late_accounts(accounts, before=before, after=after, up_to=up_to)

    def arrivals(self, query: ArrivalQuery) -> list[Arrival]:
        """See ports.OrganizationUsage."""
        return self._usage.arrivals(query)

    def undeclared(self, meter_ids: Sequence[str], start: Instant, end: Instant, most: int) -> list[Undeclared]:
        """See ports.OrganizationUsage."""
        return self._usage.undeclared(meter_ids, start, end, most)

    def query(self, query: UsageQuery) -> list[UsageAnswer]:
        """See ports.OrganizationUsage."""
        return self._usage.query(query)

    def raw(self, query: UsageQuery) -> list[UsageRow]:
        """See ports.OrganizationUsage."""
        return self._usage.raw(query)

    def count(self, query: UsageQuery) -> int:
        """See ports.OrganizationUsage."""
        return self._usage.count(query)


def _parts(question: Question) -> Iterator[Question]:
    """The questions whose answers run on, and together are the answer; none where it is asked as it is."""
    if not question.accounts or not can_run(question):
        return
    if question.pooled:
        if len(question.accounts) <= POOLED:
            yield question
        return
    accounts = sorted(set(question.accounts))
    if len(accounts) <= FEW:
        for account in accounts:
            yield msgspec.structs.replace(question, accounts=(account,))
