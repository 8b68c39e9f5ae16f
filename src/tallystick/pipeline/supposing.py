"""Usage as it would be had some measurements never come and had others: what is rated from it is a supposition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tallystick.core.aggregation import Measured, Question
from tallystick.core.running import Collected
from tallystick.ports import OrganizationUsage, UsageRow
from tallystick.ports.passed_on import PassedOn


class Supposing(PassedOn):
    """Usage of an organisation without the measurements at some positions, and with others. Only what is measured is
    supposed; measurements are listed as they are."""

    def __init__(self, usage: OrganizationUsage, without: Collection[int], added: Sequence[UsageRow]) -> None:
        super().__init__(usage)
        self._without = without
        self._added = added

    def measure(self, question: Question) -> Iterable[Measured]:
        return self._usage.measure_as_if(question, without=self._without, added=self._added)

    def measure_as_if(
        self, question: Question, *, without: Collection[int], added: Sequence[UsageRow]
    ) -> Iterable[Measured]:
        out = [*self._without, *without]
        return self._usage.measure_as_if(question, without=out, added=[*self._added, *added])

    def collect(self, question: Question, *, after: int, most: int) -> list[Collected] | None:
        return None  # what is supposed is not added to
