"""Several questions as one statement, where they differ in nothing but the number that they add up or count.

A bill of three usage lines asks three sums of the same accounts, meter and window. Reading, selecting and grouping are
most of the work of each, and are done once for all: each number is added up over the measurements that have it, as
`questions.measure`, the reference, does by itself. Sums and counts are, for to leave out what has no value is to add
nothing; the other methods are asked one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import msgspec

from tallystick.core.aggregation import Measured, Method, Question
from tallystick.core.quantity import tidy
from tallystick.stores.usage_clickhouse import questions
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection
from tallystick.stores.usage_clickhouse.filters import condition
from tallystick.stores.usage_clickhouse.schema import Fields

_ADDING = frozenset({Method.SUM, Method.MEAN, Method.COUNT})


def measure_many(
    connection: Connection, organization: str, fields_of: Callable[[str, str], Fields], asked: Sequence[Question]
) -> list[Iterable[Measured]]:
    """The answers of `questions.measure`, in the order of the questions."""
    alike: dict[Question, list[Question]] = {}
    for each in dict.fromkeys(asked):
        alike.setdefault(msgspec.structs.replace(each, field="", method=Method.SUM), []).append(each)
    answers: dict[Question, list[Measured]] = {}
    for of, group in alike.items():
        fields = fields_of(organization, of.meter_id)
        adding = [each for each in group if each.method in _ADDING and questions.target_of(fields, each)]
        together = _plain(of) and len(adding) > 1 and _sums(connection, organization, fields, adding)
        answers |= together or {}
        for each in group:
            if each not in answers:
                answers[each] = questions.measure(connection, organization, fields, each)
    return [answers[each] for each in asked]


def _plain(question: Question) -> bool:
    """Whether measurements count by themselves, one account at a time."""
    others = question.pooled or question.gauge or question.gauge_field or question.correlation or question.event_bounds
    return question.accounts is not None and not others


def _sums(
    connection: Connection, organization: str, fields: Fields, asked: Sequence[Question]
) -> dict[Question, list[Measured]] | None:
    """The answers to questions that differ in their fields; None where only Python can compute their filter."""
    of, found = asked[0], dict[Question, list[Measured]]((each, []) for each in asked)
    accounts = sorted(set(of.accounts or ()))
    segments = questions.segments_of(fields, of)
    keys = ["account AS holder", *(f"{each} AS segment{place}" for place, each in enumerate(segments))]
    names = ["holder", *(f"segment{place}" for place in range(len(segments)))]
    for first in range(0, len(accounts), questions.ACCOUNTS_AT_ONCE):
        bindings = Bindings()
        some = accounts[first : first + questions.ACCOUNTS_AT_ONCE]
        where = questions.conditions(organization, fields, of, some, bindings)
        if of.filter is not None:
            kept = condition(of.filter, fields, bindings)
            if kept is None:
                return None
            where.append(kept)
        read = [column for each in asked for column in _columns(fields, each)]
        statement = f"""
            SELECT {", ".join([*keys, *read])} FROM {DATABASE}.measurement WHERE {" AND ".join(where)}
            GROUP BY {", ".join(names)} ORDER BY {", ".join(names)}"""
        holders, *answered = connection.columns(statement, bindings) or [()] * (len(keys) + len(read))
        split = answered[: len(segments)]
        whose = list(zip(*split, strict=True)) if split else [()] * len(holders)
        for place, each in enumerate(asked):
            totals, counts = answered[len(segments) + 2 * place : len(segments) + 2 * place + 2]
            found[each] += [
                Measured(account_id=account, segment=segment, total=tidy(Decimal(total)), count=count)
                for account, segment, total, count in zip(holders, whose, totals, counts, strict=True)
                if count
            ]
    return found


def _columns(fields: Fields, question: Question) -> tuple[str, str]:
    """The total and the count of a question, over the measurements that have its field. The total of a sum is read as
    text, its shortest form: of the driver's wide decimals each would be made of bytes, and then shortened."""
    target = questions.target_of(fields, question)
    assert target is not None, "what no measurement has is asked by itself"
    value, given = target
    counted = f"countIf({given})"
    return (
        counted if question.method is Method.COUNT else f"toString(sumIf(toDecimal256({value}, 18), {given}))",
        counted,
    )
