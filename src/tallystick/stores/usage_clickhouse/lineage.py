"""The measurements behind an answer: stretch by stretch, and one by one. The conditions are those of the question."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from tallystick.core.aggregation import Measured, Method
from tallystick.core.period import Instant
from tallystick.core.quantity import tidy
from tallystick.core.set_hash import SetHash
from tallystick.ports import Behind, UsageRow
from tallystick.stores import plain_lineage
from tallystick.stores.usage_clickhouse import reading
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection, from_micros, to_micros
from tallystick.stores.usage_clickhouse.filters import condition
from tallystick.stores.usage_clickhouse.questions import conditions, segments_of, target_of, total
from tallystick.stores.usage_clickhouse.schema import Fields


class _Conditions(NamedTuple):
    """Where the measurements are; without those of the filter where only Python computes that."""

    where: str
    value: str
    exact: bool


def by_stretch(
    connection: Connection, organization: str, fields: Fields, asked: Behind, starts: Sequence[Instant]
) -> dict[Instant, Measured]:
    """See ports.OrganizationUsage."""
    bindings, question = Bindings(), asked.question
    found = _conditions(organization, fields, asked, bindings)
    if found is None:
        return {}
    if not found.exact:
        return plain_lineage.by_stretch(_rows(connection, organization, fields, asked, found, bindings), asked, starts)
    placed = bindings.bind([to_micros(start) for start in starts], "Array(Int64)")
    stretch = f"roundDown(toUnixTimestamp64Micro(ts), {placed})"
    if question.method is Method.UNIQUE:
        statement = f"""
            SELECT stretch, toUInt64(countIf(stretch = first)), sum(measurements) FROM (
                SELECT {found.value} AS value, {stretch} AS stretch, count() AS measurements,
                       min(stretch) OVER (PARTITION BY value) AS first
                FROM {DATABASE}.measurement WHERE {found.where} GROUP BY value, stretch
            ) GROUP BY stretch ORDER BY stretch"""
    else:
        answer = total(found.value, question.method, question.percentile, bindings)
        statement = f"""
            SELECT {stretch} AS stretch, {answer}, count()
            FROM {DATABASE}.measurement WHERE {found.where} GROUP BY stretch ORDER BY stretch"""
    return {
        from_micros(start): Measured(
            account_id="", segment=asked.segment, total=tidy(Decimal(answer)), count=int(count)
        )
        for start, answer, count in connection.rows(statement, bindings)
    }


def behind(
    connection: Connection,
    organization: str,
    fields: Fields,
    asked: Behind,
    after: tuple[Instant, str] | None,
    limit: int,
) -> list[UsageRow]:
    """See ports.OrganizationUsage."""
    bindings, question = Bindings(), asked.question
    found = _conditions(organization, fields, asked, bindings)
    if found is None:
        return []
    if not found.exact:
        rows = _rows(connection, organization, fields, asked, found, bindings)
        return plain_lineage.behind(rows, asked, after, limit)
    where = _within(fields, asked, found, bindings)
    if after is not None:
        moment, uid = after
        where = f"{where} AND (ts, uid) < ({bindings.instant(moment)}, {bindings.text(uid)})"
    tail = f"ORDER BY ts DESC, uid DESC LIMIT {bindings.bind(limit + 1, 'UInt64')}"
    statement = reading.select([fields], where, tail)
    found_rows = reading.rows(connection, organization, {question.meter_id: fields}, statement, bindings)
    return (
        reading.with_withdrawals(connection, organization, list(found_rows)) if fields.withdrawn else list(found_rows)
    )


def position_by(connection: Connection, moment: Instant) -> int:
    """See ports.UsageStore."""
    bindings = Bindings()
    statement = f"SELECT max(position) FROM {DATABASE}.measurement WHERE received <= {bindings.instant(moment)}"
    ((found,),) = connection.rows(statement, bindings)
    return int(found)


def set_of(connection: Connection, organization: str, fields: Fields, asked: Behind) -> SetHash:
    """See ports.OrganizationUsage. The text that is hashed is that of `core.set_hash.element`."""
    bindings, field = Bindings(), asked.question.field
    found = _conditions(organization, fields, asked, bindings)
    if found is None:
        return SetHash()
    if not found.exact:
        return plain_lineage.set_of(_rows(connection, organization, fields, asked, found, bindings), asked)
    number, text = fields.numbers.get(field, "NULL"), fields.texts.get(field, "NULL")
    statement = f"""
        SELECT count(), sum(reinterpretAsUInt256(SHA256(concat(
            toString(position), ' ', toString(toUnixTimestamp64Micro(ts)), ' ', ifNull(toString({number}), ''), ' ',
            toString(length(uid)), ' ', uid, ifNull(toString({text}), '')))))
        FROM {DATABASE}.measurement WHERE {_within(fields, asked, found, bindings)}"""
    ((count, hashes),) = connection.rows(statement, bindings)
    return SetHash(measurements=int(count), hash=f"{int(hashes):064x}")


def _within(fields: Fields, asked: Behind, found: _Conditions, bindings: Bindings) -> str:
    """Where the measurements are that are named behind an answer: those in its period, and the values of a gauge that
    held when it began."""
    question, where = asked.question, found.where
    if not question.reaches_back:
        return where
    start = bindings.instant(question.period.start)
    within = f"ts >= {start}"
    if question.gauge:  # the last one of each stream before it
        stream = f", {fields.texts[question.stream_field]}" if question.stream_field else ""
        held = f"""SELECT argMax(position, (ts, uid)) FROM {DATABASE}.measurement
            WHERE {where} AND ts < {start} GROUP BY account{stream}"""
        within = f"({within} OR position IN ({held}))"
    return f"{where} AND {within}"


def _conditions(organization: str, fields: Fields, asked: Behind, bindings: Bindings) -> _Conditions | None:
    """None where no measurement can be behind the answer."""
    question = asked.question
    target = target_of(fields, question)
    if target is None or (question.stream_field and question.stream_field not in fields.texts):
        return None
    value, given = target
    accounts = None if question.accounts is None else sorted(set(question.accounts))
    where = [*conditions(organization, fields, question, accounts, bindings), given]
    where.append(f"position > {bindings.bind(asked.above, 'UInt64')}")
    for segment, wanted in zip(segments_of(fields, question), asked.segment, strict=True):
        where.append(f"{segment} = {bindings.text(wanted)}")
    if question.stream_field:
        where.append(f"{fields.texts[question.stream_field]} IS NOT NULL")
    kept = "true" if question.filter is None else condition(question.filter, fields, bindings)
    exact = kept is not None
    return _Conditions(" AND ".join([*where, kept] if kept is not None else where), value, exact)


def _rows(
    connection: Connection,
    organization: str,
    fields: Fields,
    asked: Behind,
    found: _Conditions,
    bindings: Bindings,
) -> list[UsageRow]:
    """The measurements that Python has to look at, as only it can compute the filter."""
    statement = reading.select([fields], found.where)
    meters = {asked.question.meter_id: fields}
    return list(reading.rows(connection, organization, meters, statement, bindings))
