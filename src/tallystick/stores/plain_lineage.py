"""The measurements behind an answer, in plain Python: the reference, and for filters beyond the column store."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from tallystick.core.aggregation import Measured, Method
from tallystick.core.period import Instant
from tallystick.core.set_hash import SetHash, element, set_hash
from tallystick.ports import Behind, UsageRow
from tallystick.stores.plain_aggregation import aggregate, field_value, matching, segment_of

MOST = 2**62  # rows of a list that has them all


def by_stretch(rows: Iterable[UsageRow], behind: Behind, starts: Sequence[Instant]) -> dict[Instant, Measured]:
    """See ports.OrganizationUsage. Raises as `plain_aggregation.measure`."""
    question = behind.question
    assert not question.gauge, "streams are measured stretch by stretch"
    stretches: dict[Instant, list[UsageRow]] = defaultdict(list)
    for row in _of(rows, behind):
        stretches[starts[bisect_right(starts, row.ts) - 1]].append(row)
    found: dict[Instant, Measured] = {}
    seen: set[Decimal | str | None] = set()
    for start, members in sorted(stretches.items()):
        if question.method is Method.UNIQUE:
            values = {field_value(row, question.field, question.method) for row in members}
            total = Decimal(len(values - seen))
            seen |= values
        else:
            total = aggregate(members, question.field, question.method, question.percentile)
        found[start] = Measured(account_id="", segment=behind.segment, total=total, count=len(members))
    return found


def behind(rows: Iterable[UsageRow], asked: Behind, after: tuple[Instant, str] | None, limit: int) -> list[UsageRow]:
    """See ports.OrganizationUsage. Raises as `plain_aggregation.measure`."""
    start, held, found = asked.question.period.start, dict[tuple[str, str], UsageRow](), list[UsageRow]()
    stream = asked.question.stream_field
    for row in _of(rows, asked):
        if row.ts >= start:
            found.append(row)
        elif asked.question.gauge:
            key = (row.account_id, row.texts[stream] if stream else "")
            before = held.get(key)
            if before is None or (before.ts, before.uid) < (row.ts, row.uid):
                held[key] = row
    ordered = sorted([*found, *held.values()], key=_place, reverse=True)
    return [row for row in ordered if after is None or _place(row) < after][: limit + 1]


def set_of(rows: Iterable[UsageRow], asked: Behind) -> SetHash:
    """See ports.OrganizationUsage. Raises as `plain_aggregation.measure`."""
    field = asked.question.field
    return set_hash(
        element(row.position, row.ts, row.numbers.get(field), row.uid, row.texts.get(field))
        for row in behind(rows, asked, None, MOST)
    )


def _of(rows: Iterable[UsageRow], asked: Behind) -> Iterable[UsageRow]:
    return (
        row
        for row in matching(rows, asked.question)
        if row.position > asked.above and segment_of(row, asked.question) == asked.segment
    )


def _place(row: UsageRow) -> tuple[Instant, str]:
    return row.ts, row.uid
