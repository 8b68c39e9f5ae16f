"""Where the quantity of a bill line comes from: what was asked of the usage store for it, and which days decide it.

A line is found among the windows of its terms by its key; it has one source, or one for each aggregation of a
calculation. What this module says of a source is enough to find exactly the measurements behind it
(docs/decisions/0285-lineage.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from tallystick.core.aggregation import Aggregation, Measured, Method, Question
from tallystick.core.bill import LineItem, LineItemType, line_id
from tallystick.core.breakdown import part_key
from tallystick.core.catalog import PricingType
from tallystick.core.entity import Entity
from tallystick.core.lines import line_key
from tallystick.core.meter import Meter
from tallystick.core.plan_terms import Input
from tallystick.core.pool import portions
from tallystick.core.quantity import divide, plain
from tallystick.core.scope import segment_map
from tallystick.core.terms import Terms
from tallystick.core.usage import Answers, Window, countings, windows
from tallystick.core.working import Apportioned, Working

# Methods of which the numbers of days add up to that of the period (of UNIQUE, the values that are new on a day).
_ADDS_UP = frozenset(
    {Method.SUM, Method.COUNT, Method.UNIQUE, Method.MEAN, Method.TIME_WEIGHTED_SUM, Method.TIME_WEIGHTED_MEAN}
)
# Methods that pick the value of a measurement.
_PICKS = frozenset({Method.MAX, Method.MIN, Method.PERCENTILE})

_RULES = {
    Method.SUM: "The values of all measurements are added up, so the days add up to it.",
    Method.COUNT: "Every measurement counts as one, so the days add up to it.",
    Method.MEAN: "The sum of all values divided by how many there are: sums and counts of the days add up.",
    Method.UNIQUE: "Every different value counts once, on the first day that has it, so the days add up to it.",
    Method.MAX: "The greatest value: the measurements that have it decide.",
    Method.MIN: "The least value: the measurements that have it decide.",
    Method.LATEST: "The value of the latest measurement, which decides; of several at one moment, that of the greatest"
    " uid.",
    Method.PERCENTILE: "The value at that rank among all values: the measurements that have it decide.",
    Method.TIME_WEIGHTED_SUM: "Each value counts for as long as it held, so that the days add up to it.",
    Method.TIME_WEIGHTED_MEAN: "Each value counts for as long as it held, over the whole period: what the days"
    " contribute adds up to it.",
    Method.CORRELATED_COUNT: "Measurements that belong together are one unit, counted when it first succeeded.",
}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One number that a line was made of: the question with its accounts, one segment of it, and what it came to.

    With `above`, only measurements above that journal position are meant: those
    that came too late for an earlier bill. `measured` is None where there were none (or where it is about late ones).
    """

    aggregation: Entity[Aggregation]
    meter: Entity[Meter]
    question: Question
    segment: tuple[str, ...]
    measured: Measured | None
    above: int = 0

    @property
    def by_streams(self) -> bool:
        """Whether its measurements are looked at in order of time, so that a day is measured by itself."""
        return self.question.gauge or self.question.correlation is not None

    @property
    def adds_up(self) -> bool:
        """Whether the totals of the days add up to that of the period."""
        if self.question.correlation:
            return self.question.correlation.window is not None
        return self.question.method in _ADDS_UP

    @property
    def rule(self) -> str:
        """How measurements become the number, in words."""
        if self.above:
            return "What came after the earlier bill was made, and is dated in its period."
        if self.question.gauge and self.question.method is Method.LATEST:
            return "The value that holds at the end: the last day decides, even where it was measured before."
        return _RULES[self.question.method]

    def value(self, measured: Measured) -> Decimal:
        """The number that an answer stands for."""
        if self.question.method is Method.MEAN:
            return divide(measured.total, Decimal(measured.count))
        if self.question.time_unit and self.question.method.time_weighted:
            return divide(measured.total, Decimal(self.question.time_unit))
        return measured.total

    def deciding(self) -> Question | None:
        """What counts the measurements that have the picked value; None where no value is picked by its size."""
        if self.question.method not in _PICKS or self.measured is None or self.above or self.question.gauge:
            return None
        same = f"{self.question.field} == {plain(self.measured.total)}"
        kept = same if self.question.filter is None else f"({self.question.filter}) AND {same}"
        return msgspec.structs.replace(self.question, method=Method.COUNT, percentile=None, filter=kept)


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a bill of usage, as far as it takes to find what it was made of. `alone` is the one account of a pool
    whose part it is."""

    line_id: str
    pricing_id: str
    segment: dict[str, str] | None
    alone: str | None = None
    child: str | None = None


def sought(item: LineItem, working: Working, account_id: str) -> Sought | None:
    """What is looked for to trace a line of this account's bill; None for one that no pricing charges."""
    if item.pricing_id is None:
        return None
    adjusts = item.line_item_type is LineItemType.MANUAL_ADJUSTMENT
    part = any(isinstance(step, Apportioned) for step in working)
    return Sought(
        line_id=(item.referenced_line_item_id if adjusts else None) or item.id,
        pricing_id=item.pricing_id,
        segment=item.segment,
        alone=(item.child_account_id or account_id) if part else item.child_account_id,
        child=item.child_account_id,
    )


