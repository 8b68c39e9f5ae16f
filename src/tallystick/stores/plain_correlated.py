"""Many events, one unit, in plain Python (docs/decisions/0161-many-events-one-unit.md): the reference for the column
store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from tallystick.core.aggregation import Measured, Question
from tallystick.core.period import Instant, Period, microseconds
from tallystick.ports import UsageRow


def measure(
    account_id: str,
    segment: tuple[str, ...],
    rows: Sequence[UsageRow],
    question: Question,
    succeeded: Callable[[UsageRow], bool],
) -> Iterator[Measured]:
    """How many units of a segment first succeeded in the period; nothing where nothing was measured in it.

    `rows` are the measurements up to the end of the period, from its beginning of time where units have a window.
    """
    assert question.correlation is not None, "units have a correlation"
    streams: dict[str, list[UsageRow]] = defaultdict(list)
    for row in rows:
        streams[row.texts[question.correlation.field]].append(row)
    start = question.period.start
    made = sum(row.ts >= start for row in rows)
    if made:
        first = (
            moment
            for members in streams.values()
            for moment in _successes(members, question.correlation.window, succeeded)
        )
        units = sum(moment >= start for moment in first)
        yield Measured(account_id=account_id, segment=segment, total=Decimal(units), count=made)


def _successes(
    rows: Sequence[UsageRow], window: int | None, succeeded: Callable[[UsageRow], bool]
) -> Iterator[Instant]:
    """The first success of each unit of one stream that has any."""
    began: Instant | None = None
    done = False
    for row in sorted(rows, key=lambda row: row.ts):
        if began is None or (window is not None and microseconds(Period(began, row.ts)) >= window):
            began, done = row.ts, False
        if not done and succeeded(row):
            done = True
            yield row.ts
