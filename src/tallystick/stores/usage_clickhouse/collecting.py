"""What running answers are made of: the values behind an answer, as the engine gives them (see `core.running`)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tallystick.core.aggregation import Method, Question
from tallystick.core.quantity import tidy
from tallystick.core.running import VALUE_BYTES, Collected
from tallystick.stores import plain_aggregation
from tallystick.stores.usage_clickhouse import questions, reading
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection
from tallystick.stores.usage_clickhouse.questions import Parts
from tallystick.stores.usage_clickhouse.schema import Fields


def collect(
    connection: Connection, organization: str, fields: Fields, question: Question, after: int, most: int
) -> list[Collected] | None:
    """See ports.OrganizationUsage."""
    target = questions.target_of(fields, question)
    if target is None:
        return []
    bindings = Bindings()
    accounts = sorted(set(question.accounts or ()))
    parts, unfiltered = questions.parts_of(organization, fields, question, target, accounts, bindings)
    above = f"position > {bindings.bind(after, 'UInt64')}"
    if parts is None:
        where = " AND ".join([*unfiltered, above])
        statement = reading.select([fields], where)
        rows = reading.rows(connection, organization, {question.meter_id: fields}, statement, bindings)
        return plain_aggregation.collect(rows, question)
    where = " AND ".join([*parts.where, above])
    if question.method in {Method.UNIQUE, Method.PERCENTILE}:
        found = connection.table(_values(question, parts, where, fields, most), bindings)
        return _collected(found, question, most)
    if question.method is Method.LATEST:
        return [_last(row) for row in connection.rows(_latest(parts, where), bindings)]
    statement = questions.grouped(question, parts.value, parts.keys, where, bindings)
    segments = len(question.segmented_fields)
    measured = [
        questions.measured(row, segments, question.event_bounds) for row in connection.rows(statement, bindings)
    ]
    return [
        Collected(
            account_id=each.account_id, segment=each.segment, total=each.total, count=each.count, tally=each.tally
        )
        for each in measured
    ]


def _names(parts: Parts) -> str:
    return ", ".join(key.rsplit(" AS ", 1)[1] for key in parts.keys)


def _latest(parts: Parts, where: str) -> str:
    """Reads (…keys, value, time in microseconds, uid, how many) of the latest measurement of each."""
    return f"""
        SELECT {", ".join(parts.keys)}, argMax({parts.value}, (ts, uid)), toUnixTimestamp64Micro(max(ts)),
            argMax(uid, (ts, uid)), count()
        FROM {DATABASE}.measurement WHERE {where}
        GROUP BY {_names(parts)} HAVING count() > 0 ORDER BY {_names(parts)}"""


def _last(row: Sequence[Any]) -> Collected:
    account, *segment, value, moment, uid, count = row
    total = tidy(Decimal(value))
    return Collected(account_id=account, segment=tuple(segment), total=total, count=count, last=(moment, uid))


def _values(question: Question, parts: Parts, where: str, fields: Fields, most: int) -> str:
    """Reads (…keys, how many, the values in order) where no more than `most` values are found in all.

    Each value is read once. Of UNIQUE it then becomes its identity, of PERCENTILE it goes with how often it came.
    """
    names = _names(parts)
    number, text = fields.numbers.get(question.field), fields.texts.get(question.field)
    kept = "(value, times)"
    if question.method is Method.UNIQUE:
        as_text = "concat('t', value)" if number is None else "concat('n', toString(value))"
        if number is not None and text is not None:
            as_text = (
                "if(value.1 IS NULL, concat('t', ifNull(value.2, '')), concat('n', toString(assumeNotNull(value.1))))"
            )
        kept = f"toFixedString(substring(SHA256({as_text}), 1, {VALUE_BYTES}), {VALUE_BYTES})"
    return f"""
        SELECT {names}, sum(times) AS made, arraySort(groupArray({kept})) AS found
        FROM (
            SELECT {", ".join(parts.keys)}, {parts.value} AS value, count() AS times
            FROM {DATABASE}.measurement WHERE {where}
            GROUP BY {names}, value LIMIT {int(most) + 1}
        )
        GROUP BY {names} ORDER BY {names}"""


def _collected(table: pa.Table, question: Question, most: int) -> list[Collected] | None:
    found = table.column("found").combine_chunks()
    if len(found.flatten()) > most:
        return None
    keys = [table.column(place).to_pylist() for place in range(1 + len(question.segmented_fields))]
    answers = []
    for place, count in enumerate(table.column("made").to_pylist()):
        account, *segment = (values[place] for values in keys)
        values = found.slice(place, 1).flatten()
        counts: Sequence[int] = []
        if question.method is Method.PERCENTILE:
            values, times = values.flatten()
            counts = times.to_numpy().tolist()
        answers.append(
            Collected(account_id=account, segment=tuple(segment), count=count, values=_bytes(values), counts=counts)
        )
    return answers


def _bytes(values: pa.Array) -> bytes:
    """Values of 16 bytes as they lie in memory."""
    data = values.buffers()[1]
    found: bytes = data.slice(values.offset * VALUE_BYTES, len(values) * VALUE_BYTES).to_pybytes()
    return found
