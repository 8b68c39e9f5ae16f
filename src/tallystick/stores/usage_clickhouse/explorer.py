"""Usage queries of the data explorer: columns side by side, split into groups; or the measurements themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any, assert_never

from tallystick.core.aggregation import Method
from tallystick.core.field_condition import Comparator
from tallystick.core.period import Instant
from tallystick.core.quantity import plain, tidy
from tallystick.core.time_group import TimeFrequency, group_starts
from tallystick.ports import UsageAnswer, UsageColumn, UsageCondition, UsageFilter, UsageGroup, UsageQuery, UsageRow
from tallystick.stores.usage_clickhouse import reading
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection, from_micros, to_micros
from tallystick.stores.usage_clickhouse.schema import NO_FIELDS, Fields

_EPOCH_DAY = date(1970, 1, 1)
_FEW_DAYS = timedelta(days=100)


def query(
    connection: Connection, organization: str, meters: Mapping[str, Fields], query: UsageQuery, up_to: int
) -> list[UsageAnswer]:
    """The rows of a query with columns. `meters` are the fields of every meter that has measurements.

    Every statement of the query reads to the same journal position, `up_to`: what is being added counts in all or none.
    """
    bindings = Bindings()
    asked = {column.meter_id for column in query.columns}
    searched = {meter for meter in asked & meters.keys() if query.meter_ids is None or meter in query.meter_ids}
    if not searched:
        return []
    where = " AND ".join(conditions_of(organization, meters, query, searched, up_to, bindings))
    columns = [
        _column(column, meters, alone=searched == {column.meter_id}, bindings=bindings) for column in query.columns
    ]
    selected = [total for total, _ in columns] + [count for _, count in columns]
    groups = [
        f"{_group(connection, meters, query, group, (where, bindings))} AS group{place}"
        for place, group in enumerate(query.groups)
    ]
    grouped = f"GROUP BY {', '.join(f'group{place}' for place in range(len(groups)))}" if groups else ""
    order = _order(query.groups)
    if query.greatest_first:
        total, count = columns[0]
        order = f"ORDER BY {count} > 0 DESC, {total} DESC{order.replace('ORDER BY', ',')}"
    measured = " OR ".join(f"{count} > 0" for _, count in columns)
    statement = f"""
        SELECT {", ".join([*groups, *selected])}
        FROM {DATABASE}.measurement WHERE {where}
        {grouped} HAVING {measured} {order}
        LIMIT {bindings.bind(query.limit + 1, "UInt64")}"""
    return list(_answers(query, connection.rows(statement, bindings)))


def raw(
    connection: Connection, organization: str, meters: Mapping[str, Fields], query: UsageQuery, up_to: int
) -> list[UsageRow]:
    """The measurements of a query without columns, up to a journal position: latest first."""
    bindings = Bindings()
    where = " AND ".join(conditions_of(organization, meters, query, query.meter_ids, up_to, bindings))
    tail = f"ORDER BY ts DESC, position DESC LIMIT {bindings.bind(query.limit + 1, 'UInt64')}"
    asked = meters if query.meter_ids is None else {each: meters[each] for each in query.meter_ids if each in meters}
    statement = reading.select(asked.values(), where, tail)
    found = list(reading.rows(connection, organization, asked, statement, bindings))
    return found if query.withdrawn is False else reading.with_withdrawals(connection, organization, found)


def count(
    connection: Connection, organization: str, meters: Mapping[str, Fields], query: UsageQuery, up_to: int
) -> int:
    """How many measurements a query finds, up to a journal position."""
    bindings = Bindings()
    where = " AND ".join(conditions_of(organization, meters, query, query.meter_ids, up_to, bindings))
    ((found,),) = connection.rows(f"SELECT count() FROM {DATABASE}.measurement WHERE {where}", bindings)
    return int(found)


def conditions_of(
    organization: str,
    meters: Mapping[str, Fields],
    query: UsageQuery,
    searched: Collection[str] | None,
    up_to: int,
    bindings: Bindings,
) -> Iterator[str]:
    """What a query asks for, up to a journal position, as conditions that must all hold; `searched` are its meters."""
    yield f"organization = {bindings.text(organization)}"
    yield f"position <= {bindings.bind(up_to, 'UInt64')}"
    if searched is not None:
        yield f"meter IN {bindings.texts(sorted(searched))}"
    if query.withdrawn is not None and (query.withdrawn or any(each.withdrawn for each in meters.values())):
        yield _withdrawn(organization, query, up_to, bindings)
    if query.start is not None:
        yield f"ts >= {bindings.instant(query.start)}"
    if query.end is not None:
        yield f"ts < {bindings.instant(query.end)}"
    if query.account_ids is not None:
        yield f"account IN {bindings.texts(query.account_ids)}"
    if query.accounts_from is not None:
        yield f"account >= {bindings.text(query.accounts_from)}"
    if query.accounts_until is not None:
        yield f"account < {bindings.text(query.accounts_until)}"
    yield from _at_positions(query, bindings)
    for each in query.filters:
        yield _filter(each, meters, bindings)
    for condition in query.conditions:
        yield _condition(condition, meters, bindings)


def _at_positions(query: UsageQuery, bindings: Bindings) -> Iterator[str]:
    if query.up_to is not None:
        yield f"position <= {bindings.bind(query.up_to, 'UInt64')}"
    if query.positions is not None:
        yield f"position IN {bindings.bind(sorted(query.positions), 'Array(UInt64)')}"
    if query.before is not None:
        ts, place = bindings.instant(query.before.ts), bindings.bind(query.before.position, "UInt64")
        yield f"ts <= {ts} AND (ts < {ts} OR position < {place})"


def _withdrawn(organization: str, query: UsageQuery, up_to: int, bindings: Bindings) -> str:
    """Whether a measurement was withdrawn by the position of the query."""
    until = up_to if query.up_to is None else min(up_to, query.up_to)
    within = f"organization = {bindings.text(organization)} AND at <= {bindings.bind(until, 'UInt64')}"
    if query.start is not None:
        within += f" AND ts >= {bindings.instant(query.start)}"
    if query.end is not None:
        within += f" AND ts < {bindings.instant(query.end)}"
    asked = "IN" if query.withdrawn else "NOT IN"
    return f"position {asked} (SELECT position FROM {DATABASE}.withdrawn WHERE {within})"


def _filter(asked: UsageFilter, meters: Mapping[str, Fields], bindings: Bindings) -> str:
    """A filter says something about its own meter only."""
    other = f"meter != {bindings.text(asked.meter_id)}"
    column = meters[asked.meter_id].texts.get(asked.field) if asked.meter_id in meters else None
    return other if column is None else f"({other} OR ifNull({column} IN {bindings.texts(asked.values)}, 0))"


def _condition(asked: UsageCondition, meters: Mapping[str, Fields], bindings: Bindings) -> str:
    """Says something about its own meter only, as a filter does; never null."""
    fields = meters.get(asked.meter_id, NO_FIELDS)
    if isinstance(asked.value, str):
        column, wanted = fields.texts.get(asked.field), bindings.text(asked.value)
    else:
        column, wanted = fields.numbers.get(asked.field), f"toDecimal256({bindings.text(plain(asked.value))}, 30)"
        column = column and f"toDecimal256({column}, 30)"
    other = f"meter != {bindings.text(asked.meter_id)}"
    return f"({other} OR {_comparison(asked.comparator, column or 'NULL', wanted)})"


def _comparison(comparator: Comparator, column: str, wanted: str) -> str:
    if (symbol := _SYMBOLS.get(comparator)) is not None:
        return f"ifNull({column} {symbol} {wanted}, {int(comparator is Comparator.NOT_EQUAL)})"
    match comparator:
        case Comparator.CONTAINS:
            return f"ifNull(position({column}, {wanted}) > 0, 0)"
        case Comparator.STARTS_WITH:
            return f"ifNull(startsWith({column}, {wanted}), 0)"
        case Comparator.PRESENT:
            return f"isNotNull({column})"
        case Comparator.ABSENT:
            return f"isNull({column})"
        case _:
            raise AssertionError(f"{comparator} has a symbol")


_SYMBOLS = {
    Comparator.EQUAL: "=",
    Comparator.NOT_EQUAL: "!=",
    Comparator.LESS: "<",
    Comparator.LESS_OR_EQUAL: "<=",
    Comparator.GREATER: ">",
    Comparator.GREATER_OR_EQUAL: ">=",
}


def _column(column: UsageColumn, meters: Mapping[str, Fields], *, alone: bool, bindings: Bindings) -> tuple[str, str]:
    """A column's total, and how many measurements are in it. Meters share slots, so each column names its meter, unless
    measurements of that `alone` are searched: the engine then need not compare it once more for each of them."""
    fields, method = meters.get(column.meter_id, Fields()), Method(column.function)
    number, text = fields.numbers.get(column.field), fields.texts.get(column.field)
    if method not in {Method.COUNT, Method.UNIQUE}:
        text = None
    given = " OR ".join(f"{each} IS NOT NULL" for each in (number, text) if each is not None)
    if not given:
        return "0", "0"
    own = f"({given})" if alone else f"meter = {bindings.text(column.meter_id)} AND ({given})"
    count = f"countIf({own})"
    match method:
        case Method.COUNT:
            return count, count
        case Method.UNIQUE:
            return f"uniqExactIf(tuple({number or 'NULL'}, {text or 'NULL'}), {own})", count
        case Method.SUM | Method.MEAN:
            return f"sumIf(toDecimal256({number}, 18), {own})", count
        case Method.MIN:
            return f"minIf({number}, {own})", count
        case Method.MAX:
            return f"maxIf({number}, {own})", count
        case Method.LATEST:
            return f"argMaxIf({number}, (ts, uid), {own})", count
        case Method.PERCENTILE | Method.TIME_WEIGHTED_SUM | Method.TIME_WEIGHTED_MEAN | Method.CORRELATED_COUNT:
            raise AssertionError(f"a usage query has no {method}")
        case _:
            assert_never(method)


def _group(
    connection: Connection,
    meters: Mapping[str, Fields],
    query: UsageQuery,
    group: UsageGroup,
    found: tuple[str, Bindings],
) -> str:
    where, bindings = found
    if group.by == "ACCOUNT":
        return "account"
    if group.by == "TIME":
        assert group.frequency is not None, "a time group has a frequency"
        days = _days_between(query.start, query.end) or _days(connection, where, bindings)
        starts = group_starts(days, TimeFrequency(group.frequency), query.zone)
        placed = bindings.bind([to_micros(start) for start in starts], "Array(Int64)")
        return f"roundDown(toUnixTimestamp64Micro(ts), {placed})" if starts else "toInt64(0)"
    assert group.meter_id is not None, "a dimension group has a meter"
    assert group.field is not None, "a dimension group has a field"
    column = meters.get(group.meter_id, Fields()).texts.get(group.field)
    if column is None:
        return "CAST(NULL AS Nullable(String))"
    return f"if(meter = {bindings.text(group.meter_id)}, {column}, NULL)"


def _days_between(start: Instant | None, end: Instant | None) -> list[date]:
    """The UTC days of a query of a few months; none of a longer one, which may have measurements on few of them."""
    if start is None or end is None or end - start > _FEW_DAYS or end <= start:
        return []
    first, last = start.astimezone(UTC).date(), (end - timedelta(microseconds=1)).astimezone(UTC).date()
    return [first + timedelta(days=day) for day in range((last - first).days + 1)]


def _days(connection: Connection, where: str, bindings: Bindings) -> list[date]:
    """The UTC days that have measurements: time zones are Python's, so only the starts of groups go to the engine."""
    statement = f"""
        SELECT DISTINCT toInt32(intDiv(toUnixTimestamp64Micro(ts), 86400000000)) AS day
        FROM {DATABASE}.measurement WHERE {where} ORDER BY day"""
    return [_EPOCH_DAY + timedelta(days=day) for (day,) in connection.rows(statement, bindings)]


def _order(groups: Sequence[UsageGroup]) -> str:
    """Latest time first, then the other groups rising; what has no such field comes last."""
    latest = [f"group{place} DESC" for place, group in enumerate(groups) if group.by == "TIME"]
    rising = [f"group{place} ASC NULLS LAST" for place, group in enumerate(groups) if group.by != "TIME"]
    return f"ORDER BY {', '.join(latest + rising)}" if groups else ""


def _answers(query: UsageQuery, rows: Iterable[Sequence[Any]]) -> Iterator[UsageAnswer]:
    """Rows may be many, and begin at few moments: each of these is made once."""
    width, columns = len(query.groups), len(query.columns)
    timed = [place for place, group in enumerate(query.groups) if group.by == "TIME"]
    starts: dict[int, Instant] = {}
    for row in rows:
        groups = list(row[:width])
        for place in timed:
            micros = groups[place]
            start = starts.get(micros)
            groups[place] = start if start is not None else starts.setdefault(micros, from_micros(micros))
        totals, counts = row[width : width + columns], row[width + columns :]
        values = [
            (tidy(Decimal(total)), int(count)) if count else None for total, count in zip(totals, counts, strict=True)
        ]
        yield UsageAnswer(groups=tuple(groups), values=tuple(values))
