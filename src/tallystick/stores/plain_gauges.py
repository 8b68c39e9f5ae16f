"""Gauges in plain Python: a value holds until the next one of its stream, and into the period from before it.

The reference for the column store (docs/decisions/0160-gauges-over-time.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from tallystick.core.aggregation import Measured, Question
from tallystick.core.period import Period, microseconds
from tallystick.core.quantity import multiply, tidy, total
from tallystick.ports import UsageRow


def measure(
    account_id: str, segment: tuple[str, ...], rows: Sequence[UsageRow], question: Question
) -> Iterator[Measured]:
    """The answer of all gauges of a segment together; nothing where none has a value.

    `rows` are the measurements up to the end of the period, from its beginning of time.
    """
    streams: dict[tuple[str, str], list[UsageRow]] = defaultdict(list)
    for row in rows:
        key = row.texts[question.gauge_field] if question.gauge_field else ""
        streams[row.account_id, key].append(row)
    amounts = [amount for members in streams.values() for amount in _amounts(members, question)]
    if amounts:
        yield Measured(account_id=account_id, segment=segment, total=tidy(total(amounts)), count=len(amounts))


def _amounts(rows: Sequence[UsageRow], question: Question) -> Iterator[Decimal]:
    """What each value of one gauge that was measured in the period, or held at its start, adds to the total."""
    start, end = question.period
    ordered = sorted(rows, key=lambda row: (row.ts, row.uid, row.position))
    for row, following in pairwise([*ordered, None]):
        assert row is not None, "only the last has none that follows"
        value = row.numbers[question.field]
        until = following.ts if following else end
        # A gauge that stands at 0 when the period begins has ended: it is no measurement of this period.
        if row.ts < start and (until <= start or not value):
            continue
        if question.method.time_weighted:
            yield multiply(value, Decimal(microseconds(Period(max(row.ts, start), until))))
        else:
            yield Decimal(0) if following else value
