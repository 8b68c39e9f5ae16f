"""When measurements arrived, how far behind their timestamps; and which fields they carry undeclared."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core.period import Instant
from tallystick.ports.usage import Arrival, ArrivalQuery, Undeclared
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection

_LAG = "toUnixTimestamp64Micro(received) - toUnixTimestamp64Micro(ts)"
_DRIFT = f"arrayConcat([min({_LAG})], quantilesExact(0.5, 0.95)({_LAG}), [max({_LAG})])"


def arrivals(connection: Connection, organization: str, query: ArrivalQuery, up_to: int) -> list[Arrival]:
    """One row for each meter (and account, if asked by account) that has measurements in the window."""
    bindings = Bindings()
    where = [
        f"organization = {bindings.text(organization)}",
        f"position <= {bindings.bind(up_to, 'UInt64')}",
        f"ts >= {bindings.instant(query.start)}",
        f"ts < {bindings.instant(query.end)}",
    ]
    if query.meter_ids is not None:
        where.append(f"meter IN {bindings.texts(query.meter_ids)}")
    if query.account_ids is not None:
        where.append(f"account IN {bindings.texts(query.account_ids)}")
    account = "account" if query.by_account else "''"
    late_from, after = bindings.instant(query.late_from), bindings.bind(query.after, "UInt64")
    # The drift of each of thousands of accounts, which nobody asks for, would cost more than all else.
    drift = "[]" if query.by_account else _DRIFT
    statement = f"""
        SELECT meter, {account} AS whose, count(), countIf(received >= {late_from}), countIf(position > {after}),
               max(received), max(ts), {drift}
        FROM {DATABASE}.measurement WHERE {" AND ".join(where)}
        GROUP BY meter, whose ORDER BY meter, whose"""
    return [
        Arrival(
            meter_id=str(meter),
            account_id=str(whose) or None,
            count=int(count),
            late=int(late),
            after=int(later),
            last_received=Instant.of(received),
            last_ts=Instant.of(ts),
            drift=tuple(map(int, lags)) or None,
        )
        for meter, whose, count, late, later, received, ts, lags in connection.rows(statement, bindings)
    ]


def undeclared(
    connection: Connection,
    organization: str,
    meter_ids: Sequence[str],
    window: tuple[Instant, Instant],
    most: int,
    up_to: int,
) -> list[Undeclared]:
    """The fields that measurements carry and their meters do not declare: what is kept beside the declared ones is a
    JSON object of maps, each from codes to values."""
    bindings = Bindings()
    start, end = window
    codes = "arrayMap(map -> JSONExtractKeys(map.2), JSONExtractKeysAndValuesRaw(assumeNotNull(extra)))"
    statement = f"""
        SELECT meter, code, count() AS found, min(ts), max(ts)
        FROM (
            SELECT meter, ts, arrayJoin(arrayFlatten({codes})) AS code
            FROM {DATABASE}.measurement
            WHERE organization = {bindings.text(organization)} AND meter IN {bindings.texts(meter_ids)}
              AND position <= {bindings.bind(up_to, "UInt64")} AND extra IS NOT NULL
              AND ts >= {bindings.instant(start)} AND ts < {bindings.instant(end)}
        )
        GROUP BY meter, code ORDER BY found DESC, meter, code LIMIT {bindings.bind(most, "UInt64")}"""
    return [
        Undeclared(
            meter_id=str(meter),
            code=str(code),
            count=int(count),
            first_ts=Instant.of(first),
            last_ts=Instant.of(last),
        )
        for meter, code, count, first, last in connection.rows(statement, bindings)
    ]
