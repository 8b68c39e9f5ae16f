"""When measurements arrived: how many came late, how fresh they are, how far arrival is behind the timestamps."""

from __future__ import annotations

from tallystick.core.period import Instant
from tallystick.ports.usage import Arrival, ArrivalQuery
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection

_LAG = "toUnixTimestamp64Micro(received) - toUnixTimestamp64Micro(ts)"


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
    statement = f"""
        SELECT meter, {account} AS whose, count(), countIf(received >= {late_from}), countIf(position > {after}),
               max(received), max(ts), min({_LAG}), quantileExact(0.5)({_LAG}), quantileExact(0.95)({_LAG}), max({_LAG})
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
            drift=(int(low), int(middle), int(high), int(highest)),
        )
        for meter, whose, count, late, later, received, ts, low, middle, high, highest in connection.rows(
            statement, bindings
        )
    ]
