"""A usage store whose answers run on: one that is asked for again takes in what was added since (0237).

The slow reference is the store behind it: every answer is what that store would say to the same question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.core.period import Instant
from tallystick.core.running import can_run
from tallystick.ports import OrganizationUsage, UsageBlock, UsageRow, UsageStore, Withdrawn
from tallystick.ports.passed_on import PassedOn
from tallystick.stores.running_usage.kept import Kept
from tallystick.stores.running_usage.late import Late
from tallystick.stores.running_usage.recent import Recent

FEW = 8  # accounts that a question is about whose answers run on one by one
POOLED = 1_000  # accounts of a pool whose answer runs on


class RunningUsage:
    """A UsageStore in front of another."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store
        self._recent = Recent(store.mark)
        self._kept = Kept(self._recent)
        self._late = Late(store.mark)

    def organization(self, id: str) -> RunningOrganizationUsage:
        """The view bound to one organisation."""
        return RunningOrganizationUsage(self._store, self._store.organization(id), self._kept, self._late, id)

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
            self._late.add(rows, blocks, withdrawn, mark)
        try:
            self._store.add(rows, mark, blocks, withdrawn)
        except BaseException:
            self._recent.take_back(after)
            raise

    def arrived(self, organization_id: str) -> int:
        """See ports.UsageStore."""
        return self._store.arrived(organization_id)

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


class RunningOrganizationUsage(PassedOn):
    """Measurements of one organisation. Any thread may ask."""

    def __init__(
        self, store: UsageStore, usage: OrganizationUsage, kept: Kept, late: Late, organization_id: str
    ) -> None:
        super().__init__(usage)
        self._store = store
        self._kept, self._late = kept, late
        self._organization_id = organization_id

    def measure(self, question: Question) -> Iterable[Measured]:
        """See ports.OrganizationUsage."""
        parts = list(_parts(question))
        if not parts or question.up_to > self._store.mark:
            return self._usage.measure(question)
        return [found for part in parts for found in self._kept.answer(self._usage, self._organization_id, part)]

    def measure_many(self, questions: Sequence[Question]) -> list[Iterable[Measured]]:
        """See ports.OrganizationUsage. What is asked of many accounts does not run on."""
        if all(each.accounts is not None and len(each.accounts) > FEW for each in questions):
            return self._usage.measure_many(questions)
        return super().measure_many(questions)

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        """See ports.OrganizationUsage."""
        if len(accounts) > FEW or up_to > self._store.mark:
            return self._usage.late_accounts(accounts, before=before, after=after, up_to=up_to)
        return self._late.accounts(
            self._usage, self._organization_id, accounts, before=before, after=after, up_to=up_to
        )


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
