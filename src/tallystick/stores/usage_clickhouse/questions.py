"""A question as one statement: exact sums, counts and picks; nothing is divided or rounded here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, assert_never

from tallystick.core.aggregation import EventBounds, EventTally, Measured, Method, Question
from tallystick.core.period import Instant
from tallystick.core.quantity import QUANTITY_DECIMALS, plain, tidy
from tallystick.stores import plain_aggregation
from tallystick.stores.usage_clickhouse import correlated, gauges, reading
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection
from tallystick.stores.usage_clickhouse.filters import condition
from tallystick.stores.usage_clickhouse.schema import Fields

ACCOUNTS_AT_ONCE = 10_000


def measure(
    connection: Connection, organization: str, fields: Fields, question: Question, without: Collection[int] = ()
) -> list[Measured]:
    """The answer, ordered by account and segment. `fields` are those of the question's meter; the measurements at the
    positions `without` are left out."""
    target = target_of(fields, question)
    if target is None or (question.stream_field and question.stream_field not in fields.texts):
        return []
    if question.accounts is None:
        assert not question.pooled, "a pool names its accounts"
        return _measure(connection, organization, fields, question, target, without=without)
    accounts = sorted(set(question.accounts))
    if question.pooled:  # never in parts: most methods have no way to put two answers together
        return _measure(connection, organization, fields, question, target, accounts, without) if accounts else []
    return [
        answer
        for first in range(0, len(accounts), ACCOUNTS_AT_ONCE)
        for answer in _measure(
            connection, organization, fields, question, target, accounts[first : first + ACCOUNTS_AT_ONCE], without
        )
    ]


def late_accounts(
    connection: Connection,
    organization: str,
    accounts: Sequence[str],
    came: tuple[Instant, int, int],
    *,
    withdrawn: bool,
) -> dict[str, Instant]:
    """Those of the accounts that have measurements from before an instant between two journal positions (`came`), and
    since when. A withdrawal counts as the measurement that it takes out, where there are any."""
    found: dict[str, Instant] = {}
    before, after, up_to = came
    for table, position in [("measurement", "position"), *([("withdrawn", "at")] if withdrawn else [])]:
        for first in range(0, len(accounts), ACCOUNTS_AT_ONCE):
            bindings = Bindings()
            statement = f"""
                SELECT account, min(ts) FROM {DATABASE}.{table}
                WHERE organization = {bindings.text(organization)}
                  AND {position} > {bindings.bind(after, "UInt64")} AND {position} <= {bindings.bind(up_to, "UInt64")}
                  AND ts < {bindings.instant(before)}
                  AND account IN {bindings.texts(accounts[first : first + ACCOUNTS_AT_ONCE])}
                GROUP BY account"""
            for account, earliest in connection.rows(statement, bindings):
                moment = Instant.of(earliest)
                found[str(account)] = min(moment, found.get(str(account), moment))
    return found


def target_of(fields: Fields, question: Question) -> tuple[str, str] | None:
    """The value that is aggregated, and the condition that there is one; None where no measurement has one."""
    number, text = fields.numbers.get(question.field), fields.texts.get(question.field)
    if text is None or question.method not in plain_aggregation.COUNTS:
        return None if number is None else (f"assumeNotNull({number})", f"{number} IS NOT NULL")
    if number is None:
        return f"assumeNotNull({text})", f"{text} IS NOT NULL"
    return f"tuple({number}, {text})", f"({number} IS NOT NULL OR {text} IS NOT NULL)"


def segments_of(fields: Fields, question: Question) -> list[str]:
    """The values of a question's segmented fields. What came before the meter had the field counts as empty, so that
    segments add up to the whole."""
    return [f"ifNull({fields.texts.get(field, 'NULL')}, '')" for field in question.segmented_fields]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a statement about a question is put together from."""

    value: str  # that is aggregated
    keys: list[str]  # what the answer is split by, each `expression AS name`
    where: list[str]
    stream: str | None
    success: str


def parts_of(
    organization: str,
    fields: Fields,
    question: Question,
    target: tuple[str, str],
    accounts: Sequence[str] | None,
    bindings: Bindings,
    without: Collection[int] = (),
) -> tuple[Parts | None, list[str]]:
    """The parts, and the conditions without the filter. No parts where only Python can compute the filter."""
    value, given = target
    segments = segments_of(fields, question)
    where = [*conditions(organization, fields, question, accounts, bindings, without), given]
    kept = "true" if question.filter is None else condition(question.filter, fields, bindings)
    success = condition(question.correlation.success, fields, bindings) if question.correlation else "true"
    if kept is None or success is None:
        return None, where
    stream = fields.texts[question.stream_field] if question.stream_field else None
    # Of a pool one constant stands for all accounts.
    account = bindings.text(question.accounts[0]) if question.pooled and question.accounts else "account"
    keys = [
        f"{account} AS holder",
        *(f"{segment} AS segment{place}" for place, segment in enumerate(segments)),
    ]
    wanted = [*where, kept, *([f"{stream} IS NOT NULL"] if stream else [])]
    return Parts(value, keys, wanted, stream, success), where