def sources_of(terms: Terms, answers: Answers, up_to: int, wanted: Sought, *, above: int = 0) -> tuple[Source, ...]:
    """What a line of the bill of these terms was made of, in the order of its calculation; nothing where no usage is
    behind it. `answers` and `up_to` are those of the bill."""
    found = list(_found(terms, answers, up_to, wanted))
    exact = [each for each in found if wanted.line_id in _ids(terms, *each, wanted.child)]
    if not found:
        return ()
    window, segment = (exact or found)[0]
    alone = wanted.alone
    if above and alone is None and portions(window, segment, answers):
        alone = terms.account.id  # of a line that is broken down, what has no child's name is the parent's own
    asked = window.shares if alone and window.shares else window.now.questions
    return tuple(
        _source(each, _of(question, alone, terms), segment, _row(answers[question], segment, alone), above)
        for each, question in zip(window.price.inputs, asked, strict=True)
    )


def _found(terms: Terms, answers: Answers, up_to: int, wanted: Sought) -> Iterator[tuple[Window, tuple[str, ...]]]:
    for window in windows(terms, up_to):
        if window.price.pricing.id != wanted.pricing_id:
            continue
        for counting in countings(window, answers):
            if segment_map(window.price.segmented_fields, counting.segment) == (wanted.segment or None):
                yield window, counting.segment


def _ids(terms: Terms, window: Window, segment: tuple[str, ...], child: str | None) -> tuple[str, ...]:
    pricing = window.price.pricing
    type_ = LineItemType.USAGE if pricing.value.type is PricingType.DEBIT else LineItemType.USAGE_CREDIT
    key = line_key(type_, window.account_plan.id, pricing.id, window.now.piece.window.start, segment)
    return line_id(terms.bill_id, key), line_id(terms.bill_id, part_key(key, child or ""))


def _row(rows: Sequence[Measured], segment: tuple[str, ...], alone: str | None) -> Measured | None:
    found = (row for row in rows if row.segment == segment)
    return next((row for row in found if alone is None or row.account_id == alone), None)


def _of(question: Question, alone: str | None, terms: Terms) -> Question:
    """The question with the accounts that it is about: one of a pool alone, the pool, or the account of the bill."""
    if alone is not None:
        return msgspec.structs.replace(question, accounts=(alone,), pooled=False)
    return question if question.accounts else msgspec.structs.replace(question, accounts=(terms.account.id,))


def _source(of: Input, question: Question, segment: tuple[str, ...], measured: Measured | None, above: int) -> Source:
    return Source(
        aggregation=of.aggregation,
        meter=of.meter,
        question=question,
        segment=segment,
        measured=None if above else measured,
        above=above,
    )


def days_that_decide(source: Source, measured: Sequence[Measured | None], deciding: Sequence[int]) -> list[int]:
    """Per day, in their order, how many of its measurements decide the number: none where all days add up.

    `measured` is what each day came to by itself, `deciding` how many of its measurements have the picked value.
    """
    if source.question.method is not Method.LATEST or source.above:
        return list(deciding)
    if source.question.gauge:
        last = len(measured) - 1
    else:
        last = max((place for place, each in enumerate(measured) if each), default=-1)
    return [int(place == last) for place in range(len(measured))]
