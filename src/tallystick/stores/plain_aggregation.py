"""Aggregating measurements in plain Python: slow, and plainly what each method means (source: reference 2.2).

The reference store answers with it, and the column store where a filter goes beyond what it can compute exactly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import assert_never

import msgspec

from tallystick.core.aggregation import EventBounds, EventTally, Measured, Method, Question
from tallystick.core.expression import Expression, evaluate, parse
from tallystick.core.period import Instant, Period, microseconds
from tallystick.core.quantity import tidy, total
from tallystick.core.running import VALUE_BYTES, Collected, identity, scaled
from tallystick.ports import UsageRow
from tallystick.stores import plain_correlated, plain_gauges

EPOCH = Instant.parse("1970-01-01")
COUNTS = frozenset({Method.COUNT, Method.UNIQUE, Method.CORRELATED_COUNT})  # for which a value may be a text too


def measure(rows: Iterable[UsageRow], question: Question) -> list[Measured]:
    """The answer from the measurements of one organisation, ordered by account and segment.

    Raises core.expression.CalculationError where the filter has no value for a measurement.
    """
    groups = _groups(rows, question)
    if question.gauge:
        return [
            found for key, members in sorted(groups.items()) for found in plain_gauges.measure(*key, members, question)
        ]
    if question.correlation:
        succeeded = _filter(question.correlation.success)
        return [
            found
            for key, members in sorted(groups.items())
            for found in plain_correlated.measure(*key, members, question, succeeded)
        ]
    return [
        Measured(
            account_id=account,
            segment=segment,
            total=aggregate(members, question.field, question.method, question.percentile),
            count=len(members),
            tally=None if question.event_bounds is None else _tally(members, question.field, question.event_bounds),
        )
        for (account, segment), members in sorted(groups.items())
    ]


def collect(rows: Iterable[UsageRow], question: Question) -> list[Collected]:
    """What running answers of the question are made of; see ports.OrganizationUsage."""
    return [
        _collected(account, segment, members, question)
        for (account, segment), members in sorted(_groups(rows, question).items())
    ]


def _collected(account: str, segment: tuple[str, ...], members: Sequence[UsageRow], question: Question) -> Collected:
    found = Collected(account_id=account, segment=segment, count=len(members))
    values = [field_value(row, question.field, question.method) for row in members]
    if question.method is Method.UNIQUE:
        distinct = {identity(each) for each in values if each is not None}
        return msgspec.structs.replace(found, values=b"".join(sorted(distinct)))
    if question.method is Method.PERCENTILE:
        counted = sorted(Counter(scaled(each) for each in values if isinstance(each, Decimal)).items())
        texts = (value.to_bytes(VALUE_BYTES, "little", signed=True) for value, _ in counted)
        return msgspec.structs.replace(found, values=b"".join(texts), counts=[times for _, times in counted])
    last = max(members, key=lambda row: (row.ts, row.uid))
    bounds = question.event_bounds
    return msgspec.structs.replace(
        found,
        total=aggregate(members, question.field, question.method),
        tally=None if bounds is None else _tally(members, question.field, bounds),
        last=(microseconds(Period(EPOCH, last.ts)), last.uid) if question.method is Method.LATEST else (0, ""),
    )


def _groups(rows: Iterable[UsageRow], question: Question) -> dict[tuple[str, tuple[str, ...]], list[UsageRow]]:
    """The measurements that a question is about, by account and segment."""
    account_of = holder(question)
    groups: dict[tuple[str, tuple[str, ...]], list[UsageRow]] = defaultdict(list)
    for row in matching(rows, question):
        groups[account_of(row), segment_of(row, question)].append(row)
    return groups


def matching(rows: Iterable[UsageRow], question: Question) -> Iterator[UsageRow]:
    """The measurements that have a say in the answer, in any account and segment. Raises as `measure`."""
    accepts = _filter(question.filter)
    wanted = None if question.accounts is None else set(question.accounts)
    needed = (question.stream_field,) if question.stream_field else ()
    return (
        row
        for row in rows
        if row.meter_id == question.meter_id
        and (question.reaches_back or question.period.start <= row.ts)
        and row.ts < question.period.end
        and row.position <= question.up_to
        and (row.withdrawn is None or row.withdrawn > question.up_to)
        and (wanted is None or row.account_id in wanted)
        and field_value(row, question.field, question.method) is not None
        and all(field in row.texts for field in needed)
        and accepts(row)
    )


def and_added(rows: Iterable[UsageRow], added: Iterable[UsageRow]) -> Iterator[UsageRow]:
    """Measurements with others that are only supposed: those come before every position that is asked about."""
    yield from rows
    yield from (replace(row, position=0, withdrawn=None) for row in added)


def segment_of(row: UsageRow, question: Question) -> tuple[str, ...]:
    """The segment of a measurement. What came before the meter had the field counts as empty, so that segments add up
    to the whole."""
    return tuple(row.texts.get(field, "") for field in question.segmented_fields)


def holder(question: Question) -> Callable[[UsageRow], str]:
    """The account that a measurement is answered under."""
    if not question.pooled:
        return lambda row: row.account_id
    assert question.accounts is not None, "a pool names its accounts"
    pool = question.accounts
    return lambda row: pool[0]


def field_value(row: UsageRow, field: str, method: Method) -> Decimal | str | None:
    """What a method sees of a measurement: counts take numbers and texts, all others numbers only."""
    number = row.numbers.get(field)
    if number is None and method in COUNTS:
        return row.texts.get(field)
    return number


def aggregate(rows: Sequence[UsageRow], field: str, method: Method, percentile: Decimal | None = None) -> Decimal:
    """The total of at least one measurement, all of which have a value; for MEAN the sum."""
    match method:
        case Method.COUNT:
            return Decimal(len(rows))
        case Method.UNIQUE:
            return Decimal(len({field_value(row, field, method) for row in rows}))
        case Method.SUM | Method.MEAN:
            return tidy(total(row.numbers[field] for row in rows))
        case Method.MIN:
            return tidy(min(row.numbers[field] for row in rows))
        case Method.MAX:
            return tidy(max(row.numbers[field] for row in rows))
        case Method.LATEST:
            return tidy(max(rows, key=lambda row: (row.ts, row.uid)).numbers[field])
        case Method.PERCENTILE:
            assert percentile is not None, "PERCENTILE needs a rank"
            place = ceil(Fraction(percentile) * len(rows) / 100)
            return tidy(sorted(row.numbers[field] for row in rows)[place - 1])
        case Method.TIME_WEIGHTED_SUM | Method.TIME_WEIGHTED_MEAN:
            raise AssertionError("what is weighted by time is a gauge, and asked about as one")
        case Method.CORRELATED_COUNT:
            raise AssertionError("what is correlated is asked about with its correlation")
        case _:
            assert_never(method)


def _tally(rows: Sequence[UsageRow], field: str, bounds: EventBounds) -> EventTally:
    values = [row.numbers[field] for row in rows]
    small = [each for each in values if bounds.low is not None and each.copy_abs() < bounds.low]
    large = [each for each in values if bounds.high is not None and each.copy_abs() > bounds.high]
    return EventTally(
        events=_net(values),
        small=_net(small),
        small_total=tidy(total(small)),
        large=_net(large),
        large_total=tidy(total(large)),
    )


def _net(values: Sequence[Decimal]) -> int:
    """How many there are, less those below zero."""
    return sum(-1 if each < 0 else 1 for each in values)


def _filter(text: str | None) -> Callable[[UsageRow], bool]:
    if text is None:
        return lambda row: True
    expression: Expression = parse(text)
    return lambda row: evaluate(expression, {**row.texts, **row.numbers}) is True