def _measure(
    connection: Connection,
    organization: str,
    fields: Fields,
    question: Question,
    target: tuple[str, str],
    accounts: Sequence[str] | None = None,
    without: Collection[int] = (),
) -> list[Measured]:
    bindings = Bindings()
    parts, unfiltered = parts_of(organization, fields, question, target, accounts, bindings, without)
    if parts is None:
        return _measure_in_python(connection, organization, fields, question, (" AND ".join(unfiltered), bindings))
    where = " AND ".join(parts.where)
    if question.gauge:
        statement = gauges.statement(question, parts.value, parts.keys, parts.stream, where, bindings)
    elif question.correlation and parts.stream:
        statement = correlated.statement(question, parts.keys, parts.stream, parts.success, where, bindings)
    else:
        statement = grouped(question, parts.value, parts.keys, where, bindings)
    segments = len(question.segmented_fields)
    return [measured(row, segments, question.event_bounds) for row in connection.rows(statement, bindings)]


def measured(row: Sequence[Any], segments: int, bounds: EventBounds | None) -> Measured:
    account, *segment = row[: 1 + segments]
    answer, count, *tally = row[1 + segments :]
    found = None
    if bounds is not None:
        events, small, small_total, large, large_total = tally
        found = EventTally(
            events=events,
            small=small,
            small_total=tidy(Decimal(small_total)),
            large=large,
            large_total=tidy(Decimal(large_total)),
        )
    return Measured(account_id=account, segment=tuple(segment), total=tidy(Decimal(answer)), count=count, tally=found)


def grouped(question: Question, value: str, keys: Sequence[str], where: str, bindings: Bindings) -> str:
    """Reads (…keys, total, count), and the five numbers of the tally where the question has event bounds."""
    grouped = ", ".join(key.rsplit(" AS ", 1)[1] for key in keys)
    read = [*keys, total(value, question.method, question.percentile, bindings), "count()"]
    if question.event_bounds is not None:
        read += _tally(value, question.event_bounds, bindings)
    return f"""
        SELECT {", ".join(read)}
        FROM {DATABASE}.measurement WHERE {where}
        GROUP BY {grouped} HAVING count() > 0 ORDER BY {grouped}"""


def _tally(value: str, bounds: EventBounds, bindings: Bindings) -> Iterator[str]:
    """How many measurements there are of which size, less those below zero, and what they add up to."""
    net, wide = f"if({value} < 0, -1, 1)", f"toDecimal256({value}, {QUANTITY_DECIMALS})"
    yield f"sum({net})"
    for sign, bound in (("<", bounds.low), (">", bounds.high)):
        limit = None if bound is None else bindings.text(plain(bound))
        kept = "false" if limit is None else f"abs({wide}) {sign} toDecimal256({limit}, {QUANTITY_DECIMALS})"
        yield f"sumIf({net}, {kept})"
        yield f"sumIf({wide}, {kept})"


def conditions(
    organization: str,
    fields: Fields,
    question: Question,
    accounts: Sequence[str] | None,
    bindings: Bindings,
    without: Collection[int] = (),
) -> list[str]:
    """Which measurements a question of these accounts looks at, but for its filter and those at positions `without`."""
    where, until = list(_place(organization, question, accounts, bindings)), bindings.bind(question.up_to, "UInt64")
    kept = [f"position NOT IN {bindings.bind(sorted(without), 'Array(UInt64)')}"] if without else []
    if fields.withdrawn:
        own = " AND ".join([*where, f"at <= {until}"])
        kept.append(f"position NOT IN (SELECT position FROM {DATABASE}.withdrawn WHERE {own})")
    return [*where, f"position <= {until}", *kept]


def _place(organization: str, question: Question, accounts: Sequence[str] | None, bindings: Bindings) -> Iterator[str]:
    yield f"organization = {bindings.text(organization)}"
    yield f"meter = {bindings.text(question.meter_id)}"
    if not question.reaches_back:
        yield f"ts >= {bindings.instant(question.period.start)}"
    yield f"ts < {bindings.instant(question.period.end)}"
    if accounts is not None:
        yield f"account IN {bindings.texts(accounts)}"


def total(value: str, method: Method, percentile: Decimal | None, bindings: Bindings) -> str:
    """What a method computes of values that are not null: exact, and wide enough for any number of them."""
    match method:
        case Method.COUNT:
            return "count()"
        case Method.UNIQUE:
            return f"uniqExact({value})"
        case Method.SUM | Method.MEAN:
            return f"sum(toDecimal256({value}, 18))"
        case Method.MIN:
            return f"min({value})"
        case Method.MAX:
            return f"max({value})"
        case Method.LATEST:
            return f"argMax({value}, (ts, uid))"
        case Method.PERCENTILE:
            assert percentile is not None, "PERCENTILE needs a rank"
            rank = Fraction(percentile) / 100
            over, under = bindings.bind(rank.numerator, "UInt256"), bindings.bind(rank.denominator, "UInt256")
            place = f"toUInt64(intDiv(toUInt256(count()) * {over} + {under} - 1, {under}))"
            return f"arraySort(groupArray({value}))[{place}]"
        case Method.TIME_WEIGHTED_SUM | Method.TIME_WEIGHTED_MEAN:
            raise AssertionError("what is weighted by time is a gauge, and asked about as one")
        case Method.CORRELATED_COUNT:
            raise AssertionError("what is correlated is asked about with its correlation")
        case _:
            assert_never(method)


def _measure_in_python(
    connection: Connection, organization: str, fields: Fields, question: Question, where: tuple[str, Bindings]
) -> list[Measured]:
    """The same answer where only Python can compute the filter: reads every measurement that it has to look at."""
    statement = reading.select([fields], where[0])
    found = reading.rows(connection, organization, {question.meter_id: fields}, statement, where[1])
    return plain_aggregation.measure(found, question)
