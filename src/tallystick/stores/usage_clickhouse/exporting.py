"""Many measurements as columns: read in the order in which they lie, from any place on, for files of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from tallystick.core.period import Instant
from tallystick.ports.usage import UsageRun
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection
from tallystick.stores.usage_clickhouse.explorer import conditions_of
from tallystick.stores.usage_clickhouse.schema import NO_FIELDS, Fields

_OWN = "account, uid, position, ts, ets, received, extra"


def columns(
    connection: Connection, organization: str, meters: Mapping[str, Fields], run: UsageRun, up_to: int
) -> pa.Table:
    """A stretch of the measurements of one meter, up to a journal position.

    Organisation and meter are held equal and the rest is the table's own order, so the engine reads what it answers and
    little more. Within one timestamp of an account it sorts.
    """
    bindings = Bindings()
    conditions = [
        f"meter = {bindings.text(run.meter_id)}",
        *conditions_of(organization, meters, run.query, None, up_to, bindings),
    ]
    if run.after is not None:
        conditions.append(_after(run.after, bindings))
    fields = meters.get(run.meter_id, NO_FIELDS)
    statement = f"""
        SELECT {", ".join([_OWN, *_fields(fields, as_text=run.as_text)])}
        FROM {DATABASE}.measurement WHERE {" AND ".join(conditions)}
        ORDER BY organization, meter, account, measurement.ts, position
        LIMIT {bindings.bind(run.most, "UInt64")}"""
    return connection.table(statement, bindings)


def _after(place: tuple[str, Instant, int], bindings: Bindings) -> str:
    """Spelled out, for of a comparison of tuples the engine does not see what it need not read."""
    account, ts, position = bindings.text(place[0]), bindings.instant(place[1]), bindings.bind(place[2], "UInt64")
    later = f"(ts > {ts} OR (ts = {ts} AND position > {position}))"
    return f"account >= {account} AND (account > {account} OR (ts >= {ts} AND {later}))"


def _fields(fields: Fields, *, as_text: bool) -> Iterator[str]:
    for code, column in fields.numbers.items():
        yield f'{f"toString({column})" if as_text else column} AS "n.{code}"'
    for code, column in fields.texts.items():
        yield f'{column} AS "t.{code}"'
